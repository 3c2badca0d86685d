"""Balances: what every account owns, and holds on parts of it.

*Free* units can be spent; *held* units belong to the account but back a promise (an escrow, a bond) under a reason.
An account exists while its free balance is at least the *existential deposit*; below that it is removed and the rest,
the *dust*, is burned. Holds keep an account alive: nothing may take its free balance below the deposit while they
last, so releasing a hold never fails. Every unit is in exactly one account: `ISSUANCE` is their sum, below 2^63.
"""

from __future__ import annotations

from typing import Any

from runtime.codec import U63, AccountId, Record
from runtime.crypto import from_ss58
from runtime.errors import DispatchError
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import system
from runtime.state import Map, State
from runtime.trees import hash_tagged
from runtime.weights import CALLS

PALLET = Pallet("balances")
MAX_ISSUANCE = 2**63 - 1
TREASURY = hash_tagged(b"solvent:account", b"treasury")
"""The treasury's account, known here so that pallets before the treasury's own can pay into it."""


class Account(Record):
    """An account's units: free to spend, and the sum of all holds."""

    free: U63
    held: U63


EMPTY = Account(0, 0)

# --- storage

ACCOUNTS: Map[bytes, Account] = PALLET.map("accounts", AccountId, Account)
HOLDS: Map[tuple[bytes, bytes], int] = PALLET.map("holds", tuple[AccountId, bytes], U63)
ISSUANCE = PALLET.value("issuance", U63, 0)

# --- events


@PALLET.event
class Transferred(Record):
    """Free units moved from one account to another."""

    source: AccountId
    to: AccountId
    amount: U63


@PALLET.event
class AccountRemoved(Record):
    """An account fell below the existential deposit; the rest of it was burned."""

    account: AccountId
    dust: U63


@PALLET.event
class DustBurned(Record):
    """A payment too small to open its account was burned."""

    account: AccountId
    amount: U63


@PALLET.event
class Held(Record):
    """Free units were put under a hold."""

    account: AccountId
    reason: bytes
    amount: U63


@PALLET.event
class Released(Record):
    """Held units became free again."""

    account: AccountId
    reason: bytes
    amount: U63


@PALLET.event
class HeldMoved(Record):
    """Held units of one account became free units of another: a payment or a slash."""

    account: AccountId
    reason: bytes
    to: AccountId
    amount: U63


@PALLET.event
class Burned(Record):
    """Units ceased to exist."""

    account: AccountId
    amount: U63


# --- errors


@PALLET.error
class InsufficientBalance(DispatchError):
    """The free balance does not cover the amount."""


@PALLET.error
class KeepAlive(DispatchError):
    """The account would fall below the existential deposit, which this call or its holds forbid."""


@PALLET.error
class ExistentialDeposit(DispatchError):
    """The amount is too small to open the receiving account."""


@PALLET.error
class InsufficientHold(DispatchError):
    """Less is held under this reason than the amount."""


@PALLET.error
class IssuanceOverflow(DispatchError):
    """Total issuance would reach 2^63."""


# --- calls


class Transfer(Record):
    """``amount`` units to account ``to``; the sender's account may be closed by it."""

    to: AccountId
    amount: U63


class TransferKeepAlive(Record):
    """As `Transfer`, but fails rather than close the sender's account."""

    to: AccountId
    amount: U63


class TransferAll(Record):
    """Everything free to account ``to``; with ``keep_alive`` all but the existential deposit."""

    to: AccountId
    keep_alive: bool


@PALLET.call(weight=CALLS["balances.transfer"], name="transfer")
def call_transfer(ctx: Context, origin: AccountId, args: Transfer) -> None:
    """Send units; what is left below the existential deposit is burned and the account removed."""
    transfer(ctx, origin, args.to, args.amount)


@PALLET.call(weight=CALLS["balances.transfer_keep_alive"])
def transfer_keep_alive(ctx: Context, origin: AccountId, args: TransferKeepAlive) -> None:
    """Send units, keeping the sender's account open."""
    transfer(ctx, origin, args.to, args.amount, keep_alive=True)


