"""How disputes end: by a verdict of the game, by an empty clock, or because another one voided the claim."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from runtime.codec import replace
from runtime.dispute.game import turn
from runtime.dispute.moves import Party
from runtime.dispute.records import Evidence, Game, Reason, Verdict
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, proofs
from runtime.pallets.disputes.claimants import first_claimant, remove_claimant
from runtime.pallets.disputes.clocks import stop_clock
from runtime.pallets.disputes.lines import END, dissolve, leave, take_first, walk
from runtime.pallets.disputes.storage import (
    CANCELLATIONS,
    CANCELLED,
    CHALLENGER_WON,
    CLAIMANTS,
    DEFENDER_WON,
    DISPUTES,
    GAMES,
    LINES,
    LINKS,
    OPEN,
    PALLET,
    PROOF,
    TIMEOUTS,
    VERDICTS,
    Dispute,
    DisputeCancelled,
    Disputed,
    DisputeDecided,
    DisputeEnded,
    Line,
    Pointless,
    UnknownDispute,
    bond_reason,
    parameters,
)
from runtime.state import State
from runtime.weights import CALLS

Owner = Callable[[Context, int, Dispute, bool], int]
OWNERS: dict[str, Owner] = {}
"""Kind of claim -> what its pallet does when a dispute about it was won or lost; returns the reward. Pallets after this
one enter themselves."""


@PALLET.on_initialize
def process_timeouts(ctx: Context) -> None:
    """Decide the disputes whose mover's clock is empty."""
    for timeout in TIMEOUTS.take_due(ctx.state, ctx.finalized, parameters(ctx.state).timeouts_per_block):
        dispute, game = DISPUTES.get(ctx.state, timeout.dispute), GAMES.get(ctx.state, timeout.dispute)
        if dispute is None or game is None or dispute.moves != timeout.moves:
            continue
        if is_pointless(ctx.state, dispute):
            continue
        ctx.consume(CALLS["disputes.timeout"])
        silent = turn(game)
        resolve(ctx, timeout.dispute, stop_clock(ctx, dispute, silent), silence(game, silent))


@PALLET.on_initialize
def process_cancellations(ctx: Context) -> None:
    """Return the bonds of a portion of the disputes about one voided claim, the one that has waited longest."""
    for pointless in CANCELLATIONS.take_due(ctx.state, ctx.number, 1):
        cancel_portion(ctx, pointless.first)


def is_pointless(state: State, dispute: Dispute) -> bool:
    """Whether an open dispute only waits for its bond, because another one has voided the claim."""
    line = LINES.get(state, dispute.task)
    return line is None or line.attempt != dispute.attempt


def silence(game: Game, silent: Party) -> Verdict:
    """The verdict against a party whose clock is empty."""
    evidence = Evidence(
        step=game.claim.job.first_step + max(game.step - 1, 0),
        value=game.value,
        operator="",
        element=game.element,
        operation=0,
        opcode="",
        operand="",
        operands=(),
        claimed="",
        computed=f"no {game.phase} from the {silent}",
        log=(),
    )
    return Verdict(silent.opponent, Reason.SILENCE, evidence, game.trail)


def resolve(ctx: Context, number: int, dispute: Dispute, verdict: Verdict) -> None:
    """End a dispute: move the bond, have the proofs pallet slash and reward, cancel what has become pointless."""
    GAMES.delete(ctx.state, number)
    leave(ctx.state, dispute.task, number)
    VERDICTS.put(ctx.state, number, verdict)
    if dispute.kind != PROOF:
        _resolve_other(ctx, number, dispute, verdict)
        return
    reward, rewarded = 0, b""
    where = (dispute.task, dispute.segment, dispute.challenger)
    if verdict.winner is Party.CHALLENGER:
        balances.release(ctx, dispute.challenger, bond_reason(number), dispute.bond)
        first = DISPUTES.get(ctx.state, first_claimant(ctx.state, dispute, number)) or dispute
        rewarded = first.challenger
        reward = proofs.on_challenger_won(ctx, *where, rewarded, by_silence=verdict.reason is Reason.SILENCE)
    else:
        balances.move_held(ctx, dispute.challenger, bond_reason(number), dispute.defender, dispute.bond)
        proofs.on_challenger_lost(ctx, *where)
    remove_claimant(ctx.state, dispute, number)
    _record(ctx, number, dispute, verdict, rewarded, reward)
    if verdict.winner is Party.CHALLENGER:
        cancel_portion(ctx, dissolve(ctx.state, dispute.task))


def _resolve_other(ctx: Context, number: int, dispute: Dispute, verdict: Verdict) -> None:
    """End a dispute about somebody else's claim than the solver's, by the rules of the pallet that owns the claim."""
    won = verdict.winner is Party.CHALLENGER
    if won:
        balances.release(ctx, dispute.challenger, bond_reason(number), dispute.bond)
    else:
        balances.move_held(ctx, dispute.challenger, bond_reason(number), dispute.defender, dispute.bond)
    reward = OWNERS[dispute.kind](ctx, number, dispute, won)
    _record(ctx, number, dispute, verdict, dispute.challenger if won else b"", reward)


