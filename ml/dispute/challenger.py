"""The challenger: compares every answer with its own replay and disputes the first difference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ml.dispute.tracer import Tracer, Trees
from runtime.commitments import CHUNK_BYTES, ITEM_BYTES
from runtime.dispute.game import NEVER_DISPUTED, turn
from runtime.dispute.moves import Move, Party, Phase, Select, SelectElement, SelectOperand
from runtime.dispute.records import Game
from runtime.trees import FAN_LEVELS
from runtime.vm.job import Claim


class Challenger:
    """Plays against a claim. A tracer that computed the job honestly beats every false claim."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.trees = Trees(tracer)

    def disagrees_with(self, claim: Claim) -> bool:
        """Whether the claim differs from this party's replay, so that disputing it would win."""
        return self.tracer.state_roots()[-1] != claim.end

    def next_move(self, game: Game) -> Move | None:
        """The selection that is due, or None when it is the defender's turn or nothing differs."""
        if turn(game) is not Party.CHALLENGER:
            return None
        if game.phase is Phase.SELECT:
            return self._select(game)
        if game.phase is Phase.ELEMENT:
            return self._select_element(game)
        operands = self.tracer.operands(game.step, game.value, game.element, game.group)
        operand = _first_difference(game.operands, operands)
        return None if operand is None else SelectOperand(operand)

    def _select(self, game: Game) -> Move | None:
        cursor = game.cursor
        mine = self.trees.current(game).descendants(cursor.height, cursor.index)
        starts_at_known_leaf = cursor.height <= FAN_LEVELS and cursor.index == 0 and cursor.level in NEVER_DISPUTED
        position = _first_difference(game.revealed, mine, skip=int(starts_at_known_leaf))
        return None if position is None else Select(position)

    def _select_element(self, game: Game) -> Move | None:
        size = ITEM_BYTES[self.tracer.checked.values[game.value].dtype]
        start = game.cursor.index * CHUNK_BYTES
        data = memoryview(self.tracer.step_values(game.step)[game.value]).cast("B")
        mine = bytes(data[start : start + CHUNK_BYTES])
        byte = _first_difference(game.chunk, mine)
        return None if byte is None else SelectElement(byte // size)


def _first_difference(theirs: Sequence[object], mine: Sequence[object], skip: int = 0) -> int | None:
    """The first position from ``skip`` on at which two sequences differ."""
    pairs = zip_longest(theirs[skip:], mine[skip:])
    return next((position for position, (one, other) in enumerate(pairs, skip) if one != other), None)
