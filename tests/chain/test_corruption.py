"""Damaged databases: whatever happens to their files, a chain is either read as it was or refused with advice."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from chain.db import Database, DatabaseCorrupt, DatabaseError, DatabaseFull
from chain.ledger import open_ledger
from chain.maintenance import check_block
from node.config import development_genesis
from runtime import merkle
from runtime.crypto import public_key
from tests.support.ledger import ALICE, BOB, DevChain

BLOCKS = 12


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A closed database with tables and a log, and the hashes of its blocks."""
    path = tmp_path_factory.mktemp("chain") / "db"
    for _ in range(2):  # opening it again turns the first log into a table
        with DevChain(path) as chain:
            for _ in range(BLOCKS // 2):
                chain.transfer(ALICE, public_key(BOB), 10**9)
                chain.seal()
            hashes = [chain.ledger.hash_at(number) or b"" for number in range(BLOCKS + 1)]
    return path, hashes


def read_all(path: Path, hashes: list[bytes]) -> None:
    """Read every block and all state; `AssertionError` unless they are what they were."""
    with Database(path) as database:
        ledger = open_ledger(database, development_genesis())
        assert [ledger.hash_at(number) for number in range(BLOCKS + 1)] == hashes
        for hash_ in hashes[1:]:
            assert check_block(ledger, hash_).hash == hash_
        state = ledger.state_at(ledger.head)
        entries = {key: value for key in state.keys(b"") if (value := state.get(key)) is not None}
        assert merkle.root_of(entries) == ledger.head_header().state_root
        database.write({b"zz": b"still takes writes"})


def damage(path: Path, random: Random) -> str:
    """Do something to one file of a database; what it was."""
    files = sorted(file for file in path.iterdir() if file.suffix in (".ldb", ".log") or "MANIFEST" in file.name)
    file = random.choice([*files, path / "CURRENT"])
    data = bytearray(file.read_bytes())
    kind = random.choice(["flip", "truncate", "delete", "zero", "empty"])
    place = random.randrange(max(len(data), 1))
    if kind == "delete":
        file.unlink()
    elif kind == "truncate":
        file.write_bytes(data[:place])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "zero":
        data[place : place + 64] = bytes(len(data[place : place + 64]))
        file.write_bytes(data)
    elif data:
        data[place] ^= 1 << random.randrange(8)
        file.write_bytes(data)
    return f"{kind} {file.name} at {place}"


def test_an_undamaged_copy_is_read_whole(chain: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    shutil.copytree(chain[0], tmp_path / "db")
    assert list((tmp_path / "db").glob("*.ldb"))
    read_all(tmp_path / "db", chain[1])
    read_all(tmp_path / "db", chain[1])


def spoil(chain: tuple[Path, list[bytes]], folder: Path, seed: int) -> bool:
    """Damage a copy and read it: whether the damage was noticed. It must be, or there must be nothing wrong."""
    path, hashes = chain
    copy = folder / str(seed)
    shutil.copytree(path, copy)
    what = damage(copy, Random(seed))
    noticed = ""
    try:
        read_all(copy, hashes)
    except DatabaseCorrupt as error:
        noticed = str(error)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {what}: {error!r}") from error
    finally:
        shutil.rmtree(copy)
    assert not noticed or "solvent purge-chain and sync again" in noticed, what
    assert not noticed or str(copy) in noticed, what
    return bool(noticed)


def test_damaged_files_never_make_another_chain(chain: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    noticed = [spoil(chain, tmp_path, seed) for seed in range(60)]
    assert noticed.count(True) > 40


@pytest.mark.slow
def test_damaged_files_never_make_another_chain_in_many_more_ways(
    chain: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    noticed = [spoil(chain, tmp_path, seed) for seed in range(60, 1500)]
    assert noticed.count(True) > 900


def test_a_log_that_lost_its_end_is_noticed(chain: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    """LevelDB itself takes a shorter log for a crash, and would go on from an older block."""
    shutil.copytree(chain[0], tmp_path / "db")
    log = max((tmp_path / "db").glob("*.log"), key=lambda file: file.stat().st_size)
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(DatabaseCorrupt, match="1 of at least"):
        Database(tmp_path / "db")


def test_a_database_without_its_current_file_is_not_started_anew(
    chain: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    shutil.copytree(chain[0], tmp_path / "db")
    (tmp_path / "db" / "CURRENT").unlink()
    before = sorted(path.name for path in (tmp_path / "db").iterdir())
    with pytest.raises(DatabaseCorrupt, match="CURRENT is missing"):
        Database(tmp_path / "db")
    assert sorted(path.name for path in (tmp_path / "db").iterdir()) == before


def test_a_crash_loses_nothing_although_the_count_on_disk_lags(tmp_path: Path) -> None:
    """A copy taken while it is open is what a killed process leaves."""
    with Database(tmp_path / "db") as database:
        for number in range(300):
            database.write({b"key": str(number).encode()})
        shutil.copytree(tmp_path / "db", tmp_path / "copy")
    (tmp_path / "copy" / "LOCK").unlink()
    assert 0 < int((tmp_path / "copy" / "WRITES").read_text()) < 300
    with Database(tmp_path / "copy") as copy:
        assert copy.get(b"key") == b"299"


def test_nothing_is_written_after_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(tmp_path / "db") as database:
        database.write({b"a": b"1"})
        with monkeypatch.context() as patch:
            patch.setattr(database, "_db", FullDisk(database))
            with pytest.raises(DatabaseFull):
                database.write({b"a": b"2"})
        with pytest.raises(DatabaseFull):
            database.write({b"a": b"3"})
        assert database.get(b"a") == b"1"
    with Database(tmp_path / "db") as database:
        database.write({b"a": b"4"})
        assert database.get(b"a") == b"4"
    assert issubclass(DatabaseFull, DatabaseError)


class FullDisk:
    """LevelDB on a disk without room."""

    def __init__(self, database: Database) -> None:
        self.closed = False

    def write_batch(self, **_: object) -> None:
        raise OSError(28, "No space left on device")
