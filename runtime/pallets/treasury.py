"""Treasury: the network's own account. It receives a share of every fee and of every settled job.

Nobody holds its key: the account id is a hash of its name. Rounding is in favour of the other side: the treasury's
share is rounded down and the author, or whoever is paid, keeps the remainder.
"""

from __future__ import annotations

from typing import Any

from runtime.codec import U63, AccountId, Record
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import balances, system
from runtime.parameters import PARTS
from runtime.state import State
from runtime.trees import hash_tagged

PALLET = Pallet("treasury")
ACCOUNT = balances.TREASURY
"""The treasury's account id."""
POT = hash_tagged(b"solvent:account", b"jackpot")
"""The pot that pays for forced errors (pallet `jackpot`): an account like the treasury's, which tasks pay into."""

# --- events


@PALLET.event
class FeesDistributed(Record):
    """The fees and tips of a block: what its author received, and what the treasury kept."""

    author: AccountId
    author_amount: U63
    treasury_amount: U63


@PALLET.event
class ShareDeposited(Record):
    """The treasury's share of a payment."""

    payer: AccountId
    amount: U63


# --- hooks


@PALLET.on_finalize
def distribute_fees(ctx: Context) -> None:
    """Pay the block's fees and tips: the treasury its share, the author the rest.

    An author whose account does not exist and would not be opened by its part leaves that to the treasury.
    """
    if ctx.fees == 0:
        return
    share = ctx.fees * system.parameters(ctx.state).fees.treasury_share // PARTS
    rest = ctx.fees - share
    if balances.free(ctx.state, ctx.author) + rest < balances.existential_deposit(ctx.state):
        share, rest = ctx.fees, 0
    balances.credit(ctx, ACCOUNT, share)
    balances.credit(ctx, ctx.author, rest)
    ctx.deposit(FeesDistributed(ctx.author, rest, share))
    ctx.fees = 0


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """Open both accounts with the existential deposit, so that no share is ever too small for them."""
    minimum = balances.existential_deposit(state)
    for account in (ACCOUNT, POT):
        balances.ACCOUNTS.put(state, account, balances.Account(minimum, 0))
        balances.ISSUANCE.put(state, balances.ISSUANCE.get(state) + minimum)


# --- functions for other pallets


def compute_share(state: State, amount: int) -> int:
    """The treasury's share of a payment, rounded down."""
    return amount * system.parameters(state).fees.treasury_share // PARTS


def deposit_share(ctx: Context, payer: bytes, reason: bytes, amount: int) -> None:
    """Move ``amount`` units that ``payer`` holds under ``reason`` to the treasury."""
    balances.move_held(ctx, payer, reason, ACCOUNT, amount)
    ctx.deposit(ShareDeposited(payer, amount))


@PALLET.check
def check(state: State) -> None:
    """The treasury's account and the pot exist."""
    if min(balances.free(state, account) for account in (ACCOUNT, POT)) < balances.existential_deposit(state):
        raise InvariantBroken("the account of the treasury or of the pot is closed")
