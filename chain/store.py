"""What a node keeps on disk, and how it is laid out: finalized blocks and state, the recent past, and the journal.

The database holds *finalized* state only. A *column* maps keys to their present values, plus, for each block in the
pruning *window*, the values that the block replaced; so the state (and the tree that proves it) can be read as it was
after any block of the window, and pruning a block deletes a list that was written with it. Finalizing a block is one
batch: its state, its tree nodes, what they replaced, the block, its outcome, the new finalized head. The *journal*
holds blocks that are not final yet, whole, so that a restart finds them again.

Keys: ``m`` meta, ``h`` height -> hash, ``b`` hash -> block, ``o`` hash -> outcome, ``j`` hash -> journal, ``r`` height
-> replaced keys, ``f`` height -> justification, ``s``/``S`` state and its past, ``n``/``N`` tree nodes and their past.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import TypeVar

from chain.db import Batch, Database, DatabaseCorrupt
from runtime.block import Block, Header, NextAuthorities
from runtime.codec import U63, Hash, Record, decode, encode
from runtime.errors import CodecError
from runtime.executive import Receipt
from runtime.pallet import EventRecord

T = TypeVar("T")

SCHEMA_VERSION = 1
DEFAULT_WINDOW = 256
MAX_STORED_BYTES = 256 * 1024 * 1024

META, HEIGHT, BLOCK, OUTCOME, JOURNAL, REPLACED, JUSTIFICATION = b"m", b"h", b"b", b"o", b"j", b"r", b"f"
JUSTIFICATION_PERIOD = 32
"""Of every so many heights one justification is kept for ever, so that a newcomer meets one in every request."""


class Outcome(Record):
    """What executing a block gave: one receipt for each item of its body, and its events in order."""

    receipts: tuple[Receipt, ...]
    events: tuple[EventRecord, ...]


class Finalized(Record):
    """The finalized head of a database."""

    schema: U63
    genesis: Hash
    number: U63
    hash: Hash


class Replaced(Record):
    """The keys that a block changed, so that pruning knows what to delete."""

    state: tuple[bytes, ...]
    nodes: tuple[bytes, ...]


class Changed(Record):
    """A new value, or a deletion."""

    key: bytes
    value: bytes
    deleted: bool


class JournalEntry(Record):
    """A block that is not final yet, with everything that executing it gave."""

    block: Block
    outcome: Outcome
    state: tuple[Changed, ...]
    nodes: tuple[Changed, ...]


def height_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def pack_changes(changes: dict[bytes, bytes | None]) -> tuple[Changed, ...]:
    return tuple(Changed(key, value or b"", value is None) for key, value in sorted(changes.items()))


def unpack_changes(changes: tuple[Changed, ...]) -> dict[bytes, bytes | None]:
    return {change.key: None if change.deleted else change.value for change in changes}


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

    def stage(self, batch: Batch, changes: dict[bytes, bytes | None], number: int, window: int | None) -> None:
        """Add a block's changes to ``batch``, and what they replace when the past is kept at all."""
        for key, value in changes.items():
            if window != 0:
                before = self._pending(batch, key)
                batch[self._past + key + height_key(number)] = b"\0" if before is None else b"\1" + before
            batch[self._live + key] = value

    def _pending(self, batch: Batch, key: bytes) -> bytes | None:
        live = self._live + key
        return batch[live] if live in batch else self._database.get(live)

    def stage_pruning(self, batch: Batch, keys: tuple[bytes, ...], number: int) -> None:
        """Forget what block ``number`` replaced."""
        for key in keys:
            batch[self._past + key + height_key(number)] = None


