"""Holders: full nodes that stake a bond, and the seats of committees that lock it."""

from __future__ import annotations

from runtime.codec import U63, AccountId, Record, replace
from runtime.pallet import Context
from runtime.pallets import balances, treasury
from runtime.pallets.blobs.storage import (
    HOLDER_REASON,
    HOLDERS,
    PALLET,
    ROSTER,
    Holder,
    HolderBondTooSmall,
    HolderLeft,
    HolderRegistered,
    HolderRosterFull,
    NotAHolder,
    parameters,
)
from runtime.state import State
from runtime.weights import CALLS


class RegisterHolder(Record):
    """Offer to keep blobs for others, or add to the bond; the account's node should run with ``--holder``."""

    bond: U63


class LeaveHolder(Record):
    """Be drawn no more, and have the bond back: at once without a seat, else with the last one."""


@PALLET.call(weight=CALLS["blobs.register_holder"])
def register_holder(ctx: Context, origin: AccountId, args: RegisterHolder) -> None:
    """Join the holders, or add to the bond."""
    figures = parameters(ctx.state)
    known = HOLDERS.get(ctx.state, origin)
    if known is None and len(ROSTER.get(ctx.state)) >= figures.maximum_holders:
        raise HolderRosterFull(f"{figures.maximum_holders} accounts are registered already")
    holder = known or Holder(origin, 0, 0, 0, 0, False, 0, 0)
    bond = holder.bond + args.bond
    if bond < figures.minimum_bond:
        raise HolderBondTooSmall(f"the bond would be {bond} units; at least {figures.minimum_bond} are needed")
    balances.hold(ctx, origin, HOLDER_REASON, args.bond)
    HOLDERS.put(ctx.state, origin, replace(holder, bond=bond, since=ctx.number, leaving=False))
    if known is None:
        ROSTER.put(ctx.state, (*ROSTER.get(ctx.state), origin))
    ctx.deposit(HolderRegistered(origin, bond))


@PALLET.call(weight=CALLS["blobs.leave_holder"])
def leave_holder(ctx: Context, origin: AccountId, args: LeaveHolder) -> None:
    """Leave the holders."""
    holder = replace(require_holder(ctx.state, origin), leaving=True)
    if holder.seats:
        HOLDERS.put(ctx.state, origin, holder)
        ctx.deposit(HolderLeft(origin, 0))
        return
    _dismiss(ctx, holder)


def require_holder(state: State, account: bytes) -> Holder:
    """The account's record. Raises `NotAHolder`."""
    holder = HOLDERS.get(state, account)
    if holder is None:
        raise NotAHolder("the account is not registered as a holder")
    return holder


def list_candidates(state: State, lock: int, before: int, excluded: frozenset[bytes]) -> list[tuple[bytes, int]]:
    """(account, bond) of all who could take a seat now, whose bond is no younger than block ``before``."""
    minimum = parameters(state).minimum_bond
    found = []
    for account in ROSTER.get(state):
        holder = require_holder(state, account)
        able = holder.bond >= minimum and holder.bond - holder.locked >= lock and not holder.leaving
        if able and holder.since <= before and account not in excluded:
            found.append((account, holder.bond))
    return found


def take_seat(ctx: Context, account: bytes, lock: int) -> None:
    """Lock part of the holder's bond for a seat."""
    holder = require_holder(ctx.state, account)
    HOLDERS.put(ctx.state, account, replace(holder, locked=holder.locked + lock, seats=holder.seats + 1))


def leave_seat(ctx: Context, account: bytes, lock: int) -> None:
    """Free what a seat locked; a holder that wants to leave does so with its last one."""
    holder = require_holder(ctx.state, account)
    freed = replace(holder, locked=holder.locked - lock, seats=holder.seats - 1)
    if freed.leaving and not freed.seats:
        _dismiss(ctx, freed)
    else:
        HOLDERS.put(ctx.state, account, freed)


def slash_seat(ctx: Context, account: bytes, lock: int, challenger: bytes) -> int:
    """Take what a seat locked: half to the challenger, whose reward is returned, the rest to the treasury. The holder
    is drawn no more until it registers again."""
    holder = require_holder(ctx.state, account)
    reward = lock // 2
    balances.move_held(ctx, account, HOLDER_REASON, challenger, reward)
    balances.move_held(ctx, account, HOLDER_REASON, treasury.ACCOUNT, lock - reward)
    left = {"bond": holder.bond - lock, "faults": holder.faults + 1, "slashed": holder.slashed + lock}
    HOLDERS.put(ctx.state, account, replace(holder, leaving=True, **left))
    leave_seat(ctx, account, lock)
    return reward


def _dismiss(ctx: Context, holder: Holder) -> None:
    balances.release(ctx, holder.account, HOLDER_REASON, holder.bond)
    HOLDERS.delete(ctx.state, holder.account)
    ROSTER.put(ctx.state, tuple(other for other in ROSTER.get(ctx.state) if other != holder.account))
    ctx.deposit(HolderLeft(holder.account, holder.bond))
