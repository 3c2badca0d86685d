"""The dispute game: descend a committed tree to the first leaf in dispute, level after level, down to one operation.

`open_game` starts it and `apply_move` is its whole transition function: pure, total, and exact about whose turn it
is. Every width and depth is derived from the program and the job. Each new root comes with paths to the leaves that
both sides know already, so that the tree explains what was claimed and nothing else. ``docs/disputes.md`` argues why
a false claim always loses against an honest challenger and a true one never loses.

::

    segment --- s_i ---> step --- value ---> tensor --- chunk, element ---> trace --- group ---> leaf
                           └----- pack ----> state  --- tensor of the next state ---> leaf
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.codec import Hash, encode, replace
from runtime.commitments import CHUNK_BYTES, ITEM_BYTES, chunk_count, chunk_leaf, registers_leaf
from runtime.dispute.leaf import (
    holds_element,
    judge_group,
    judge_operand,
    judge_pack,
    recipe_of,
    validate_group,
)
from runtime.dispute.moves import (
    EXPECTED,
    MAX_MOVE_BYTES,
    TURN,
    InvalidMove,
    Level,
    Move,
    OpenOperand,
    OpenValue,
    Party,
    Phase,
    PostChunk,
    PostGroup,
    Reveal,
    SegmentRoot,
    Select,
    SelectElement,
    SelectOperand,
    StepRoot,
    TraceRoot,
)
from runtime.dispute.records import NO_HASH, Cursor, Descent, Game, Verdict
from runtime.trees import FAN_LEVELS, depth_of, real_width, root_of_descendants, verify_path
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Claim
from runtime.vm.types import read_element

NEVER_DISPUTED = (Level.SEGMENT, Level.TRACE)
"""Levels whose first leaf is known to everybody: the start state and the recipe's constants."""


def open_game(claim: Claim) -> Game:
    """Start a dispute of ``claim``: the defender owes the root over the states of its steps."""
    if claim.job.steps < 1:
        raise InvalidMove("a job of no steps claims nothing that could be disputed")
    return Game(
        claim=claim,
        phase=Phase.SEGMENT_ROOT,
        cursor=Cursor(Level.SEGMENT, 0, 0, 0, NO_HASH),
        revealed=(),
        trail=(),
        segment_root=NO_HASH,
        step=0,
        before=NO_HASH,
        after=NO_HASH,
        step_root=NO_HASH,
        value=0,
        chunk=b"",
        element=0,
        bits=0,
        trace_root=NO_HASH,
        group=0,
        registers=b"",
        operands=(),
        operand=0,
    )


def turn(game: Game) -> Party:
    """The party that the game waits for."""
    return TURN[game.phase]


def validate_move(game: Game, checked: CheckedProgram, move: Move, mover: Party) -> None:
    """Raise `InvalidMove` unless ``move`` is of the kind that is due, from the party that is due, and not too large."""
    if checked.root != game.claim.job.program:
        raise InvalidMove(f"the game is about program {game.claim.job.program.hex()}, not {checked.root.hex()}")
    if mover is not turn(game):
        raise InvalidMove(f"it is the {turn(game)}'s turn ({game.phase}), not the {mover}'s")
    if type(move) is not EXPECTED[game.phase]:
        raise InvalidMove(f"the game waits for {EXPECTED[game.phase].__name__}, not {type(move).__name__}")
    size = len(encode(move))
    if size > MAX_MOVE_BYTES:
        raise InvalidMove(f"the move has {size} bytes where at most {MAX_MOVE_BYTES} are allowed")


def apply_move(game: Game, checked: CheckedProgram, move: Move, mover: Party) -> Game | Verdict:
    """Return the game after a legal move, or the verdict it leads to. Raises `InvalidMove` and changes nothing else."""
    validate_move(game, checked, move, mover)
    return _APPLY[game.phase](game, checked, move)


