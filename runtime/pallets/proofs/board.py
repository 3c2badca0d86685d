"""How the audits of a proof move: appointments, replacements, the challenge window, settlement."""

from __future__ import annotations

from runtime.codec import encode, replace
from runtime.market_parameters import parts_of
from runtime.pallet import Context
from runtime.pallets import blobs, system, tasks, workers
from runtime.pallets.proofs.storage import (
    APPOINTMENTS,
    AUDITS,
    AUDITS_RUN,
    DISPUTES,
    DONE,
    PASSED,
    PLACED_STATES,
    PROOFS,
    REPLACED,
    REVEALING,
    REVELATIONS,
    SEARCHING,
    UNDECIDED,
    VOID,
    WINDOW,
    Appointment,
    Audit,
    Board,
    DisputeKey,
    NoProof,
    Proof,
    RevealingBegan,
    VerifierReplaced,
    WindowOpened,
)
from runtime.pallets.tasks import Task
from runtime.state import State

LIVE_STATUSES = ("proved", "auditing", "disputed")
"""Statuses of a task whose proof stands until now."""


def require_board(state: State, name: bytes) -> tuple[Task, Proof, Board]:
    """The task, its proof and its audits. Raises `UnknownTask`, or `NoProof` where no proof stands."""
    task = tasks.require_task(state, name)
    proof, board = PROOFS.get(state, name), AUDITS.get(state, name)
    if proof is None or board is None or task.status not in LIVE_STATUSES:
        raise NoProof(f"the task is {task.status}")
    return task, proof, board


def find_audit(board: Board, account: bytes) -> int | None:
    """The place of an account's audit, if it was ever drawn for this proof."""
    for place, audit in enumerate(board.audits):
        if audit.verifier == account:
            return place
    return None


def put_audit(ctx: Context, name: bytes, board: Board, place: int, audit: Audit) -> Board:
    """Store an audit (a new one where ``place`` is one past the last), and have its deadline looked at."""
    audits = (*board.audits[:place], audit, *board.audits[place + 1 :])
    changed = replace(board, audits=audits)
    AUDITS.put(ctx.state, name, changed)
    if audit.deadline:
        APPOINTMENTS.schedule(ctx.state, audit.deadline, Appointment(name, board.attempt, place, audit.status))
    return changed


def refresh_status(ctx: Context, task: Task, board: Board) -> Task:
    """Let the task's status say what its board says."""
    status = "disputed" if board.disputes else "auditing" if board.audits else "proved"
    return tasks.set_status(ctx, task, status)


def forcing_beacon(state: State, name: bytes, board: Board, audit: Audit) -> bytes | None:
    """What decides, with the verifier's secret, whether its error is forced; None while nobody can know."""
    return system.beacon(state, audit.sealed, b"forcing", encode((name, board.attempt, audit.verifier)))


def count_missing(task: Task, board: Board) -> int:
    """Verifiers still to be drawn."""
    counted = sum(audit.status in (*UNDECIDED, PASSED) for audit in board.audits)
    return max(task.spec.verifiers - counted, 0)


def start_search(ctx: Context, name: bytes, board: Board) -> Board:
    """Look for verifiers with the beacon of this block."""
    searching = replace(board, phase=SEARCHING, since=ctx.number, searched=ctx.finalized)
    AUDITS.put(ctx.state, name, searching)
    APPOINTMENTS.schedule(ctx.state, ctx.number, Appointment(name, board.attempt, ctx.number, SEARCHING))
    return searching


def replace_verifier(
    ctx: Context, name: bytes, task: Task, board: Board, place: int, parts: int, reason: str
) -> tuple[Task, Board]:
    """Take an audit and parts of the lock from a verifier, and look for another one."""
    audit = board.audits[place]
    amount = parts_of(workers.locked(ctx.state, audit.verifier, name), parts)
    taken = workers.slash(ctx, audit.verifier, name, amount)
    workers.unlock(ctx, audit.verifier, name)
    task = tasks.note_slash(ctx, task, audit.verifier, workers.VERIFIER, taken)
    ctx.deposit(VerifierReplaced(name, audit.verifier, reason, taken))
    board = put_audit(ctx, name, board, place, replace(audit, status=REPLACED, deadline=0))
    if board.phase != SEARCHING:
        board = start_search(ctx, name, board)
    return task, board


