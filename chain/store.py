"""What a node keeps on disk, and how it is laid out: finalized blocks and state, the recent past, and the journal.

The database holds *finalized* state only (`chain.columns`). Finalizing a block is one batch: its state, its tree nodes,
what they replaced, the block, its outcome, the new finalized head. The *journal* holds blocks that are not final yet,
whole, so that a restart finds them again. Blocks that leave the window of blocks are forgotten, except for the headers
that change the authorities, and their justifications, which newcomers need (`chain.warp`). After a warp the older
blocks are a *gap*, which `chain.history` fills from above.

Keys: ``m`` meta, ``h`` height -> hash, ``b`` hash -> block, ``k`` hash -> header of a block that is not kept, ``o``
hash -> outcome, ``j`` hash -> journal, ``f`` height -> justification; those of states are in `chain.columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chain.columns import Column, StateColumns, decode_stored, height_key
from chain.db import Batch, Database
from runtime.block import Block, Header, NextAuthorities, header_hash
from runtime.codec import U63, Hash, Record, encode
from runtime.executive import Receipt
from runtime.pallet import EventRecord

SCHEMA_VERSION = 2
DEFAULT_WINDOW = 256

META, HEIGHT, BLOCK, HEADER, OUTCOME, JOURNAL, JUSTIFICATION = b"m", b"h", b"b", b"k", b"o", b"j", b"f"
JUSTIFICATION_PERIOD = 32
"""Of every so many heights one justification is kept as long as its block, so that a newcomer meets one in every
request."""
FORGOTTEN_AT_ONCE = 8
"""Blocks that are forgotten with each finalized block, at most."""


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


class Gap(Record):
    """The blocks ``low`` to ``high`` are missing below those that are kept; ``hash`` is that of ``high``."""

    low: U63
    high: U63
    hash: Hash


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


def pack_changes(changes: Mapping[bytes, bytes | None]) -> tuple[Changed, ...]:
    return tuple(Changed(key, value or b"", value is None) for key, value in sorted(changes.items()))


def unpack_changes(changes: tuple[Changed, ...]) -> dict[bytes, bytes | None]:
    return {change.key: None if change.deleted else change.value for change in changes}


def changes_authorities(header: Header) -> bool:
    """Whether finality of this block ends an authority set."""
    return any(isinstance(item, NextAuthorities) for item in header.digest)


@dataclass(frozen=True, slots=True)
class Layer:
    """An executed block that is not final: its writes over its parent's state and tree. Never changed once made."""

    hash: bytes
    block: Block
    outcome: Outcome
    state: dict[bytes, bytes | None]
    nodes: dict[bytes, bytes | None]

    @property
    def header(self) -> Header:
        return self.block.header