def _apply_segment_root(game: Game, checked: CheckedProgram, move: SegmentRoot) -> Game | Verdict:
    job = game.claim.job
    _require_leaf(move.root, job.steps + 1, 0, job.start, move.first_path, "the job's start state")
    _require_leaf(move.root, job.steps + 1, job.steps, game.claim.end, move.last_path, "the claimed end state")
    return _enter(replace(game, segment_root=move.root), checked, Level.SEGMENT, move.root, job.steps + 1)


def _apply_step_root(game: Game, checked: CheckedProgram, move: StepRoot) -> Game | Verdict:
    width = checked.step_width
    _require_leaf(move.root, width, width - 1, game.after, move.last_path, "the claimed state after the step")
    _require_leaf(
        game.segment_root, game.claim.job.steps + 1, game.step - 1, move.before, move.before_path, "the state before"
    )
    return _enter(
        replace(game, step_root=move.root, before=move.before), checked, Level.STEP, move.root, checked.step_width
    )


def _apply_trace_root(game: Game, checked: CheckedProgram, move: TraceRoot) -> Game | Verdict:
    recipe = recipe_of(game, checked)
    groups = recipe.groups
    constants = registers_leaf(recipe.constants.to_bytes())
    _require_leaf(move.root, groups + 1, 0, constants, move.first_path, "the recipe's constants")
    last = registers_leaf(move.registers)
    _require_leaf(move.root, groups + 1, groups, last, move.last_path, "the posted registers")
    if not holds_element(game, checked, move.registers):
        raise InvalidMove(f"register 0 of the posted registers does not hold the claimed element {game.bits:#x}")
    return _enter(replace(game, trace_root=move.root), checked, Level.TRACE, move.root, groups + 1)


def _apply_reveal(game: Game, checked: CheckedProgram, move: Reveal) -> Game:
    cursor = game.cursor
    count = real_width(cursor.width, cursor.height, cursor.index)
    if len(move.nodes) != count:
        raise InvalidMove(f"{len(move.nodes)} nodes revealed where the tree has {count} real descendants")
    if root_of_descendants(move.nodes, cursor.height, cursor.index) != cursor.node:
        raise InvalidMove(f"the revealed nodes do not hash to {cursor.node.hex()}")
    return replace(game, phase=Phase.SELECT, revealed=move.nodes)


def _apply_select(game: Game, checked: CheckedProgram, move: Select) -> Game | Verdict:
    cursor = game.cursor
    if move.position >= len(game.revealed):
        raise InvalidMove(f"position {move.position} of {len(game.revealed)} revealed nodes")
    below = max(cursor.height - FAN_LEVELS, 0)
    index = (cursor.index << (cursor.height - below)) + move.position
    if below == 0 and index == 0 and cursor.level in NEVER_DISPUTED:
        raise InvalidMove(f"the first leaf of a {cursor.level} is known and cannot be disputed")
    node = game.revealed[move.position]
    game = replace(game, revealed=(), cursor=replace(cursor, height=below, index=index, node=node))
    return replace(game, phase=Phase.REVEAL) if below else _arrive(game, checked)


def _apply_chunk(game: Game, checked: CheckedProgram, move: PostChunk) -> Game:
    total = checked.values[game.value].bytes
    expected = min(CHUNK_BYTES, total - game.cursor.index * CHUNK_BYTES)
    if len(move.chunk) != expected:
        raise InvalidMove(f"a chunk of {len(move.chunk)} bytes where the tensor has {expected}")
    if chunk_leaf(move.chunk) != game.cursor.node:
        raise InvalidMove(f"the chunk does not hash to {game.cursor.node.hex()}")
    return replace(game, phase=Phase.ELEMENT, chunk=move.chunk)


