"""Clocks: how long each party may think, and when it has lost by silence.

Each party has a budget of finalized blocks. It grows for both whenever a root is due that takes a replay, because both
need that replay: the defender to answer, the challenger to compare.
"""

from __future__ import annotations

from runtime.codec import replace
from runtime.dispute.bounds import replay_gas, replay_time
from runtime.dispute.moves import Party
from runtime.dispute.records import Game
from runtime.pallet import Context
from runtime.pallets import tasks
from runtime.pallets.disputes.storage import DISPUTES, GAMES, TIMEOUTS, Dispute, Timeout, parameters
from runtime.state import State
from runtime.vm.gas import gas_units


def replay_blocks(ctx: Context, game: Game) -> int:
    """Finalized blocks that the replay takes which the due move rests on."""
    time = gas_units(replay_time(tasks.checked_program(ctx, game.claim.job.program), game))
    return -(-time // parameters(ctx.state).gas_per_block)


def due_gas(ctx: Context, game: Game) -> int:
    """Gas units of that replay."""
    return gas_units(replay_gas(tasks.checked_program(ctx, game.claim.job.program), game))


def put_waiting(state: State, number: int, dispute: Dispute, game: Game) -> None:
    """Store a dispute whose mover's clock has begun to run."""
    DISPUTES.put(state, number, dispute)
    GAMES.put(state, number, game)
    TIMEOUTS.schedule(state, dispute.deadline, Timeout(number, dispute.moves))


def stop_clock(ctx: Context, dispute: Dispute, mover: Party) -> Dispute:
    """Take the time of the turn from the mover's clock."""
    used = ctx.finalized - dispute.since
    if mover is Party.DEFENDER:
        return replace(dispute, defender_blocks=max(dispute.defender_blocks - used, 0))
    return replace(dispute, challenger_blocks=max(dispute.challenger_blocks - used, 0))


def start_clock(ctx: Context, dispute: Dispute, mover: Party, grown: int) -> Dispute:
    """Begin a turn; a replay that is due lengthens both clocks, because both sides need it."""
    defender, challenger = dispute.defender_blocks + grown, dispute.challenger_blocks + grown
    left = defender if mover is Party.DEFENDER else challenger
    clocks = {"defender_blocks": defender, "challenger_blocks": challenger}
    return replace(dispute, waits_for=mover, **clocks, since=ctx.finalized, deadline=ctx.finalized + left)
