"""What solvers and verifiers may do with a proof, and the pallet's invariants."""

from __future__ import annotations

from runtime.codec import U32, AccountId, Hash, Record, replace
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import system, tasks, workers
from runtime.pallets.proofs.board import (
    LIVE_STATUSES,
    advance,
    find_audit,
    is_disputing,
    is_live,
    put_audit,
    require_board,
    start_search,
)
from runtime.pallets.proofs.draw import audit_segments, draw_commitment
from runtime.pallets.proofs.storage import (
    ACCEPTED,
    APPOINTMENTS,
    AUDITS,
    DISPUTES,
    DISPUTING,
    DRAWN,
    FAILED,
    OPENED,
    PALLET,
    PASSED,
    PROOFS,
    SEARCHING,
    UNDECIDED,
    Audit,
    AuditAccepted,
    BadVerdict,
    Board,
    NotTheVerifier,
    Proof,
    ProofRegistered,
    VerdictGiven,
    WrongAuditStatus,
    WrongCheckpoints,
    WrongSecret,
)
from runtime.pallets.tasks import Task
from runtime.state import State
from runtime.weights import CALLS


class RegisterProof(Record):
    """State roots after the initialisation and at every checkpoint, and the blob root of the artifacts' manifest."""

    task: Hash
    checkpoints: tuple[Hash, ...]
    manifest: Hash


class AcceptAudit(Record):
    """Commit to the secret that will draw the segments: `draw_commitment` (secret, verifier, task)."""

    task: Hash
    commitment: Hash


class SubmitVerdict(Record):
    """Open the secret, and name the drawn segments whose replay ended elsewhere (ascending; none for a pass)."""

    task: Hash
    secret: Hash
    failed: tuple[U32, ...]


def _registration_weight(args: RegisterProof) -> int:
    return CALLS["proofs.register"] + CALLS["proofs.register.checkpoint"] * len(args.checkpoints)


@PALLET.call(weight=_registration_weight)
def register(ctx: Context, origin: AccountId, args: RegisterProof) -> None:
    """Post the proof-of-learning; only now are verifiers drawn."""
    task = tasks.require_task(ctx.state, args.task)
    tasks.require_status(task, "training")
    tasks.require_solver(task, origin)
    wanted = tasks.segment_count(task.spec)
    if len(args.checkpoints) != wanted:
        raise WrongCheckpoints(f"{len(args.checkpoints)} roots; this task has {wanted}, the initial state's included")
    proof = Proof(args.task, task.attempt, origin, args.checkpoints, args.manifest, ctx.number)
    PROOFS.put(ctx.state, args.task, proof)
    figures = (task.attempt, wanted, args.checkpoints[-1], args.manifest)
    ctx.deposit(ProofRegistered(args.task, origin, *figures))
    tasks.set_status(ctx, task, "proved")
    start_search(ctx, args.task, Board(task.attempt, SEARCHING, (), 0, 0, 0, 0, 0))


@PALLET.call(weight=CALLS["proofs.accept_audit"])
def accept_audit(ctx: Context, origin: AccountId, args: AcceptAudit) -> None:
    """Take an audit. The beacon of this very block draws the segments, so nobody knows them yet."""
    _, _, board, place, audit = _require_audit(ctx.state, args.task, origin, DRAWN)
    changes = {"commitment": args.commitment, "accepted": ctx.number, "deadline": ctx.number}
    put_audit(ctx, args.task, board, place, replace(audit, status=ACCEPTED, **changes))
    ctx.deposit(AuditAccepted(args.task, origin, args.commitment))