def _apply_element(game: Game, checked: CheckedProgram, move: SelectElement) -> Game:
    size = ITEM_BYTES[checked.values[game.value].dtype]
    if move.element >= len(game.chunk) // size:
        raise InvalidMove(f"element {move.element} of a chunk of {len(game.chunk) // size}")
    element = game.cursor.index * (CHUNK_BYTES // size) + move.element
    bits = read_element(game.chunk, checked.values[game.value].dtype, move.element)
    game = replace(game, chunk=b"", element=element, bits=bits)
    if recipe_of(game, checked).groups > 1:
        return replace(game, phase=Phase.TRACE_ROOT)
    return replace(game, phase=Phase.GROUP, group=1)


def _apply_group(game: Game, checked: CheckedProgram, move: PostGroup) -> Game | Verdict:
    recipe = recipe_of(game, checked)
    groups = recipe.groups
    validate_group(game, move, groups)
    if groups > 1 and registers_leaf(move.after) != game.cursor.node:
        raise InvalidMove(f"the registers after the group do not hash to {game.cursor.node.hex()}")
    registers = recipe.constants.to_bytes()
    if game.group > 1:
        registers = move.before
        _require_leaf(
            game.trace_root,
            groups + 1,
            game.group - 1,
            registers_leaf(registers),
            move.before_path,
            "the registers before",
        )
    game = replace(game, registers=registers, operands=move.operands)
    after = move.after if groups > 1 else None
    return judge_group(game, checked, after) or replace(game, phase=Phase.OPERAND)


def _apply_operand(game: Game, checked: CheckedProgram, move: SelectOperand) -> Game:
    if move.operand >= len(game.operands):
        raise InvalidMove(f"operand {move.operand} of {len(game.operands)}")
    return replace(game, phase=Phase.OPENING, operand=move.operand)


def _apply_opening(game: Game, checked: CheckedProgram, move: OpenOperand) -> Verdict:
    return judge_operand(game, checked, move)


def _apply_pack_opening(game: Game, checked: CheckedProgram, move: OpenValue) -> Verdict:
    value = checked.state[game.cursor.index][1]
    _require_leaf(game.step_root, checked.step_width, value, move.tensor, move.tensor_path, "the packed value")
    return judge_pack(game, checked, move.tensor)


_APPLY: dict[Phase, Callable[[Game, CheckedProgram, Any], Game | Verdict]] = {
    Phase.SEGMENT_ROOT: _apply_segment_root,
    Phase.STEP_ROOT: _apply_step_root,
    Phase.TRACE_ROOT: _apply_trace_root,
    Phase.REVEAL: _apply_reveal,
    Phase.SELECT: _apply_select,
    Phase.CHUNK: _apply_chunk,
    Phase.ELEMENT: _apply_element,
    Phase.GROUP: _apply_group,
    Phase.OPERAND: _apply_operand,
    Phase.OPENING: _apply_opening,
    Phase.PACK_OPENING: _apply_pack_opening,
}


def _require_leaf(root: Hash, width: int, index: int, leaf: Hash, path: tuple[Hash, ...], what: str) -> None:
    if not verify_path(root, width, index, leaf, path):
        raise InvalidMove(f"the path does not show {what} as leaf {index} of {width} under {root.hex()}")


def _enter(game: Game, checked: CheckedProgram, level: Level, root: Hash, width: int) -> Game | Verdict:
    """Stand at the root of a tree. A tree of one leaf is already at its leaf."""
    height = depth_of(width)
    game = replace(game, phase=Phase.REVEAL, cursor=Cursor(level, width, height, 0, root))
    return game if height else _arrive(game, checked)


def _arrive(game: Game, checked: CheckedProgram) -> Game | Verdict:
    """Turn the leaf that the cursor reached into the next question."""
    cursor = game.cursor
    game = replace(game, trail=(*game.trail, Descent(cursor.level, cursor.width, cursor.index)))
    if cursor.level is Level.SEGMENT:
        return replace(game, phase=Phase.STEP_ROOT, step=cursor.index, after=cursor.node)
    if cursor.level is Level.STEP:
        if cursor.index == checked.step_width - 1:
            if not checked.state:
                return judge_pack(game, checked, NO_HASH)
            return _enter(game, checked, Level.STATE, cursor.node, len(checked.state))
        width = chunk_count(checked.values[cursor.index].bytes)
        return _enter(replace(game, value=cursor.index), checked, Level.TENSOR, cursor.node, width)
    if cursor.level is Level.TRACE:
        return replace(game, phase=Phase.GROUP, group=cursor.index)
    return replace(game, phase=Phase.CHUNK if cursor.level is Level.TENSOR else Phase.PACK_OPENING)
