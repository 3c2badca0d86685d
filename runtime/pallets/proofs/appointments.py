"""The hook that draws verifiers, opens their segments, replaces the silent, and settles."""

from __future__ import annotations

from runtime.codec import encode, replace
from runtime.market_parameters import MarketParameters, parts_of
from runtime.pallet import Context
from runtime.pallets import balances, system, tasks, treasury, workers
from runtime.pallets.proofs.board import (
    advance,
    count_missing,
    end_window,
    forcing_beacon,
    is_quiet,
    put_audit,
    refresh_status,
    replace_verifier,
)
from runtime.pallets.proofs.storage import (
    ACCEPTED,
    APPOINTMENTS,
    AUDITS,
    AUDITS_RUN,
    CALLED,
    DRAWN,
    FAILED,
    OPENED,
    PALLET,
    PASSED,
    PROOFS,
    SEALED,
    SEARCHING,
    WINDOW,
    Appointment,
    Audit,
    AuditOpened,
    Board,
    SearchEnded,
    VerifierDrawn,
    WitnessCalled,
)
from runtime.pallets.tasks import Task
from runtime.state import State
from runtime.weights import CALLS

MAXIMUM_BOARD = 64
"""Audits of one proof, replaced ones counted."""


@PALLET.on_initialize
def process_appointments(ctx: Context) -> None:
    """Do what is due, oldest first; whatever no longer fits the state is passed over."""
    market = workers.parameters(ctx.state)
    for item in APPOINTMENTS.drain(ctx, market.deadlines_per_block, market.deadline_weight):
        ctx.consume(CALLS["proofs.deadline"])
        task, board = tasks.TASKS.get(ctx.state, item.task), AUDITS.get(ctx.state, item.task)
        if task is None or board is None or board.attempt != item.attempt:
            continue
        if item.status == SEARCHING:
            if board.phase == SEARCHING and board.since == item.place:
                _search(ctx, item, task, board, market)
        elif item.status == WINDOW:
            proof = PROOFS.get(ctx.state, item.task)
            if board.phase == WINDOW and is_quiet(board) and board.window <= ctx.finalized and proof is not None:
                end_window(ctx, item.task, task, proof, board)
        elif board.phase in (SEARCHING, AUDITS_RUN):
            _attend(ctx, item, task, board, market)


def _attend(ctx: Context, item: Appointment, task: Task, board: Board, market: MarketParameters) -> None:
    """A deadline of one audit."""
    audit = board.audits[item.place]
    if audit.status != item.status or audit.deadline > ctx.finalized:
        return
    if audit.status == ACCEPTED:
        _open(ctx, item, task, board, audit)
        return
    if audit.status == SEALED:
        _call(ctx, item, board, audit, market)
        return
    parts, reason = {
        DRAWN: (market.silence_penalty, "did not accept"),
        OPENED: (market.silence_penalty, "gave no verdict"),
        CALLED: (market.false_verdict_penalty, "opened no witness"),
        FAILED: (market.false_verdict_penalty, "did not dispute what it failed"),
    }[audit.status]
    replace_verifier(ctx, item.task, task, board, item.place, parts, reason)


def _open(ctx: Context, item: Appointment, task: Task, board: Board, audit: Audit) -> None:
    """Give a verifier the randomness that, with its secret, draws its segments."""
    beacon = system.beacon(ctx.state, audit.accepted, b"segments", encode((item.task, item.attempt, item.place)))
    if beacon is None:
        APPOINTMENTS.schedule(ctx.state, ctx.finalized + 1, item)
        return
    deadline = ctx.finalized + task.estimate.verdict_blocks
    put_audit(ctx, item.task, board, item.place, replace(audit, status=OPENED, beacon=beacon, deadline=deadline))
    ctx.deposit(AuditOpened(item.task, audit.verifier, beacon, deadline))


def _call(ctx: Context, item: Appointment, board: Board, audit: Audit, market: MarketParameters) -> None:
    """Give a verifier the randomness that, with its forcing secret, says which witness it must open."""
    decider = forcing_beacon(ctx.state, item.task, board, audit)
    if decider is None:
        APPOINTMENTS.schedule(ctx.state, ctx.finalized + 1, item)
        return
    deadline = ctx.finalized + market.dispute_opening_blocks
    put_audit(ctx, item.task, board, item.place, replace(audit, status=CALLED, decider=decider, deadline=deadline))
    ctx.deposit(WitnessCalled(item.task, audit.verifier, decider, deadline))


def _search(ctx: Context, item: Appointment, task: Task, board: Board, market: MarketParameters) -> None:
    """Draw the verifiers that are missing, and look again later where there are too few."""
    identity = encode((item.task, item.attempt, len(board.audits)))
    randomness = system.beacon(ctx.state, board.since, b"verifiers", identity)
    if randomness is None:
        APPOINTMENTS.schedule(ctx.state, ctx.finalized + 1, item)
        return
    ctx.consume(workers.draw_weight(ctx.state, workers.VERIFIER))
    board = _draw_verifiers(ctx, item.task, task, board, randomness)
    task = refresh_status(ctx, task, board)
    missing, waited = count_missing(task, board), ctx.finalized - board.searched
    if missing and waited < market.verifier_search_blocks and len(board.audits) < MAXIMUM_BOARD:
        AUDITS.put(ctx.state, item.task, replace(board, since=ctx.number))
        again = max(ctx.number, ctx.finalized + tasks.retry_after(market, waited))
        APPOINTMENTS.schedule(ctx.state, again, replace(item, place=ctx.number))
        return
    if missing:
        passed = sum(audit.status == PASSED for audit in board.audits)
        ctx.deposit(SearchEnded(item.task, passed, task.spec.verifiers))
    board = replace(board, phase=AUDITS_RUN)
    AUDITS.put(ctx.state, item.task, board)
    advance(ctx, item.task, task, board)


def compute_jackpot(state: State, fee: int) -> int:
    """What a forced error of an audit with that fee pays: so many times the fee, and at most a tenth of the pot."""
    spare = balances.free(state, treasury.POT) - balances.existential_deposit(state)
    return min(parts_of(fee, workers.parameters(state).jackpot), spare // 10)


def _draw_verifiers(ctx: Context, name: bytes, task: Task, board: Board, randomness: bytes) -> Board:
    """Fill the board as far as verifiers can be found that have no other role on the task."""
    barred = (task.submitter, task.solver, *task.excluded, *(audit.verifier for audit in board.audits))
    jackpot = compute_jackpot(ctx.state, task.estimate.verifier_fee)
    limit, lock = task.spec.price_limit, task.estimate.verifier_lock + jackpot
    asks = workers.standing_asks(ctx.state, workers.VERIFIER, limit, lock, board.since, barred)
    wanted = min(count_missing(task, board), MAXIMUM_BOARD - len(board.audits))
    deadline = ctx.finalized + workers.parameters(ctx.state).audit_acceptance_blocks
    for verifier in workers.choose_verifiers(asks, limit, wanted, randomness):
        workers.lock(ctx, verifier, workers.VERIFIER, name, lock)
        audit = Audit(verifier, DRAWN, b"", 0, b"", b"", (), (), 0, deadline, b"", (), 0, b"", b"", jackpot, False)
        board = put_audit(ctx, name, board, len(board.audits), audit)
        ctx.deposit(VerifierDrawn(name, verifier, len(asks), lock, deadline))
    return board
