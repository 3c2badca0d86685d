"""Staking: whose money stands behind the blocks, the election of validators by it, and what a slash takes.

An account *bonds* part of its balance as its *stake*. With a session key it may *validate*, that is stand for
election; `chill` withdraws that. Each era the accounts with the largest own stakes are elected, and the stake they
have at that moment is their weight everywhere: in the lottery for slots, in votes and in slashes. Equal stakes are
ranked by account id. If nobody stands, the set goes on and its era does not end.

*Unbonded* stake backs nothing new, but can be slashed until it is withdrawn, eras later: longer than an offence of any
set that it was part of can be reported (`session.is_punishable`). Eras, not blocks, are counted, and an era ends only
with its successor in office, so a long stop of the chain or of finality sets no stake free that still has weight.
"""

from __future__ import annotations

from runtime.codec import U63, AccountId, Record
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.pallets import system
from runtime.parameters import ConsensusParameters
from runtime.state import Map, State, Value

PALLET = Pallet("staking")

REASON = b"stake"
"""Why stake, and stake that is being unbonded, is held."""
MAXIMUM_CHUNKS = 32
"""Withdrawals that one account may have waiting; those of one era are one."""


class Chunk(Record):
    """Unbonded stake, to be withdrawn from era ``release`` on."""

    amount: U63
    release: U63


class Ledger(Record):
    """One account's stake: what is bonded, what is being unbonded (the oldest first), and what slashes have taken."""

    stake: U63
    chunks: tuple[Chunk, ...]
    slashed: U63


# --- storage

LEDGERS: Map[bytes, Ledger] = PALLET.map("ledgers", AccountId, Ledger)
CANDIDATES: Value[tuple[bytes, ...]] = PALLET.value("candidates", tuple[AccountId, ...], ())
"""The accounts that stand for election."""

# --- events


@PALLET.event
class Bonded(Record):
    """An account added ``amount`` to its stake."""

    account: AccountId
    amount: U63
    stake: U63


@PALLET.event
class Unbonded(Record):
    """Part of a stake will count no more in elections, and can be withdrawn from era ``release`` on."""

    account: AccountId
    amount: U63
    stake: U63
    release: U63


@PALLET.event
class Withdrawn(Record):
    """Unbonded stake is free again."""

    account: AccountId
    amount: U63


@PALLET.event
class Validating(Record):
    """An account stands for election."""

    account: AccountId
    stake: U63


@PALLET.event
class Chilled(Record):
    """An account stands for election no more."""

    account: AccountId


@PALLET.event
class Elected(Record):
    """The validators of the coming era: how many, and their stakes together."""

    era: U63
    validators: U63
    total: U63


@PALLET.event
class Slashed(Record):
    """A stake was slashed: ``reward`` went to the reporter, the rest of ``amount`` to the treasury."""

    account: AccountId
    amount: U63
    reward: U63


# --- errors


@PALLET.error
class AlreadyBonded(DispatchError):
    """The account has a stake: bond more, or wait until the last of it is withdrawn."""


@PALLET.error
class NotBonded(DispatchError):
    """The account has no stake."""


@PALLET.error
class StakeTooSmall(DispatchError):
    """The stake would be below the minimum: bond more, or unbond all of it."""


@PALLET.error
class NothingToUnbond(DispatchError):
    """The amount is zero, or more than is bonded."""


@PALLET.error
class TooManyChunks(DispatchError):
    """Too many withdrawals are waiting: withdraw the oldest first."""


@PALLET.error
class NothingToWithdraw(DispatchError):
    """No unbonded stake has waited long enough."""


@PALLET.error
class AlreadyValidating(DispatchError):
    """The account stands for election already."""


@PALLET.error
class NotValidating(DispatchError):
    """The account does not stand for election."""


@PALLET.error
class StakesTooLarge(DispatchError):
    """As many accounts as the chain allows stand for election, none with a smaller stake."""


# --- what every part of staking reads


def parameters(state: State) -> ConsensusParameters:
    return system.parameters(state).consensus
