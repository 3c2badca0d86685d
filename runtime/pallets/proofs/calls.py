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
    CALLED,
    DISPUTES,
    DISPUTING,
    DRAWN,
    FAILED,
    OPENED,
    PALLET,
    PASSED,
    PROOFS,
    REPLACED,
    SEALED,
    SEARCHING,
    UNDECIDED,
    VOIDED,
    Audit,
    AuditAccepted,
    BadVerdict,
    Board,
    NotTheVerifier,
    Proof,
    ProofRegistered,
    VerdictGiven,
    WitnessOpened,
    WrongAuditStatus,
    WrongCheckpoints,
    WrongSeal,
    WrongSecret,
)
from runtime.pallets.proofs.witness import witness_seal
from runtime.pallets.tasks import Task
from runtime.state import State
from runtime.weights import CALLS


class RegisterProof(Record):
    """State roots after the initialisation and at every checkpoint, and the blob root of the artifacts' manifest."""

    task: Hash
    checkpoints: tuple[Hash, ...]
    manifest: Hash


class AcceptAudit(Record):
    """Commit to the secret that will draw the segments, `draw_commitment` (secret, verifier, task), and to the one that
    will decide about a forced error, `forcing_commitment`."""

    task: Hash
    commitment: Hash
    forcing: Hash


class SubmitVerdict(Record):
    """Open the secret, and name the drawn segments whose replay ended elsewhere (ascending). A pass, which names none,
    comes with two seals in ascending order: of the true witness and of a false one. A fail has none."""

    task: Hash
    secret: Hash
    failed: tuple[U32, ...]
    seals: tuple[Hash, ...]


class OpenWitness(Record):
    """Open one of the seals: the false one if `is_forced`, else the true one."""

    task: Hash
    witness: Hash
    salt: Hash


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
    changes = {"accepted": ctx.number, "deadline": ctx.number}
    posted = replace(audit, commitment=args.commitment, forcing=args.forcing)
    put_audit(ctx, args.task, board, place, replace(posted, status=ACCEPTED, **changes))
    ctx.deposit(AuditAccepted(args.task, origin, args.commitment))


@PALLET.call(weight=CALLS["proofs.submit_verdict"])
def submit_verdict(ctx: Context, origin: AccountId, args: SubmitVerdict) -> None:
    """Say how the replay ended. A pass must be followed by the opening of a witness; a fail by a dispute of one of the
    failed segments, unless the verifier disputes one already, from before it was drawn."""
    task, _, board, place, audit = _require_audit(ctx.state, args.task, origin, OPENED)
    if draw_commitment(args.secret, origin, args.task) != audit.commitment:
        raise WrongSecret("the secret does not open the commitment made on acceptance")
    segments = audit_segments(task.spec, audit, args.secret)
    # The length comes first: a verdict of a million segments must not cost the chain a million comparisons.
    if len(args.failed) > len(segments):
        raise BadVerdict(f"{len(args.failed)} failed segments of {len(segments)} drawn ones")
    if args.failed != tuple(segment for segment in segments if segment in args.failed):
        raise BadVerdict(f"failed segments {args.failed}; the drawn ones are {segments}")
    if len(args.seals) != (0 if args.failed else 2) or args.seals != tuple(sorted(args.seals)):
        raise WrongSeal(f"{len(args.seals)} seals: a pass has two in ascending order, a fail none")
    gas = tasks.replayed_gas(task.spec, task.estimate, segments)
    opening = workers.parameters(ctx.state).dispute_opening_blocks
    deadline = ctx.finalized + opening if args.failed else ctx.number
    changes = {"secret": args.secret, "segments": segments, "failed": args.failed, "gas": gas, "deadline": deadline}
    changes |= {"seals": args.seals, "sealed": ctx.number}
    given = replace(audit, status=FAILED if args.failed else SEALED, **changes)
    if is_disputing(ctx.state, args.task, board, given):
        given = replace(given, status=DISPUTING, deadline=0)
    board = put_audit(ctx, args.task, board, place, given)
    ctx.deposit(VerdictGiven(args.task, origin, segments, args.failed, gas))
    advance(ctx, args.task, task, board)


@PALLET.call(weight=CALLS["proofs.open_witness"])
def open_witness(ctx: Context, origin: AccountId, args: OpenWitness) -> None:
    """Open a witness, once it is decided which one it must be."""
    task, _, board, place, audit = _require_audit(ctx.state, args.task, origin, CALLED)
    if witness_seal(args.witness, args.salt, origin, args.task) not in audit.seals:
        raise WrongSeal("witness and salt open neither of the seals")
    opened = replace(audit, status=PASSED, witness=args.witness, deadline=0)
    board = put_audit(ctx, args.task, board, place, opened)
    ctx.deposit(WitnessOpened(args.task, origin, args.witness))
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
    if (audit.status == PASSED) != bool(audit.witness) and audit.status not in (REPLACED, VOIDED):
        raise InvariantBroken(f"{audit} of task {name.hex()} passed without a witness")
    if (audit.status == DISPUTING) != (audit.status in UNDECIDED and audit.deadline == 0):
        raise InvariantBroken(f"{audit} of task {name.hex()} has no deadline")
