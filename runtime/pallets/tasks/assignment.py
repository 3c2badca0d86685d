"""The hook that finds solvers, and sends away those that let their time pass."""

from __future__ import annotations

from runtime.codec import encode, replace
from runtime.market_parameters import MarketParameters
from runtime.pallet import Context
from runtime.pallets import blobs, system, workers
from runtime.pallets.tasks.flow import drop_solver, finish, penalise_solver, put_task
from runtime.pallets.tasks.storage import (
    ASSIGNED,
    CANCELLED,
    EXPIRED,
    PALLET,
    POOLED,
    TASKS,
    TRAINING,
    TURNS,
    AcceptanceMissed,
    Assigned,
    Cancelled,
    Expired,
    Task,
    TrainingMissed,
    Turn,
)
from runtime.pallets.workers.draws import Ask
from runtime.weights import CALLS


@PALLET.on_initialize
def process_turns(ctx: Context) -> None:
    """Look at the tasks that are due: assign those in the pool, end what timed out."""
    market = workers.parameters(ctx.state)
    for item in TURNS.drain(ctx, market.deadlines_per_block, market.deadline_weight):
        ctx.consume(CALLS["tasks.deadline"])
        task = TASKS.get(ctx.state, item.task)
        if task is None or task.turn != item.turn:
            continue
        if task.status == POOLED:
            _look_for_solver(ctx, item, task, market)
        elif task.status == ASSIGNED:
            task, taken = penalise_solver(ctx, task, market.acceptance_penalty)
            ctx.deposit(AcceptanceMissed(item.task, task.solver, taken))
            drop_solver(ctx, task, "acceptance missed")
        elif task.status == TRAINING:
            task, taken = penalise_solver(ctx, task, market.training_penalty)
            ctx.deposit(TrainingMissed(item.task, task.solver, taken))
            drop_solver(ctx, task, "training missed")


def retry_after(market: MarketParameters, waited: int) -> int:
    """Blocks until the next look: longer and longer, so that tasks nobody wants cost the chain little."""
    return market.retry_blocks + waited // 16


def _look_for_solver(ctx: Context, item: Turn, task: Task, market: MarketParameters) -> None:
    if ctx.finalized >= task.deadline:
        _, refund = finish(ctx, task, EXPIRED)
        ctx.deposit(Expired(item.task, refund))
        return
    if _waits_for_data(ctx, item, task, market):
        return
    randomness = system.beacon(ctx.state, task.since, b"assignment", encode((item.task, task.attempt)))
    if randomness is None:
        TURNS.schedule(ctx.state, ctx.finalized + 1, item)
        return
    ctx.consume(workers.draw_weight(ctx.state, workers.SOLVER) + workers.draw_weight(ctx.state, workers.VERIFIER))
    asks = _candidates(ctx, task)
    choice = workers.choose_solver(asks, task.spec.price_limit, randomness)
    if choice is None or not _can_be_audited(ctx, task, choice.account):
        again = max(ctx.number, ctx.finalized + retry_after(market, ctx.finalized - task.pooled))
        put_task(ctx.state, replace(task, since=ctx.number), task.deadline, look=again)
        return
    lock, deadline = task.estimate.solver_lock, ctx.finalized + market.acceptance_blocks
    workers.lock(ctx, choice.account, workers.SOLVER, item.task, lock)
    drawn = replace(task, status=ASSIGNED, attempt=task.attempt + 1, solver=choice.account, price=choice.price)
    put_task(ctx.state, drawn, deadline)
    figures = (drawn.attempt, len(asks), choice.price, lock, deadline)
    ctx.deposit(Assigned(item.task, choice.account, *figures))


def _waits_for_data(ctx: Context, item: Turn, task: Task, market: MarketParameters) -> bool:
    """Whether the draw has to wait until holders have the task's data. A task whose data nobody could get is cancelled:
    the submitter has its escrow back, less the listing fee."""
    found = blobs.status(ctx.state, item.task)
    if not blobs.is_on(ctx.state) or found == blobs.PLACED:
        return False
    if found == blobs.FAILED:
        _, refund = finish(ctx, task, CANCELLED)
        ctx.deposit(Cancelled(item.task, refund))
        return True
    again = max(ctx.number, ctx.finalized + retry_after(market, ctx.finalized - task.pooled))
    put_task(ctx.state, replace(task, since=ctx.number), task.deadline, look=again)
    return True


def _candidates(ctx: Context, task: Task) -> list[Ask]:
    """Standing asks of solvers that have no other role on the task."""
    barred = (task.submitter, *task.excluded, *task.reviewers)
    limit, lock = task.spec.price_limit, task.estimate.solver_lock
    return workers.standing_asks(ctx.state, workers.SOLVER, limit, lock, task.since, barred)


def _can_be_audited(ctx: Context, task: Task, solver: bytes) -> bool:
    """Whether enough verifiers are there now: no solver should train what nobody will audit."""
    barred = (task.submitter, solver, *task.excluded)
    limit, lock = task.spec.price_limit, task.estimate.verifier_lock
    asks = workers.standing_asks(ctx.state, workers.VERIFIER, limit, lock, ctx.number, barred)
    return len(asks) >= task.spec.verifiers
