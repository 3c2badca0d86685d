"""Transaction payment: what inclusion costs, and the multiplier that follows demand.

Fee = base + length x price per byte + weight x price x multiplier + tip. The *multiplier* (parts per 10^9) rises while
blocks are fuller than the target and falls while they are emptier, by Substrate's slow adjustment (Web3 Foundation,
"Token Economics", section "Slow adjusting mechanism"): with v the adjustment and d = fullness - target,
next = multiplier x (1 + v d + (v d)^2 / 2).
"""

from __future__ import annotations

from runtime.codec import U63, AccountId, Record
from runtime.errors import DispatchError
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import balances, system
from runtime.parameters import PARTS, BlockParameters, FeeParameters
from runtime.state import State

PALLET = Pallet("transaction_payment")

# --- storage

MULTIPLIER = PALLET.value("multiplier", U63, PARTS)

# --- events


@PALLET.event
class FeePaid(Record):
    """What an extrinsic cost its signer: ``fee`` includes the ``tip``."""

    payer: AccountId
    fee: U63
    tip: U63


# --- errors


@PALLET.error
class Unaffordable(DispatchError):
    """The signer cannot pay the fee and stay alive. An extrinsic like that is never included."""


# --- hooks


@PALLET.on_finalize
def adjust_multiplier(ctx: Context) -> None:
    """Follow the demand for ordinary extrinsics that this block saw."""
    params = system.parameters(ctx.state)
    fullness = compute_fullness(params.block, ctx.normal_weight, ctx.normal_length)
    current = MULTIPLIER.get(ctx.state)
    adjusted = compute_next_multiplier(params.fees, current, fullness)
    if adjusted != current:
        MULTIPLIER.put(ctx.state, adjusted)


# --- functions for the executive, other pallets and the RPC


def compute_fee(state: State, length: int, weight: int, tip: int) -> int:
    """Units that an extrinsic of that length (bytes) and weight (nanoseconds) costs now, tip included."""
    prices = system.parameters(state).fees
    weight_fee = weight * prices.weight_price * MULTIPLIER.get(state) // (PARTS * PARTS)
    return prices.base + length * prices.per_byte + weight_fee + tip


def require_means(state: State, who: bytes, fee: int) -> None:
    """Raise `Unaffordable` unless the account stays alive after paying: a fee never closes an account."""
    spendable = balances.spendable(state, who)
    if spendable < fee:
        raise Unaffordable(f"the fee is {fee} units; the signer can spend {spendable}")


def charge(ctx: Context, who: bytes, fee: int, tip: int) -> None:
    """Take the fee; it is paid out when the block ends. Raises `Unaffordable`."""
    require_means(ctx.state, who, fee)
    balances.withdraw(ctx, who, fee, keep_alive=True)
    ctx.fees += fee
    ctx.deposit(FeePaid(who, fee, tip))


def compute_fullness(limits: BlockParameters, weight: int, length: int) -> int:
    """How full a block's ordinary share is, in parts: the fuller of weight and length."""
    weight_share = weight * PARTS * PARTS // (limits.weight_limit * limits.normal_share)
    length_share = length * PARTS * PARTS // (limits.length_limit * limits.normal_share)
    return min(max(weight_share, length_share), PARTS)


def compute_next_multiplier(prices: FeeParameters, multiplier: int, fullness: int) -> int:
    """The next block's multiplier. Steps are rounded down, so it moves by at least one part only when v d does."""
    difference = fullness - prices.target_fullness
    first = prices.adjustment * abs(difference) // PARTS
    second = first * first // (2 * PARTS)
    if difference >= 0:
        moved = multiplier + multiplier * (first + second) // PARTS
    else:
        moved = multiplier - multiplier * (first - min(second, first)) // PARTS
    return max(prices.minimum_multiplier, min(moved, prices.maximum_multiplier))


@PALLET.check
def check(state: State) -> None:
    """The multiplier stays within its bounds."""
    prices, multiplier = system.parameters(state).fees, MULTIPLIER.get(state)
    if not prices.minimum_multiplier <= multiplier <= prices.maximum_multiplier:
        raise InvariantBroken(f"the fee multiplier is {multiplier} parts")
