"""Maintenance of a real chain that real processes made: export, import, check, revert, purge, and a held database."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from solvent.client import Client
from tests.support.node import dev_process, solvent


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped development node with a few transfers."""
    folder = tmp_path_factory.mktemp("chain")
    with dev_process("--base-path", str(folder), "--quiet") as (process, url):
        for _ in range(3):
            assert solvent("tx", "transfer", "--from", "//Alice", "--to", "//Bob", "1", "--url", url).returncode == 0
        held = [
            solvent(*arguments, "--base-path", str(folder))
            for arguments in (
                ("export-blocks", str(folder / "file")),
                ("check-block", "1"),
                ("revert", "1"),
                ("purge-chain", "-y"),
            )
        ]
        for done in held:
            assert done.returncode == 1
            assert f"held by process {process.pid} (" in done.stderr, done.stderr
            assert "dev --rpc-port" in done.stderr
        process.terminate()
        process.wait()
    (folder / "keystore").mkdir()
    (folder / "keystore" / "key.json").write_text("{}")
    return folder


def run(*arguments: str) -> CompletedProcess[str]:
    done = solvent(*arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def json_of(*arguments: str) -> list[dict[str, object]]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    documents: list[dict[str, object]] = json.loads(done.stdout)
    return documents


@pytest.mark.parametrize("form", ["--binary", "--json"])
def test_a_chain_moves_to_another_machine_in_a_file(chain: Path, tmp_path: Path, form: str) -> None:
    file, other = tmp_path / "blocks", tmp_path / "other"
    exported = run("export-blocks", "--base-path", str(chain), form, str(file))
    assert exported.returncode == 0, exported.stderr
    assert run("export-blocks", "--base-path", str(chain), form, str(file)).returncode == 1  # overwrites nothing
    part = tmp_path / "part"
    run("export-blocks", "--base-path", str(chain), "--to", "2", str(part))
    first = run("import-blocks", "--chain", "dev", "--base-path", str(other), str(part))
    assert "Imported 2 blocks: best #2, final #2" in first.stdout, first.stderr
    rest = run("import-blocks", "--base-path", str(other), str(file))
    assert "Continued after block 2" in rest.stdout, rest.stderr
    height = int(rest.stdout.rpartition("#")[2])
    checked = json_of("check-block", "--base-path", str(other), f"1..{height}")
    again = json_of("check-block", "--base-path", str(chain), f"1..{height}")
    assert [entry["stateRoot"] for entry in checked] == [entry["stateRoot"] for entry in again]
    assert len(checked) == height >= 3
    with dev_process("--base-path", str(other), "--quiet") as (_, url), Client(url) as client:
        assert client.head().number >= height
        assert client.block_hash(height).hex() == str(checked[-1]["hash"])[2:]


def test_a_block_is_checked_by_height_and_by_hash(chain: Path) -> None:
    by_height = run("check-block", "--base-path", str(chain), "2")
    assert "the same root" in by_height.stdout, by_height.stderr
    hash_ = by_height.stdout.split()[2].rstrip(":")
    assert by_height.stdout.split()[:3] == run("check-block", "--base-path", str(chain), hash_).stdout.split()[:3]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("check-block", "99999"), 1, "no block 99999"),
        (("check-block", "0"), 1, "no block 0"),
        (("check-block", "x"), 2, "neither a height"),
        (("check-block", "0x" + "00" * 32), 1, "not known here"),
        (("revert", "1"), 1, "is final"),
        (("revert", "0"), 2, "0"),
        (("export-blocks", "--from", "5000", "out"), 1, "blocks 1 to"),
        (("import-blocks", "pyproject.toml"), 1, "no file of solvent export-blocks"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    chain: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run(*arguments, "--base-path", str(chain))
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_directory_without_a_chain_is_named(tmp_path: Path) -> None:
    for arguments in (("export-blocks", "out"), ("check-block", "1"), ("revert", "1"), ("purge-chain", "-y")):
        done = run(*arguments, "--base-path", str(tmp_path))
        assert (done.returncode, f"there is no chain in {tmp_path}" in done.stderr) == (1, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_imported_up_to_the_damage(chain: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "blocks", tmp_path / "other"
    run("export-blocks", "--base-path", str(chain), str(file))
    file.write_bytes(file.read_bytes()[:-10])
    done = run("import-blocks", "--chain", "dev", "--base-path", str(other), str(file))
    assert done.returncode == 1
    assert "is damaged: the file is cut off within a block" in done.stderr
    assert json_of("check-block", "--base-path", str(other), "1..2")


def test_a_damaged_database_is_refused_by_every_command_but_purge(chain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(chain, other)
    max((other / "db").glob("*.ldb"), key=lambda file: file.stat().st_size).unlink()
    base = ("--base-path", str(other))
    for arguments in (
        ("dev", *base, "--rpc-port", "0"),
        ("check-block", *base, "1"),
        ("export-blocks", *base, str(tmp_path / "blocks")),
        ("revert", *base, "1"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"the database {other / 'db'} is corrupted" in done.stderr
        assert "solvent purge-chain and sync again" in done.stderr
    purged = run("purge-chain", *base, "-y")
    assert purged.returncode == 0, purged.stderr
    assert "Give it a new session key" in purged.stdout
    with dev_process(*base, "--quiet") as (_, url), Client(url) as client:
        assert client.genesis_hash()


def test_purging_names_what_goes_and_keeps_the_keys(chain: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "blocks", tmp_path / "other"
    run("export-blocks", "--base-path", str(chain), str(file))
    run("import-blocks", "--chain", "dev", "--base-path", str(other), str(file))
    (other / "keystore").mkdir()
    (other / "keystore" / "key.json").write_text("{}")
    (other / "network").mkdir()
    (other / "network" / "node_key").write_text("11" * 32)
    refused = solvent("purge-chain", "--base-path", str(other), input="n\n")
    assert (refused.returncode, "nothing was deleted" in refused.stderr) == (1, True)
    assert (other / "db").is_dir()
    done = run("purge-chain", "--base-path", str(other), "-y")
    assert done.returncode == 0, done.stderr
    for word in (f"Deletes  {other / 'db'}", f"Keeps    {other / 'keystore'}", f"Keeps    {other / 'network'}"):
        assert word in done.stdout
    assert sorted(path.name for path in other.iterdir()) == ["keystore", "network"]
    assert (other / "network" / "node_key").read_text() == "11" * 32
