"""What a worker may do with its offer: register, ask, bond, unbond and withdraw."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Record, replace
from runtime.market_parameters import MarketParameters
from runtime.pallet import Context
from runtime.pallets import balances
from runtime.pallets.workers.bonds import put_worker, require_worker, roster
from runtime.pallets.workers.storage import (
    MAXIMUM_CHUNKS,
    PALLET,
    ROLES,
    UNBONDING,
    WORKERS,
    AlreadyRegistered,
    AskChanged,
    BadAsk,
    Bonded,
    BondInUse,
    BondTooSmall,
    Chunk,
    NothingToWithdraw,
    Registered,
    RosterFull,
    TooManyChunks,
    Unbonded,
    UnknownRole,
    Withdrawn,
    Worker,
    bond_reason,
    parameters,
)
from runtime.weights import CALLS


class Register(Record):
    """Offer to work in ``role`` with a bond; ``price`` is for a unit of gas, ``capacity`` the jobs held at once."""

    role: str
    bond: U63
    price: U63
    capacity: U32


class SetAsk(Record):
    """Ask for another price or capacity. A capacity of 0 pauses."""

    role: str
    price: U63
    capacity: U32


class BondMore(Record):
    """Add ``amount`` to the bond."""

    role: str
    amount: U63


class Unbond(Record):
    """Take ``amount`` out of the bond, down to the minimum or to nothing."""

    role: str
    amount: U63


class Withdraw(Record):
    """Free everything that was unbonded long enough ago."""

    role: str


@PALLET.call(weight=CALLS["workers.register"])
def register(ctx: Context, origin: AccountId, args: Register) -> None:
    """Start to work in a role."""
    market = parameters(ctx.state)
    _require_role(args.role)
    _require_ask(market, args.price, args.capacity)
    known = WORKERS.get(ctx.state, (origin, args.role))
    if known is not None and known.bond > 0:
        raise AlreadyRegistered(f"this account is a {args.role} with a bond of {known.bond} units")
    if args.bond < market.minimum_bond:
        raise BondTooSmall(f"a bond of {args.bond} units; at least {market.minimum_bond} are needed")
    if len(roster(ctx.state, args.role)) >= market.maximum_workers:
        raise RosterFull(f"{market.maximum_workers} accounts are registered as {args.role} already")
    balances.hold(ctx, origin, bond_reason(args.role), args.bond)
    fresh = known or Worker(origin, args.role, 0, 0, 0, 0, 0, (), 0, 0, 0)
    changes = {"price": args.price, "capacity": args.capacity, "bond": args.bond, "since": ctx.number}
    put_worker(ctx.state, replace(fresh, **changes))
    ctx.deposit(Registered(origin, args.role, args.bond, args.price, args.capacity))


@PALLET.call(weight=CALLS["workers.set_ask"])
def set_ask(ctx: Context, origin: AccountId, args: SetAsk) -> None:
    """Change the standing ask."""
    worker = require_worker(ctx.state, origin, args.role)
    _require_ask(parameters(ctx.state), args.price, args.capacity)
    put_worker(ctx.state, replace(worker, price=args.price, capacity=args.capacity, since=ctx.number))
    ctx.deposit(AskChanged(origin, args.role, args.price, args.capacity))


@PALLET.call(weight=CALLS["workers.bond_more"])
def bond_more(ctx: Context, origin: AccountId, args: BondMore) -> None:
    """Raise the bond, hence the weight in draws and the jobs it can back."""
    worker = require_worker(ctx.state, origin, args.role)
    bond, minimum = worker.bond + args.amount, parameters(ctx.state).minimum_bond
    if bond < minimum:
        raise BondTooSmall(f"the bond would be {bond} units; at least {minimum} are needed")
    balances.hold(ctx, origin, bond_reason(args.role), args.amount)
    put_worker(ctx.state, replace(worker, bond=bond, since=ctx.number))
    ctx.deposit(Bonded(origin, args.role, args.amount, bond))


@PALLET.call(weight=CALLS["workers.unbond"])
def unbond(ctx: Context, origin: AccountId, args: Unbond) -> None:
    """Lower the bond. What jobs lock must stay."""
    market, key = parameters(ctx.state), (origin, args.role)
    worker = require_worker(ctx.state, origin, args.role)
    chunks = UNBONDING.get(ctx.state, key) or ()
    if len(chunks) >= MAXIMUM_CHUNKS:
        raise TooManyChunks(f"{len(chunks)} withdrawals are waiting, the first until block {chunks[0].release}")
    if args.amount == 0 or worker.bond - args.amount < worker.locked:
        raise BondInUse(f"{args.amount} of {worker.bond} units, of which jobs lock {worker.locked}")
    left = worker.bond - args.amount
    if 0 < left < market.minimum_bond:
        raise BondTooSmall(f"{left} units would be left; at least {market.minimum_bond} are needed, or none")
    release = ctx.finalized + market.unbonding_blocks
    UNBONDING.put(ctx.state, key, (*chunks, Chunk(args.amount, release)))
    put_worker(ctx.state, replace(worker, bond=left, since=ctx.number))
    ctx.deposit(Unbonded(origin, args.role, args.amount, left, release))


@PALLET.call(weight=CALLS["workers.withdraw"])
def withdraw(ctx: Context, origin: AccountId, args: Withdraw) -> None:
    """Free unbonded money; a worker without bond and jobs is forgotten with the last of it."""
    key = (origin, args.role)
    chunks = UNBONDING.get(ctx.state, key) or ()
    ready = sum(chunk.amount for chunk in chunks if chunk.release <= ctx.finalized)
    if ready == 0:
        raise NothingToWithdraw(f"{len(chunks)} withdrawals are waiting; block {ctx.finalized} is final")
    balances.release(ctx, origin, bond_reason(args.role), ready)
    left = tuple(chunk for chunk in chunks if chunk.release > ctx.finalized)
    if left:
        UNBONDING.put(ctx.state, key, left)
    else:
        UNBONDING.delete(ctx.state, key)
        worker = WORKERS.get(ctx.state, key)
        if worker is not None and worker.bond == 0 and not worker.jobs:
            WORKERS.delete(ctx.state, key)
    ctx.deposit(Withdrawn(origin, args.role, ready))


def _require_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownRole(f"{role!r}; the roles are {' and '.join(ROLES)}")


def _require_ask(market: MarketParameters, price: int, capacity: int) -> None:
    if price == 0 or capacity > market.maximum_capacity:
        raise BadAsk(f"price {price}, capacity {capacity}: at least 1, and at most {market.maximum_capacity}")
