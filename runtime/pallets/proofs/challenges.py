"""What the dispute game means for a proof: a challenger counts, wins or loses, and money follows.

When the solver loses, its whole lock is taken. The challenger's reward is half of that, never more, so that a sham
game against oneself costs at least half of a stake. The rest repays the audits of the voided proof, which the submitter
will need again, so that its escrow still covers the next attempt; the treasury keeps what is left.

Verifiers that passed the losing segment lose their locks where the game *computed* that the claim is false: at a leaf,
or by an opening. They lose them to the treasury alone, and not to the challenger. A verdict by silence says nothing
about the claim, since anyone can fall silent, about a true claim too: with it, those verifiers keep their locks, their
audits are *voided*, and nobody pays for them. Otherwise a solver could fall silent against its own sock puppet and ruin
honest verifiers.

Collusion still does not pay. A solver that is silent to spare a verifier that passed a false segment loses its whole
lock, as it would have at the leaf, and that is at least twice what the task could have paid the two together
(docs/disputes.md).
"""

from __future__ import annotations

from runtime.codec import replace
from runtime.pallet import Context
from runtime.pallets import tasks, workers
from runtime.pallets.proofs.board import (
    advance,
    close,
    find_audit,
    is_disputing,
    is_live,
    put_audit,
    reconsider,
    refresh_status,
    replace_verifier,
    require_board,
)
from runtime.pallets.proofs.storage import (
    AUDITS,
    DISPUTES,
    DISPUTING,
    FAILED,
    REPLACED,
    REVEALING,
    VOID,
    VOIDED,
    WINDOW,
    AlreadyDisputed,
    Audit,
    Board,
    ClaimDisputed,
    CommitFirst,
    DisputeClosed,
    DisputeKey,
    Proof,
    ProofVoided,
    RoleConflict,
    UnknownSegment,
    WindowClosed,
)
from runtime.pallets.tasks import Task
from runtime.state import State
from runtime.vm.job import Claim


def on_commitment(ctx: Context, name: bytes, challenger: bytes) -> tuple[Task, Board]:
    """Count a challenge that somebody commits to, in the window or before. Raises `NoProof`, `WindowClosed`, or
    `RoleConflict` for submitter, solvers and verifiers of this proof."""
    task, _, board = require_board(ctx.state, name)
    _require_window(ctx, board)
    if find_audit(board, challenger) is not None or challenger in (task.submitter, task.solver, *task.excluded):
        raise RoleConflict("submitter, solvers and verifiers of a task cannot challenge it")
    board = replace(board, commitments=board.commitments + 1)
    AUDITS.put(ctx.state, name, board)
    return task, board


def on_commitment_ended(ctx: Context, name: bytes, attempt: int) -> None:
    """A commitment was revealed, or will never be."""
    board = AUDITS.get(ctx.state, name)
    if board is None or board.attempt != attempt or not is_live(board):
        return
    board = replace(board, commitments=board.commitments - 1)
    AUDITS.put(ctx.state, name, board)
    reconsider(ctx, name, board)


def verdict_block(state: State, name: bytes, verifier: bytes) -> int:
    """The block that counts as the commitment of a verifier to what its verdict says. Raises `CommitFirst` for an
    account that is no verifier of this proof."""
    _, _, board = require_board(state, name)
    place = find_audit(board, verifier)
    if place is None:
        raise CommitFirst("commit to the challenge, and reveal it once that is final")
    return board.audits[place].accepted


def _require_window(ctx: Context, board: Board) -> None:
    if board.phase == REVEALING or (board.phase == WINDOW and ctx.finalized >= board.window):
        raise WindowClosed(f"the window ended at {board.window}; block {ctx.finalized} is final")