@PALLET.call(weight=CALLS["proofs.submit_verdict"])
def submit_verdict(ctx: Context, origin: AccountId, args: SubmitVerdict) -> None:
    """Say how the replay ended. A fail must be followed by a dispute of one of the failed segments, unless the verifier
    disputes one already, from before it was drawn."""
    task, _, board, place, audit = _require_audit(ctx.state, args.task, origin, OPENED)
    if draw_commitment(args.secret, origin, args.task) != audit.commitment:
        raise WrongSecret("the secret does not open the commitment made on acceptance")
    segments = audit_segments(task.spec, audit, args.secret)
    # The length comes first: a verdict of a million segments must not cost the chain a million comparisons.
    if len(args.failed) > len(segments):
        raise BadVerdict(f"{len(args.failed)} failed segments of {len(segments)} drawn ones")
    if args.failed != tuple(segment for segment in segments if segment in args.failed):
        raise BadVerdict(f"failed segments {args.failed}; the drawn ones are {segments}")
    gas = tasks.replayed_gas(task.spec, task.estimate, segments)
    deadline = ctx.finalized + workers.parameters(ctx.state).dispute_opening_blocks if args.failed else 0
    changes = {"secret": args.secret, "segments": segments, "failed": args.failed, "gas": gas, "deadline": deadline}
    given = replace(audit, status=FAILED if args.failed else PASSED, **changes)
    if is_disputing(ctx.state, args.task, board, given):
        given = replace(given, status=DISPUTING, deadline=0)
    board = put_audit(ctx, args.task, board, place, given)
    ctx.deposit(VerdictGiven(args.task, origin, segments, args.failed, gas))
    advance(ctx, args.task, task, board)


def _require_audit(state: State, name: bytes, account: bytes, status: str) -> tuple[Task, Proof, Board, int, Audit]:
    task, proof, board = require_board(state, name)
    place = find_audit(board, account)
    if place is None:
        raise NotTheVerifier("this account was not drawn for the proof")
    audit = board.audits[place]
    if audit.status != status:
        raise WrongAuditStatus(f"the audit is {audit.status}; this needs it {status}")
    return task, proof, board, place, audit


@PALLET.check
def check(state: State) -> None:
    """Boards live with their tasks, locks with their audits, disputes are counted, and no deadline was missed."""
    now = system.finalized(state, system.NUMBER.get(state) - 1)
    queue = APPOINTMENTS.pending(state)
    behind = any(block <= now for block, _ in queue)
    waiting = {(item.task, item.attempt, item.place, item.status) for _, item in queue}
    counts: dict[tuple[bytes, int], int] = {}
    for key, attempt in DISPUTES.items(state):
        counts[(key.task, attempt)] = counts.get((key.task, attempt), 0) + 1
    for name, board in AUDITS.items(state):
        task = tasks.require_task(state, name)
        if not is_live(board):
            continue
        if task.status not in LIVE_STATUSES or task.attempt != board.attempt:
            raise InvariantBroken(f"task {name.hex()} is {task.status}, its audits are {board.phase}")
        counted = counts.get((name, board.attempt), 0)
        if (task.status == "disputed") != (board.disputes > 0) or board.disputes != counted:
            raise InvariantBroken(f"task {name.hex()} is {task.status} and counts {board.disputes} disputes")
        for place, audit in enumerate(board.audits):
            _check_audit(state, name, audit)
            due = audit.deadline and (name, board.attempt, place, audit.status) not in waiting
            if due or (0 < audit.deadline <= now and not behind):
                raise InvariantBroken(f"audit {place} of task {name.hex()} is {audit.status} past its deadline")
        if board.phase == SEARCHING and (name, board.attempt, board.since, SEARCHING) not in waiting:
            raise InvariantBroken(f"nobody looks for the verifiers of task {name.hex()}")


def _check_audit(state: State, name: bytes, audit: Audit) -> None:
    at_work = audit.status in (*UNDECIDED, PASSED)
    if (workers.locked(state, audit.verifier, name) > 0) != at_work:
        raise InvariantBroken(f"{audit} of task {name.hex()} does not match the verifier's lock")
    if (audit.status == DISPUTING) != (audit.status in UNDECIDED and audit.deadline == 0):
        raise InvariantBroken(f"{audit} of task {name.hex()} has no deadline")
