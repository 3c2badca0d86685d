"""Dishonest parties in the dispute game that do not follow the script: what they tried once must never win again."""

from __future__ import annotations

from functools import cache

import pytest

from ml.dispute import Challenger, Defender
from ml.dispute.reference import ReferenceTracer
from ml.dispute.tracer import ElementRun
from runtime.codec import decode, encode, replace
from runtime.commitments import registers_leaf
from runtime.dispute.moves import Move, Party, Phase, PostGroup, TraceRoot
from runtime.dispute.records import Game, Verdict
from runtime.trees import Tree
from runtime.vm.opcodes import Registers
from tests.dispute.toy import Toy, long_sums, play

PRODUCT, ELEMENT = 2, 1
"""The matrix product of `long_sums`, whose elements take ten groups."""


class StopsEarly(ReferenceTracer):
    """Claims the sum after the first group for the whole sum, and carries it on."""

    def run_element(self, step: int, value: int, element: int) -> ElementRun:
        run = super().run_element(step, value, element)
        if (value, element) != (PRODUCT, ELEMENT):
            return run
        last = Registers((run.registers[1][0], *run.registers[-1].cells[1:]))
        return ElementRun((*run.registers[:-1], last), run.operands)


class HidesRegisters(Defender):
    """Commits to other bytes than registers behind the first group, or to none, so that nothing can be compared."""

    def __init__(self, tracer: ReferenceTracer, hidden: bytes) -> None:
        super().__init__(tracer)
        self.hidden = hidden

    def leaves(self, game: Game) -> list[bytes]:
        registers = self.tracer.registers(game.step, game.value, game.element)
        leaves = [registers_leaf(one.to_bytes()) for one in registers]
        leaves[1] = registers_leaf(self.hidden)
        return leaves

    def next_move(self, game: Game) -> Move | None:
        move = super().next_move(game)
        if (game.value, game.element) != (PRODUCT, ELEMENT) or move is None:
            return move
        tree = Tree(self.leaves(game)) if game.phase in (Phase.TRACE_ROOT, Phase.REVEAL, Phase.GROUP) else None
        if isinstance(move, TraceRoot) and tree:
            return replace(move, root=tree.root, first_path=tree.path(0), last_path=tree.path(tree.width - 1))
        if isinstance(move, PostGroup):
            return replace(move, after=self.hidden)
        if game.cursor.level == "trace" and game.phase is Phase.REVEAL and tree:
            return replace(move, nodes=tree.descendants(game.cursor.height, game.cursor.index))
        return move


@cache
def cheat(toy: Toy) -> ReferenceTracer:
    return StopsEarly(toy.checked, toy.job, toy.inputs)


EMPTY = bytes(288)
UNKNOWN_KIND = b"\x09" + bytes(287)
TOO_WIDE = b"\x01" + b"\xff" * 8 + bytes(279)
ALL_F64 = (b"\x02" + b"\xff" * 8) * 32


@pytest.mark.parametrize("hidden", [b"", b"\x00", EMPTY, UNKNOWN_KIND, TOO_WIDE, ALL_F64, bytes(8_000)])
def test_bytes_that_are_not_the_registers_do_not_hide_a_sum_that_stopped_early(hidden: bytes) -> None:
    toy = long_sums()
    tracer = cheat(toy)
    defender, challenger = HidesRegisters(tracer, hidden), Challenger(toy.tracer())
    played = play(toy, toy.claim_of(tracer), defender.next_move, challenger.next_move)
    assert any(isinstance(move, PostGroup) for _, move in played.moves)
    assert played.winner is Party.CHALLENGER
    assert played.verdict is not None
    assert played.verdict == decode(encode(played.verdict), Verdict)