def _record(ctx: Context, number: int, dispute: Dispute, verdict: Verdict, rewarded: bytes, reward: int) -> None:
    """Store how a dispute ended, and tell."""
    won = verdict.winner is Party.CHALLENGER
    status = CHALLENGER_WON if won else DEFENDER_WON
    ended = replace(dispute, status=status, waits_for="", ended=ctx.number, rewarded=rewarded, reward=reward)
    DISPUTES.put(ctx.state, number, ended)
    ctx.deposit(
        DisputeDecided(
            dispute=number,
            task=dispute.task,
            segment=dispute.segment,
            challenger=dispute.challenger,
            defender=dispute.defender,
            winner=verdict.winner,
            reason=verdict.reason,
            evidence=verdict.evidence,
            trail=verdict.trail,
            rewarded=rewarded,
            reward=reward,
            bond=0 if won else dispute.bond,
        )
    )


def cancel(ctx: Context, number: int) -> None:
    """End an open dispute that has become pointless while others about the same proof go on."""
    dispute = DISPUTES.get(ctx.state, number)
    if dispute is not None and dispute.status == OPEN and not is_pointless(ctx.state, dispute):
        leave(ctx.state, dispute.task, number)
        _cancel(ctx, number)


def cancel_portion(ctx: Context, number: int) -> None:
    """Cancel the disputes of a dissolved line: the oldest at once, the others a portion in each block from the next."""
    for _ in range(parameters(ctx.state).cancellations_at_once):
        if number == END:
            return
        ctx.consume(CALLS["disputes.cancel"])
        following = take_first(ctx.state, number)
        _cancel(ctx, number)
        number = following
    if number != END:
        CANCELLATIONS.schedule(ctx.state, ctx.number + 1, Pointless(number))


def _cancel(ctx: Context, number: int) -> None:
    """End a dispute about a voided claim: the challenger has its bond back, and nothing else changes."""
    dispute = DISPUTES.get(ctx.state, number)
    assert dispute is not None
    GAMES.delete(ctx.state, number)
    balances.release(ctx, dispute.challenger, bond_reason(number), dispute.bond)
    if dispute.kind == PROOF:
        remove_claimant(ctx.state, dispute, number)
        proofs.on_proof_voided(ctx, dispute.task, dispute.segment, dispute.challenger)
    DISPUTES.put(ctx.state, number, replace(dispute, status=CANCELLED, waits_for="", ended=ctx.number))
    ctx.deposit(DisputeCancelled(number, dispute.task, dispute.segment, dispute.challenger, dispute.bond))


def require_open(state: State, number: int) -> tuple[Dispute, Game]:
    """An open dispute and its game. Raises `UnknownDispute` or `DisputeEnded`."""
    dispute, game = DISPUTES.get(state, number), GAMES.get(state, number)
    if dispute is None:
        raise UnknownDispute(f"dispute {number}")
    if game is None or is_pointless(state, dispute):
        raise DisputeEnded(f"dispute {number} ended in block {dispute.ended}: {dispute.status}")
    return dispute, game


@PALLET.check
def check(state: State) -> None:
    """Every open dispute has a game, a held bond and a running clock, or waits to be cancelled; no other one has."""
    listed = {number for _, line in LINES.items(state) for number in walk(line, partial(LINKS.get, state))}
    starts = [Line(0, item.first, item.first) for _, item in CANCELLATIONS.pending(state)]
    cancelled = {number for line in starts for number in walk(line, partial(LINKS.get, state))}
    if {number for number, _ in LINKS.items(state)} != listed | cancelled:
        raise InvariantBroken("a dispute stands in no line, or in one without having joined it")
    running = {(item.dispute, item.moves) for _, item in TIMEOUTS.pending(state)}
    for number, dispute in DISPUTES.items(state):
        is_open = dispute.status == OPEN
        if is_open != GAMES.contains(state, number) or is_open != (number in listed | cancelled):
            raise InvariantBroken(f"dispute {number} is {dispute.status}, but its game or its place says otherwise")
        held = balances.held(state, dispute.challenger, bond_reason(number))
        if held != (dispute.bond if is_open else 0):
            raise InvariantBroken(f"dispute {number} is {dispute.status} and holds {held} of a bond of {dispute.bond}")
        claimants = CLAIMANTS.get(state, Disputed(dispute.task, dispute.attempt, dispute.segment)) or ()
        if not is_open and any(one.dispute == number for one in claimants):
            raise InvariantBroken(f"dispute {number} is {dispute.status}, but would still be rewarded")
        if number in listed and (number, dispute.moves) not in running:
            raise InvariantBroken(f"the clock of dispute {number} does not run")
