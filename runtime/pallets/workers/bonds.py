"""Bonds at work: who can take a job, and how a job locks, unlocks and slashes part of a bond."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from runtime.codec import replace
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, treasury
from runtime.pallets.workers.draws import Ask
from runtime.pallets.workers.storage import (
    LOCKS,
    PALLET,
    ROSTER,
    UNBONDING,
    WORKERS,
    BondInUse,
    BondLocked,
    BondUnlocked,
    Lock,
    NotRegistered,
    Slashed,
    Worker,
    bond_reason,
    parameters,
)
from runtime.state import State
from runtime.weights import CALLS


def roster(state: State, role: str) -> tuple[bytes, ...]:
    """Accounts with a bond in the role."""
    return ROSTER.get(state, role) or ()


def require_worker(state: State, account: bytes, role: str) -> Worker:
    """The account's record in the role. Raises `NotRegistered`."""
    worker = WORKERS.get(state, (account, role))
    if worker is None:
        raise NotRegistered(f"this account is not registered as {role!r}")
    return worker


def standing_asks(
    state: State, role: str, limit: int, lock_amount: int, before: int, excluded: Collection[bytes]
) -> list[Ask]:
    """Asks of all who could take a job now: under the price limit, with capacity and enough unlocked bond, not
    excluded, and unchanged since block ``before``."""
    minimum = parameters(state).minimum_bond
    asks = []
    for account in roster(state, role):
        worker = require_worker(state, account, role)
        able = worker.bond >= minimum and worker.bond - worker.locked >= lock_amount
        if able and worker.price <= limit and len(worker.jobs) < worker.capacity and worker.since <= before:
            asks.append(Ask(worker.price, account, worker.bond))
    return [ask for ask in asks if ask.account not in excluded]


def draw_weight(state: State, role: str) -> int:
    """Nanoseconds of going through the standing asks of a role, for hooks to count."""
    return CALLS["workers.ask"] * len(roster(state, role))


def lock(ctx: Context, who: bytes, role: str, job: bytes, amount: int) -> None:
    """Let ``job`` take ``amount`` of the bond as security. Raises `BondInUse` where too little is left."""
    worker = require_worker(ctx.state, who, role)
    if LOCKS.contains(ctx.state, (who, job)) or worker.bond - worker.locked < amount:
        raise BondInUse(f"{amount} units for a job, where {worker.locked} of {worker.bond} are locked")
    LOCKS.put(ctx.state, (who, job), Lock(role, amount))
    put_worker(ctx.state, replace(worker, locked=worker.locked + amount, jobs=(*worker.jobs, job)))
    ctx.deposit(BondLocked(who, role, job, amount))


def locked(state: State, who: bytes, job: bytes) -> int:
    """What the job still locks of the account's bond; 0 where there is no lock."""
    found = LOCKS.get(state, (who, job))
    return found.amount if found else 0


def unlock(ctx: Context, who: bytes, job: bytes, completed: bool = False) -> None:
    """End a job for a worker: what its lock still holds backs other jobs again."""
    found = LOCKS.get(ctx.state, (who, job))
    if found is None:
        return
    worker = require_worker(ctx.state, who, found.role)
    LOCKS.delete(ctx.state, (who, job))
    left = tuple(other for other in worker.jobs if other != job)
    done = worker.completed + int(completed)
    put_worker(ctx.state, replace(worker, locked=worker.locked - found.amount, jobs=left, completed=done))
    ctx.deposit(BondUnlocked(who, found.role, job, found.amount))


def slash(ctx: Context, who: bytes, job: bytes, amount: int, beneficiaries: Sequence[tuple[bytes, int]] = ()) -> int:
    """Take up to ``amount`` from a job's lock and pay it out; returns what was taken.

    The beneficiaries are served in their order as far as it goes, and the treasury keeps the rest.
    """
    found = LOCKS.get(ctx.state, (who, job))
    taken = min(amount, found.amount) if found else 0
    if found is None or taken == 0:
        return 0
    left, reason = taken, bond_reason(found.role)
    for account, wanted in beneficiaries:
        share = min(wanted, left)
        balances.move_held(ctx, who, reason, account, share)
        left -= share
    balances.move_held(ctx, who, reason, treasury.ACCOUNT, left)
    worker = require_worker(ctx.state, who, found.role)
    LOCKS.put(ctx.state, (who, job), Lock(found.role, found.amount - taken))
    figures = {"bond": worker.bond - taken, "locked": worker.locked - taken}
    put_worker(ctx.state, replace(worker, **figures, faults=worker.faults + 1, slashed=worker.slashed + taken))
    ctx.deposit(Slashed(who, found.role, job, taken, left))
    return taken


def put_worker(state: State, worker: Worker) -> None:
    """Store a worker, and keep the roster to those who have a bond."""
    WORKERS.put(state, (worker.account, worker.role), worker)
    accounts = roster(state, worker.role)
    if worker.bond > 0 and worker.account not in accounts:
        ROSTER.put(state, worker.role, (*accounts, worker.account))
    elif worker.bond == 0 and worker.account in accounts:
        ROSTER.put(state, worker.role, tuple(other for other in accounts if other != worker.account))


@PALLET.check
def check(state: State) -> None:
    """Locks add up to what each worker has locked, no bond is locked twice, and every bond is really held."""
    sums: dict[tuple[bytes, str], int] = {}
    counts: dict[tuple[bytes, str], int] = {}
    for (who, _), found in LOCKS.items(state):
        key = (who, found.role)
        sums[key], counts[key] = sums.get(key, 0) + found.amount, counts.get(key, 0) + 1
    for key, worker in WORKERS.items(state):
        waiting = sum(chunk.amount for chunk in UNBONDING.get(state, key) or ())
        if worker.locked != sums.pop(key, 0) or len(worker.jobs) != counts.get(key, 0) or worker.locked > worker.bond:
            raise InvariantBroken(f"{worker} does not add up to its locks")
        if balances.held(state, worker.account, bond_reason(worker.role)) != worker.bond + waiting:
            raise InvariantBroken(f"the bond of {worker} with {waiting} unbonding is not what is held")
        if (worker.bond > 0) != (worker.account in roster(state, worker.role)):
            raise InvariantBroken(f"{worker} is wrongly on or off the roster")
    if sums:
        raise InvariantBroken(f"locks of {len(sums)} workers that are not registered")
