"""States that a solver withholds: what the proofs pallet knows of a demand for one.

While a demand is open it counts as a dispute about the segment, so the task cannot settle; silence loses it as it loses
a dispute. The states that were placed stay with their holders until the proof is settled or void.
"""

from __future__ import annotations

from runtime.codec import Hash, replace
from runtime.pallet import Context
from runtime.pallets.proofs.board import find_audit, put_audit, refresh_status, require_board
from runtime.pallets.proofs.draw import audit_segments, draw_commitment
from runtime.pallets.proofs.storage import (
    AUDITS,
    DISPUTES,
    OPENED,
    PLACED_STATES,
    WINDOW,
    AlreadyDisputed,
    Board,
    ClaimDisputed,
    DisputeKey,
    Proof,
    RoleConflict,
    UnknownSegment,
    WindowClosed,
    WrongSecret,
)
from runtime.pallets.tasks import Task


def on_state_demanded(
    ctx: Context, name: Hash, segment: int, demander: Hash, secret: bytes, blocks: int
) -> tuple[Task, Proof, bool]:
    """Count a demand for the state that a segment starts from. Returns whether the demander is a verifier that drew the
    segment: it opens its ``secret`` to show so, and its verdict has ``blocks`` more time.

    Raises `UnknownSegment`, `WindowClosed`, `AlreadyDisputed`, `WrongSecret`, or `RoleConflict`.
    """
    task, proof, board = require_board(ctx.state, name)
    if not 0 < segment < len(proof.checkpoints):
        raise UnknownSegment(f"segment {segment} starts from no state that a solver could withhold")
    if board.phase == WINDOW and ctx.finalized >= board.window:
        raise WindowClosed(f"the window ended at {board.window}; block {ctx.finalized} is final")
    if demander in (task.submitter, task.solver, *task.excluded):
        raise RoleConflict("submitter and solvers of a task cannot demand its states")
    key = DisputeKey(name, segment, demander)
    if DISPUTES.get(ctx.state, key) == board.attempt:
        raise AlreadyDisputed(f"segment {segment} of task {name.hex()}")
    place = find_audit(board, demander)
    if place is not None:
        board = _extend_audit(ctx, name, task, board, place, segment, secret, blocks)
    DISPUTES.put(ctx.state, key, board.attempt)
    board = replace(board, disputes=board.disputes + 1)
    AUDITS.put(ctx.state, name, board)
    ctx.deposit(ClaimDisputed(name, segment, demander, board.disputes))
    refresh_status(ctx, task, board)
    return task, proof, place is not None


def _extend_audit(
    ctx: Context, name: bytes, task: Task, board: Board, place: int, segment: int, secret: bytes, blocks: int
) -> Board:
    """Give a verifier that cannot replay yet the time until it can, once for each segment that it drew."""
    audit = board.audits[place]
    if audit.status != OPENED:
        raise RoleConflict(f"this verifier's audit is {audit.status}, so it needs no state")
    if draw_commitment(secret, audit.verifier, name) != audit.commitment:
        raise WrongSecret("the secret does not open the commitment made on acceptance")
    if segment not in audit_segments(task.spec, audit, secret):
        raise RoleConflict(f"this verifier did not draw segment {segment}")
    deadline = max(audit.deadline, ctx.finalized + blocks + task.estimate.verdict_blocks)
    return put_audit(ctx, name, board, place, replace(audit, deadline=deadline))


def note_placed_state(ctx: Context, name: bytes, placement: bytes) -> None:
    """Have a state's placement released when the proof ends."""
    PLACED_STATES.put(ctx.state, name, (*(PLACED_STATES.get(ctx.state, name) or ()), placement))
