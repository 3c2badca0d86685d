"""What the chain keeps about witnesses under challenge: records, storage, events and errors of the pallet."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.state import Map

PALLET = Pallet("jackpot")

MAXIMUM_COMMITMENTS = 16
"""Whistleblowers that one audit's round has room for; each puts up more than the audit costs."""


class RoundKey(Record):
    """An audit: its place on the board of an attempt's proof."""

    task: Hash
    attempt: U32
    place: U32


class Sealed(Record):
    """A whistleblower's commitment to the witness that it found, made in ``block`` with ``bond``."""

    account: AccountId
    commitment: Hash
    bond: U63
    block: U63


class Accusation(Record):
    """A whistleblower that found ``witness`` where the verifier claims another one, and its open dispute."""

    account: AccountId
    witness: Hash
    dispute: U63


class Round(Record):
    """Everything about the witness of one audit until it has stood its window.

    ``exposed`` is the block in which the verifier opened its secret, 0 before; from then on ``forced`` says whether the
    witness it had shown was a forced error, ``claim`` is the witness that it stands by and ``roots`` what that hashes.
    ``winners`` found a forced error. ``correct`` are who won a dispute about the claim, and who had found the same.
    """

    exposed: U63
    forced: bool
    claim: bytes
    roots: tuple[Hash, ...]
    sealed: tuple[Sealed, ...]
    accusations: tuple[Accusation, ...]
    winners: tuple[AccountId, ...]
    correct: tuple[AccountId, ...]


EMPTY = Round(0, False, b"", (), (), (), (), ())

# --- storage

ROUNDS: Map[RoundKey, Round] = PALLET.map("rounds", RoundKey, Round)
"""Only of audits about whose witness something is open."""

# --- events


@PALLET.event
class WitnessCommitted(Record):
    """A whistleblower committed to what it found in the segments of a verifier; ``fee`` of it is lost anyway."""

    task: Hash
    verifier: AccountId
    account: AccountId
    bond: U63
    fee: U63


@PALLET.event
class WitnessExposed(Record):
    """A verifier opened its forcing secret: whether its error was ``forced``, and the witness that it stands by."""

    task: Hash
    verifier: AccountId
    forced: bool
    claim: Hash


@PALLET.event
class WitnessRevealed(Record):
    """A whistleblower opened its commitment: it ``agrees`` with what the verifier stands by, or a dispute begins."""

    task: Hash
    verifier: AccountId
    account: AccountId
    agrees: bool


@PALLET.event
class WitnessForfeited(Record):
    """A whistleblower did not open its commitment in time; the pot has its bond."""

    task: Hash
    verifier: AccountId
    account: AccountId
    bond: U63


@PALLET.event
class WitnessStood(Record):
    """The witness of an audit stood its window: each of ``winners`` that found the forced error was paid ``share``."""

    task: Hash
    verifier: AccountId
    winners: tuple[AccountId, ...]
    share: U63


@PALLET.event
class WitnessRefuted(Record):
    """A verifier lost ``slashed`` over its witness: each of ``challengers`` was paid ``share`` of it."""

    task: Hash
    verifier: AccountId
    reason: str
    slashed: U63
    challengers: tuple[AccountId, ...]
    share: U63


# --- errors


@PALLET.error
class NotChallengeable(DispatchError):
    """The verifier has no witness whose window is open."""


@PALLET.error
class NotRevealing(DispatchError):
    """The window has not ended, or the time for opening has."""


@PALLET.error
class RoleConflict(DispatchError):
    """Submitter, solver and verifiers of a task do not bet on its witnesses."""


@PALLET.error
class AlreadyCommitted(DispatchError):
    """One commitment for each account and audit."""


@PALLET.error
class RoundFull(DispatchError):
    """As many whistleblowers as one audit has room for have committed."""


@PALLET.error
class WrongOpening(DispatchError):
    """What was opened is not what was committed to, or the two witnesses are one."""


@PALLET.error
class NotExposedYet(DispatchError):
    """The verifier has not opened its secret: wait for it, or for its time to end."""


@PALLET.error
class UnknownLeaf(DispatchError):
    """The witness has no such leaf."""
