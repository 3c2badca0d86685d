"""A disk that lives in memory and forgets like a real one: what was not synced may be lost in a crash.

`MemoryDatabase` stands in for `chain.db.Database` in simulations, with the same promises. A batch is written whole or
not at all. After `MemoryDatabase.crash` the synced batches are all there, and of those after the last synced one the
first few, as LevelDB's log loses its tail and nothing in its middle.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from chain.db import Batch, Database, DatabaseError

_FEW = 64
"""Pairs of a range that are gathered at once; of a longer one, each when it is asked for."""


class MemoryDatabase(Database):
    """Mutable. It survives the node that uses it: `crash`, then `reopen`."""

    def __init__(self, name: str) -> None:
        """An empty database; ``name`` stands for its path in messages."""
        self.path = Path(name)
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        """The keys of ``_values``, sorted."""
        self._undo: list[Batch] = []
        """For each batch since the last synced one, what restores the values before it."""
        self._is_open = True
        self.writes = 0

    def copy(self, name: str) -> MemoryDatabase:
        """Another database with the same contents."""
        other = MemoryDatabase(name)
        other._values, other._keys = dict(self._values), list(self._keys)
        return other

    def get(self, key: bytes) -> bytes | None:
        self._require_open()
        return self._values.get(key)

    def range(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """As LevelDB's: writes made while it is read do not show in it."""
        self._require_open()
        first = bisect_left(self._keys, max(start, prefix))
        last = first
        while last < len(self._keys) and self._keys[last].startswith(prefix):
            last += 1
            if last - first == _FEW and not reverse:
                return self._stream(first, prefix)
        pairs = [(key, self._values[key]) for key in self._keys[first:last]]
        return iter(pairs[::-1] if reverse else pairs)

    def _stream(self, first: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """A long range, whose reader usually stops early; it goes wrong loudly should anyone write meanwhile."""
        writes = self.writes
        for index in range(first, len(self._keys)):
            key = self._keys[index]
            if not key.startswith(prefix):
                return
            yield key, self._values[key]
            assert self.writes == writes, "written to while a long range was being read"

    def write(self, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        self._require_open()
        self.writes += 1
        self._undo.append({key: self._values.get(key) for key in batch})
        self._apply(batch)
        if sync:
            self._undo.clear()

    def _apply(self, batch: Mapping[bytes, bytes | None]) -> None:
        for key, value in batch.items():
            if value is not None:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
            elif key in self._values:
                del self._values[key]
                del self._keys[bisect_left(self._keys, key)]

    def crash(self, random: Random) -> int:
        """The machine stops: nobody reads or writes any more. Return how many batches are lost."""
        lost = random.randint(0, len(self._undo))
        for undo in reversed(self._undo[len(self._undo) - lost :]):
            self._apply(undo)
        self._undo.clear()
        self._is_open = False
        return lost

    def reopen(self) -> None:
        """The machine starts again."""
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    def _require_open(self) -> None:
        if not self._is_open:
            raise DatabaseError(f"the database {self.path} is not open: its node has crashed or stopped")
