"""State on disk: keys and tree nodes with their present values, and what the last blocks replaced.

A *column* maps keys to their present values, plus, for each block in the pruning *window*, the values that the block
replaced; so the state (and the tree that proves it) can be read as it was after any block of the window, and pruning a
block deletes a list that was written with it. The tree orders entries by *place*, so the key at each place is noted
too, for peers that download the state.

There is room for two states, the *generations*: the one in use, and one that is being downloaded or thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import TypeVar

from chain.db import Batch, Database, DatabaseCorrupt
from runtime.codec import Record, decode, encode
from runtime.errors import CodecError
from runtime.merkle import hash_place

T = TypeVar("T")

MAX_STORED_BYTES = 256 * 1024 * 1024
PRUNED_AT_ONCE = 4
"""Blocks whose past is forgotten with each finalized block, at most: a window that was made smaller shrinks in time."""

GENERATIONS = (b"sSnNpr", b"tTqQPR")
"""Of each generation the first bytes of its keys: state, its past, tree nodes, their past, places, replaced."""


class Replaced(Record):
    """The keys that a block changed, so that pruning knows what to delete; ``removed`` are those it deleted."""

    state: tuple[bytes, ...]
    nodes: tuple[bytes, ...]
    removed: tuple[bytes, ...]


def height_key(number: int) -> bytes:
    """A height, so that keys sort as heights do."""
    return number.to_bytes(8, "big")


class Column:
    """Keys with a present value and, inside the window, a past.

    Past values lie under key and height. That works because no storage key, and no path of a tree node, is a prefix of
    another: a hash stands before what varies in length, and a path starts with its depth.
    """

    def __init__(self, database: Database, live: bytes, past: bytes) -> None:
        self._database, self._live, self._past = database, live, past

    def get(self, key: bytes) -> bytes | None:
        """The present value."""
        return self._database.get(self._live + key)

    def get_at(self, key: bytes, number: int) -> bytes | None:
        """The value after block ``number``: what the first later block that changed it replaced, else the present."""
        prefix = self._past + key
        for _, stored in self._database.range(prefix, prefix + height_key(number + 1)):
            return stored[1:] if stored[:1] == b"\1" else None
        return self.get(key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Present keys that start with ``prefix`` and come after ``after``."""
        start = self._live + after + b"\0" if after else b""
        for key, _ in self._database.range(self._live + prefix, start):
            yield key[1:]

    def keys_at(self, number: int, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Keys as they were after block ``number``."""
        last = None
        for key in merge(self.keys(prefix, after), self._past_keys(prefix, after)):
            if key != last and self.get_at(key, number) is not None:
                yield key
            last = key

    def _past_keys(self, prefix: bytes, after: bytes) -> Iterator[bytes]:
        for stored, _ in self._database.range(self._past + prefix, self._past + after):
            key = stored[1:-8]
            if key > after:
                yield key

    def stage(
        self, batch: Batch, changes: Mapping[bytes, bytes | None], number: int, window: int | None
    ) -> list[bytes]:
        """Add a block's changes to ``batch``, and what they replace when the past is kept at all; the new keys."""
        live, past, height = self._live, self._past, height_key(number)
        if window == 0:
            batch.update((live + key, value) for key, value in changes.items())
            return [key for key, value in changes.items() if value is not None]
        new = []
        for key, value in changes.items():
            before = self._pending(batch, key)
            batch[past + key + height] = b"\0" if before is None else b"\1" + before
            if before is None and value is not None:
                new.append(key)
            batch[live + key] = value
        return new

    def _pending(self, batch: Batch, key: bytes) -> bytes | None:
        live = self._live + key
        return batch[live] if live in batch else self._database.get(live)

    def is_gone(self, batch: Batch, key: bytes) -> bool:
        """Whether the key has no present value once the batch is written."""
        return self._pending(batch, key) is None

    def stage_pruning(self, batch: Batch, keys: tuple[bytes, ...], number: int) -> None:
        """Forget what block ``number`` replaced."""
        past, height = self._past, height_key(number)
        batch.update((past + key + height, None) for key in keys)


class StateColumns:
    """One generation: a whole state with its tree and its past. It only reads: writes are batches."""

    def __init__(self, database: Database, generation: int) -> None:
        letters = GENERATIONS[generation]
        self._prefixes = [letters[index : index + 1] for index in range(len(letters))]
        state, past, nodes, past_nodes, self._places, self._replaced = self._prefixes
        self._database = database
        self._unpruned = 1
        """What blocks below replaced is forgotten for sure: where to look for more."""
        self.state = Column(database, state, past)
        self.nodes = Column(database, nodes, past_nodes)

    def key_at(self, place: bytes) -> bytes | None:
        """The storage key whose entry lies, or lay until it is pruned, at a place of the tree."""
        return self._database.get(self._places + place)

    def oldest(self, finalized_number: int) -> int:
        """The lowest block whose state can still be read: the one below the oldest that noted what it replaced."""
        for key, _ in self._database.range(self._replaced):
            return max(int.from_bytes(key[1:], "big") - 1, 0)
        return finalized_number

    def stage_block(
        self,
        batch: Batch,
        state: Mapping[bytes, bytes | None],
        nodes: Mapping[bytes, bytes | None],
        number: int,
        window: int | None,
    ) -> None:
        """Add a finalized block's changes; with a ``window`` forget what blocks that leave it replaced."""
        new = self.state.stage(batch, state, number, window)
        self.nodes.stage(batch, nodes, number, window)
        self._note_places(batch, new)
        if number:
            removed = tuple(sorted(key for key, value in state.items() if value is None))
            record = Replaced(tuple(sorted(state)), tuple(sorted(nodes)), removed)
            batch[self._replaced + height_key(number)] = encode(record)
        if window:
            self._stage_pruning(batch, number - window)

    def stage_entries(self, batch: Batch, state: Mapping[bytes, bytes], nodes: Mapping[bytes, bytes | None]) -> None:
        """Add a piece of a state that is being downloaded."""
        self.state.stage(batch, state, 0, 0)
        self.nodes.stage(batch, nodes, 0, 0)
        self._note_places(batch, state)

    def stage_wipe(self, batch: Batch, limit: int) -> bool:
        """Delete up to ``limit`` keys; whether there was anything to delete."""
        for prefix in self._prefixes:
            batch.update((key, None) for key, _ in islice(self._database.range(prefix), limit - len(batch)))
            if len(batch) >= limit:
                break
        return bool(batch)

    def _note_places(self, batch: Batch, keys: Iterator[bytes] | Mapping[bytes, bytes] | list[bytes]) -> None:
        for key in keys:
            batch[self._places + hash_place(key)] = key

    def _stage_pruning(self, batch: Batch, last: int) -> None:
        """Forget what the lowest few of the blocks up to ``last`` replaced."""
        pruned = 0
        for stored, data in self._database.range(self._replaced, self._replaced + height_key(self._unpruned)):
            number = int.from_bytes(stored[1:], "big")
            if number > last or pruned == PRUNED_AT_ONCE:
                return
            if batch.get(stored, data) is None:
                continue  # an earlier block of the same batch has done it
            pruned += 1
            record = decode_stored(data, Replaced, f"what block {number} replaced")
            self.state.stage_pruning(batch, record.state, number)
            self.nodes.stage_pruning(batch, record.nodes, number)
            for key in record.removed:
                if self.state.is_gone(batch, key):
                    batch[self._places + hash_place(key)] = None
            batch[stored] = None
            self._unpruned = number + 1


def decode_stored(data: bytes, kind: type[T], what: str) -> T:
    """A record of the database. Raises `DatabaseCorrupt`."""
    try:
        return decode(data, kind, MAX_STORED_BYTES)
    except CodecError as error:
        raise DatabaseCorrupt(f"{what} is damaged on disk ({error}); restore a copy, or purge and sync again") from None
