"""Judging gossip before it is relayed: announced headers, and extrinsics for the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from chain.importer import Importer
from chain.ledger import Ledger, StatePruned, UnknownBlock
from chain.messages import Announce, decode_message
from chain.pool import Pool, PoolError
from chain.slots import SlotClock, slot_of_header, verify_slot
from runtime.block import header_hash
from runtime.errors import InvalidBlock, InvalidExtrinsic
from runtime.pallets import randomness, system
from runtime.seals import validate_seal
from runtime.state import State

Verdict = Literal["accept", "ignore", "reject"]
NEVER_VALID = ("malformed", "bad_signature", "unknown_call", "inherent", "too_long", "too_heavy")
"""Reasons for which an extrinsic can be valid on no fork, so that relaying it was a fault."""


def judge_announcement(
    ledger: Ledger, importer: Importer, clock: SlotClock, data: bytes, now: float
) -> tuple[Verdict, tuple[bytes, int] | None]:
    """What to do with an announced header, and (hash, number) of a block worth fetching. Raises `MalformedMessage`.

    It is relayed only when it is fully verified, which takes the state of its parent.
    """
    header = decode_message(Announce, data).header
    hash_ = header_hash(header)
    if importer.is_bad(hash_):
        return "ignore", None  # its header may be valid, and its bearer not know the body yet
    if importer.is_bad(header.parent):
        return "reject", None
    if header.number <= ledger.finalized_number:
        return "ignore", None
    try:
        validate_seal(header, ledger.genesis_hash, ledger.verify)
        slot = slot_of_header(header)
        if clock.judge(slot, now) == "too early":
            return "ignore", None
        parent = ledger.header(header.parent)
        if parent is None:
            return "ignore", (hash_, header.number)
        state = State(ledger.state_at(header.parent))
        verify_slot(header, parent, randomness.epoch_at(state, slot), system.parameters(state).consensus)
    except InvalidBlock:
        return "reject", None
    except (UnknownBlock, StatePruned):
        return "ignore", None
    return "accept", (hash_, header.number)


def take_extrinsics(ledger: Ledger, pool: Pool, items: Sequence[bytes], now: float) -> Verdict:
    """Hand extrinsics of a peer to the pool. "accept" when one of them was new and valid, so that they go on."""
    verdict: Verdict = "ignore"
    for raw in items:
        try:
            pool.submit(raw, ledger.head_number, now)
            verdict = "accept"
        except PoolError:
            continue
        except InvalidExtrinsic as error:
            if error.code in NEVER_VALID:
                return "reject"
    return verdict
