"""Dishonest parties in the dispute game that do not follow the script: what they tried once must never win again."""

from __future__ import annotations

from functools import cache

from ml.dispute import Challenger, Defender
from ml.dispute.reference import ReferenceTracer
from ml.dispute.tracer import ElementRun
from runtime.codec import replace
from runtime.commitments import registers_leaf
from runtime.dispute.moves import Move, Party, Phase, PostGroup, TraceRoot
from runtime.dispute.records import Game
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
    """Commits to no bytes at all behind the first group, so that nothing but register 0 could be compared."""

    def leaves(self, game: Game) -> list[bytes]:
        registers = self.tracer.registers(game.step, game.value, game.element)
        leaves = [registers_leaf(one.to_bytes()) for one in registers]
        leaves[1] = registers_leaf(b"")
        return leaves

    def next_move(self, game: Game) -> Move | None:
        move = super().next_move(game)
        if (game.value, game.element) != (PRODUCT, ELEMENT) or move is None:
            return move
        tree = Tree(self.leaves(game)) if game.phase in (Phase.TRACE_ROOT, Phase.REVEAL, Phase.GROUP) else None
        if isinstance(move, TraceRoot) and tree:
            return replace(move, root=tree.root, first_path=tree.path(0), last_path=tree.path(tree.width - 1))
        if isinstance(move, PostGroup):
            return replace(move, after=b"")
        if game.cursor.level == "trace" and game.phase is Phase.REVEAL and tree:
            return replace(move, nodes=tree.descendants(game.cursor.height, game.cursor.index))
        return move


@cache
def cheat(toy: Toy) -> ReferenceTracer:
    return StopsEarly(toy.checked, toy.job, toy.inputs)


def test_registers_that_are_no_bytes_at_all_do_not_hide_a_sum_that_stopped_early() -> None:
    toy = long_sums()
    tracer = cheat(toy)
    played = play(toy, toy.claim_of(tracer), HidesRegisters(tracer).next_move, Challenger(toy.tracer()).next_move)
    assert any(isinstance(move, PostGroup) for _, move in played.moves)
    assert played.winner is Party.CHALLENGER