@PALLET.call(weight=CALLS["balances.transfer_all"])
def transfer_all(ctx: Context, origin: AccountId, args: TransferAll) -> None:
    """Send everything that is free and may leave."""
    reserve = existential_deposit(ctx.state) if args.keep_alive or account(ctx.state, origin).held else 0
    amount = max(free(ctx.state, origin) - reserve, 0)
    transfer(ctx, origin, args.to, amount, keep_alive=args.keep_alive)


# --- hooks


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """Accounts as SS58 address -> decimal units."""
    minimum, total = existential_deposit(state), 0
    for address, amount in config["balances"].items():
        if not isinstance(amount, str) or not amount.isdecimal():
            raise ValueError(f"{address} starts with {amount!r}, which is not a decimal string of units")
        units = int(amount)
        if units < minimum:
            raise ValueError(f"{address} starts with {units} units, below the existential deposit of {minimum}")
        total += units
        ACCOUNTS.put(state, from_ss58(address), Account(units, 0))
    if total > MAX_ISSUANCE:
        raise ValueError(f"the genesis balances add up to {total}, which is not below 2^63")
    ISSUANCE.put(state, total)


# --- functions for other pallets


def existential_deposit(state: State) -> int:
    """The least free balance of an existing account."""
    return system.parameters(state).fees.existential_deposit


def account(state: State, who: bytes) -> Account:
    """An account's units; zeros for one that does not exist."""
    return ACCOUNTS.get(state, who) or EMPTY


def free(state: State, who: bytes) -> int:
    """Units the account can spend."""
    return account(state, who).free


def held(state: State, who: bytes, reason: bytes) -> int:
    """Units of the account held under ``reason``."""
    return HOLDS.get(state, (who, reason)) or 0


def spendable(state: State, who: bytes) -> int:
    """Units that can leave, or be held, without closing the account."""
    return max(free(state, who) - existential_deposit(state), 0)


def transfer(ctx: Context, source: bytes, to: bytes, amount: int, keep_alive: bool = False) -> None:
    """Move free units. Raises `InsufficientBalance`, `KeepAlive` or `ExistentialDeposit` before any write."""
    if source == to or amount == 0:
        _require_free(ctx.state, source, amount)
        return
    if free(ctx.state, to) + amount < existential_deposit(ctx.state):
        raise ExistentialDeposit(f"{amount} units do not open an account; {existential_deposit(ctx.state)} do")
    withdraw(ctx, source, amount, keep_alive)
    credit(ctx, to, amount)
    ctx.deposit(Transferred(source, to, amount))


def withdraw(ctx: Context, who: bytes, amount: int, keep_alive: bool = True) -> None:
    """Take free units out of an account, to be credited elsewhere by the caller in the same block."""
    before = _require_free(ctx.state, who, amount)
    if amount == 0:
        return
    left = before.free - amount
    if left >= existential_deposit(ctx.state):
        ACCOUNTS.put(ctx.state, who, Account(left, before.held))
        return
    if keep_alive or before.held:
        raise KeepAlive(f"{left} units would be left; {existential_deposit(ctx.state)} keep the account alive")
    ACCOUNTS.delete(ctx.state, who)
    ISSUANCE.put(ctx.state, ISSUANCE.get(ctx.state) - left)
    ctx.deposit(AccountRemoved(who, left))


def credit(ctx: Context, who: bytes, amount: int) -> None:
    """Add units that the caller took from somewhere. A sum too small to open the account is burned, never refused:
    hooks that pay people rely on it."""
    before = account(ctx.state, who)
    if before.free + amount >= existential_deposit(ctx.state):
        ACCOUNTS.put(ctx.state, who, Account(before.free + amount, before.held))
    elif amount:
        ISSUANCE.put(ctx.state, ISSUANCE.get(ctx.state) - amount)
        ctx.deposit(DustBurned(who, amount))


