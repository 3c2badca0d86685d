"""How a task moves: into the pool, to a solver, back, and to its end. Every write to a task goes through here.

Each function takes the task as it is, stores the next one and returns it. Money leaves the escrow by `pay` alone, and
whatever ends a task refunds the rest, so that the escrow of a task that is over is always empty.
"""

from __future__ import annotations

from runtime.codec import replace
from runtime.market_parameters import parts_of
from runtime.pallet import Context
from runtime.pallets import balances, blobs, treasury, workers
from runtime.pallets.tasks.spec import task_id
from runtime.pallets.tasks.storage import (
    CANCELLED,
    EXPIRED,
    FAILED,
    POOLED,
    PROGRESS,
    SETTLED,
    TASKS,
    TURNS,
    WITH_SOLVER,
    Failed,
    Paid,
    Payment,
    Pooled,
    Settled,
    StatusChanged,
    Task,
    Turn,
    UnknownTask,
    WrongStatus,
)
from runtime.state import State


def escrow_reason(task: bytes) -> bytes:
    """The reason under which a task's escrow is held."""
    return b"task:" + task


def require_task(state: State, task: bytes) -> Task:
    """The task of that id. Raises `UnknownTask`."""
    found = TASKS.get(state, task)
    if found is None:
        raise UnknownTask(f"task {task.hex()}")
    return found


def require_status(task: Task, *statuses: str) -> None:
    """Raises `WrongStatus` unless the task is in one of them."""
    if task.status not in statuses:
        raise WrongStatus(f"the task is {task.status}; this needs it {' or '.join(statuses)}")


def put_task(state: State, task: Task, deadline: int | None = None, look: int | None = None) -> Task:
    """Store a task at its next turn. With a ``deadline``, have the hook look at it then, or earlier at ``look``."""
    changed = replace(task, turn=task.turn + 1, deadline=deadline or 0)
    name = task_id(task.spec)
    TASKS.put(state, name, changed)
    if deadline is not None:
        TURNS.schedule(state, min(deadline, deadline if look is None else look), Turn(name, changed.turn))
    return changed


def enter_pool(ctx: Context, task: Task, reason: str) -> Task:
    """Let the task wait for a solver. The draw uses the beacon of this block, which nobody knows yet."""
    deadline = ctx.finalized + workers.parameters(ctx.state).pool_blocks
    PROGRESS.delete(ctx.state, task_id(task.spec))
    waiting = replace(task, status=POOLED, solver=b"", price=0, since=ctx.number, pooled=ctx.finalized)
    ctx.deposit(Pooled(task_id(task.spec), task.attempt, reason, deadline))
    return put_task(ctx.state, waiting, deadline, look=ctx.number)


def drop_solver(ctx: Context, task: Task, reason: str) -> Task:
    """End this attempt: free the solver's bond, never ask it again, and look for another unless there were enough."""
    workers.unlock(ctx, task.solver, task_id(task.spec))
    left = replace(task, excluded=(*task.excluded, task.solver))
    if task.attempt >= workers.parameters(ctx.state).maximum_attempts:
        return fail(ctx, left, reason)
    return enter_pool(ctx, left, reason)


def penalise_solver(ctx: Context, task: Task, parts: int) -> tuple[Task, int]:
    """Take parts of the solver's lock for the treasury; returns the task and what was taken."""
    amount = parts_of(workers.locked(ctx.state, task.solver, task_id(task.spec)), parts)
    taken = workers.slash(ctx, task.solver, task_id(task.spec), amount)
    return note_slash(ctx, task, task.solver, workers.SOLVER, taken), taken


def set_status(ctx: Context, task: Task, status: str) -> Task:
    """Move a task between the statuses in which the proofs pallet keeps the time."""
    if task.status == status:
        return task
    ctx.deposit(StatusChanged(task_id(task.spec), task.status, status))
    return put_task(ctx.state, replace(task, status=status))


def note_payment(ctx: Context, task: Task, account: bytes, role: str, amount: int) -> Task:
    """Record a payment that was made; sums of 0 leave no trace."""
    if amount == 0:
        return task
    paid = replace(task, payments=(*task.payments, Payment(account, role, amount)))
    TASKS.put(ctx.state, task_id(task.spec), paid)
    ctx.deposit(Paid(task_id(task.spec), account, role, amount))
    return paid


def note_slash(ctx: Context, task: Task, account: bytes, role: str, amount: int) -> Task:
    """Record a slash that was made; the workers pallet has told of it by an event."""
    if amount == 0:
        return task
    slashed = replace(task, slashes=(*task.slashes, Payment(account, role, amount)))
    TASKS.put(ctx.state, task_id(task.spec), slashed)
    return slashed


def pay(ctx: Context, task: Task, account: bytes, role: str, amount: int) -> Task:
    """Pay out of the escrow."""
    reason = escrow_reason(task_id(task.spec))
    if account == task.submitter:
        balances.release(ctx, account, reason, amount)
    else:
        balances.move_held(ctx, task.submitter, reason, account, amount)
    return note_payment(ctx, replace(task, escrow=task.escrow - amount), account, role, amount)


def finish(ctx: Context, task: Task, status: str) -> tuple[Task, int]:
    """End a task: keep the listing fee of one that expired or was cancelled, refund what is left, free the solver's
    bond. Returns the task and the refund."""
    if task.status in WITH_SOLVER:
        workers.unlock(ctx, task.solver, task_id(task.spec), completed=status == SETTLED)
    if status in (CANCELLED, EXPIRED):
        task = pay(ctx, task, treasury.ACCOUNT, "listing", min(task.estimate.listing_fee, task.escrow))
    blobs.release(ctx, task_id(task.spec))
    refund = task.escrow
    over = pay(ctx, task, task.submitter, "refund", refund)
    return put_task(ctx.state, replace(over, status=status)), refund


def fail(ctx: Context, task: Task, reason: str) -> Task:
    """End a task without a model; nobody is paid, the submitter has everything back."""
    over, refund = finish(ctx, task, FAILED)
    ctx.deposit(Failed(task_id(task.spec), reason, refund))
    return over


def settle(ctx: Context, task: Task, audits: list[tuple[bytes, int]], final_root: bytes) -> Task:
    """Pay for a proof that stood: the solver for all gas, each verifier for the gas it replayed, the treasury."""
    solver_paid = task.estimate.gas * task.price
    paid = pay(ctx, task, task.solver, workers.SOLVER, solver_paid)
    verifiers_paid = 0
    for verifier, gas in audits:
        amount = gas * task.spec.price_limit
        paid = pay(ctx, paid, verifier, workers.VERIFIER, amount)
        verifiers_paid += amount
    share = parts_of(solver_paid + verifiers_paid, workers.parameters(ctx.state).treasury_share)
    paid = pay(ctx, paid, treasury.ACCOUNT, "treasury", min(share, paid.escrow))
    for_pot = parts_of(verifiers_paid, workers.parameters(ctx.state).jackpot_share)
    paid = pay(ctx, paid, treasury.POT, "jackpot", min(for_pot, paid.escrow))
    over, refund = finish(ctx, replace(paid, final_root=final_root), SETTLED)
    figures = (solver_paid, verifiers_paid, share, for_pot, refund)
    ctx.deposit(Settled(task_id(task.spec), task.solver, final_root, *figures))
    return over