class Store:
    """Typed access to a node's database. It only reads: writes are batches that the caller commits.

    Mutable in one thing: `use_generation`, after the batch with it is written.
    """

    def __init__(
        self, database: Database, window: int | None = DEFAULT_WINDOW, block_window: int | None = None
    ) -> None:
        """States of so many blocks below the finalized head are kept, and ``block_window`` blocks; None keeps all."""
        self.database = database
        self.window, self.block_window = window, block_window
        self.generation = int(database.get(META + b"generation") == b"\1")
        self.columns = StateColumns(database, self.generation)

    @property
    def state(self) -> Column:
        """Storage entries."""
        return self.columns.state

    @property
    def nodes(self) -> Column:
        """Nodes of the state tree."""
        return self.columns.nodes

    @property
    def spare_columns(self) -> StateColumns:
        """The generation that is not in use."""
        return StateColumns(self.database, 1 - self.generation)

    def stage_generation(self, batch: Batch) -> None:
        """Exchange the generations with ``batch``; call `use_generation` at once."""
        batch[META + b"generation"] = bytes([1 - self.generation])

    def use_generation(self) -> None:
        """The spare generation is the one in use from now on."""
        self.generation = 1 - self.generation
        self.columns = StateColumns(self.database, self.generation)

    def finalized(self) -> Finalized | None:
        """The finalized head; None in a fresh database."""
        data = self.database.get(META + b"finalized")
        return None if data is None else decode_stored(data, Finalized, "the finalized head")

    def hash_at(self, number: int) -> bytes | None:
        """The finalized block of that height."""
        return self.database.get(HEIGHT + height_key(number))

    def block(self, hash_: bytes) -> Block | None:
        data = self.database.get(BLOCK + hash_)
        return None if data is None else decode_stored(data, Block, f"block {hash_.hex()}")

    def header(self, hash_: bytes) -> Header | None:
        """The header of a finalized block, or of one whose finality was proved."""
        data = self.database.get(HEADER + hash_)
        if data is not None:
            return decode_stored(data, Header, f"header {hash_.hex()}")
        block = self.block(hash_)
        return None if block is None else block.header

    def outcome(self, hash_: bytes) -> Outcome | None:
        data = self.database.get(OUTCOME + hash_)
        return None if data is None else decode_stored(data, Outcome, f"the outcome of block {hash_.hex()}")

    def journal(self) -> list[tuple[bytes, JournalEntry]]:
        """Blocks that were not final when the node stopped, parents first."""
        entries = [
            (key[1:], decode_stored(data, JournalEntry, f"journal {key[1:].hex()}"))
            for key, data in self.database.range(JOURNAL)
        ]
        return sorted(entries, key=lambda pair: pair[1].block.header.number)

    # --- justifications

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
        known = self.header(before.hash)
        if known is not None and not changes_authorities(known):
            batch[JUSTIFICATION + height_key(before.number)] = None

    def stage_proved(self, batch: Batch, header: Header, justification: bytes) -> None:
        """Add a header and the proof that it is final, of a block that is not executed here."""
        hash_ = header_hash(header)
        batch[HEADER + hash_] = encode(header)
        batch[HEIGHT + height_key(header.number)] = hash_
        batch[JUSTIFICATION + height_key(header.number)] = justification

    # --- finalized blocks

    def stage_finalized(self, batch: Batch, layer: Layer, genesis: bytes) -> None:
        """Add to ``batch`` everything that makes a block the finalized head."""
        number = layer.header.number
        window = 0 if number == 0 else self.window
        self.columns.stage_block(batch, layer.state, layer.nodes, number, window)
        batch[OUTCOME + layer.hash] = encode(layer.outcome)
        self.stage_block(batch, layer.hash, layer.block)
        batch[META + b"finalized"] = encode(Finalized(SCHEMA_VERSION, genesis, number, layer.hash))
        if self.block_window is not None:
            self._stage_forgetting(batch, number - self.block_window - 1)

    def stage_block(self, batch: Batch, hash_: bytes, block: Block) -> None:
        """Add a finalized block to ``batch``."""
        batch[BLOCK + hash_] = encode(block)
        batch[HEIGHT + height_key(block.header.number)] = hash_
        batch[HEADER + hash_] = None

    def gap(self) -> Gap | None:
        """The blocks that a warp has left out and that are not downloaded yet."""
        data = self.database.get(META + b"gap")
        return None if data is None else decode_stored(data, Gap, "the gap below the kept blocks")

    def stage_gap(self, batch: Batch, gap: Gap | None) -> None:
        batch[META + b"gap"] = None if gap is None else encode(gap)

    def oldest_block(self) -> int:
        """From this height on all finalized blocks are kept (and genesis, whose body is empty)."""
        gap = self.gap()
        return self._kept_from({}) if gap is None else gap.high + 1

    def _kept_from(self, batch: Batch) -> int:
        """All blocks below are forgotten."""
        data = batch.get(META + b"oldest") or self.database.get(META + b"oldest")
        return 1 if data is None else int.from_bytes(data, "big")

    def _stage_forgetting(self, batch: Batch, last: int) -> None:
        """Forget the lowest few of the blocks up to ``last``; of those that change the authorities the header stays."""
        kept = first = self._kept_from(batch)
        gap = self.gap()
        if gap is not None and gap.low <= first <= gap.high:
            first = max(first, min(gap.high, last) + 1)
        end = max(first, min(last + 1, first + FORGOTTEN_AT_ONCE))
        for number in range(first, end):
            hash_ = self.hash_at(number)
            header = None if hash_ is None else self.header(hash_)
            if hash_ is None or header is None:
                continue
            batch[BLOCK + hash_] = batch[OUTCOME + hash_] = None
            if changes_authorities(header):
                batch[HEADER + hash_] = encode(header)
            else:
                batch[HEIGHT + height_key(number)] = batch[JUSTIFICATION + height_key(number)] = None
        if end > kept:
            batch[META + b"oldest"] = height_key(end)