class Store:
    """Typed access to a node's database. It only reads: writes are batches that the caller commits."""

    def __init__(self, database: Database, window: int | None = DEFAULT_WINDOW) -> None:
        """``window`` blocks of past state are kept; None keeps all."""
        self.database = database
        self.window = window
        self.state = Column(database, b"s", b"S")
        self.nodes = Column(database, b"n", b"N")

    def finalized(self) -> Finalized | None:
        """The finalized head; None in a fresh database."""
        data = self.database.get(META + b"finalized")
        return None if data is None else _decode_stored(data, Finalized, "the finalized head")

    def hash_at(self, number: int) -> bytes | None:
        """The finalized block of that height."""
        return self.database.get(HEIGHT + height_key(number))

    def block(self, hash_: bytes) -> Block | None:
        data = self.database.get(BLOCK + hash_)
        return None if data is None else _decode_stored(data, Block, f"block {hash_.hex()}")

    def outcome(self, hash_: bytes) -> Outcome | None:
        data = self.database.get(OUTCOME + hash_)
        return None if data is None else _decode_stored(data, Outcome, f"the outcome of block {hash_.hex()}")

    def justification(self, number: int) -> bytes | None:
        """The kept proof that the finalized block of that height is final."""
        return self.database.get(JUSTIFICATION + height_key(number))

    def next_justification(self, number: int) -> tuple[int, bytes] | None:
        """The first kept justification at or above a height, which proves that block final too."""
        for key, data in self.database.range(JUSTIFICATION, JUSTIFICATION + height_key(number)):
            return int.from_bytes(key[1:], "big"), data
        return None

    def stage_justification(self, batch: Batch, header: Header, justification: bytes) -> None:
        """Add a justification to ``batch``; the one before it goes unless it starts a period or changes the voters."""
        batch[JUSTIFICATION + height_key(header.number)] = justification
        before = self.finalized()
        if before is None or before.number // JUSTIFICATION_PERIOD != header.number // JUSTIFICATION_PERIOD:
            return
        block = self.block(before.hash)
        changes_voters = block is None or any(isinstance(item, NextAuthorities) for item in block.header.digest)
        if not changes_voters:
            batch[JUSTIFICATION + height_key(before.number)] = None

    def journal(self) -> list[tuple[bytes, JournalEntry]]:
        """Blocks that were not final when the node stopped, parents first."""
        entries = [
            (key[1:], _decode_stored(data, JournalEntry, f"journal {key[1:].hex()}"))
            for key, data in self.database.range(JOURNAL)
        ]
        return sorted(entries, key=lambda pair: pair[1].block.header.number)

    def stage_finalized(self, batch: Batch, hash_: bytes, entry: JournalEntry, genesis: bytes) -> None:
        """Add to ``batch`` everything that makes a block the finalized head."""
        number = entry.block.header.number
        state, nodes = unpack_changes(entry.state), unpack_changes(entry.nodes)
        window = 0 if number == 0 else self.window
        self.state.stage(batch, state, number, window)
        self.nodes.stage(batch, nodes, number, window)
        batch[REPLACED + height_key(number)] = encode(Replaced(tuple(sorted(state)), tuple(sorted(nodes))))
        batch[BLOCK + hash_] = encode(entry.block)
        batch[OUTCOME + hash_] = encode(entry.outcome)
        batch[HEIGHT + height_key(number)] = hash_
        batch[META + b"finalized"] = encode(Finalized(SCHEMA_VERSION, genesis, number, hash_))
        self._stage_pruning(batch, number)

    def _stage_pruning(self, batch: Batch, number: int) -> None:
        if self.window is None or number <= self.window:
            return
        leaving = number - self.window
        data = self.database.get(REPLACED + height_key(leaving))
        if data is not None:
            replaced = _decode_stored(data, Replaced, f"what block {leaving} replaced")
            self.state.stage_pruning(batch, replaced.state, leaving)
            self.nodes.stage_pruning(batch, replaced.nodes, leaving)
            batch[REPLACED + height_key(leaving)] = None

    def oldest_state(self, finalized_number: int) -> int:
        """The lowest block whose state can still be read."""
        return 0 if self.window is None else max(finalized_number - self.window, 0)


def _decode_stored(data: bytes, kind: type[T], what: str) -> T:
    try:
        return decode(data, kind, MAX_STORED_BYTES)
    except CodecError as error:
        raise DatabaseCorrupt(f"{what} is damaged on disk ({error}); restore a copy, or purge and sync again") from None