def on_dispute_opened(ctx: Context, task: bytes, segment: int, challenger: bytes, committed: bool = False) -> Claim:
    """Count a dispute about a segment, audited or not, and return the solver's claim about it. A challenge that its
    author had ``committed`` to in time may come when the window has ended.

    Raises `NoProof`, `UnknownSegment`, `WindowClosed`, `AlreadyDisputed`, or `RoleConflict` for submitter, solvers, and
    verifiers of this proof, save one whose verdict failed that segment: it must come here.
    """
    found, proof, board = require_board(ctx.state, task)
    if segment >= len(proof.checkpoints):
        raise UnknownSegment(f"segment {segment}; the task has {len(proof.checkpoints)}")
    if not committed:
        _require_window(ctx, board)
    key = DisputeKey(task, segment, challenger)
    if DISPUTES.get(ctx.state, key) == board.attempt:
        raise AlreadyDisputed(f"segment {segment} of task {task.hex()}")
    board = _take_up(ctx, task, found, board, segment, challenger, committed)
    DISPUTES.put(ctx.state, key, board.attempt)
    board = replace(board, disputes=board.disputes + 1)
    AUDITS.put(ctx.state, task, board)
    ctx.deposit(ClaimDisputed(task, segment, challenger, board.disputes))
    refresh_status(ctx, found, board)
    return tasks.claim_of(found.spec, proof.checkpoints, segment)


def _take_up(
    ctx: Context, name: bytes, task: Task, board: Board, segment: int, challenger: bytes, committed: bool
) -> Board:
    """Check the challenger's role; note that a verifier follows up its failed verdict. Somebody who had committed to a
    challenge before it was drawn as a verifier may still go through with it."""
    place = find_audit(board, challenger)
    if place is None and challenger in (task.submitter, task.solver, *task.excluded):
        raise RoleConflict("submitter and solvers of a task cannot challenge it")
    if place is None:
        return board
    audit = board.audits[place]
    if audit.status in (FAILED, DISPUTING) and segment in audit.failed:
        return put_audit(ctx, name, board, place, replace(audit, status=DISPUTING, deadline=0))
    if not committed:
        raise RoleConflict(f"this verifier's audit is {audit.status} and did not fail segment {segment}")
    return board


def on_challenger_won(
    ctx: Context, task: bytes, segment: int, challenger: bytes, rewarded: bytes, by_silence: bool = False
) -> int:
    """The solver lost a dispute about a segment: void the proof, slash, pay, and look for another solver.

    ``rewarded`` is who committed to the challenge first. ``by_silence``: the claim was not shown to be false, so no
    verifier is to blame. Returns the reward, 0 where the proof was voided already. The caller cancels the others.
    """
    if not _close_key(ctx, task, segment, challenger):
        return 0
    found, proof, board = require_board(ctx.state, task)
    passed = [audit for audit in board.audits if is_contradicted(audit, segment)]
    guilty = [] if by_silence else passed
    owed = [
        (audit.verifier, audit.gas * found.spec.price_limit)
        for audit in board.audits
        if audit.status != REPLACED and audit.segments and audit not in passed
    ]
    stake = workers.locked(ctx.state, found.solver, task)
    reward = stake // 2
    repaid = _share_out(stake - reward, owed)
    workers.slash(ctx, found.solver, task, stake, [(rewarded, reward), *repaid])
    found = tasks.note_slash(ctx, found, found.solver, workers.SOLVER, stake)
    found = tasks.note_payment(ctx, found, rewarded, "challenger", reward)
    for verifier, amount in repaid:
        found = tasks.note_payment(ctx, found, verifier, "audit_repaid", amount)
    slashed = stake
    for audit in guilty:
        taken = workers.slash(ctx, audit.verifier, task, workers.locked(ctx.state, audit.verifier, task))
        found = tasks.note_slash(ctx, found, audit.verifier, workers.VERIFIER, taken)
        slashed += taken
    back = sum(amount for _, amount in repaid)
    figures = (slashed, reward, back, slashed - reward - back)
    ctx.deposit(ProofVoided(task, proof.solver, segment, challenger, rewarded, *figures))
    if by_silence:
        board = _void_audits(board, segment)
    _void(ctx, task, found, board, (challenger, rewarded), guilty)
    return reward


def _void_audits(board: Board, segment: int) -> Board:
    """Mark the audits that passed a segment about which the solver fell silent."""
    audits = (replace(audit, status=VOIDED) if is_contradicted(audit, segment) else audit for audit in board.audits)
    return replace(board, audits=tuple(audits))


