"""The database: atomic batches, ranges, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from chain.db import Database, DatabaseCorrupt, DatabaseError, DatabaseFull, DatabaseLocked, Memory


def test_a_batch_puts_and_deletes(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        database.write({b"a": b"1", b"b": b"2"})
        database.write({b"a": None, b"c": b"3"})
        assert [database.get(key) for key in (b"a", b"b", b"c")] == [None, b"2", b"3"]


def test_a_range_stays_inside_its_prefix_even_at_the_highest_byte(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        database.write({b"a\xff": b"1", b"a\xff\xff": b"2", b"b": b"3", b"\xff\xff": b"4", b"\xff": b"5"})
        assert [key for key, _ in database.range(b"a\xff")] == [b"a\xff", b"a\xff\xff"]
        assert [key for key, _ in database.range(b"\xff")] == [b"\xff", b"\xff\xff"]
        assert [key for key, _ in database.range(b"a", b"a\xff\xff")] == [b"a\xff\xff"]
        assert [key for key, _ in database.range(b"a", reverse=True)] == [b"a\xff\xff", b"a\xff"]


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        database.write({b"a": b"1"})
    with Database(tmp_path / "db") as database:
        assert database.get(b"a") == b"1"


def test_a_held_database_names_its_holder(tmp_path: Path) -> None:
    import os

    with Database(tmp_path / "db"), pytest.raises(DatabaseLocked, match=f"process {os.getpid()}.*--base-path"):
        Database(tmp_path / "db")


def test_a_damaged_manifest_is_called_corruption(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        database.write({b"a": b"1"})
    [manifest] = (tmp_path / "db").glob("MANIFEST-*")
    manifest.write_bytes(b"garbage" * 20)
    with pytest.raises(DatabaseCorrupt, match="restore a copy"):
        Database(tmp_path / "db")


def test_a_missing_database_is_an_error_when_it_may_not_be_created(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be used"):
        Database(tmp_path / "none", create=False)


def test_a_path_through_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError):
        Database(tmp_path / "file" / "db")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from chain.db import Database, DatabaseFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database(Path(sys.argv[1]))
database.write({b"a": b"before"})
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    database.write({b"a": b"after", b"b": bytes(1_000_000)})
except DatabaseFull as error:
    print("full:", error)
"""


def test_a_full_disk_refuses_a_batch_whole(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: LevelDB sees the same failed write."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("full:"), done.stdout + done.stderr
    assert "free some space" in done.stdout
    with Database(tmp_path / "db") as database:
        assert database.get(b"a") == b"before"
        assert database.get(b"b") is None
    assert issubclass(DatabaseFull, DatabaseError)


def test_what_is_remembered_is_what_was_written_last(tmp_path: Path) -> None:
    random, model = Random("remembered"), dict[bytes, bytes | None]()
    keys = [bytes([number]) for number in range(40)]
    with Database(tmp_path / "db") as database:
        database._memory = Memory(limit=10_000)
        for _ in range(300):
            sizes = (0, 1, 100, 5_000)
            values = (None if random.random() < 0.3 else bytes(random.choice(sizes)) for _ in range(5))
            batch = dict(zip(random.sample(keys, 5), values, strict=True))
            database.write(batch, sync=False)
            model |= batch
            for key in random.sample(keys, 8):
                assert database.get(key) == model.get(key)


def test_the_memory_of_values_is_bounded_and_keeps_what_is_used() -> None:
    memory = Memory(limit=100_000)
    memory.put(b"hot", b"value")
    for number in range(10_000):
        memory.put(number.to_bytes(4, "big"), bytes(100))
        assert memory.get(b"hot") == b"value"
        assert len(memory) <= 100_000 // 354 + 2
    with pytest.raises(KeyError):
        memory.get((0).to_bytes(4, "big"))
    memory.put(b"large", bytes(1_000_000))
    with pytest.raises(KeyError):
        memory.get(b"large")