def hold(ctx: Context, who: bytes, reason: bytes, amount: int) -> None:
    """Put free units under a hold, adding to what the reason already holds. The account must stay alive."""
    before = _require_free(ctx.state, who, amount)
    if amount == 0:
        return
    if before.free - amount < existential_deposit(ctx.state):
        raise KeepAlive(f"holding {amount} of {before.free} units would leave less than the existential deposit")
    ACCOUNTS.put(ctx.state, who, Account(before.free - amount, before.held + amount))
    HOLDS.put(ctx.state, (who, reason), held(ctx.state, who, reason) + amount)
    ctx.deposit(Held(who, reason, amount))


def release(ctx: Context, who: bytes, reason: bytes, amount: int) -> None:
    """Make held units free again."""
    if amount == 0:
        return
    _take_held(ctx.state, who, reason, amount)
    before = account(ctx.state, who)
    ACCOUNTS.put(ctx.state, who, Account(before.free + amount, before.held))
    ctx.deposit(Released(who, reason, amount))


def move_held(ctx: Context, who: bytes, reason: bytes, to: bytes, amount: int) -> None:
    """Pay held units of ``who`` to the free balance of ``to``."""
    if amount == 0:
        return
    _take_held(ctx.state, who, reason, amount)
    credit(ctx, to, amount)
    ctx.deposit(HeldMoved(who, reason, to, amount))


def move_hold(ctx: Context, who: bytes, reason: bytes, new_reason: bytes, amount: int) -> None:
    """Put held units of an account under another reason."""
    release(ctx, who, reason, amount)
    hold(ctx, who, new_reason, amount)


def burn(ctx: Context, who: bytes, amount: int) -> None:
    """Destroy free units; the account may be closed by it."""
    withdraw(ctx, who, amount, keep_alive=False)
    ISSUANCE.put(ctx.state, ISSUANCE.get(ctx.state) - amount)
    ctx.deposit(Burned(who, amount))


def burn_held(ctx: Context, who: bytes, reason: bytes, amount: int) -> None:
    """Destroy held units."""
    if amount == 0:
        return
    _take_held(ctx.state, who, reason, amount)
    ISSUANCE.put(ctx.state, ISSUANCE.get(ctx.state) - amount)
    ctx.deposit(Burned(who, amount))


def mint(ctx: Context, who: bytes, amount: int) -> None:
    """Create units. Raises `IssuanceOverflow` at 2^63."""
    total = ISSUANCE.get(ctx.state) + amount
    if total > MAX_ISSUANCE:
        raise IssuanceOverflow(f"an issuance of {total} units is not below 2^63")
    ISSUANCE.put(ctx.state, total)
    credit(ctx, who, amount)


def _require_free(state: State, who: bytes, amount: int) -> Account:
    owned = account(state, who)
    if not 0 <= amount <= owned.free:
        raise InsufficientBalance(f"{amount} units where {owned.free} are free")
    return owned


def _take_held(state: State, who: bytes, reason: bytes, amount: int) -> None:
    under_reason = held(state, who, reason)
    if not 0 <= amount <= under_reason:
        raise InsufficientHold(f"{amount} units where {under_reason} are held under {reason!r}")
    if under_reason == amount:
        HOLDS.delete(state, (who, reason))
    else:
        HOLDS.put(state, (who, reason), under_reason - amount)
    before = account(state, who)
    ACCOUNTS.put(state, who, Account(before.free, before.held - amount))


@PALLET.check
def check(state: State) -> None:
    """Every unit is in one account, every hold is in its account's sum, and every account is alive."""
    minimum, total, sums = existential_deposit(state), 0, dict[bytes, int]()
    for (who, reason), amount in HOLDS.items(state):
        if amount == 0:
            raise InvariantBroken(f"an empty hold is stored for {who.hex()} under {reason!r}")
        sums[who] = sums.get(who, 0) + amount
    for who, owned in ACCOUNTS.items(state):
        if owned.free < minimum or owned.held != sums.pop(who, 0):
            raise InvariantBroken(f"account {who.hex()} has {owned} with a deposit of {minimum}")
        total += owned.free + owned.held
    if sums or total != ISSUANCE.get(state):
        raise InvariantBroken(f"accounts add up to {total}, issuance is {ISSUANCE.get(state)}, lost holds {len(sums)}")
