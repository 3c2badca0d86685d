"""Stakes at work: elections by them, and what a slash takes."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.codec import replace
from runtime.pallet import Context
from runtime.pallets import balances
from runtime.pallets.staking.storage import (
    CANDIDATES,
    LEDGERS,
    REASON,
    Bonded,
    Chilled,
    Ledger,
    NotBonded,
    Slashed,
    StakeTooSmall,
    parameters,
)
from runtime.parameters import PARTS
from runtime.state import State


def elect(stakes: Iterable[tuple[bytes, int]], seats: int) -> list[bytes]:
    """The accounts with the ``seats`` largest stakes, the largest first; equal ones in the order of their ids."""
    ranked = sorted(stakes, key=lambda item: (-item[1], item[0]))
    return [account for account, _ in ranked[:seats]]


def require_ledger(state: State, account: bytes) -> Ledger:
    """The account's stake. Raises `NotBonded`."""
    ledger = LEDGERS.get(state, account)
    if ledger is None:
        raise NotBonded("this account has no stake")
    return ledger


def stake_of(state: State, account: bytes) -> int:
    """What the account has bonded."""
    ledger = LEDGERS.get(state, account)
    return ledger.stake if ledger else 0


def stop_validating(ctx: Context, account: bytes) -> None:
    """Take an account off the list of candidates, if it is on it."""
    candidates = CANDIDATES.get(ctx.state)
    if account in candidates:
        CANDIDATES.put(ctx.state, tuple(other for other in candidates if other != account))
        ctx.deposit(Chilled(account))


def slash(ctx: Context, account: bytes, amount: int, reporter: bytes) -> tuple[int, int]:
    """Take up to ``amount`` of an account's stake, then of its unbonded stake, the latest first; returns what was taken
    and the part of it that the reporter received. The treasury gets the rest, remainder included."""
    ledger = LEDGERS.get(ctx.state, account) or Ledger(0, (), 0)
    from_stake = min(amount, ledger.stake)
    missing, chunks = amount - from_stake, []
    for chunk in reversed(ledger.chunks):
        part = min(missing, chunk.amount)
        missing -= part
        if chunk.amount > part:
            chunks.append(replace(chunk, amount=chunk.amount - part))
    taken = amount - missing
    if taken == 0:
        return 0, 0
    left = ledger.stake - from_stake
    if left < parameters(ctx.state).minimum_stake:
        stop_validating(ctx, account)
    LEDGERS.put(ctx.state, account, Ledger(left, tuple(reversed(chunks)), ledger.slashed + taken))
    reward = taken * parameters(ctx.state).reporter_share // PARTS
    balances.move_held(ctx, account, REASON, reporter, reward)
    balances.move_held(ctx, account, REASON, balances.TREASURY, taken - reward)
    ctx.deposit(Slashed(account, taken, reward))
    return taken, reward


def add_stake(ctx: Context, account: bytes, ledger: Ledger, amount: int) -> None:
    stake, minimum = ledger.stake + amount, parameters(ctx.state).minimum_stake
    if stake < minimum:
        raise StakeTooSmall(f"the stake would be {stake} units; at least {minimum} are needed")
    balances.hold(ctx, account, REASON, amount)
    LEDGERS.put(ctx.state, account, replace(ledger, stake=stake))
    ctx.deposit(Bonded(account, amount, stake))


def candidate_stakes(state: State) -> list[tuple[bytes, int]]:
    """Candidates and their stakes."""
    return [(account, stake_of(state, account)) for account in CANDIDATES.get(state)]
