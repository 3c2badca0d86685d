"""The command line as a person uses it: a node process, transactions, queries, keys, and clear errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import system
from tests.support.node import dev_process, running_node, solvent

BOB = to_ss58(public_key(derive_seed("//Bob")))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with dev_process("--tmp", "--quiet") as (_, address):
        yield address


def run_json(*arguments: str) -> Any:
    done = solvent(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_transfer_arrives(url: str) -> None:
    before = int(run_json("query", "balance", "//Bob", "--url", url)["free"])
    sent = run_json("tx", "transfer", "--from", "//Alice", "--to", BOB, "1.5", "--tip", "0.1", "--url", url)
    assert sent["ok"]
    assert "balances.Transferred" in sent["events"]
    assert int(run_json("query", "balance", BOB, "--url", url)["free"]) == before + 1_500_000_000
    events = run_json("query", "events", str(sent["blockNumber"]), "--url", url)
    assert any(event["name"] == "Transferred" for event in events["events"])
    block = run_json("query", "block", sent["blockHash"], "--url", url)
    assert block["receipts"][sent["index"]]["ok"]


def test_people_get_one_calm_line(url: str) -> None:
    done = solvent("tx", "transfer", "--from", "//Alice", "--to", "//Bob", "2", "--url", url)
    assert done.returncode == 0
    assert done.stdout.startswith("Sent 2 SOLV to")
    for arguments in (("block",), ("events",), ("account", "//Alice"), ("items",), ("storage", "balances.accounts")):
        if arguments != ("items",):
            arguments = (*arguments, "--url", url)
        shown = solvent("query", *arguments)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout


def test_a_transfer_that_fails_ends_with_1_and_the_reason(url: str) -> None:
    done = solvent("tx", "transfer", "--from", "//Alice", "--to", "//Bob", "5000000", "--url", url)
    assert done.returncode == 1
    assert "balances.InsufficientBalance" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tx", "transfer", "--from", "//Nobody", "--to", "//Bob", "1"), 1, "fee"),
        (("tx", "transfer", "--from", "Alice", "--to", "//Bob", "1"), 1, "//name"),
        (("tx", "transfer", "--from", "//Alice", "--to", "5xyz", "1"), 2, "address"),
        (("tx", "transfer", "--from", "//Alice", "--to", "//Bob", "1.0000000001"), 2, "nine decimals"),
        (("tx", "transfer", "--from", "//Alice", "--to", "//Bob", "nan"), 2, "not an amount"),
        (("query", "block", "99999999"), 1, "no block"),
        (("query", "block", "x"), 2, "neither"),
        (("query", "storage", "no.such"), 1, "no storage item"),
    ],
)
def test_errors_are_one_line(url: str, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = solvent(*arguments, "--url", url)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_stay_whole_in_pipes_and_narrow_terminals(url: str) -> None:
    sent = solvent(
        "tx", "transfer", "--from", "//Alice", "--to", BOB, "1", "--url", url, env={**os.environ, "COLUMNS": "40"}
    )
    assert sent.stdout.count("\n") == 1
    assert BOB in sent.stdout


def test_a_terminal_without_unicode_is_no_reason_to_fail(url: str) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = solvent("query", "items", env=ascii_only)
    assert (shown.returncode, shown.stderr) == (0, "")


def test_no_node_is_said_clearly() -> None:
    done = solvent("query", "block", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "solvent dev" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_stops_a_node_cleanly(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with dev_process("--base-path", str(tmp_path)) as (process, _):
            process.send_signal(number)
            assert process.stdout is not None
            rest = process.stdout.read()
            assert process.wait() == 0
            assert "Stopped" in rest
            assert "Traceback" not in rest


def test_what_is_in_a_nodes_way_is_named_with_exit_code_1(tmp_path: Path) -> None:
    genesis = tmp_path / "genesis.json"
    with dev_process("--base-path", str(tmp_path / "a")) as (_, url):
        port = url.rpartition(":")[2]
        taken = solvent("dev", "--tmp", "--rpc-port", port)
        held = solvent("dev", "--base-path", str(tmp_path / "a"), "--rpc-port", "0")
    from node.config import development_genesis

    genesis.write_text(json.dumps({**development_genesis(), "id": "other"}))
    other = solvent("dev", "--base-path", str(tmp_path / "a"), "--rpc-port", "0", "--chain", str(genesis))
    genesis.write_text("{}")
    broken = solvent("dev", "--tmp", "--rpc-port", "0", "--chain", str(genesis))
    for done, message in ((taken, "--rpc-port"), (held, "held by process"), (other, "genesis"), (broken, "fields")):
        assert done.returncode == 1
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


def test_a_port_held_by_another_program_is_said_so() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = solvent("dev", "--tmp", "--rpc-port", str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "another program listens there" in done.stderr


def test_keys_are_made_inspected_and_kept(tmp_path: Path) -> None:
    made = run_json("key", "generate")
    assert run_json("key", "inspect", made["seed"])["address"] == made["address"]
    assert run_json("key", "inspect", made["address"])["publicKey"] == made["publicKey"]
    assert run_json("key", "inspect", "//Bob")["address"] == BOB
    (tmp_path / "password").write_text("secret\n")
    kept = run_json(
        "key", "insert", "--suri", made["seed"], "--keystore", str(tmp_path / "keys"),
        "--password-file", str(tmp_path / "password"),
    )  # fmt: skip
    assert Path(kept["file"]).stat().st_mode & 0o777 == 0o600
    assert solvent("key", "inspect", "5nonsense").returncode == 1


def test_help_lists_the_families_quickly() -> None:
    done = solvent("--help")
    assert done.returncode == 0
    for family in ("dev", "tx", "query", "key"):
        assert family in done.stdout


def test_the_index_is_built_again_from_the_blocks(tmp_path: Path) -> None:
    with running_node(tmp_path) as (_, client):
        client.submit_and_wait(derive_seed("//Alice"), "system", system.Remark(b"x"))
        before = client.call("explorer_extrinsics")
    shutil.rmtree(tmp_path / "index")
    built = solvent("index", "rebuild", "--base-path", str(tmp_path))
    assert built.returncode == 0, built.stderr
    with running_node(tmp_path) as (_, client):
        assert client.call("explorer_extrinsics") == before
    assert solvent("index", "rebuild", "--base-path", str(tmp_path / "nothing")).returncode == 1
