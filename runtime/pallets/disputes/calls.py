"""What people do in disputes that are open: play moves."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Record, encode, replace
from runtime.dispute.game import apply_move, turn
from runtime.dispute.moves import Move, OpenOperand, OpenValue, Party, PostGroup
from runtime.dispute.records import Cursor, Game, Verdict
from runtime.pallet import Context
from runtime.pallets import tasks
from runtime.pallets.disputes.clocks import put_waiting, replay_blocks, start_clock, stop_clock
from runtime.pallets.disputes.outcome import require_open, resolve
from runtime.pallets.disputes.storage import (
    DISPUTES,
    MOVES,
    PALLET,
    ClockEmpty,
    Dispute,
    LoggedMove,
    MovePlayed,
    NotAParty,
    StaleMove,
)
from runtime.state import State
from runtime.weights import CALLS


class Play(Record):
    """One move in a dispute. ``number`` counts the moves before it, so that no move is ever taken for a later one."""

    dispute: U63
    number: U32
    move: Move


def may_play(state: State, origin: bytes, args: Play) -> bool:
    """Whether a move may use the reserved share of a block: that of the party whose turn it is."""
    dispute = DISPUTES.get(state, args.dispute)
    return dispute is not None and is_turn_of(dispute, origin)


def weigh_play(args: Play) -> int:
    """Groups and openings execute operations and may end the game; the others hash a bounded number of nodes."""
    decides = isinstance(args.move, PostGroup | OpenOperand | OpenValue)
    return CALLS["disputes.play"] + (CALLS["disputes.play.group"] if decides else 0)


@PALLET.call(weight=weigh_play, operational=may_play)
def play(ctx: Context, origin: AccountId, args: Play) -> None:
    """Play a move. An illegal one fails and changes nothing; a legal one moves the game on or ends it."""
    dispute, game = require_open(ctx.state, args.dispute)
    mover = party_of(dispute, origin)
    if args.number != dispute.moves:
        raise StaleMove(f"move {args.number} of dispute {args.dispute}, which has {dispute.moves}")
    if mover is turn(game) and ctx.finalized >= dispute.deadline:
        raise ClockEmpty(f"the {mover}'s clock was empty at finalized height {dispute.deadline}")
    checked = tasks.checked_program(ctx, game.claim.job.program)
    after = apply_move(game, checked, args.move, mover)
    dispute = replace(stop_clock(ctx, dispute, mover), moves=dispute.moves + 1)
    if isinstance(after, Verdict):
        _note(ctx, args, dispute, mover, None, game.cursor)
        resolve(ctx, args.dispute, dispute, after)
        return
    dispute = start_clock(ctx, dispute, turn(after), replay_blocks(ctx, after))
    put_waiting(ctx.state, args.dispute, dispute, after)
    _note(ctx, args, dispute, mover, after, after.cursor)


def is_turn_of(dispute: Dispute, who: bytes) -> bool:
    """Whether the dispute waits for this account."""
    if dispute.waits_for == Party.DEFENDER:
        return who == dispute.defender
    return dispute.waits_for == Party.CHALLENGER and who == dispute.challenger


def party_of(dispute: Dispute, who: bytes) -> Party:
    """The side an account plays on. Raises `NotAParty`."""
    if who == dispute.defender:
        return Party.DEFENDER
    if who == dispute.challenger:
        return Party.CHALLENGER
    raise NotAParty(f"{who.hex()} is neither challenger nor defender")


def _note(ctx: Context, args: Play, dispute: Dispute, mover: Party, after: Game | None, where: Cursor) -> None:
    """Log a move and tell of it. ``after`` is the game that goes on, if it does."""
    kind, size = type(args.move).__name__, len(encode(args.move))
    place = (where.level, where.width, where.height, where.index)
    MOVES.put(ctx.state, (args.dispute, args.number), LoggedMove(mover, kind, size, *place, ctx.number))
    phase, next_turn, deadline = ("decided", "", 0) if after is None else (after.phase, turn(after), dispute.deadline)
    ctx.deposit(MovePlayed(args.dispute, args.number, mover, kind, size, phase, next_turn, *place, deadline))
