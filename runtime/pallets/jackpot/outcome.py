"""How witnesses are decided: who stood, who is slashed, who is paid, and what becomes of the board."""

from __future__ import annotations

from runtime.codec import replace
from runtime.pallet import Context
from runtime.pallets import balances, disputes, proofs, tasks, treasury, workers
from runtime.pallets.disputes import Dispute
from runtime.pallets.jackpot.calls import bond_reason
from runtime.pallets.jackpot.storage import (
    EMPTY,
    PALLET,
    ROUNDS,
    Round,
    RoundKey,
    WitnessForfeited,
    WitnessRefuted,
    WitnessStood,
)
from runtime.pallets.proofs.appointments import MAXIMUM_BOARD
from runtime.pallets.proofs.board import end_window, open_window, put_audit, replace_verifier, tell_jackpot
from runtime.pallets.proofs.storage import PASSED, PROOFS, REVEALING, Board
from runtime.pallets.proofs.witness import jackpot_share
from runtime.weights import CALLS


@PALLET.on_initialize
def process_rounds(ctx: Context) -> None:
    """Look at the boards that the proofs pallet, an opening or a verdict told of."""
    market = workers.parameters(ctx.state)
    for item in proofs.REVELATIONS.drain(ctx, market.deadlines_per_block, market.deadline_weight):
        board = proofs.AUDITS.get(ctx.state, item.task)
        if board is None or board.attempt != item.attempt or not proofs.is_live(board):
            _clear(ctx, item.task, item.attempt)
        elif board.phase == REVEALING and _is_decided(ctx, item.task, board):
            ctx.consume(CALLS["jackpot.deadline"])
            _conclude(ctx, item.task, board)


def _unproven(board: Board) -> list[int]:
    """The places of the audits whose witnesses the board waits for."""
    return [place for place, audit in enumerate(board.audits) if audit.status == PASSED and not audit.proven]


def _is_decided(ctx: Context, name: bytes, board: Board) -> bool:
    """Whether nothing is open any more: everybody has opened, or had the time to, and no dispute runs."""
    over = ctx.finalized >= board.window
    for place in _unproven(board):
        found = ROUNDS.get(ctx.state, RoundKey(name, board.attempt, place)) or EMPTY
        if found.accusations and not found.correct:
            return False
        if not over and (not found.exposed or found.sealed):
            return False
    return True


def _conclude(ctx: Context, name: bytes, board: Board) -> None:
    """Slash and replace whoever withheld or was refuted, pay for the witnesses that stood, and go on: with another
    window where an error was forced, with other verifiers where some are gone, else to the settlement."""
    task, attempt = tasks.require_task(ctx.state, name), board.attempt
    again = False
    for place in _unproven(board):
        key = RoundKey(name, attempt, place)
        found = ROUNDS.get(ctx.state, key) or EMPTY
        if not found.exposed or found.correct:
            task, board = _refute(ctx, key, found, task, board)
            continue
        found = _forfeit(ctx, key, found, board.audits[place].verifier)
        if found.forced:
            # The witness that it stands by has only now become known: it needs a window of its own.
            ROUNDS.put(ctx.state, key, replace(found, forced=False))
            again = True
            continue
        _pay_winners(ctx, key, found, board)
        board = put_audit(ctx, name, board, place, replace(board.audits[place], proven=True))
    if board.phase != REVEALING:
        return
    if again:
        open_window(ctx, name, task, board)
        return
    proof = PROOFS.get(ctx.state, name)
    assert proof is not None
    end_window(ctx, name, task, proof, board)


def _pay_winners(ctx: Context, key: RoundKey, found: Round, board: Board) -> None:
    """The claim stood: pay those that found the forced error, as far as the pot reaches."""
    audit, winners = board.audits[key.place], found.winners
    share = jackpot_share(audit.jackpot, len(winners)) if winners else 0
    spare = balances.free(ctx.state, treasury.POT) - balances.existential_deposit(ctx.state)
    share = min(share, spare // max(len(winners), 1))
    for winner in winners:
        balances.transfer(ctx, treasury.POT, winner, share)
    ROUNDS.delete(ctx.state, key)
    ctx.deposit(WitnessStood(key.task, audit.verifier, winners, share))


def _refute(ctx: Context, key: RoundKey, found: Round, task: tasks.Task, board: Board) -> tuple[tasks.Task, Board]:
    """Take a verifier's whole lock, pay the challengers their part of it, and look for another verifier."""
    audit = board.audits[key.place]
    reason = "withheld its witness" if not found.exposed else "its witness is false"
    challengers = found.correct or tuple(one.account for one in found.sealed)
    stake = workers.locked(ctx.state, audit.verifier, key.task)
    pool = audit.jackpot + max(stake - audit.jackpot, 0) // 2
    share = jackpot_share(min(pool, stake), len(challengers)) if challengers else 0
    for one in found.sealed:
        balances.release(ctx, one.account, bond_reason(key), one.bond)
    taken = workers.slash(ctx, audit.verifier, key.task, stake, [(who, share) for who in challengers])
    task = tasks.note_slash(ctx, task, audit.verifier, workers.VERIFIER, taken)
    for who in challengers:
        task = tasks.note_payment(ctx, task, who, "whistleblower", share)
    ROUNDS.delete(ctx.state, key)
    ctx.deposit(WitnessRefuted(key.task, audit.verifier, reason, taken, challengers, share))
    return replace_verifier(ctx, key.task, task, board, key.place, 0, reason)


def _forfeit(ctx: Context, key: RoundKey, found: Round, verifier: bytes) -> Round:
    """Take the bonds of commitments that were not opened in time."""
    for one in found.sealed:
        balances.move_held(ctx, one.account, bond_reason(key), treasury.POT, one.bond)
        ctx.deposit(WitnessForfeited(key.task, verifier, one.account, one.bond))
    return replace(found, sealed=())


def _clear(ctx: Context, name: bytes, attempt: int) -> None:
    """The proof is gone or settled: return what whistleblowers put up for its witnesses."""
    for place in range(MAXIMUM_BOARD):
        key = RoundKey(name, attempt, place)
        found = ROUNDS.get(ctx.state, key)
        if found is None:
            continue
        for one in found.sealed:
            balances.release(ctx, one.account, bond_reason(key), one.bond)
        ROUNDS.delete(ctx.state, key)


def on_witness_decided(ctx: Context, number: int, dispute: Dispute, won: bool) -> int:
    """A dispute about a verifier's claim ended. The reward is paid when all witnesses of the board are decided."""
    board = proofs.AUDITS.get(ctx.state, dispute.task)
    if board is None or board.attempt != dispute.attempt or not proofs.is_live(board):
        return 0
    place = proofs.find_audit(board, dispute.defender)
    key = RoundKey(dispute.task, dispute.attempt, place or 0)
    found = ROUNDS.get(ctx.state, key)
    if place is None or found is None:
        return 0
    left = tuple(one for one in found.accusations if one.dispute != number)
    if won:
        mine = next(one for one in found.accusations if one.dispute == number)
        correct = tuple(one.account for one in found.accusations if one.witness == mine.witness)
        for one in left:
            disputes.cancel(ctx, one.dispute)
        found, left = replace(found, correct=correct), ()
    ROUNDS.put(ctx.state, key, replace(found, accusations=left))
    tell_jackpot(ctx, dispute.task, board, ctx.finalized)
    return 0


disputes.OWNERS[disputes.WITNESS] = on_witness_decided
