"""What submitters and solvers may do with a task, and the pallet's invariants."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record, decode, replace
from runtime.errors import CodecError, ProgramError
from runtime.market_parameters import MarketParameters
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, blobs, system, workers
from runtime.pallets.tasks.flow import (
    enter_pool,
    escrow_reason,
    finish,
    put_task,
    require_status,
    require_task,
)
from runtime.pallets.tasks.pricing import Estimate, estimate
from runtime.pallets.tasks.programs import check_bytes
from runtime.pallets.tasks.spec import TaskSpec, task_id, validate_bounds, validate_programs
from runtime.pallets.tasks.storage import (
    ASSIGNED,
    CANCELLED,
    LIVE,
    PALLET,
    POOLED,
    PROGRAMS,
    PROGRESS,
    TASKS,
    TRAINING,
    TURNS,
    WITH_SOLVER,
    Accepted,
    BadProgress,
    Cancelled,
    DuplicateTask,
    InvalidProgram,
    InvalidSpec,
    NotTheSolver,
    NotTheSubmitter,
    Progress,
    Progressed,
    Submitted,
    Task,
)
from runtime.state import State
from runtime.vm.program import MAX_PROGRAM_BYTES
from runtime.weights import CALLS

MAXIMUM_SPEC_BYTES = 64 * 1024


class Submit(Record):
    """A task: canonical bytes of its `TaskSpec`, of its training program, and of its init program."""

    spec: bytes
    program: bytes
    init_program: bytes


class PlaceData(Record):
    """Have holders keep the task's samples, a blob of ``data_size`` bytes, and its step scalars until it is over."""

    task: Hash
    data_size: U63


class Accept(Record):
    """Take the assignment: the training time starts."""

    task: Hash


class Heartbeat(Record):
    """Steps done so far, and the latest loss as the bits of an f32."""

    task: Hash
    step: U63
    loss_bits: U32


class Cancel(Record):
    """Withdraw a task that no solver has accepted."""

    task: Hash


def _submission_weight(args: Submit) -> int:
    return CALLS["tasks.submit"] + CALLS["tasks.submit.byte"] * (len(args.program) + len(args.init_program))


@PALLET.call(weight=_submission_weight)
def submit(ctx: Context, origin: AccountId, args: Submit) -> None:
    """Check and price a task, hold its escrow, and put it into the pool."""
    spec, priced = validate_submission(args.spec, args.program, args.init_program, workers.parameters(ctx.state))
    name = task_id(spec)
    if TASKS.contains(ctx.state, name):
        raise DuplicateTask(f"task {name.hex()}")
    balances.hold(ctx, origin, escrow_reason(name), priced.escrow)
    PROGRAMS.put(ctx.state, spec.program, args.program)
    PROGRAMS.put(ctx.state, spec.init_program, args.init_program)
    fees = (priced.solver_fee, priced.verifier_fee, priced.treasury_fee, priced.escrow)
    ctx.deposit(Submitted(name, origin, priced.gas, *fees))
    task = Task(
        submitter=origin,
        spec=spec,
        estimate=priced,
        status=POOLED,
        attempt=0,
        turn=0,
        solver=b"",
        price=0,
        since=ctx.number,
        pooled=ctx.finalized,
        deadline=0,
        excluded=(),
        reviewers=(),
        escrow=priced.escrow,
        final_root=b"",
        payments=(),
        slashes=(),
    )
    enter_pool(ctx, task, "submitted")


@PALLET.call(weight=CALLS["tasks.place_data"])
def place_data(ctx: Context, origin: AccountId, args: PlaceData) -> None:
    """Place what workers will need. Where the network asks for availability, no solver is drawn before; anew where too
    many holders were found not to hold it."""
    task = require_task(ctx.state, args.task)
    if origin != task.submitter:
        raise NotTheSubmitter(f"task {args.task.hex()} is another account's")
    require_status(task, POOLED)
    table = 4 * task.spec.scalar_rows * len(task.spec.scalar_names)
    items = (blobs.Item(task.spec.data_blob, args.data_size), blobs.Item(task.spec.scalars_blob, table))
    blobs.open_placement(ctx, args.task, origin, tuple(item for item in items if item.size))


