"""Workers: who offers to train or to verify, at which price, and the bonds that back their jobs.

A worker registers for a *role* with a *bond*, a held sum. Its *ask* is the price of a unit of gas and a *capacity*,
the jobs it will hold at once. A job *locks* part of the bond until nobody can dispute it any more; a *slash* takes from
that lock. Only what no job locks can be unbonded, and it can still not be withdrawn for longer than any window. A draw
counts only workers whose ask and bond are older than the randomness it uses, so nobody can fit themselves to it.
"""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.errors import DispatchError
from runtime.market_parameters import MarketParameters
from runtime.pallet import Pallet
from runtime.pallets import system
from runtime.state import Map, State

PALLET = Pallet("workers")

SOLVER = "solver"
VERIFIER = "verifier"
ROLES = (SOLVER, VERIFIER)
MAXIMUM_CHUNKS = 16
"""Withdrawals that one worker may have waiting."""


class Worker(Record):
    """One account in one role. ``since`` is the block of the last change of its ask or bond; ``jobs`` are the task
    ids that lock ``locked`` of ``bond``; ``faults`` counts slashes and ``slashed`` sums them."""

    account: AccountId
    role: str
    price: U63
    capacity: U32
    bond: U63
    locked: U63
    since: U63
    jobs: tuple[Hash, ...]
    completed: U63
    faults: U63
    slashed: U63


class Lock(Record):
    """The part of a worker's bond that backs one job."""

    role: str
    amount: U63


class Chunk(Record):
    """Unbonded money, to be withdrawn from finalized block ``release`` on."""

    amount: U63
    release: U63


# --- storage

WORKERS: Map[tuple[bytes, str], Worker] = PALLET.map("workers", tuple[AccountId, str], Worker)
ROSTER: Map[str, tuple[bytes, ...]] = PALLET.map("roster", str, tuple[AccountId, ...])
"""The accounts with a bond in each role: what a draw goes through."""
LOCKS: Map[tuple[bytes, bytes], Lock] = PALLET.map("locks", tuple[AccountId, Hash], Lock)
"""(account, job) -> lock. A key never has two roles on the same job."""
UNBONDING: Map[tuple[bytes, str], tuple[Chunk, ...]] = PALLET.map("unbonding", tuple[AccountId, str], tuple[Chunk, ...])

# --- events


@PALLET.event
class Registered(Record):
    """A worker offers itself."""

    account: AccountId
    role: str
    bond: U63
    price: U63
    capacity: U32


@PALLET.event
class AskChanged(Record):
    """A worker asks for another price, or for more or fewer jobs."""

    account: AccountId
    role: str
    price: U63
    capacity: U32


@PALLET.event
class Bonded(Record):
    """A worker added to its bond."""

    account: AccountId
    role: str
    amount: U63
    bond: U63


@PALLET.event
class Unbonded(Record):
    """Part of a bond backs no more jobs, and can be withdrawn from ``release`` on."""

    account: AccountId
    role: str
    amount: U63
    bond: U63
    release: U63


@PALLET.event
class Withdrawn(Record):
    """Unbonded money is free again."""

    account: AccountId
    role: str
    amount: U63


@PALLET.event
class BondLocked(Record):
    """A job took part of a bond as security."""

    account: AccountId
    role: str
    job: Hash
    amount: U63


@PALLET.event
class BondUnlocked(Record):
    """A job is over for this worker: what was left of its lock backs nothing any more."""

    account: AccountId
    role: str
    job: Hash
    amount: U63


@PALLET.event
class Slashed(Record):
    """Part of a lock was taken; ``to_treasury`` of it went to the treasury, the rest to those who had a claim."""

    account: AccountId
    role: str
    job: Hash
    amount: U63
    to_treasury: U63


# --- errors


@PALLET.error
class UnknownRole(DispatchError):
    """There is no such role."""


@PALLET.error
class AlreadyRegistered(DispatchError):
    """The account works in this role already: change the ask, or bond more."""


@PALLET.error
class NotRegistered(DispatchError):
    """The account does not work in this role."""


@PALLET.error
class BondTooSmall(DispatchError):
    """The bond would be below the minimum. Bond more, or unbond all of it."""


@PALLET.error
class BondInUse(DispatchError):
    """Jobs lock that part of the bond: wait until they settle."""


@PALLET.error
class BadAsk(DispatchError):
    """A price of 0, or a capacity past the chain's bound."""


@PALLET.error
class RosterFull(DispatchError):
    """As many workers as the chain allows have registered for the role."""


@PALLET.error
class TooManyChunks(DispatchError):
    """Too many withdrawals are waiting: withdraw the oldest first."""


@PALLET.error
class NothingToWithdraw(DispatchError):
    """No unbonded money has waited long enough."""


# --- what every part of the market reads


def parameters(state: State) -> MarketParameters:
    """The market's figures on this network."""
    return system.parameters(state).market


def bond_reason(role: str) -> bytes:
    """The reason under which a role's bond is held."""
    return b"bond:" + role.encode()
