"""What the chain keeps about tasks: records, storage, events and errors of the pallet."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.deadlines import DeadlineQueue
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.pallets.tasks.pricing import Estimate
from runtime.pallets.tasks.spec import TaskSpec
from runtime.state import Map

PALLET = Pallet("tasks")

POOLED = "pooled"
ASSIGNED = "assigned"
TRAINING = "training"
PROVED = "proved"
AUDITING = "auditing"
DISPUTED = "disputed"
SETTLED = "settled"
FAILED = "failed"
CANCELLED = "cancelled"
EXPIRED = "expired"

WITH_SOLVER = (ASSIGNED, TRAINING, PROVED, AUDITING, DISPUTED)
"""A solver's bond is locked in these."""
LIVE = (POOLED, *WITH_SOLVER)
"""The escrow is held in these."""


class Payment(Record):
    """One sum that a task moved: who received it (or lost it, in the list of slashes), in which role.

    Roles: ``solver``, ``verifier``, ``treasury``, ``jackpot`` (the pot's share), ``listing`` (the treasury's fee for a
    task that came to nothing) and ``refund`` come from the escrow; ``challenger``, ``whistleblower`` and
    ``audit_repaid`` from a slashed solver or verifier.
    """

    account: AccountId
    role: str
    amount: U63


class Task(Record):
    """One task. ``solver`` and ``final_root`` are empty while there is none; ``price`` is for a unit of gas.

    ``attempt`` counts assignments; ``turn`` counts changes, so that a deadline made stale by one is recognised.
    ``since`` is the block whose beacon draws next; ``deadline`` is the finalized height at which the status times out
    (0: another pallet keeps the time). ``excluded`` may never work on the task again; ``reviewers`` have verified or
    challenged it and may not solve it. ``escrow`` is what is still held of the submitter.
    """

    submitter: AccountId
    spec: TaskSpec
    estimate: Estimate
    status: str
    attempt: U32
    turn: U32
    solver: bytes
    price: U63
    since: U63
    pooled: U63
    deadline: U63
    excluded: tuple[AccountId, ...]
    reviewers: tuple[AccountId, ...]
    escrow: U63
    final_root: bytes
    payments: tuple[Payment, ...]
    slashes: tuple[Payment, ...]


class Progress(Record):
    """The solver's latest heartbeat: steps done, the loss as f32 bits, the block it came in."""

    step: U63
    loss_bits: U32
    block: U63


class Turn(Record):
    """A deadline: look at the task again if it is still at this turn."""

    task: Hash
    turn: U32


# --- storage

TASKS: Map[bytes, Task] = PALLET.map("tasks", Hash, Task)
PROGRAMS: Map[bytes, bytes] = PALLET.map("programs", Hash, bytes)
"""Program hash -> canonical bytes, of every program that a task has named."""
PROGRESS: Map[bytes, Progress] = PALLET.map("progress", Hash, Progress)
TURNS: DeadlineQueue[Turn] = DeadlineQueue(PALLET, "turns", Turn)

# --- events


@PALLET.event
class Submitted(Record):
    """A task entered the chain with its price at the limit and its escrow."""

    task: Hash
    submitter: AccountId
    gas: U63
    solver_fee: U63
    verifier_fee: U63
    treasury_fee: U63
    escrow: U63


@PALLET.event
class Pooled(Record):
    """The task waits for a solver, for the ``attempt``-th time before, until ``deadline``; ``reason`` says why."""

    task: Hash
    attempt: U32
    reason: str
    deadline: U63


@PALLET.event
class Assigned(Record):
    """A solver was drawn of ``candidates``; it is paid ``price`` for a unit of gas, ``lock`` of its bond is locked."""

    task: Hash
    solver: AccountId
    attempt: U32
    candidates: U32
    price: U63
    lock: U63
    deadline: U63


@PALLET.event
class Accepted(Record):
    """The solver trains; its proof is due by ``deadline``."""

    task: Hash
    solver: AccountId
    deadline: U63


@PALLET.event
class Progressed(Record):
    """A heartbeat of the solver: steps done, and the loss as the bits of an f32."""

    task: Hash
    step: U63
    loss_bits: U32


@PALLET.event
class AcceptanceMissed(Record):
    """The solver let the assignment pass and lost ``penalty``."""

    task: Hash
    solver: AccountId
    penalty: U63


@PALLET.event
class TrainingMissed(Record):
    """The solver delivered no proof in time and lost ``penalty``."""

    task: Hash
    solver: AccountId
    penalty: U63


@PALLET.event
class StatusChanged(Record):
    """The task moved between proved, auditing and disputed."""

    task: Hash
    before: str
    after: str


@PALLET.event
class Paid(Record):
    """A task moved money: to ``account`` in ``role``, see `Payment`."""

    task: Hash
    account: AccountId
    role: str
    amount: U63


@PALLET.event
class Settled(Record):
    """The task is done, its final state stands; what each side received out of the escrow."""

    task: Hash
    solver: AccountId
    final_root: Hash
    solver_paid: U63
    verifiers_paid: U63
    treasury_paid: U63
    jackpot_paid: U63
    refund: U63


@PALLET.event
class Failed(Record):
    """The task ended without a model: ``reason`` says why."""

    task: Hash
    reason: str
    refund: U63


@PALLET.event
class Cancelled(Record):
    """The submitter withdrew the task before training began."""

    task: Hash
    refund: U63


@PALLET.event
class Expired(Record):
    """No solver (or not enough verifiers) asked for as little as the limit in time."""

    task: Hash
    refund: U63


# --- errors


@PALLET.error
class InvalidSpec(DispatchError):
    """The spec is malformed, out of bounds, or does not fit its programs."""


@PALLET.error
class InvalidProgram(DispatchError):
    """A program breaks a rule of the operator table or of its own bounds."""


@PALLET.error
class DuplicateTask(DispatchError):
    """This very spec was submitted before: change its salt."""


@PALLET.error
class UnknownTask(DispatchError):
    """There is no task with this id."""


@PALLET.error
class WrongStatus(DispatchError):
    """The task is at another point of its life."""


@PALLET.error
class NotTheSolver(DispatchError):
    """Only the assigned solver may do this."""


@PALLET.error
class NotTheSubmitter(DispatchError):
    """Only the submitter may do this."""


@PALLET.error
class BadProgress(DispatchError):
    """The step is past the task's end, or before one that was reported already."""
