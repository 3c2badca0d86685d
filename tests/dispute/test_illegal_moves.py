"""Illegal moves in every phase: refused with `InvalidMove`, whatever is wrong with them, and never anything else."""

from __future__ import annotations

from typing import Any

import pytest

from ml.dispute import Defender
from ml.dispute.reference import WrongOperand, WrongPack
from runtime.codec import Record, replace
from runtime.commitments import registers_leaf
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import (
    EXPECTED,
    InvalidMove,
    Move,
    Phase,
    PostChunk,
    Reveal,
    Select,
    SelectElement,
    SelectOperand,
    TraceRoot,
)
from runtime.dispute.records import Game, Verdict
from runtime.trees import Tree
from tests.dispute.toy import Toy, initialisation, long_sums, mlp, play_fault

JUNK = b"\xee" * 32


def positions() -> list[tuple[Toy, Game, Move]]:
    """Every (game, legal move) of two games, one to an opened operand and one to the pack, all phases among them."""
    games = ((long_sums(), WrongOperand(1, 2, 1, 500, 1 << 30)), (mlp(), WrongPack(2, 1, 0)))
    return [(toy, game, move) for toy, fault in games for game, move in play_fault(toy, fault).moves]


POSITIONS = positions()


def refuse(toy: Toy, game: Game, move: Any) -> None:
    with pytest.raises(InvalidMove):
        apply_move(game, toy.checked, move, turn(game))


def tampered(value: Any) -> list[Any]:
    """Variants of one field of a move that an honest party would not send. Operands are free to be anything."""
    if isinstance(value, tuple):
        if value and isinstance(value[0], int):
            return []
        return [(*value, JUNK), value[:-1], (JUNK, *value[1:]), (*value[:-1], JUNK), ()]
    if isinstance(value, bytes):
        return [bytes(len(value)), value[:-1], value + b"\x00", b"", bytes(288)]
    return [2**40]


@pytest.mark.parametrize(("toy", "game", "move"), POSITIONS)
def test_a_move_with_any_field_changed_is_refused(toy: Toy, game: Game, move: Record) -> None:
    changed = [
        replace(move, **{field: variant})
        for field in move.__struct_fields__
        for variant in tampered(getattr(move, field))
        if variant != getattr(move, field)
    ]
    assert changed
    for variant in changed:
        refuse(toy, game, variant)


@pytest.mark.parametrize(("toy", "game", "move"), POSITIONS)
def test_a_move_out_of_turn_or_phase_or_program_is_refused(toy: Toy, game: Game, move: Move) -> None:
    with pytest.raises(InvalidMove, match="turn"):
        apply_move(game, toy.checked, move, turn(game).opponent)
    for _, other, foreign in POSITIONS:
        if EXPECTED[other.phase] is not EXPECTED[game.phase]:
            refuse(toy, game, foreign)
    with pytest.raises(InvalidMove, match="program"):
        apply_move(game, initialisation().checked, move, turn(game))


def position(phase: Phase) -> tuple[Toy, Game, Move]:
    return next(place for place in POSITIONS if place[1].phase is phase)


def test_an_oversized_move_is_refused() -> None:
    toy, game, _ = position(Phase.CHUNK)
    refuse(toy, game, PostChunk(bytes(17_000)))
    toy, game, _ = position(Phase.REVEAL)
    refuse(toy, game, Reveal((JUNK,) * 600))


def test_selections_outside_what_was_shown_are_refused() -> None:
    for phase, kind in ((Phase.SELECT, Select), (Phase.ELEMENT, SelectElement), (Phase.OPERAND, SelectOperand)):
        toy, game, _ = position(phase)
        limit = {
            Phase.SELECT: len(game.revealed),
            Phase.ELEMENT: len(game.chunk) // 4,
            Phase.OPERAND: len(game.operands),
        }
        refuse(toy, game, kind(limit[phase]))


def test_the_start_of_a_segment_and_the_constants_of_a_trace_cannot_be_selected() -> None:
    segment = position(Phase.SELECT)
    trace = next(place for place in POSITIONS if place[1].phase is Phase.SELECT and place[1].cursor.level == "trace")
    for toy, game, _ in (segment, trace):
        refuse(toy, game, Select(0))


def test_a_trace_that_starts_from_other_constants_is_refused() -> None:
    """Else a false first leaf could lead an honest challenger past the real error."""
    toy, game, move = position(Phase.TRACE_ROOT)
    assert isinstance(move, TraceRoot)
    registers = toy.tracer().registers(1, game.value, game.element)
    leaves = [JUNK, *(registers_leaf(one.to_bytes()) for one in registers[1:-1]), registers_leaf(move.registers)]
    tree = Tree(leaves)
    refuse(toy, game, TraceRoot(tree.root, tree.path(0), move.registers, tree.path(tree.width - 1)))


def test_a_segment_that_starts_or_ends_elsewhere_is_refused() -> None:
    toy = mlp()
    claim = toy.claim_of(toy.tracer())
    move = Defender(toy.tracer()).next_move(open_game(claim))
    assert move is not None
    refuse(toy, open_game(replace(claim, end=JUNK)), move)
    refuse(toy, open_game(replace(claim, job=replace(claim.job, start=JUNK))), move)
    refuse(toy, open_game(replace(claim, job=replace(claim.job, steps=4))), move)


def test_a_job_without_steps_cannot_be_disputed() -> None:
    toy = mlp()
    claim = toy.claim_of(toy.tracer())
    with pytest.raises(InvalidMove):
        open_game(replace(claim, job=replace(claim.job, steps=0)))


@pytest.mark.parametrize("operands", [(), (0,), (0,) * 65, (2**64 - 1,) * 64, (0,) * 256])
def test_impossible_operands_lose_by_a_halt(operands: tuple[int, ...]) -> None:
    toy, game, move = position(Phase.GROUP)
    verdict = apply_move(game, toy.checked, replace(move, operands=operands), turn(game))  # type: ignore[type-var]
    assert isinstance(verdict, Verdict)
    assert (verdict.winner, verdict.reason) == ("challenger", "halted")


def test_too_many_operands_are_refused() -> None:
    toy, game, move = position(Phase.GROUP)
    refuse(toy, game, replace(move, operands=(0,) * 257))  # type: ignore[type-var]