def _share_out(left: int, owed: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Serve what is owed in order, as far as it goes."""
    served = []
    for account, wanted in owed:
        served.append((account, min(wanted, left)))
        left -= min(wanted, left)
    return served


def is_contradicted(audit: Audit, segment: int) -> bool:
    """Whether a verdict passed a segment: it was drawn, and not failed."""
    return audit.status != REPLACED and segment in audit.segments and segment not in audit.failed


def _void(
    ctx: Context, name: bytes, task: Task, board: Board, challengers: tuple[bytes, ...], guilty: list[Audit]
) -> None:
    """End the attempt. Whoever verified or challenged may not solve the next one; whoever was guilty does nothing."""
    close(ctx, name, board, VOID)
    roles = [*(audit.verifier for audit in board.audits), *challengers]
    fresh = [account for account in dict.fromkeys(roles) if account not in task.reviewers]
    barred = (*task.excluded, *(audit.verifier for audit in guilty))
    left = replace(task, reviewers=(*task.reviewers, *fresh), excluded=barred)
    tasks.drop_solver(ctx, left, "proof refuted")


def on_challenger_lost(ctx: Context, task: bytes, segment: int, challenger: bytes) -> None:
    """The claim stood. It stays open to others; a verifier that had failed the segment is slashed and replaced."""
    _on_closed(ctx, task, segment, challenger, lost=True)


def on_dispute_cancelled(ctx: Context, task: bytes, segment: int, challenger: bytes) -> None:
    """The dispute ended undecided. A proof that was voided meanwhile is not touched."""
    _on_closed(ctx, task, segment, challenger, lost=False)


def on_proof_voided(ctx: Context, task: bytes, segment: int, challenger: bytes) -> None:
    """Forget a dispute about a proof that another dispute has voided. This may be told late, when the same challenger
    disputes the same segment of the next proof already: that dispute is another one, and stays."""
    key = DisputeKey(task, segment, challenger)
    board = AUDITS.get(ctx.state, task)
    if board is None or not is_live(board) or DISPUTES.get(ctx.state, key) != board.attempt:
        DISPUTES.delete(ctx.state, key)


def _on_closed(ctx: Context, name: bytes, segment: int, challenger: bytes, lost: bool) -> None:
    if not _close_key(ctx, name, segment, challenger):
        return
    task, _, board = require_board(ctx.state, name)
    board = replace(board, disputes=board.disputes - 1)
    AUDITS.put(ctx.state, name, board)
    ctx.deposit(DisputeClosed(name, segment, challenger, board.disputes))
    place = find_audit(board, challenger)
    if place is not None and board.audits[place].status == DISPUTING:
        market = workers.parameters(ctx.state)
        if lost:
            parts = market.false_verdict_penalty
            task, board = replace_verifier(ctx, name, task, board, place, parts, "failed a segment that stands")
        elif not is_disputing(ctx.state, name, board, board.audits[place]):
            deadline = ctx.finalized + market.dispute_opening_blocks
            audit = replace(board.audits[place], status=FAILED, deadline=deadline)
            board = put_audit(ctx, name, board, place, audit)
    task = refresh_status(ctx, task, board)
    reconsider(ctx, name, board)
    advance(ctx, name, task, board)


def _close_key(ctx: Context, name: bytes, segment: int, challenger: bytes) -> bool:
    """Forget an open dispute; whether it was about the proof that stands."""
    key = DisputeKey(name, segment, challenger)
    attempt, board = DISPUTES.get(ctx.state, key), AUDITS.get(ctx.state, name)
    DISPUTES.delete(ctx.state, key)
    return attempt is not None and board is not None and board.attempt == attempt and is_live(board)


def segment_claim(spec: tasks.TaskSpec, proof: Proof, segment: int) -> Claim:
    """What a proof says about a segment: k = 0 is the initialisation, k >= 1 training up to checkpoint k."""
    return tasks.claim_of(spec, proof.checkpoints, segment)
