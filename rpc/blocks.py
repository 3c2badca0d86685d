"""Blocks as the explorer shows them: summaries, extrinsics with what became of them, events with their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from chain.ledger import Ledger
from chain.store import Outcome
from rpc.answers.chain import (
    BlockDetailJson,
    BlockSummaryJson,
    EventJson,
    ExtrinsicJson,
    ListedExtrinsicJson,
    MomentJson,
    WrittenJson,
)
from rpc.errors import UnknownBlock
from rpc.render import hex_of, render_call, render_error, render_event, render_header
from runtime.block import Block, Extrinsic, Slot, decode_extrinsic
from runtime.codec import decode
from runtime.crypto import to_ss58
from runtime.pallets import session, timestamp


class NoSuchBlock(UnknownBlock):
    """The block is not known here, or not kept any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A block, what executing it gave, and its time in milliseconds (None for genesis)."""

    hash: bytes
    block: Block
    outcome: Outcome
    time: int | None

    @property
    def number(self) -> int:
        return self.block.header.number


@lru_cache(maxsize=64)
def load(ledger: Ledger, hash_: bytes) -> Found:
    """A block by its hash. Raises `NoSuchBlock`, which is not remembered."""
    block, outcome = ledger.block(hash_), ledger.outcome(hash_)
    if block is None or outcome is None:
        raise NoSuchBlock(f"block {hex_of(hash_)} is not known here")
    return Found(hash_, block, outcome, block_time(block.body))


def at_height(ledger: Ledger, number: int) -> Found:
    """The block of that height on the best chain. Raises `NoSuchBlock`."""
    hash_ = ledger.hash_at(number)
    if hash_ is None:
        raise NoSuchBlock(f"there is no block {number} yet, or it is not kept here")
    return load(ledger, hash_)


def block_time(body: Sequence[bytes]) -> int | None:
    """What the timestamp inherent, one of the first items of a body, says."""
    for raw in body[:4]:
        call = decode_extrinsic(raw).call
        if (call.pallet, call.name) == (timestamp.PALLET.name, "set"):
            return decode(call.arguments, timestamp.Set).now
    return None


def time_at(ledger: Ledger, number: int) -> int | None:
    """The time of a block of the best chain; None where it is not kept."""
    try:
        return at_height(ledger, number).time
    except NoSuchBlock:
        return None


def moment(ledger: Ledger, number: int) -> MomentJson:
    """A block's number and time."""
    return {"block": hex(number), "time": time_at(ledger, number)}


def is_final(ledger: Ledger, found: Found) -> bool:
    """Whether the block can no longer be taken back."""
    return found.number <= ledger.finalized_number and ledger.store.hash_at(found.number) == found.hash


def summarize(ledger: Ledger, found: Found) -> BlockSummaryJson:
    """One line about a block."""
    header = found.block.header
    slot = next((item for item in header.digest if isinstance(item, Slot)), None)
    signed = [isinstance(decode_extrinsic(raw), Extrinsic) for raw in found.block.body]
    failed = sum(not receipt.ok for receipt in found.outcome.receipts)
    return {
        "number": hex(header.number),
        "hash": hex_of(found.hash),
        "parentHash": hex_of(header.parent),
        "time": found.time,
        "author": None if slot is None else to_ss58(_author_of(ledger, slot.author)),
        "slot": None if slot is None else str(slot.slot),
        "extrinsics": sum(signed),
        "failed": failed,
        "events": len(found.outcome.events),
        "finalized": is_final(ledger, found),
    }


def _author_of(ledger: Ledger, key: bytes) -> bytes:
    """The account behind a session key; the key itself where one author makes every block."""
    return session.KEY_OWNERS.get(ledger.state(), key) or key


def detail(ledger: Ledger, found: Found) -> BlockDetailJson:
    """Everything about a block."""
    return {
        **summarize(ledger, found),
        "header": render_header(found.block.header),
        "weight": str(sum(receipt.weight for receipt in found.outcome.receipts)),
        "length": sum(map(len, found.block.body)),
        "body": [extrinsic_of(ledger, found, index) for index in range(len(found.block.body))],
        "hooks": [event_of(found, index) for index, event in enumerate(found.outcome.events) if event.extrinsic < 0],
    }


def event_of(found: Found, index: int) -> EventJson:
    """One event with its place."""
    shown = render_event(index, found.outcome.events[index])
    return {
        "block": hex(found.number),
        "blockHash": hex_of(found.hash),
        "time": found.time,
        "index": index,
        "extrinsic": shown["extrinsic"],
        "pallet": shown["pallet"],
        "name": shown["name"],
        "fields": shown["fields"],
    }


def extrinsic_of(ledger: Ledger, found: Found, index: int) -> ExtrinsicJson:
    """One item of a block's body with its events."""
    receipt = found.outcome.receipts[index]
    events = range(receipt.first_event, receipt.first_event + receipt.event_count)
    return {**list_extrinsic(ledger, found, index), "events": [event_of(found, event) for event in events]}


def list_extrinsic(ledger: Ledger, found: Found, index: int) -> ListedExtrinsicJson:
    """One item of a block's body and what became of it, without its events."""
    raw, receipt = found.block.body[index], found.outcome.receipts[index]
    return {
        "block": hex(found.number),
        "blockHash": hex_of(found.hash),
        "index": index,
        "time": found.time,
        **write_out(raw),
        "ok": receipt.ok,
        "error": render_error(receipt),
        "fee": str(receipt.fee),
        "weight": str(receipt.weight),
        "finalized": is_final(ledger, found),
    }


def write_out(raw: bytes) -> WrittenJson:
    """What an encoded extrinsic says, wherever it is."""
    return {**render_call(raw), "length": len(raw)}
