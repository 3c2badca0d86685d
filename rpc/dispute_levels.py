"""The levels of a dispute: the committed trees it descended, from a segment's states to an element's registers."""

from __future__ import annotations

from rpc.answers.disputes import LevelJson
from rpc.dispute_replay import Played, Replay
from rpc.render import hex_of
from runtime.dispute.leaf import recipe_of
from runtime.dispute.moves import (
    Level,
    OpenValue,
    PostChunk,
    Reveal,
    SegmentRoot,
    Select,
    SelectElement,
    StepRoot,
    TraceRoot,
)
from runtime.dispute.records import NO_HASH, Descent, Game
from runtime.errors import VmHalt


def render_levels(replay: Replay) -> list[LevelJson]:
    """Every tree in the order of the descent; the last one may still be running."""
    last = replay.moves[-1].after if replay.moves else replay.last_game
    trail = list(last.trail)
    game = replay.last_game
    if isinstance(last, Game) and last.cursor.width and len(trail) < len({*_names(trail), last.cursor.level}):
        trail.append(Descent(last.cursor.level, last.cursor.width, 0))
        running = last.cursor.level
    else:
        running = None
    moves: dict[Level, list[int]] = {descent.level: [] for descent in trail}
    for played in replay.moves:
        level = _level_of(played, trail)
        if level in moves:
            moves[level].append(played.number)
    shown: list[LevelJson] = []
    for descent in trail:
        is_done = descent.level is not running
        root = _root(game, descent.level, shown[-1]["leafHash"] if shown else None)
        shown.append(
            {
                "level": str(descent.level),
                "root": root,
                "width": descent.width,
                "leaf": descent.leaf if is_done else None,
                "leafHash": (_chosen(replay, descent.level) or root) if is_done else None,
                "moves": moves[descent.level],
                "label": _label(replay, game, descent.level),
                "leafLabel": _leaf_label(replay, game, descent) if is_done else None,
            }
        )
    return shown


def _names(trail: list[Descent]) -> set[Level]:
    return {descent.level for descent in trail}


def _level_of(played: Played, trail: list[Descent]) -> Level:
    """The tree that a move is about."""
    match played.move:
        case SegmentRoot():
            return Level.SEGMENT
        case StepRoot():
            return Level.STEP
        case TraceRoot():
            return Level.TRACE
        case Reveal() | Select():
            return Level(played.before.cursor.level)
        case PostChunk() | SelectElement():
            return Level.TENSOR
        case OpenValue():
            return Level.STATE
    return Level.TRACE if Level.TRACE in _names(trail) else Level.TENSOR


def _root(game: Game, level: Level, above: str | None) -> str | None:
    """The root of a tree; those of a tensor and of a state are the leaf chosen one level above."""
    posted = {
        Level.SEGMENT: game.segment_root,
        Level.STEP: game.step_root,
        Level.TRACE: game.trace_root,
    }.get(level)
    if posted is None:
        return above
    return None if posted == NO_HASH else hex_of(posted)


def _chosen(replay: Replay, level: Level) -> str | None:
    """The hash of the leaf that the last selection of a level chose; None for a tree of one leaf."""
    for played in reversed(replay.moves):
        if isinstance(played.move, Select) and played.before.cursor.level == level:
            return hex_of(played.before.revealed[played.move.position])
    return None


def _step(replay: Replay, game: Game) -> int:
    return replay.claim.job.first_step + max(game.step - 1, 0)


def _label(replay: Replay, game: Game, level: Level) -> str:
    steps = replay.claim.job.steps
    return {
        Level.SEGMENT: f"states before and after {'the step' if steps == 1 else f'each of {steps} steps'}",
        Level.STEP: f"values of step {_step(replay, game)}",
        Level.TENSOR: f"chunks of value {game.value}",
        Level.STATE: f"tensors of the state after step {_step(replay, game)}",
        Level.TRACE: "registers after every 64 operations",
    }[level]


def _leaf_label(replay: Replay, game: Game, descent: Descent) -> str:
    checked = replay.checked
    if descent.level is Level.SEGMENT:
        return f"step {replay.claim.job.first_step + max(descent.leaf - 1, 0)}"
    if descent.level is Level.STEP:
        if descent.leaf == checked.step_width - 1:
            return "the next state"
        node, _ = checked.producer(descent.leaf)
        source = checked.program.inputs[descent.leaf] if node < 0 else None
        what = f"{source.kind} {source.name}" if source else checked.program.nodes[node].op
        return f"value {descent.leaf} = {what} {checked.values[descent.leaf]}"
    if descent.level is Level.STATE:
        name, _, kind = checked.state[descent.leaf]
        return f"{name} {kind}"
    if descent.level is Level.TENSOR:
        chosen = any(isinstance(played.move, SelectElement) for played in replay.moves)
        return f"chunk {descent.leaf}" + (f", element {game.element}" if chosen else "")
    try:
        return f"group {descent.leaf} of {recipe_of(game, checked).groups}"
    except VmHalt:
        return f"group {descent.leaf}"
