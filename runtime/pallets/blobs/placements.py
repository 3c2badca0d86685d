"""Placements: from the draw of a committee to the release of its seats, and what other pallets call."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import AccountId, Hash, Record, encode, replace
from runtime.drawing import draw_several
from runtime.pallet import Context
from runtime.pallets import balances, system
from runtime.pallets.blobs.holders import leave_seat, list_candidates, take_seat
from runtime.pallets.blobs.storage import (
    CHALLENGED,
    COMMITTEES,
    DRAWING,
    DUES,
    FAILED,
    ITEMS,
    LOST,
    OPEN,
    PALLET,
    PLACED,
    PLACEMENTS,
    PLACING,
    ROSTER,
    AlreadyPlaced,
    AvailabilityOff,
    CommitteeDrawn,
    Due,
    Item,
    NotAsked,
    NotEnoughHolders,
    Placed,
    Placement,
    PlacementFailed,
    PlacementLost,
    PlacementOpened,
    PlacementReleased,
    PlacementTooLarge,
    ReceiptSigned,
    Seat,
    parameters,
    pot_reason,
)
from runtime.state import State
from runtime.weights import CALLS

MIB = 1024 * 1024


class SignReceipt(Record):
    """Say that this account's node holds every blob of a placement, and will until it is released."""

    placement: Hash


# --- for other pallets


def is_on(state: State) -> bool:
    """Whether this network asks for availability at all."""
    return parameters(state).receipts > 0


def status(state: State, name: bytes) -> str:
    """The status of a placement; empty where there is none."""
    found = PLACEMENTS.get(state, name)
    return found.status if found else ""


def compute_pot(state: State, items: Sequence[Item]) -> int:
    """What opening a placement of these items holds of its payer."""
    figures = parameters(state)
    return COMMITTEES * figures.committee * _pay(figures.price, items)


def compute_time(state: State, items: Sequence[Item]) -> int:
    """Finalized blocks that one committee has for its receipts."""
    figures = parameters(state)
    return figures.placement_blocks + sum(item.size for item in items) // figures.bytes_per_block


def open_placement(ctx: Context, name: bytes, payer: bytes, items: tuple[Item, ...], pot_is_held: bool = False) -> None:
    """Ask for a committee that keeps these blobs, and hold its pay.

    Raises `AvailabilityOff`, `AlreadyPlaced`, `PlacementTooLarge`, `NotEnoughHolders`, or what `balances.hold` raises.
    """
    figures = parameters(ctx.state)
    if not figures.receipts:
        raise AvailabilityOff("nothing has to be placed on this network")
    if CHALLENGED.contains(ctx.state, name):
        raise AlreadyPlaced("chunks of an earlier committee are still challenged")
    if status(ctx.state, name) in (DRAWING, PLACING, PLACED):
        raise AlreadyPlaced(f"placement {name.hex()} is {status(ctx.state, name)}")
    size = sum(item.size for item in items)
    if not 0 < len(items) <= figures.maximum_items or not 0 < size <= figures.maximum_bytes:
        raise PlacementTooLarge(
            f"{len(items)} blobs of {size} bytes; at most {figures.maximum_items} of {figures.maximum_bytes}"
        )
    require_holders(ctx.state)
    release(ctx, name)
    pot = compute_pot(ctx.state, items)
    if not pot_is_held:
        balances.hold(ctx, payer, pot_reason(name), pot)
    ITEMS.put(ctx.state, name, items)
    pay = _pay(figures.price, items)
    PLACEMENTS.put(ctx.state, name, Placement(payer, DRAWING, 0, ctx.number, 0, (), pot, pay, figures.lock))
    DUES.schedule(ctx.state, ctx.number, Due(name, DRAWING, 0))
    ctx.deposit(PlacementOpened(name, payer, len(items), size, pot))


def require_holders(state: State) -> None:
    """Raises `NotEnoughHolders` where no committee could ever sign enough receipts."""
    figures = parameters(state)
    able = len(list_candidates(state, figures.lock, system.NUMBER.get(state), frozenset()))
    if able < figures.receipts:
        raise NotEnoughHolders(f"{able} holders could take a seat; {figures.receipts} receipts are needed")


def release(ctx: Context, name: bytes) -> None:
    """Let the blobs go: pay the seats that signed, free all, return the rest of the pot, forget the placement."""
    placement = PLACEMENTS.get(ctx.state, name)
    if placement is None:
        return
    if placement.status in OPEN:
        _close(ctx, name, placement)
    PLACEMENTS.delete(ctx.state, name)
    ITEMS.delete(ctx.state, name)


# --- what holders do


def _is_asked(state: State, origin: bytes, args: SignReceipt) -> bool:
    """Whether a receipt is asked of the account now: then it may use the reserved share of a block."""
    placement = PLACEMENTS.get(state, args.placement)
    return placement is not None and Seat(origin, False) in placement.seats


