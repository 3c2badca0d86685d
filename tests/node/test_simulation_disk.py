"""The disk of simulations behaves like LevelDB, and forgets only what was not synced."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from chain.db import Database, DatabaseError
from node.simulation_disk import MemoryDatabase


def test_it_answers_like_leveldb(tmp_path: Path) -> None:
    random, memory = Random(1), MemoryDatabase("memory")
    with Database(tmp_path / "real") as real:
        for _ in range(300):
            batch = {random.randbytes(random.randint(1, 3)): _value(random) for _ in range(random.randint(1, 8))}
            real.write(batch, sync=False)
            memory.write(batch, sync=False)
            key, prefix = random.randbytes(2), random.randbytes(random.randint(0, 1))
            assert memory.get(key) == real.get(key)
            start = prefix + random.randbytes(random.randint(0, 2))
            expected = list(real.range(prefix, start))
            assert list(memory.range(prefix, start)) == expected
            if len(expected) > 1:  # plyvel misses the only key of a reverse range when the range starts with it
                assert list(memory.range(prefix, start, reverse=True)) == list(real.range(prefix, start, reverse=True))


def _value(random: Random) -> bytes | None:
    return random.randbytes(4) if random.random() < 0.7 else None


def test_a_crash_keeps_what_was_synced_and_some_first_batches_after_it() -> None:
    outcomes = set()
    for seed in range(40):
        disk = MemoryDatabase("memory")
        disk.write({b"a": b"1", b"b": b"1"}, sync=True)
        disk.write({b"a": b"2", b"c": b"2"}, sync=False)
        disk.write({b"a": None, b"d": b"3"}, sync=False)
        lost = disk.crash(Random(seed))
        disk.reopen()
        outcomes.add((lost, tuple(disk.range(b""))))
    assert outcomes == {
        (0, ((b"b", b"1"), (b"c", b"2"), (b"d", b"3"))),
        (1, ((b"a", b"2"), (b"b", b"1"), (b"c", b"2"))),
        (2, ((b"a", b"1"), (b"b", b"1"))),
    }


def test_a_synced_batch_keeps_all_before_it() -> None:
    disk = MemoryDatabase("memory")
    disk.write({b"a": b"1"}, sync=False)
    disk.write({b"b": b"1"}, sync=True)
    assert disk.crash(Random(0)) == 0
    with pytest.raises(DatabaseError, match="crashed"):
        disk.get(b"a")
    disk.reopen()
    assert [disk.get(b"a"), disk.get(b"b")] == [b"1", b"1"]


def test_a_copy_is_on_its_own() -> None:
    disk = MemoryDatabase("memory")
    disk.write({b"a": b"1"})
    other = disk.copy("other")
    other.write({b"a": b"2", b"b": b"2"})
    assert list(disk.range(b"")) == [(b"a", b"1")]
