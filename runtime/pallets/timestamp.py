"""Timestamp: the time of each block, set by its author in the first inherent. Milliseconds since the Unix epoch.

Where one author makes every block, the runtime only demands that time moves forward. Elsewhere it is the start of the
block's slot; that the slot is near the importer's clock is checked by consensus.
"""

from __future__ import annotations

from runtime.block import Call, Inherent
from runtime.codec import U63, Record, encode
from runtime.errors import DispatchError
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import system
from runtime.state import State
from runtime.weights import CALLS

PALLET = Pallet("timestamp")

# --- storage

NOW = PALLET.value("now", U63, 0)

# --- events


@PALLET.event
class Gap(Record):
    """No block was made for more than a slot: milliseconds of the block before, and of this one."""

    before: U63
    now: U63


# --- errors


@PALLET.error
class TooEarly(DispatchError):
    """The time does not lie at least the minimum period after the parent's. A block with it is invalid."""


@PALLET.error
class NotTheSlot(DispatchError):
    """The time is not the start of the block's slot. A block with it is invalid."""


# --- calls


class Set(Record):
    """The block's time in milliseconds."""

    now: U63


@PALLET.inherent(weight=CALLS["timestamp.set"], mandatory=True)
def set(ctx: Context, args: Set) -> None:
    """Set the block's time."""
    earliest = earliest_next(ctx.state)
    if args.now < earliest:
        raise TooEarly(f"time {args.now} ms; this block's earliest is {earliest} ms")
    before, start = NOW.get(ctx.state), slot_start(ctx.state, ctx.slot)
    if not system.has_one_author(ctx.state) and args.now != start:
        raise NotTheSlot(f"time {args.now} ms; slot {ctx.slot} starts at {start} ms")
    NOW.put(ctx.state, args.now)
    if before and args.now - before > 2 * system.parameters(ctx.state).block.slot_milliseconds:
        ctx.deposit(Gap(before, args.now))


# --- functions for other pallets and the author


def now(state: State) -> int:
    """Milliseconds of the current block, or of the last one before its inherent ran."""
    return NOW.get(state)


def earliest_next(state: State) -> int:
    """The earliest time that a block on top of this state may carry."""
    return NOW.get(state) + system.parameters(state).block.minimum_period_milliseconds


def slot_start(state: State, slot: int) -> int:
    """When a slot starts: slots are counted from the epoch of the clock."""
    return slot * system.parameters(state).block.slot_milliseconds


@PALLET.check
def check(state: State) -> None:
    """Every block after genesis has a time; outside `dev` it is the start of a slot."""
    time, number = NOW.get(state), system.NUMBER.get(state)
    if number > 0 and time == 0:
        raise InvariantBroken(f"block {number} has no time")
    if not system.has_one_author(state) and time % system.parameters(state).block.slot_milliseconds:
        raise InvariantBroken(f"block {number} has time {time} ms, which is not the start of a slot")


def build_inherent(milliseconds: int) -> bytes:
    """The bytes of the inherent that sets the time."""
    return encode(Inherent(Call(PALLET.name, "set", encode(Set(milliseconds)))))
