"""Blocks in a file: exported by one node, imported by another that believes none of it.

An archive holds consecutive blocks of one chain, each with the justification that its node keeps for it, if any. In the
*binary* form a magic line is followed by frames, a four-byte length and canonical MessagePack: first an `ArchiveHead`,
then one `chain.messages.BlockData` a block. The *JSON* form holds the same bytes in hex, one object a line, with number
and hash beside them for people. Importing executes every block and checks its seal, its slot, its root and every
justification, so that what the file proves final becomes final here as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from chain.effects import Effect
from chain.importer import HOLD_SLOTS, noted_finality
from chain.ledger import Execution, Ledger
from chain.messages import BlockData
from chain.slots import SlotClock, slot_of_header, verify_slot
from chain.views import Layer
from runtime.block import extrinsics_root, header_hash
from runtime.codec import U63, Hash, Record, decode, encode
from runtime.errors import CodecError, InvalidBlock, SolventError
from runtime.finality import InvalidJustification, decode_justification, verify_justification
from runtime.pallets import randomness, session, system
from runtime.state import State
from runtime.voters import VoterSet

MAGIC = b"solvent blocks 1\n"
MAX_FRAME = 16 * 1024 * 1024
MAX_UNPROVEN = 4096
"""Blocks in a row without a justification that an import goes along with: they are all held in memory."""


class ArchiveError(SolventError):
    """The file is no archive, is damaged, or does not fit this chain; the message names the block."""


class ArchiveHead(Record):
    """What an archive starts with: whose chain it is, and which heights follow."""

    genesis: Hash
    first: U63
    last: U63


@dataclass(frozen=True, slots=True)
class Contents:
    """What a look through an archive found: its blocks, the last that comes with a justification, and where it breaks.

    ``broken`` says why it ends before its time, and is empty for a whole file.
    """

    head: ArchiveHead
    last: int
    proven: int
    broken: str


# --- writing


def export_blocks(ledger: Ledger, first: int, last: int) -> Iterator[BlockData]:
    """Blocks of the best chain with the justifications kept for them. Raises `ArchiveError` for one that is missing."""
    for number in range(first, last + 1):
        hash_ = ledger.hash_at(number)
        block = None if hash_ is None else ledger.block(hash_)
        if block is None:
            raise ArchiveError(f"block {number} is not in this database")
        proof = ledger.store.justification(number) if number <= ledger.finalized_number else None
        yield BlockData(block, proof or b"")


def write_head(file: BinaryIO, head: ArchiveHead, as_json: bool) -> None:
    """Start an archive."""
    if as_json:
        _write_line(file, {"format": MAGIC.decode().strip(), "head": "0x" + encode(head).hex()})
    else:
        file.write(MAGIC)
        _write_frame(file, encode(head))


def write_block(file: BinaryIO, data: BlockData, as_json: bool) -> None:
    """Add the next block to an archive."""
    if not as_json:
        _write_frame(file, encode(data))
        return
    header = data.block.header
    _write_line(
        file,
        {
            "number": header.number,
            "hash": "0x" + header_hash(header).hex(),
            "parentHash": "0x" + header.parent.hex(),
            "stateRoot": "0x" + header.state_root.hex(),
            "extrinsics": len(data.block.body),
            "isJustified": bool(data.justification),
            "data": "0x" + encode(data).hex(),
        },
    )


def _write_frame(file: BinaryIO, data: bytes) -> None:
    file.write(len(data).to_bytes(4, "big") + data)


def _write_line(file: BinaryIO, document: dict[str, Any]) -> None:
    file.write(json.dumps(document).encode() + b"\n")


# --- reading


def read_archive(file: BinaryIO) -> tuple[ArchiveHead, Iterator[BlockData]]:
    """The head of an archive of either form, and its blocks. Both raise `ArchiveError`."""
    records = _records(file)
    head = _decode(next(records, b""), ArchiveHead, "the head of the file")
    return head, _blocks(head, records)


def _blocks(head: ArchiveHead, records: Iterator[bytes]) -> Iterator[BlockData]:
    number = head.first
    for record in records:
        data = _decode(record, BlockData, f"block {number}")
        if data.block.header.number != number:
            raise ArchiveError(f"block {data.block.header.number} stands where block {number} belongs")
        yield data
        number += 1
    if number <= head.last:
        raise ArchiveError(f"the file ends before block {number}, and should go up to {head.last}")


def _records(file: BinaryIO) -> Iterator[bytes]:
    start = file.read(1)
    if start == b"{":
        yield from _json_records(start + file.readline(MAX_FRAME), file)
        return
    if start + file.read(len(MAGIC) - 1) != MAGIC:
        raise ArchiveError("this is no file of solvent export-blocks, or of another release's")
    while length := file.read(4):
        size = int.from_bytes(length, "big")
        if size > MAX_FRAME:
            raise ArchiveError(f"the file claims a block of {size} bytes; it is damaged")
        data = file.read(size)
        if len(length) < 4 or len(data) < size:
            raise ArchiveError("the file is cut off within a block")
        yield data


def _json_records(line: bytes, file: BinaryIO) -> Iterator[bytes]:
    field = "head"
    while line:
        try:
            yield bytes.fromhex(json.loads(line)[field].removeprefix("0x"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ArchiveError(f"a line of the file is damaged or cut off: {line[:40]!r}") from None
        field, line = "data", file.readline(2 * MAX_FRAME)


def _decode(data: bytes, kind: Any, what: str) -> Any:
    try:
        return decode(data, kind, MAX_FRAME)
    except CodecError as error:
        raise ArchiveError(f"{what} is damaged: {error}") from None


def survey(file: BinaryIO) -> Contents:
    """Look through an archive without believing or executing anything. Raises `ArchiveError` when it holds nothing."""
    head, blocks = read_archive(file)
    last, proven, broken = head.first - 1, 0, ""
    try:
        for data in blocks:
            last = data.block.header.number
            proven = last if data.justification else proven
    except ArchiveError as error:
        broken = str(error)
    return Contents(head, last, proven, broken)


# --- importing


class ArchiveImport:
    """Takes the blocks of an archive into a ledger, one by one. Mutable. Commit the effects of each at once."""

    def __init__(self, ledger: Ledger, contents: Contents) -> None:
        """Raises `ArchiveError` when the file is of another chain, or starts above what is known here."""
        if contents.head.genesis != ledger.genesis_hash:
            raise ArchiveError(
                f"the file is of the chain with genesis 0x{contents.head.genesis.hex()[:16]}..., this one has "
                f"0x{ledger.genesis_hash.hex()[:16]}...; name its genesis file with --chain"
            )
        if contents.head.first > ledger.head_number + 1:
            raise ArchiveError(f"the file starts with block {contents.head.first}, here is {ledger.head_number}")
        self._ledger, self._proven = ledger, contents.proven
        state = ledger.state()
        self._has_one_author = system.has_one_author(state)
        self._clock = SlotClock(system.parameters(state).block.slot_milliseconds)
        self.imported = 0

    def take(self, data: BlockData, now: float) -> list[Effect] | None:
        """Check and execute a block that is not known yet; None when this one has to come from the network.

        Raises `ArchiveError` or `InvalidBlock`.
        """
        ledger, header = self._ledger, data.block.header
        hash_ = header_hash(header)
        effects: list[Effect] = []
        if header.number <= ledger.finalized_number:
            if ledger.store.hash_at(header.number) != hash_:
                raise ArchiveError(f"block {header.number} of the file is not the one that is final here")
            return []
        if ledger.header(hash_) is None:
            if not self._has_one_author and not self._may_follow(data, now):
                return None
            effects += ledger.on_executed(self._execute(data), finalize=self._has_one_author)
            self.imported += 1
        if data.justification and not self._has_one_author:
            self._verify_justification(data.justification, hash_, header.number)
            effects += ledger.finalize(hash_, data.justification)
        return effects

    def _execute(self, data: BlockData) -> Layer:
        header = data.block.header
        if header.extrinsics_root != extrinsics_root(data.block.body):
            raise InvalidBlock(f"the body of block {header.number} is not its header's")
        execution = Execution(self._ledger, data.block)
        while execution.step():
            pass
        return execution.finish()

    def _may_follow(self, data: BlockData, now: float) -> bool:
        """Check the claim on the slot, as for a block of a peer. A fresh block whose note of what is final nothing in
        the file proves could mislead, and is left to the network."""
        header = data.block.header
        number = header.number
        if number - self._ledger.finalized_number > MAX_UNPROVEN:
            raise ArchiveError(f"nothing in the file proves any of {MAX_UNPROVEN} blocks before {number} final")
        parent = self._ledger.header(header.parent)
        if parent is None or not self._ledger.is_live(header.parent):
            raise ArchiveError(f"block {number} of the file does not follow from the blocks that are known here")
        slot = slot_of_header(header)
        if slot > self._clock.slot_at(now):
            raise InvalidBlock(f"block {number} is of a slot that has not begun; check the clock of this machine")
        state = State(self._ledger.state_at(header.parent))
        verify_slot(header, parent, randomness.epoch_at(state, slot), system.parameters(state).consensus)
        is_fresh = slot > self._clock.slot_at(now) - HOLD_SLOTS
        return number <= self._proven or not is_fresh or noted_finality(data.block) <= self._ledger.finalized_number

    def _verify_justification(self, proof: bytes, hash_: bytes, number: int) -> None:
        state = State(self._ledger.state_at(self._ledger.finalized))
        voters = VoterSet(session.authorities_of(session.MEMBERS.get(state)))
        try:
            justification = decode_justification(proof)
            if (justification.target_hash, justification.target_number) != (hash_, number):
                raise InvalidJustification("it is of another block")
            set_id = session.current(state).set_id
            verify_justification(justification, voters, set_id, self._ledger.genesis_hash, self._ledger.verify)
        except (InvalidJustification, CodecError) as error:
            raise ArchiveError(f"the justification of block {number} proves nothing: {error}") from None
