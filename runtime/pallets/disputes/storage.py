"""What the chain keeps about disputes: records, storage, events and errors of the pallet."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.deadlines import DeadlineQueue
from runtime.dispute.moves import InvalidMove
from runtime.dispute.parameters import DisputeParameters
from runtime.dispute.records import Descent, Evidence, Game, Verdict
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.pallets import system
from runtime.state import Map, State

PALLET = Pallet("disputes")

PROOF = "proof"
WITNESS = "witness"

OPEN = "open"
CHALLENGER_WON = "challenger_won"
DEFENDER_WON = "defender_won"
CANCELLED = "cancelled"


class Dispute(Record):
    """One dispute about the proof of an ``attempt``: of kind ``proof`` against its solver, of kind ``witness`` against
    what a verifier says of a state inside the segment. ``moves`` were played; ``defender_blocks`` and
    ``challenger_blocks`` are left on the clocks.

    ``waits_for`` is ``defender`` or ``challenger``, or empty at the end; that party's clock runs since finalized height
    ``since`` and is empty at ``deadline``. ``committed`` is the block in which the challenger committed to the dispute.
    ``ended`` is the block it ended in, 0 while it is open. If the challenger won, ``rewarded`` received ``reward``: the
    earliest that had committed to this challenge.
    """

    task: Hash
    attempt: U32
    kind: str
    segment: U32
    challenger: AccountId
    defender: AccountId
    bond: U63
    status: str
    committed: U63
    opened: U63
    moves: U32
    waits_for: str
    defender_blocks: U63
    challenger_blocks: U63
    since: U63
    deadline: U63
    ended: U63
    rewarded: bytes
    reward: U63


class Commitment(Record):
    """A challenge of the proof of an ``attempt`` that nobody can read yet; ``bond`` is held until ``deadline``."""

    task: Hash
    attempt: U32
    challenger: AccountId
    commitment: Hash
    bond: U63
    block: U63
    deadline: U63


class NotRevealed(Record):
    """A deadline: that commitment must be revealed by then."""

    number: U63


class Disputed(Record):
    """A claim: one segment of the proof of an attempt."""

    task: Hash
    attempt: U32
    segment: U32


class Claimant(Record):
    """An open dispute, and the block in which its challenger committed to it."""

    committed: U63
    dispute: U63


class LoggedMove(Record):
    """One move of a finished or running dispute: who played what, how long it was, and where the game stood then."""

    mover: str
    kind: str
    bytes: U32
    level: str
    width: U63
    height: U63
    index: U63
    block: U63


class Timeout(Record):
    """A deadline: the clock is empty if the dispute is still at this many moves."""

    dispute: U63
    moves: U32


class Line(Record):
    """The open disputes about the proof of an ``attempt``: the ``first`` and the ``last`` one's number."""

    attempt: U32
    first: U63
    last: U63


class Link(Record):
    """The neighbours of a dispute in its line, of which it has one or both, or none (`lines.END`)."""

    before: U63
    after: U63


class Pointless(Record):
    """Disputes whose claim another one has voided: the ``first`` of them, and those behind it in the line."""

    first: U63


class DemandKey(Record):
    """The state that a segment of a task starts from."""

    task: Hash
    segment: U32


class Demand(Record):
    """Who asks the solver of an attempt for a state, the ``number``-th time. ``by_verifier``: it drew the segment, so
    the solver pays the holders. ``answered``: the solver has had the state placed under the name ``placement``;
    ``open`` until it is available, or lost the proof."""

    attempt: U32
    number: U32
    demander: AccountId
    by_verifier: bool
    placement: Hash
    answered: bool
    open: bool


class DemandDue(Record):
    """A deadline: look at the demand if it is still about that placement."""

    key: DemandKey
    placement: Hash


# --- storage

NEXT = PALLET.value("next", U63, 0)
"""The number of the next dispute."""
DISPUTES: Map[int, Dispute] = PALLET.map("disputes", U63, Dispute)
GAMES: Map[int, Game] = PALLET.map("games", U63, Game)
"""Only of open disputes."""
VERDICTS: Map[int, Verdict] = PALLET.map("verdicts", U63, Verdict)
MOVES: Map[tuple[int, int], LoggedMove] = PALLET.map("moves", tuple[U63, U32], LoggedMove)
"""(dispute, number from 0) -> the move, for whoever wants to draw the descent."""
NEXT_COMMITMENT = PALLET.value("next_commitment", U63, 0)
"""The number of the next commitment."""
COMMITMENTS: Map[int, Commitment] = PALLET.map("commitments", U63, Commitment)
CLAIMANTS: Map[Disputed, tuple[Claimant, ...]] = PALLET.map("claimants", Disputed, tuple[Claimant, ...])
"""The first open disputes about a claim, the earliest committed one first."""
REVELATIONS: DeadlineQueue[NotRevealed] = DeadlineQueue(PALLET, "revelations", NotRevealed)
LINES: Map[bytes, Line] = PALLET.map("lines", Hash, Line)
"""Task -> the line of open disputes about the proof that stands, in the order of their opening (see `lines`)."""
LINKS: Map[int, Link] = PALLET.map("links", U63, Link)
"""Dispute -> its neighbours, while it is open."""
TIMEOUTS: DeadlineQueue[Timeout] = DeadlineQueue(PALLET, "timeouts", Timeout)
CANCELLATIONS: DeadlineQueue[Pointless] = DeadlineQueue(PALLET, "cancellations", Pointless)
"""Disputes about a voided claim that no block had room to cancel yet."""

