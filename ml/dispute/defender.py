"""The defender: answers every question of the game from its own replay."""

from __future__ import annotations

from ml.dispute.tracer import Buffer, Tracer, Trees
from runtime.commitments import CHUNK_BYTES, ITEM_BYTES
from runtime.dispute.game import turn
from runtime.dispute.leaf import operand_address, recipe_of
from runtime.dispute.moves import (
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
    StepRoot,
    TraceRoot,
)
from runtime.dispute.records import Game
from runtime.trees import Tree


class Defender:
    """Plays the side of the claim. A tracer that computed the claim honestly always wins."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.trees = Trees(tracer)

    def next_move(self, game: Game) -> Move | None:
        """The answer that is due, or None when it is the challenger's turn."""
        if turn(game) is not Party.DEFENDER:
            return None
        answers = {
            Phase.SEGMENT_ROOT: self._segment_root,
            Phase.STEP_ROOT: self._step_root,
            Phase.TRACE_ROOT: self._trace_root,
            Phase.REVEAL: self._reveal,
            Phase.CHUNK: self._chunk,
            Phase.GROUP: self._group,
            Phase.OPENING: self._opening,
            Phase.PACK_OPENING: self._pack_opening,
        }
        return answers[game.phase](game)

    def _segment_root(self, game: Game) -> Move:
        tree = self.trees.segment()
        return SegmentRoot(tree.root, tree.path(0), tree.path(tree.width - 1))

    def _step_root(self, game: Game) -> Move:
        segment, tree = self.trees.segment(), self.trees.step(game.step)
        before = game.step - 1
        return StepRoot(tree.root, tree.path(tree.width - 1), segment.node(0, before), segment.path(before))

    def _trace_root(self, game: Game) -> Move:
        tree = self.trees.trace(game.step, game.value, game.element)
        last = self.tracer.registers(game.step, game.value, game.element)[-1]
        return TraceRoot(tree.root, tree.path(0), last.to_bytes(), tree.path(tree.width - 1))

    def _reveal(self, game: Game) -> Move:
        return Reveal(self.trees.current(game).descendants(game.cursor.height, game.cursor.index))

    def _chunk(self, game: Game) -> Move:
        return PostChunk(_chunk_of(self.tracer.step_values(game.step)[game.value], game.cursor.index))

    def _group(self, game: Game) -> Move:
        """The registers around the group. The first one starts from constants, an only one ends in the element."""
        at = (game.step, game.value, game.element)
        operands = tuple(self.tracer.operands(*at, game.group))
        if recipe_of(game, self.tracer.checked).groups == 1:
            return PostGroup(b"", (), b"", operands)
        registers = self.tracer.registers(*at)
        after = registers[game.group].to_bytes()
        if game.group == 1:
            return PostGroup(b"", (), after, operands)
        path = self.trees.trace(*at).path(game.group - 1)
        return PostGroup(registers[game.group - 1].to_bytes(), path, after, operands)

    def _opening(self, game: Game) -> Move:
        address, dtype = operand_address(game, self.tracer.checked)
        chunk = address.element * ITEM_BYTES[dtype] // CHUNK_BYTES
        if address.space == "value":
            data = self.tracer.step_values(game.step)[address.tensor]
            tensor, holder = self.trees.tensor(game.step, address.tensor), self.trees.step(game.step)
        elif address.space == "state":
            data = self.tracer.state_values(game.step - 1)[address.tensor]
            tensor, holder = self.trees.state_tensor(game.step - 1, address.tensor), self.trees.state(game.step - 1)
        elif address.space == "data":
            data = self.tracer.sample_field(address.tensor)
            tensor, holder = self.trees.sample_field(address.tensor), self.tracer.sample_tree()
        else:
            data, tensor, holder = self.tracer.scalar_table(), self.trees.scalars(), Tree([])
        path = holder.path(address.tensor) if holder.width else ()
        return OpenOperand(_chunk_of(data, chunk), tensor.path(chunk), tensor.root, path)

    def _pack_opening(self, game: Game) -> Move:
        tree, value = self.trees.step(game.step), self.tracer.checked.state[game.cursor.index][1]
        assert game.cursor.level is Level.STATE
        return OpenValue(tree.node(0, value), tree.path(value))


def _chunk_of(data: Buffer, index: int) -> bytes:
    return bytes(memoryview(data).cast("B")[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
