"""What an account may do with its stake: bond, unbond, withdraw, and stand for election."""

from __future__ import annotations

from runtime.codec import U63, AccountId, Record, replace
from runtime.pallet import Context
from runtime.pallets import balances, session
from runtime.pallets.staking.stakes import add_stake, candidate_stakes, elect, require_ledger, stake_of, stop_validating
from runtime.pallets.staking.storage import (
    CANDIDATES,
    LEDGERS,
    MAXIMUM_CHUNKS,
    PALLET,
    REASON,
    AlreadyBonded,
    AlreadyValidating,
    Chunk,
    Ledger,
    NothingToUnbond,
    NothingToWithdraw,
    NotValidating,
    StakesTooLarge,
    StakeTooSmall,
    TooManyChunks,
    Unbonded,
    Validating,
    Withdrawn,
    parameters,
)
from runtime.weights import CALLS


class Bond(Record):
    """Stake ``amount`` for the first time."""

    amount: U63


class BondMore(Record):
    """Add ``amount`` to the stake. It counts from the next election on."""

    amount: U63


class Unbond(Record):
    """Take ``amount`` out of the stake, down to the minimum or to nothing."""

    amount: U63


class Withdraw(Record):
    """Free what was unbonded long enough ago."""


class Validate(Record):
    """Stand for election."""


class Chill(Record):
    """Stand for election no more; a set in office is served to its end."""


@PALLET.call(weight=CALLS["staking.bond"])
def bond(ctx: Context, origin: AccountId, args: Bond) -> None:
    """Put up a stake."""
    session.require_sessions(ctx.state)
    known = LEDGERS.get(ctx.state, origin)
    if known is not None:
        raise AlreadyBonded(f"this account has a stake of {known.stake} units and {len(known.chunks)} withdrawals")
    add_stake(ctx, origin, Ledger(0, (), 0), args.amount)


@PALLET.call(weight=CALLS["staking.bond_more"])
def bond_more(ctx: Context, origin: AccountId, args: BondMore) -> None:
    """Raise the stake."""
    add_stake(ctx, origin, require_ledger(ctx.state, origin), args.amount)


@PALLET.call(weight=CALLS["staking.unbond"])
def unbond(ctx: Context, origin: AccountId, args: Unbond) -> None:
    """Lower the stake. Without any left, the account stands for election no more."""
    state, ledger = ctx.state, require_ledger(ctx.state, origin)
    if not 0 < args.amount <= ledger.stake:
        raise NothingToUnbond(f"{args.amount} units of a stake of {ledger.stake}")
    left, minimum = ledger.stake - args.amount, parameters(state).minimum_stake
    if 0 < left < minimum:
        raise StakeTooSmall(f"{left} units would be left; at least {minimum} are needed, or none")
    release = session.current(state).era + parameters(state).unbonding_eras
    chunks, amount = ledger.chunks, args.amount
    if chunks and chunks[-1].release == release:
        chunks, amount = chunks[:-1], amount + chunks[-1].amount
    if len(chunks) >= MAXIMUM_CHUNKS:
        raise TooManyChunks(f"{len(chunks)} withdrawals are waiting, the first until era {chunks[0].release}")
    LEDGERS.put(state, origin, replace(ledger, stake=left, chunks=(*chunks, Chunk(amount, release))))
    if left == 0:
        stop_validating(ctx, origin)
    ctx.deposit(Unbonded(origin, args.amount, left, release))


@PALLET.call(weight=CALLS["staking.withdraw"])
def withdraw(ctx: Context, origin: AccountId, args: Withdraw) -> None:
    """Free unbonded stake; an account without any other is forgotten with the last of it."""
    ledger = require_ledger(ctx.state, origin)
    era = session.current(ctx.state).era
    ready = sum(chunk.amount for chunk in ledger.chunks if chunk.release <= era)
    left = tuple(chunk for chunk in ledger.chunks if chunk.release > era)
    if len(left) == len(ledger.chunks) and (left or ledger.stake):
        raise NothingToWithdraw(f"{len(left)} withdrawals are waiting in era {era}")
    balances.release(ctx, origin, REASON, ready)
    if left or ledger.stake:
        LEDGERS.put(ctx.state, origin, replace(ledger, chunks=left))
    else:
        LEDGERS.delete(ctx.state, origin)
    ctx.deposit(Withdrawn(origin, ready))


@PALLET.call(weight=CALLS["staking.validate"])
def validate(ctx: Context, origin: AccountId, args: Validate) -> None:
    """Stand for election. Where the list is full, the smallest stake on it gives way to a larger one."""
    state, ledger = ctx.state, require_ledger(ctx.state, origin)
    candidates, limits = CANDIDATES.get(state), parameters(state)
    if origin in candidates:
        raise AlreadyValidating("this account stands for election already")
    if ledger.stake < limits.minimum_stake:
        raise StakeTooSmall(f"a stake of {ledger.stake} units; at least {limits.minimum_stake} are needed")
    if not session.KEYS.contains(state, origin):
        raise session.NoKeys("this account has announced no session key: set one first")
    if len(candidates) >= limits.maximum_candidates:
        smallest = elect(candidate_stakes(state), len(candidates))[-1]
        if stake_of(state, smallest) >= ledger.stake:
            raise StakesTooLarge(f"{len(candidates)} accounts stand with at least {stake_of(state, smallest)} units")
        stop_validating(ctx, smallest)
    CANDIDATES.put(state, (*CANDIDATES.get(state), origin))
    ctx.deposit(Validating(origin, ledger.stake))


@PALLET.call(weight=CALLS["staking.chill"])
def chill(ctx: Context, origin: AccountId, args: Chill) -> None:
    """Stand for election no more."""
    if origin not in CANDIDATES.get(ctx.state):
        raise NotValidating("this account does not stand for election")
    stop_validating(ctx, origin)