DEMANDS: Map[DemandKey, Demand] = PALLET.map("demands", DemandKey, Demand)
"""The last demand of each segment."""
DEMAND_DUES: DeadlineQueue[DemandDue] = DeadlineQueue(PALLET, "demand_dues", DemandDue)

# --- events


@PALLET.event
class CommitmentMade(Record):
    """Somebody committed to a challenge with ``bond``, and must reveal it before finalized height ``deadline``."""

    number: U63
    task: Hash
    challenger: AccountId
    bond: U63
    deadline: U63


@PALLET.event
class CommitmentEnded(Record):
    """A commitment was ``revealed`` (the dispute holds a bond of its own), ``forfeited`` to the treasury, or
    ``returned``, because the proof it was about is gone."""

    number: U63
    task: Hash
    challenger: AccountId
    how: str
    bond: U63


@PALLET.event
class StateDemanded(Record):
    """The solver must place the state that a segment starts from by ``deadline``."""

    task: Hash
    segment: U32
    demander: AccountId
    by_verifier: bool
    deadline: U63


@PALLET.event
class StateDelivered(Record):
    """The state is available under the name ``placement``: everybody can replay the segment."""

    task: Hash
    segment: U32
    placement: Hash


@PALLET.event
class StateWithheld(Record):
    """The solver did not place a state, or nobody could get it: the proof is void, ``rewarded`` (who committed to
    a challenge of the segment first, else the demander) has ``reward``."""

    task: Hash
    segment: U32
    solver: AccountId
    demander: AccountId
    rewarded: AccountId
    reward: U63


@PALLET.event
class DisputeOpened(Record):
    """A challenger disputes a segment; the defender must move before finalized height ``deadline``."""

    dispute: U63
    task: Hash
    segment: U32
    challenger: AccountId
    defender: AccountId
    bond: U63
    deadline: U63


@PALLET.event
class MovePlayed(Record):
    """Move ``number`` was legal. ``phase`` is what the game waits for now, ``turn`` from whom, until ``deadline``.

    The move that ends a game has phase ``decided``, and the event of the decision follows.
    """

    dispute: U63
    number: U32
    mover: str
    kind: str
    bytes: U32
    phase: str
    turn: str
    level: str
    width: U63
    height: U63
    index: U63
    deadline: U63


@PALLET.event
class DisputeDecided(Record):
    """A dispute ended. If the challenger won, ``rewarded``, who was the first to commit to it, received ``reward`` of
    the slash; a losing challenger paid its ``bond``."""

    dispute: U63
    task: Hash
    segment: U32
    challenger: AccountId
    defender: AccountId
    winner: str
    reason: str
    evidence: Evidence
    trail: tuple[Descent, ...]
    rewarded: bytes
    reward: U63
    bond: U63


@PALLET.event
class DisputeCancelled(Record):
    """Another dispute voided the claim; the challenger has its bond back."""

    dispute: U63
    task: Hash
    segment: U32
    challenger: AccountId
    bond: U63


# --- errors


@PALLET.error
class AlreadyDemanded(DispatchError):
    """The state was demanded of this proof, and is placed or about to be."""


@PALLET.error
class NotDemanded(DispatchError):
    """No demand waits for this state."""


@PALLET.error
class WrongState(DispatchError):
    """The tensors do not hash to the registered checkpoint."""


PALLET.error(InvalidMove)


@PALLET.error
class UnknownDispute(DispatchError):
    """There is no dispute of this number."""


@PALLET.error
class DisputeEnded(DispatchError):
    """The dispute is over."""


@PALLET.error
class NotAParty(DispatchError):
    """Only the challenger and the defender of a dispute play in it."""


@PALLET.error
class ClockEmpty(DispatchError):
    """The clock ran out before this move: the dispute is lost with the next block."""


@PALLET.error
class DefendsItself(DispatchError):
    """A solver cannot dispute its own claim."""


@PALLET.error
class UnknownCommitment(DispatchError):
    """The account made no commitment of this number, or it is over."""


@PALLET.error
class WrongRevelation(DispatchError):
    """Segment and salt do not hash to the commitment."""


@PALLET.error
class NotFinalYet(DispatchError):
    """A fork could still undo the commitment: reveal it once its block is final."""


@PALLET.error
class StaleMove(DispatchError):
    """The move answers another position: it was sent twice, or the game went on."""


# --- what every part of the pallet reads


def parameters(state: State) -> DisputeParameters:
    """The figures of the game on this network."""
    return system.parameters(state).disputes


def commitment_reason(number: int) -> bytes:
    """The reason under which the bond of a commitment is held."""
    return b"commit:" + number.to_bytes(8, "big")


def bond_reason(number: int) -> bytes:
    """The reason under which the bond of a dispute is held."""
    return b"dispute:" + number.to_bytes(8, "big")
