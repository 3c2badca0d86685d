"""What the chain keeps about proofs and audits: records, storage, events and errors of the pallet."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.deadlines import DeadlineQueue
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.state import Map

PALLET = Pallet("proofs")

DRAWN = "drawn"
ACCEPTED = "accepted"
OPENED = "opened"
PASSED = "passed"
FAILED = "failed"
DISPUTING = "disputing"
SEALED = "sealed"
CALLED = "called"
REPLACED = "replaced"
VOIDED = "voided"

UNDECIDED = (DRAWN, ACCEPTED, OPENED, SEALED, CALLED, FAILED, DISPUTING)
"""An audit in one of these keeps the challenge window from starting."""

SEARCHING = "searching"
AUDITS_RUN = "auditing"
WINDOW = "window"
REVEALING = "revealing"
VOID = "void"
DONE = "done"


class Proof(Record):
    """A proof-of-learning: the state root after the initialisation and at every checkpoint, and where the artifacts
    lie (``manifest`` is a blob root). ``registered`` is the block it came in."""

    task: Hash
    attempt: U32
    solver: AccountId
    checkpoints: tuple[Hash, ...]
    manifest: Hash
    registered: U63


class Audit(Record):
    """One verifier's audit of a proof.

    ``drawn``: the verifier must accept; ``accepted``: it committed to a secret in block ``accepted``; ``opened``: the
    ``beacon`` is there, so segments are fixed and a verdict is due; ``sealed`` or ``failed``: ``secret``, ``segments``
    and ``failed`` are known; ``called``: the ``decider``, a beacon after the verdict, is there, and one of the
    ``seals`` must be opened; ``passed``: the ``witness`` is known; a failed one must dispute (``disputing``);
    ``replaced``: it counts no more; ``voided``: it passed a segment about which the solver then lost a dispute by
    silence, so it is neither paid nor slashed. ``deadline`` is a finalized height, 0 for none; ``gas`` is what the
    verdict's replay took. ``forcing`` is the commitment to the secret that decides about a forced error, ``sealed`` the
    block of the verdict, ``jackpot`` what a forced error of this audit pays. The witness of a ``proven`` one has stood
    its window.
    """

    verifier: AccountId
    status: str
    commitment: bytes
    accepted: U63
    beacon: bytes
    secret: bytes
    segments: tuple[U32, ...]
    failed: tuple[U32, ...]
    gas: U63
    deadline: U63
    forcing: bytes
    seals: tuple[Hash, ...]
    sealed: U63
    decider: bytes
    witness: bytes
    jackpot: U63
    proven: bool


class Board(Record):
    """All audits of the latest proof of a task, those of replaced verifiers too.

    ``phase``: ``searching`` for verifiers, ``auditing``, the challenge ``window`` until finalized height ``window``,
    ``revealing`` whose witness was a forced error, then ``done``; ``void`` once a dispute was lost. ``since`` is the
    block whose beacon draws the next verifiers and ``searched`` the height at which the search began. ``disputes``
    counts the open ones, and ``commitments`` the challenges that somebody has committed to and not revealed yet.
    """

    attempt: U32
    phase: str
    audits: tuple[Audit, ...]
    since: U63
    searched: U63
    window: U63
    disputes: U32
    commitments: U32


class Appointment(Record):
    """A deadline. ``status`` of an audit: look at audit ``place`` if it still has it. A phase of the board: look at the
    board if it is still in it; while searching, ``place`` is the block whose beacon draws."""

    task: Hash
    attempt: U32
    place: U63
    status: str


class DisputeKey(Record):
    """Who disputes which segment of which task."""

    task: Hash
    segment: U32
    challenger: AccountId


# --- storage

PROOFS: Map[bytes, Proof] = PALLET.map("proofs", Hash, Proof)
"""The latest proof of each task."""
AUDITS: Map[bytes, Board] = PALLET.map("audits", Hash, Board)
DISPUTES: Map[DisputeKey, int] = PALLET.map("disputes", DisputeKey, U32)
"""Open disputes -> the attempt that they are about."""
PLACED_STATES: Map[bytes, tuple[bytes, ...]] = PALLET.map("placed_states", Hash, tuple[Hash, ...])
"""Placements of states of each task's proof, to be released with it."""
APPOINTMENTS: DeadlineQueue[Appointment] = DeadlineQueue(PALLET, "appointments", Appointment)
REVELATIONS: DeadlineQueue[Appointment] = DeadlineQueue(PALLET, "revelations", Appointment)
"""Boards that the jackpot pallet must look at: their windows have ended, or they are over."""

# --- events