def advance(ctx: Context, name: bytes, task: Task, board: Board) -> Board:
    """Open the challenge window once every audit is decided. A proof that nobody audited fails the task: it would be
    wrong to pay for it, and wrong to punish for it."""
    if board.phase != AUDITS_RUN or any(audit.status in UNDECIDED for audit in board.audits):
        return board
    passed = sum(audit.status == PASSED for audit in board.audits)
    if passed == 0:
        if board.disputes == 0:
            board = close(ctx, name, board, DONE)
            tasks.fail(ctx, task, "no verifier audited the proof")
        return board
    return open_window(ctx, name, task, board)


def is_quiet(board: Board) -> bool:
    """Whether nobody disputes the proof, or has committed to doing so."""
    return board.disputes == 0 and board.commitments == 0


def reconsider(ctx: Context, name: bytes, board: Board) -> None:
    """Have a board looked at again whose window has ended and which only waited for disputes and commitments."""
    if board.phase == WINDOW and is_quiet(board) and ctx.finalized >= board.window:
        APPOINTMENTS.schedule(ctx.state, ctx.number, Appointment(name, board.attempt, 0, WINDOW))


def close(ctx: Context, name: bytes, board: Board, phase: str, completed: bool = False) -> Board:
    """End a board: free every verifier's bond and store the last phase."""
    for audit in board.audits:
        if audit.status != REPLACED:
            workers.unlock(ctx, audit.verifier, name, completed=completed and audit.status == PASSED)
    for placement in PLACED_STATES.get(ctx.state, name) or ():
        blobs.release(ctx, placement)
    PLACED_STATES.delete(ctx.state, name)
    ended = replace(board, phase=phase, disputes=0, commitments=0)
    AUDITS.put(ctx.state, name, ended)
    tell_jackpot(ctx, name, ended, ctx.finalized)
    return ended


def tell_jackpot(ctx: Context, name: bytes, board: Board, when: int) -> None:
    """Have the jackpot pallet look at a board at finalized height ``when``."""
    REVELATIONS.schedule(ctx.state, when, Appointment(name, board.attempt, 0, board.phase))


def end_window(ctx: Context, name: bytes, task: Task, proof: Proof, board: Board) -> None:
    """The window ended without a dispute: pay everyone, or first learn whose witness was a forced error."""
    if not any(audit.status == PASSED and not audit.proven for audit in board.audits):
        settle(ctx, name, task, proof, board)
        return
    end = ctx.finalized + workers.parameters(ctx.state).reveal_blocks
    revealing = replace(board, phase=REVEALING, window=end)
    AUDITS.put(ctx.state, name, revealing)
    for when in (ctx.finalized, end):
        tell_jackpot(ctx, name, revealing, when)
    ctx.deposit(RevealingBegan(name, end))


def open_window(ctx: Context, name: bytes, task: Task, board: Board) -> Board:
    """Give everybody time to challenge the proof and its witnesses."""
    passed = sum(audit.status == PASSED for audit in board.audits)
    end = ctx.finalized + task.estimate.challenge_blocks
    opened = replace(board, phase=WINDOW, window=end)
    AUDITS.put(ctx.state, name, opened)
    APPOINTMENTS.schedule(ctx.state, end, Appointment(name, board.attempt, 0, WINDOW))
    ctx.deposit(WindowOpened(name, passed, end))
    return opened


def settle(ctx: Context, name: bytes, task: Task, proof: Proof, board: Board) -> None:
    """Nothing stands against the proof and its audits: pay everyone."""
    close(ctx, name, board, DONE, completed=True)
    audits = [(audit.verifier, audit.gas) for audit in board.audits if audit.status == PASSED]
    tasks.settle(ctx, task, audits, proof.checkpoints[-1])


def is_disputing(state: State, name: bytes, board: Board, audit: Audit) -> bool:
    """Whether the verifier has an open dispute about a segment that its verdict failed."""
    keys = (DisputeKey(name, segment, audit.verifier) for segment in audit.failed)
    return any(DISPUTES.get(state, key) == board.attempt for key in keys)


def is_live(board: Board) -> bool:
    """Whether the board's proof still stands or falls."""
    return board.phase not in (VOID, DONE)
