"""What people do in disputes: open one, and play moves."""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record, encode, replace
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import Move, OpenOperand, OpenValue, Party, PostGroup
from runtime.dispute.records import Cursor, Game, Verdict
from runtime.market_parameters import parts_of
from runtime.pallet import Context
from runtime.pallets import balances, proofs, tasks
from runtime.pallets.disputes.clocks import due_gas, put_waiting, replay_blocks, start_clock, stop_clock
from runtime.pallets.disputes.lines import join
from runtime.pallets.disputes.outcome import require_open, resolve
from runtime.pallets.disputes.storage import (
    DISPUTES,
    MOVES,
    NEXT,
    OPEN,
    PALLET,
    ClockEmpty,
    DefendsItself,
    Dispute,
    DisputeOpened,
    LoggedMove,
    MovePlayed,
    NotAParty,
    StaleMove,
    bond_reason,
    parameters,
)
from runtime.state import State
from runtime.weights import CALLS


class Open(Record):
    """Dispute segment ``segment`` of the proof of ``task`` (0 is the initialisation)."""

    task: Hash
    segment: U32


class Play(Record):
    """One move in a dispute. ``number`` counts the moves before it, so that no move is ever taken for a later one."""

    dispute: U63
    number: U32
    move: Move


def may_open(state: State, origin: bytes, args: Open) -> bool:
    """Whether an opening may use the reserved share of a block: from somebody with a bond, about a proof at stake."""
    board = proofs.AUDITS.get(state, args.task)
    at_stake = board is not None and proofs.is_live(board)
    return at_stake and balances.spendable(state, origin) >= parameters(state).bond


def may_play(state: State, origin: bytes, args: Play) -> bool:
    """Whether a move may use the reserved share of a block: that of the party whose turn it is."""
    dispute = DISPUTES.get(state, args.dispute)
    return dispute is not None and is_turn_of(dispute, origin)


def weigh_play(args: Play) -> int:
    """Groups and openings execute operations and may end the game; the others hash a bounded number of nodes."""
    decides = isinstance(args.move, PostGroup | OpenOperand | OpenValue)
    return CALLS["disputes.play"] + (CALLS["disputes.play.group"] if decides else 0)


@PALLET.call(weight=CALLS["disputes.open"], operational=may_open, name="open")
def call_open(ctx: Context, origin: AccountId, args: Open) -> None:
    """Open a dispute: hold the bond, start the defender's clock. Anyone but the solver who may challenge the proof."""
    task = tasks.require_task(ctx.state, args.task)
    if origin == task.solver:
        raise DefendsItself(f"{origin.hex()} made the claim")
    limits = parameters(ctx.state)
    game = open_game(proofs.on_dispute_opened(ctx, args.task, args.segment, origin))
    number = NEXT.get(ctx.state)
    bond = compute_bond(ctx, task.price, game)
    balances.hold(ctx, origin, bond_reason(number), bond)
    blocks = limits.clock_blocks + replay_blocks(ctx, game)
    dispute = Dispute(
        task=args.task,
        attempt=task.attempt,
        segment=args.segment,
        challenger=origin,
        defender=task.solver,
        bond=bond,
        status=OPEN,
        opened=ctx.number,
        moves=0,
        waits_for=turn(game),
        defender_blocks=blocks,
        challenger_blocks=blocks,
        since=ctx.finalized,
        deadline=ctx.finalized + blocks,
        ended=0,
        reward=0,
    )
    NEXT.put(ctx.state, number + 1)
    join(ctx.state, args.task, task.attempt, number)
    put_waiting(ctx.state, number, dispute, game)
    ctx.deposit(DisputeOpened(number, args.task, args.segment, origin, task.solver, bond, ctx.finalized + blocks))


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


def compute_bond(ctx: Context, price: int, game: Game) -> int:
    """What a challenger puts up: fees, and the defender's replay of the segment at the task's price per unit of gas."""
    limits = parameters(ctx.state)
    replay = price * due_gas(ctx, game)
    return limits.bond + parts_of(replay, limits.replay_share)


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