@PALLET.event
class ProofRegistered(Record):
    """A solver posted its proof; the next beacon draws the verifiers."""

    task: Hash
    solver: AccountId
    attempt: U32
    checkpoints: U32
    final_root: Hash
    manifest: Hash


@PALLET.event
class VerifierDrawn(Record):
    """A verifier was drawn of ``candidates``; ``lock`` of its bond is locked, and it must accept by ``deadline``."""

    task: Hash
    verifier: AccountId
    candidates: U32
    lock: U63
    deadline: U63


@PALLET.event
class AuditAccepted(Record):
    """A verifier committed to the secret that will draw its segments with the next beacon."""

    task: Hash
    verifier: AccountId
    commitment: Hash


@PALLET.event
class AuditOpened(Record):
    """The beacon is there: the verifier knows its segments, and owes a verdict by ``deadline``."""

    task: Hash
    verifier: AccountId
    beacon: Hash
    deadline: U63


@PALLET.event
class VerdictGiven(Record):
    """A verifier opened its secret: the segments it replayed, at so much gas, and those that failed."""

    task: Hash
    verifier: AccountId
    segments: tuple[U32, ...]
    failed: tuple[U32, ...]
    gas: U63


@PALLET.event
class WitnessCalled(Record):
    """The beacon is there: the verifier knows which witness it must open, by ``deadline``."""

    task: Hash
    verifier: AccountId
    beacon: Hash
    deadline: U63


@PALLET.event
class WitnessOpened(Record):
    """A verifier opened one of its two seals: whoever replays its segments finds this witness, or another one."""

    task: Hash
    verifier: AccountId
    witness: Hash


@PALLET.event
class RevealingBegan(Record):
    """The window has ended: verifiers open their forcing secrets, and whistleblowers what they committed to, before
    finalized height ``end``."""

    task: Hash
    end: U63


@PALLET.event
class VerifierReplaced(Record):
    """A verifier lost ``penalty`` and the audit; ``reason`` says why. Another one is drawn."""

    task: Hash
    verifier: AccountId
    reason: str
    penalty: U63


@PALLET.event
class SearchEnded(Record):
    """No more verifiers were found in time: ``passed`` of ``wanted`` audits have to do."""

    task: Hash
    passed: U32
    wanted: U32


@PALLET.event
class WindowOpened(Record):
    """All audits passed; whoever knows better must challenge before finalized height ``end``."""

    task: Hash
    passed: U32
    end: U63


@PALLET.event
class ClaimDisputed(Record):
    """A dispute about a segment began; ``disputes`` are open now, and none may be when the task settles."""

    task: Hash
    segment: U32
    challenger: AccountId
    disputes: U32


@PALLET.event
class DisputeClosed(Record):
    """A dispute ended without harm to the proof (lost by the challenger, or cancelled); ``disputes`` are still open."""

    task: Hash
    segment: U32
    challenger: AccountId
    disputes: U32


@PALLET.event
class ProofVoided(Record):
    """The solver lost a dispute about a segment to ``challenger``. Of ``slashed`` units ``rewarded``, who had committed
    to that challenge first, received ``reward``, verifiers ``audits_repaid`` for audits that the submitter will need
    again, and the treasury the rest."""

    task: Hash
    solver: AccountId
    segment: U32
    challenger: AccountId
    rewarded: AccountId
    slashed: U63
    reward: U63
    audits_repaid: U63
    to_treasury: U63


# --- errors


@PALLET.error
class WrongCheckpoints(DispatchError):
    """The proof does not list one root for the initial state and for every checkpoint."""


@PALLET.error
class NoProof(DispatchError):
    """The task has no proof that stands."""


@PALLET.error
class NotTheVerifier(DispatchError):
    """The account was not drawn to audit this proof, or was replaced."""


@PALLET.error
class WrongAuditStatus(DispatchError):
    """The audit is at another point of its life."""


@PALLET.error
class WrongSecret(DispatchError):
    """The secret is not the one committed to."""


@PALLET.error
class BadVerdict(DispatchError):
    """The failed segments are not among those drawn, or not in ascending order."""


@PALLET.error
class WrongSeal(DispatchError):
    """Witness and salt do not hash to one of the verdict's two seals, or the seals are not two in ascending order."""


@PALLET.error
class UnknownSegment(DispatchError):
    """The task has no such segment."""


@PALLET.error
class WindowClosed(DispatchError):
    """The challenge window has ended."""


@PALLET.error
class RoleConflict(DispatchError):
    """The account has another role on this task, which bars it from challenging this segment."""


@PALLET.error
class CommitFirst(DispatchError):
    """Only a verifier that failed a segment opens its dispute at once; everybody else commits to a challenge first."""


@PALLET.error
class AlreadyDisputed(DispatchError):
    """The account disputes this segment already."""