@PALLET.call(weight=CALLS["tasks.accept"])
def accept(ctx: Context, origin: AccountId, args: Accept) -> None:
    """Start to train."""
    task = require_task(ctx.state, args.task)
    require_status(task, ASSIGNED)
    require_solver(task, origin)
    deadline = ctx.finalized + task.spec.training_blocks
    put_task(ctx.state, replace(task, status=TRAINING), deadline)
    ctx.deposit(Accepted(args.task, origin, deadline))


@PALLET.call(weight=CALLS["tasks.heartbeat"])
def heartbeat(ctx: Context, origin: AccountId, args: Heartbeat) -> None:
    """Tell how far training is. It proves nothing and decides nothing; people watch it."""
    task = require_task(ctx.state, args.task)
    require_status(task, TRAINING)
    require_solver(task, origin)
    before = PROGRESS.get(ctx.state, args.task)
    if args.step > task.spec.steps or (before is not None and args.step < before.step):
        raise BadProgress(f"step {args.step} of {task.spec.steps}, after step {before.step if before else 0}")
    PROGRESS.put(ctx.state, args.task, Progress(args.step, args.loss_bits, ctx.number))
    ctx.deposit(Progressed(args.task, args.step, args.loss_bits))


@PALLET.call(weight=CALLS["tasks.cancel"])
def cancel(ctx: Context, origin: AccountId, args: Cancel) -> None:
    """Take a task back, less the listing fee. Once a solver trains it is too late: its work would go unpaid."""
    task = require_task(ctx.state, args.task)
    if origin != task.submitter:
        raise NotTheSubmitter(f"task {args.task.hex()} is another account's")
    require_status(task, POOLED, ASSIGNED)
    _, refund = finish(ctx, task, CANCELLED)
    ctx.deposit(Cancelled(args.task, refund))


def require_solver(task: Task, origin: bytes) -> None:
    """Raises `NotTheSolver` unless ``origin`` is the solver of the task."""
    if origin != task.solver:
        raise NotTheSolver("the task is assigned to another account")


def validate_submission(
    spec_bytes: bytes, program_bytes: bytes, init_bytes: bytes, market: MarketParameters
) -> tuple[TaskSpec, Estimate]:
    """The spec and the price behind a submission. Raises `InvalidSpec` or `InvalidProgram`; reads no state.

    Submission and the RPC's ``tasks_estimate`` both answer from here, so they can never differ.
    """
    try:
        spec: TaskSpec = decode(spec_bytes, TaskSpec, max_bytes=MAXIMUM_SPEC_BYTES)
        validate_bounds(spec, market)
    except (CodecError, ProgramError) as error:
        raise InvalidSpec(str(error)) from None
    try:
        if max(len(program_bytes), len(init_bytes)) > MAX_PROGRAM_BYTES:
            raise ProgramError(f"a program of more than {MAX_PROGRAM_BYTES} bytes")
        program, init = check_bytes(program_bytes), check_bytes(init_bytes)
    except ProgramError as error:
        raise InvalidProgram(str(error)) from None
    try:
        validate_programs(spec, program, init)
        return spec, estimate(spec, program, init, market)
    except ProgramError as error:
        raise InvalidSpec(str(error)) from None


@PALLET.check
def check(state: State) -> None:
    """Escrows are held exactly while tasks live, solvers' locks match, and no task has outlived its deadline."""
    now = system.finalized(state, system.NUMBER.get(state) - 1)
    queue = TURNS.pending(state)
    pending = {item.task for _, item in queue if _is_current(state, item.task, item.turn)}
    behind = any(block <= now for block, _ in queue)
    for name, task in TASKS.items(state):
        held = balances.held(state, task.submitter, escrow_reason(name))
        if held != task.escrow or (task.status in LIVE) != (held > 0):
            raise InvariantBroken(f"task {name.hex()} is {task.status} with {task.escrow} in escrow, {held} held")
        if (workers.locked(state, task.solver, name) > 0) != (task.status in WITH_SOLVER) and task.solver:
            raise InvariantBroken(f"task {name.hex()} is {task.status}, and its solver's lock does not say so")
        if task.deadline and (name not in pending or (task.deadline <= now and not behind)):
            raise InvariantBroken(f"task {name.hex()} is {task.status} past its deadline {task.deadline} at {now}")


def _is_current(state: State, name: bytes, turn: int) -> bool:
    task = TASKS.get(state, name)
    return task is not None and task.turn == turn
