"""A program under construction: typed values, shared applications, folded transposes, unneeded nodes left out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.errors import ProgramError, SolventError
from runtime.vm.operators import OPERATORS
from runtime.vm.program import Input, Named, Node, Program
from runtime.vm.types import TensorType

Shape = tuple[int, ...]


class UnsupportedOperator(SolventError):
    """The step uses something that Solvent cannot express. ``operator`` names it, ``source`` is the user's line."""

    def __init__(self, operator: str, source: str, why: str = "Solvent has no exact definition of it yet") -> None:
        super().__init__(f"{operator} at {source}: {why}")
        self.operator = operator
        self.source = source


class Refused(Exception):
    """Raised inside a rule; the walk over the graph adds operator and source line."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor of the traced step: a value of the program, maybe to be read transposed (matmul folds that)."""

    value: int
    transposed: bool = False


def float_bits(number: float) -> int:
    """Bits of a Python number rounded to f32; infinities beyond its range."""
    try:
        packed = struct.pack("<f", number)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if number > 0 else float("-inf"))
    return int.from_bytes(packed, "little")


class Builder:
    """A program under construction. Mutable. Equal applications are shared, except random ones."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = tuple(inputs)
        self.nodes: list[Node] = []
        self.types = [TensorType(source.dtype, tuple(source.shape)) for source in inputs]
        self._first_outputs: list[int] = []
        self._known: dict[tuple[str, Shape, Shape], tuple[Ref, ...]] = {}
        self._reshaped: dict[int, int] = {}
        """Result of a reshape to what was reshaped."""

    def emit(self, op: str, inputs: Sequence[Ref], attributes: Sequence[int] = ()) -> Ref:
        """Apply an operator and return its main (last) output."""
        return self.emit_all(op, inputs, attributes)[-1]

    def emit_all(self, op: str, inputs: Sequence[Ref], attributes: Sequence[int] = ()) -> tuple[Ref, ...]:
        """Apply an operator and return all its outputs."""
        return self._apply(op, tuple(self.materialise(ref).value for ref in inputs), tuple(attributes))

    def matmul(self, a: Ref, b: Ref) -> Ref:
        """a @ b; transposed operands cost nothing."""
        return self._apply("matmul", (a.value, b.value), (int(a.transposed), int(b.transposed)))[-1]

    def reshape(self, ref: Ref, shape: Shape) -> Ref:
        """The same elements in another shape; reshapes of reshapes are joined."""
        if self.shape(ref) == shape:
            return ref
        value = self.materialise(ref).value
        value = self._reshaped.get(value, value)
        if self.types[value].shape == shape:
            return Ref(value)
        result = self._apply("reshape", (value,), shape)[-1]
        self._reshaped[result.value] = value
        return result

    def materialise(self, ref: Ref) -> Ref:
        """The same tensor as a value in C order."""
        return self._apply("transpose", (ref.value,), ())[-1] if ref.transposed else ref

    def shape(self, ref: Ref) -> Shape:
        shape = self.types[ref.value].shape
        return shape[::-1] if ref.transposed else shape

    def dtype(self, ref: Ref) -> str:
        return self.types[ref.value].dtype

    def constant(self, number: float, shape: Shape = ()) -> Ref:
        return self._apply("fill", (), (float_bits(number), *shape))[-1]

    def program(self, state: dict[str, int], metrics: dict[str, int]) -> Program:
        """The nodes that the next state and the metrics need, renumbered."""
        needed = set(state.values()) | set(metrics.values())
        kept: list[int] = []
        for index in reversed(range(len(self.nodes))):
            if any(value in needed for value in self._outputs(index)):
                kept.append(index)
                needed.update(self.nodes[index].inputs)
        number = {value: value for value in range(len(self.inputs))}
        nodes = []
        for index in reversed(kept):
            node = self.nodes[index]
            inputs = tuple(number[value] for value in node.inputs)
            nodes.append(Node(op=node.op, attributes=node.attributes, inputs=inputs))
            for value in self._outputs(index):
                number[value] = len(number)
        return Program(
            version=1,
            inputs=self.inputs,
            nodes=tuple(nodes),
            state=tuple(Named(name=name, value=number[state[name]]) for name in sorted(state)),
            metrics=tuple(Named(name=name, value=number[metrics[name]]) for name in sorted(metrics)),
        )

    def _outputs(self, index: int) -> range:
        ends = (*self._first_outputs[index + 1 : index + 2], len(self.types))
        return range(self._first_outputs[index], ends[0])

    def _apply(self, op: str, values: Shape, attributes: Shape) -> tuple[Ref, ...]:
        key = (op, values, attributes)
        if key in self._known and op != "uniform":
            return self._known[key]
        try:
            outputs = OPERATORS[op].shapes(attributes, tuple(self.types[value] for value in values))
        except ProgramError as error:
            raise Refused(f"{op}: {error}") from None
        first = len(self.types)
        self.nodes.append(Node(op=op, attributes=attributes, inputs=values))
        self._first_outputs.append(first)
        self.types += outputs
        self._known[key] = tuple(Ref(value) for value in range(first, len(self.types)))
        return self._known[key]
