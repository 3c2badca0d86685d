"""The index: a follower of the best chain that answers what the chain's own storage is not laid out for.

It lives in a LevelDB of its own and can be deleted at any time. Each block is one atomic batch that moves the stored
cursor, so a crash resumes where it stopped. A block that is not final comes with an *undo record*, the values that its
rows replaced; when the best chain leaves the block, the record puts them back. Nothing here is consensus, and nothing
here may hold up the node: `advance` does one block, and the caller says how many.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import trio

from chain.db import Batch, Database, DatabaseCorrupt
from chain.ledger import Ledger
from chain.store import Changed, pack_changes, unpack_changes
from rpc.index_rows import Mention, Rows, Sums, TaskRow, build_rows, counter_key, place_of
from runtime.codec import U32, U63, Hash, Record, decode, encode
from runtime.errors import CodecError

SCHEMA = 1
CURSOR, UNDO = b"m", b"u"
FRESH_BLOCKS = 32
"""Blocks that a reader waits for: more are left to whoever follows the chain in the background."""
RESET_BATCH = 10_000
FOLLOW_SECONDS = 0.25
"""How long the follower rests when it is up with the chain; readers take in the latest blocks by themselves."""

logger = logging.getLogger("solvent.index")


class Cursor(Record):
    """How far the index is: the last block in it, the first one, and the chain they belong to."""

    schema: U32
    genesis: Hash
    number: U63
    hash: Hash
    first: U63


class Undo(Record):
    """What to restore when a block leaves the best chain, and the cursor before it."""

    before: Cursor
    rows: tuple[Changed, ...]


class Indexes:
    """Mutable. One per node; `close` it before its directory is opened again."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        """Open the index of ``ledger`` in ``path``; one of another chain or layout is made anew."""
        try:
            self._database = Database(path)
        except DatabaseCorrupt as error:
            raise DatabaseCorrupt(f"{error} (it is only the index: remove {path} and it is built again)") from None
        self._ledger = ledger
        cursor = self._load_cursor()
        if cursor is None or cursor.schema != SCHEMA or cursor.genesis != ledger.genesis_hash:
            self._reset()
        else:
            self.cursor = cursor

    def _load_cursor(self) -> Cursor | None:
        data = self._database.get(CURSOR)
        try:
            return None if data is None else decode(data, Cursor)
        except CodecError:
            return None

    def _reset(self) -> None:
        """Forget everything: the cursor first, so that a crash in between starts over."""
        self._database.write({CURSOR: None})
        batch: Batch = {}
        for key, _ in self._database.range(b""):
            batch[key] = None
            if len(batch) == RESET_BATCH:
                self._database.write(batch, sync=False)
                batch = {}
        genesis = self._ledger.genesis_hash
        self.cursor = Cursor(SCHEMA, genesis, 0, genesis, 0)
        self._database.write({**batch, CURSOR: encode(self.cursor)})

    def close(self) -> None:
        self._database.close()

    # --- following

    def advance(self) -> bool:
        """Take in one block, or take one back that is no longer on the best chain; whether there is more to do."""
        if not self._is_on_chain():
            self._retract()
            return True
        if self.cursor.number >= self._ledger.head_number:
            return False
        self._take(self.cursor.number + 1)
        return self.cursor.number < self._ledger.head_number

    def refresh(self) -> None:
        """Before reading: leave dead branches, and take in the latest blocks if there are few."""
        for _ in range(FRESH_BLOCKS):
            if not self.advance():
                return
        while not self._is_on_chain():
            self._retract()

    def _is_on_chain(self) -> bool:
        """Whether the last block in the index is still one of the best chain; one that was pruned still is."""
        number = self.cursor.number
        hash_ = self._ledger.hash_at(number)
        return hash_ == self.cursor.hash or (hash_ is None and number <= self._ledger.finalized_number)

    def _take(self, number: int) -> None:
        hash_ = self._ledger.hash_at(number)
        block = self._ledger.block(hash_) if hash_ else None
        outcome = self._ledger.outcome(hash_) if hash_ else None
        before, first = self.cursor, self.cursor.first
        if hash_ is None or block is None or outcome is None:
            number, hash_, first = self._next_known(number)
            rows: Rows = {}
        else:
            rows = build_rows(self._database.get, hash_, block, outcome)
        self.cursor = Cursor(SCHEMA, before.genesis, number, hash_, first)
        batch: Batch = {**rows, CURSOR: encode(self.cursor)}
        if number > self._ledger.finalized_number:
            replaced = {key: self._database.get(key) for key in rows}
            batch[UNDO + number.to_bytes(8, "big")] = encode(Undo(before, pack_changes(replaced)))
        for key, _ in self._database.range(UNDO):
            if int.from_bytes(key[1:], "big") > self._ledger.finalized_number:
                break
            batch[key] = None
        self._database.write(batch, sync=False)

    def _next_known(self, number: int) -> tuple[int, bytes, int]:
        """Skip blocks that this node has not executed or does not keep: the place before the first one that it has."""
        low, high = number, self._ledger.head_number
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._has(middle) else (middle + 1, high)
        if not self._has(low):
            return low, self._ledger.head, low + 1
        return low - 1, self._ledger.hash_at(low - 1) or bytes(32), low

    def _has(self, number: int) -> bool:
        hash_ = self._ledger.hash_at(number)
        return hash_ is not None and self._ledger.outcome(hash_) is not None

    def _retract(self) -> None:
        number = self.cursor.number
        key = UNDO + number.to_bytes(8, "big")
        data = self._database.get(key)
        if data is None:
            logger.warning("the index stands at block %d of another branch and starts over", number)
            self._reset()
            return
        undo: Undo = decode(data, Undo, 256 * 1024 * 1024)
        restored = unpack_changes(undo.rows)
        self.cursor = undo.before
        self._database.write({**restored, key: None, CURSOR: encode(self.cursor)}, sync=False)

    # --- reading

    def get(self, key: bytes) -> bytes | None:
        """One row."""
        return self._database.get(key)

    def rows(self, prefix: bytes, after: bytes = b"", newest_first: bool = True) -> Iterator[tuple[bytes, bytes]]:
        """Rows in the order of the chain, or against it, past the key ``after`` in that direction."""
        if not newest_first:
            start = after + b"\0" if after else b""
            yield from self._database.range(prefix, start)
            return
        yield from self._database.descend(prefix, after)

    def counter(self, name: str) -> int:
        """A counter, 0 when nothing was counted yet."""
        data = self._database.get(counter_key(name))
        return 0 if data is None else decode(data, int)

    def extrinsic(self, hash_: bytes) -> tuple[int, int] | None:
        """(height, index) of a signed extrinsic on the best chain."""
        data = self._database.get(b"x" + hash_)
        return None if data is None else place_of(data)

    def task(self, task: bytes) -> TaskRow | None:
        data = self._database.get(b"T" + task)
        return None if data is None else decode(data, TaskRow)

    def sums(self, account: bytes) -> Sums:
        data = self._database.get(b"W" + account)
        return Sums(0, 0) if data is None else decode(data, Sums)


async def follow(indexes: Indexes, stop: trio.Event) -> None:
    """Keep the index up with the best chain until ``stop``, a block at a time, so that others get their turn."""
    while not stop.is_set():
        if indexes.advance():
            await trio.lowlevel.checkpoint()
        else:
            with trio.move_on_after(FOLLOW_SECONDS):
                await stop.wait()


def mention_of(value: bytes) -> Mention:
    """The content of a row of an account's history."""
    return decode(value, Mention)