@PALLET.call(weight=CALLS["blobs.sign_receipt"], operational=_is_asked)
def sign_receipt(ctx: Context, origin: AccountId, args: SignReceipt) -> None:
    """Sign for a seat; with enough receipts the blobs are available."""
    placement = PLACEMENTS.get(ctx.state, args.placement)
    if placement is None or Seat(origin, False) not in placement.seats or ctx.finalized >= placement.deadline:
        raise NotAsked(f"no receipt of placement {args.placement.hex()} is asked of this account now")
    seats = tuple(Seat(origin, True) if seat.holder == origin else seat for seat in placement.seats)
    changed = replace(placement, seats=seats)
    ctx.deposit(ReceiptSigned(args.placement, origin, count_receipts(changed)))
    if placement.status == PLACING and count_receipts(changed) >= parameters(ctx.state).receipts:
        changed = replace(changed, status=PLACED)
        ctx.deposit(Placed(args.placement))
    PLACEMENTS.put(ctx.state, args.placement, changed)


def count_receipts(placement: Placement) -> int:
    """Seats that signed and were not slashed since."""
    return sum(seat.signed for seat in placement.seats)


def drop_seat(ctx: Context, name: bytes, placement: Placement, holder: bytes) -> None:
    """A seat was slashed: where too few receipts are left, the placement is lost. The others stay answerable, so that
    nobody escapes a challenge by falling together."""
    left = replace(placement, seats=tuple(seat for seat in placement.seats if seat.holder != holder))
    if placement.status == PLACED and count_receipts(left) < parameters(ctx.state).receipts:
        ctx.deposit(PlacementLost(name, count_receipts(left)))
        left = replace(left, status=LOST)
    PLACEMENTS.put(ctx.state, name, left)


# --- deadlines


@PALLET.on_initialize
def process_dues(ctx: Context) -> None:
    """Draw committees, and look at those whose time is over."""
    figures = parameters(ctx.state)
    for due in DUES.drain(ctx, figures.deadlines_per_block, figures.deadline_weight):
        ctx.consume(CALLS["blobs.deadline"])
        placement = PLACEMENTS.get(ctx.state, due.placement)
        if placement is None or placement.committees != due.committees:
            continue
        if placement.status == DRAWING == due.status:
            _draw(ctx, due, placement)
        elif placement.status in (PLACING, PLACED, LOST) and due.status == PLACING:
            _end_committee(ctx, due.placement, placement)


def _draw(ctx: Context, due: Due, placement: Placement) -> None:
    identity = encode((due.placement, placement.committees))
    randomness = system.beacon(ctx.state, placement.since, b"committee", identity)
    if randomness is None:
        DUES.schedule(ctx.state, ctx.finalized + 1, due)
        return
    ctx.consume(CALLS["blobs.holder"] * len(ROSTER.get(ctx.state)))
    barred = frozenset((placement.payer, *(seat.holder for seat in placement.seats)))
    able = list_candidates(ctx.state, placement.lock, placement.since, barred)
    drawn = draw_several(able, parameters(ctx.state).committee, randomness, b"holder")
    for account in drawn:
        take_seat(ctx, account, placement.lock)
    deadline = ctx.finalized + compute_time(ctx.state, ITEMS.get(ctx.state, due.placement) or ())
    seats = (*placement.seats, *(Seat(account, False) for account in drawn))
    asked = replace(placement, status=PLACING, committees=placement.committees + 1, seats=seats, deadline=deadline)
    PLACEMENTS.put(ctx.state, due.placement, asked)
    DUES.schedule(ctx.state, deadline, Due(due.placement, PLACING, asked.committees))
    ctx.deposit(CommitteeDrawn(due.placement, drawn, deadline))


def _end_committee(ctx: Context, name: bytes, placement: Placement) -> None:
    """The time for receipts is over: free the seats without one; draw again, or give up, where there are too few."""
    for seat in placement.seats:
        if not seat.signed:
            leave_seat(ctx, seat.holder, placement.lock)
    left = replace(placement, seats=tuple(seat for seat in placement.seats if seat.signed))
    if placement.status == PLACING and placement.committees < COMMITTEES:
        left = replace(left, status=DRAWING, since=ctx.number, deadline=0)
        DUES.schedule(ctx.state, ctx.number, Due(name, DRAWING, placement.committees))
    elif placement.status == PLACING:
        ctx.deposit(PlacementFailed(name, count_receipts(left)))
        _close(ctx, name, replace(left, pay=0))
        left = replace(left, status=FAILED, seats=(), pot=0)
    PLACEMENTS.put(ctx.state, name, left)


def _close(ctx: Context, name: bytes, placement: Placement) -> None:
    """Pay the seats that signed, free every seat, and return the rest of the pot."""
    paid = 0
    for seat in placement.seats:
        if seat.signed:
            balances.move_held(ctx, placement.payer, pot_reason(name), seat.holder, placement.pay)
            paid += placement.pay
        leave_seat(ctx, seat.holder, placement.lock)
    balances.release(ctx, placement.payer, pot_reason(name), placement.pot - paid)
    ctx.deposit(PlacementReleased(name, paid, placement.pot - paid))


def _pay(price: int, items: Sequence[Item]) -> int:
    return price * -(-sum(item.size for item in items) // MIB)
