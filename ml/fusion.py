"""Joins neighbouring element-wise nodes of a program under construction into lines (the ``map`` operator).

A node is drawn into the only one that reads it when both have the same shape; constants go along. So a chain of
operations is one pass over memory, one value to commit to, and a few dozen bytes of program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import broadcast_shape
from runtime.vm.operators_map import CODES, MAX_CELLS, MAX_INPUTS, decode_line
from runtime.vm.program import Node
from runtime.vm.types import TensorType

Shape = tuple[int, ...]
RANDOM = ("uniform",)
_ON_FLOATS = {
    "add": Opcode.ADD_F32, "sub": Opcode.SUB_F32, "mul": Opcode.MUL_F32, "div": Opcode.DIV_F32,
    "maximum": Opcode.MAX_F32, "minimum": Opcode.MIN_F32, "equal": Opcode.EQUAL_F32, "less": Opcode.LESS_F32,
    "less_equal": Opcode.LESS_EQUAL_F32, "neg": Opcode.NEG_F32, "abs": Opcode.ABS_F32, "sqrt": Opcode.SQRT_F32,
    "exp": Opcode.EXP_F32, "log": Opcode.LOG_F32,
}  # fmt: skip
_ON_INTEGERS = {
    "add": Opcode.ADD_I32, "sub": Opcode.SUB_I32, "mul": Opcode.MUL_I32, "equal": Opcode.EQUAL_I32,
    "less": Opcode.LESS_I32,
}  # fmt: skip
BROADCASTING = frozenset(_ON_FLOATS) | {"select", "map"}
"""Operators whose operands broadcast against each other."""


@dataclass
class Draft:
    """Nodes and the types of all values, inputs first. Mutable: nodes that became unneeded are None."""

    inputs: int
    nodes: Sequence[Node | None]
    types: Sequence[TensorType]
    firsts: Sequence[int]
    """Number of each node's first output."""
    wanted: set[int] = field(default_factory=set)

    def outputs(self, index: int) -> range:
        end = self.firsts[index + 1] if index + 1 < len(self.firsts) else len(self.types)
        return range(self.firsts[index], end)

    def keep_only(self, wanted: set[int]) -> None:
        """Drop every node that these values do not need."""
        self.wanted, needed = set(wanted), set(wanted)
        nodes = list(self.nodes)
        for index in reversed(range(len(nodes))):
            node = nodes[index]
            if node is not None and any(value in needed for value in self.outputs(index)):
                needed.update(node.inputs)
            else:
                nodes[index] = None
        self.nodes = nodes

    def renumbered(self, optional: set[int]) -> tuple[list[Node], dict[int, int]]:
        """The remaining nodes, and the new number of every value that is left; ``optional`` inputs go if unread."""
        read = {value for node in self.nodes if node is not None for value in node.inputs}
        kept_inputs = [value for value in range(self.inputs) if value not in optional or value in read]
        number = {value: place for place, value in enumerate(kept_inputs)}
        kept = []
        for index, node in enumerate(self.nodes):
            if node is None:
                continue
            kept.append(Node(op=node.op, attributes=node.attributes, inputs=tuple(number[v] for v in node.inputs)))
            for value in self.outputs(index):
                number[value] = len(number)
        return kept, number


Constant = tuple[str, int]
"""("bits", the f32 bits of a constant)."""
Operand = int | Constant
"""A value of the program, a constant, or, as -1 - n, the result of the line's step n."""


@dataclass
class Line:
    """A line under construction. Mutable."""

    steps: list[tuple[Opcode, tuple[Operand, ...]]]

    @property
    def values(self) -> list[int]:
        """The values it reads, in order of first use."""
        return list(dict.fromkeys(o for _, operands in self.steps for o in operands if isinstance(o, int) and o >= 0))

    @property
    def constants(self) -> list[int]:
        return list(dict.fromkeys(o[1] for _, operands in self.steps for o in operands if isinstance(o, tuple)))

    def fits(self) -> bool:
        return len(self.values) <= MAX_INPUTS and len(self.constants) + len(self.steps) <= MAX_CELLS

    def spans(self, shape: Shape, types: Sequence[TensorType]) -> bool:
        """Whether the values it reads still broadcast to a shape."""
        wide: Shape = ()
        for value in self.values:
            wide = broadcast_shape(wide, types[value].shape)
        return bool(self.values) and wide == shape

    def with_inlined(self, value: int, other: Line) -> Line:
        """This line with another one, which computes ``value``, before it."""
        shift = len(other.steps)
        moved = [
            (opcode, tuple(_moved(operand, shift, value) for operand in operands)) for opcode, operands in self.steps
        ]
        return Line([*other.steps, *moved])

    def with_constant(self, value: int, bits: int) -> Line:
        return Line(
            [(opcode, tuple(("bits", bits) if o == value else o for o in operands)) for opcode, operands in self.steps]
        )

    def node(self, outputs: Sequence[int] = ()) -> Node:
        """The line as a map whose outputs are these steps' results, by default the last one's."""
        results = outputs or [len(self.steps) - 1]
        values, constants = self.values, self.constants
        first = len(values) + len(constants)
        slots = {value: slot for slot, value in enumerate(values)}
        attributes = [len(constants), *constants, len(results), *(first + step for step in results)]
        for opcode, operands in self.steps:
            attributes.append(CODES.index(opcode))
            for operand in operands:
                if isinstance(operand, tuple):
                    attributes.append(len(values) + constants.index(operand[1]))
                else:
                    attributes.append(slots[operand] if operand >= 0 else first - 1 - operand)
        return Node(op="map", attributes=tuple(attributes), inputs=tuple(values))


def _moved(operand: Operand, shift: int, value: int) -> Operand:
    if operand == value:
        return -shift
    return operand - shift if isinstance(operand, int) and operand < 0 else operand


def fuse(draft: Draft) -> None:
    """Fuse what can be fused; the draft's nodes change, its values keep their numbers."""
    uses: dict[int, int] = dict.fromkeys(draft.wanted, 1)
    for node in draft.nodes:
        for value in () if node is None else set(node.inputs):
            uses[value] = uses.get(value, 0) + 1
    nodes = list(draft.nodes)
    producers = {value: index for index in range(len(nodes)) for value in draft.outputs(index)}
    lines: dict[int, Line] = {}
    for index, node in enumerate(nodes):
        line = None if node is None else _line_of(node, draft.types)
        if node is None or line is None:
            continue
        result, drawn, filled = draft.types[draft.firsts[index]], 0, 0
        for value in line.values:
            producer = producers.get(value, -1)
            maker = nodes[producer] if producer >= 0 else None
            if maker is not None and maker.op == "fill":
                longer = line.with_constant(value, maker.attributes[0])
                if not longer.spans(result.shape, draft.types):
                    continue
                filled += draft.types[value].elements > 1 and longer.fits()
            elif producer in lines and uses[value] == 1 and draft.types[value].shape == result.shape:
                longer = line.with_inlined(value, lines[producer])
            else:
                continue
            if longer.fits():
                drawn += maker is not None and maker.op != "fill"
                line = longer
        lines[index] = line
        if drawn or filled or node.op == "map":
            nodes[index] = line.node()
    draft.nodes = nodes
    draft.keep_only(draft.wanted)


def _line_of(node: Node, types: Sequence[TensorType]) -> Line | None:
    """A node as a line, or None where it is not element-wise or has several outputs."""
    kinds = [types[value].dtype for value in node.inputs]
    if node.op == "map":
        line = decode_line(node.attributes, tuple(types[value] for value in node.inputs))
        if len(line.outputs) > 1:
            return None
        return Line([(opcode, tuple(_operand(node, line.constants, s) for s in slots)) for opcode, slots in line.steps])
    inputs = node.inputs
    if node.op in _ON_FLOATS and set(kinds) == {"f32"}:
        return Line([(_ON_FLOATS[node.op], inputs)])
    if node.op in _ON_INTEGERS and set(kinds) == {"i32"}:
        return Line([(_ON_INTEGERS[node.op], inputs)])
    if node.op == "select":
        return Line([(Opcode.SELECT_F32 if kinds[1] == "f32" else Opcode.SELECT_I32, inputs)])
    zero: Constant = ("bits", 0)
    if node.op == "relu":
        return Line([(Opcode.MAX_F32, (inputs[0], zero))])
    if node.op == "relu_backward":
        return Line([(Opcode.LESS_EQUAL_F32, (inputs[1], zero)), (Opcode.SELECT_F32, (-1, zero, inputs[0]))])
    if node.op == "cast" and (kinds[0], node.attributes[0]) in (("i32", 0), ("f32", 1)):
        return Line([(Opcode.I32_TO_F32 if kinds[0] == "i32" else Opcode.F32_TO_I32, inputs)])
    return None


def _operand(node: Node, constants: Shape, slot: int) -> Operand:
    if slot < len(node.inputs):
        return node.inputs[slot]
    if slot < len(node.inputs) + len(constants):
        return ("bits", constants[slot - len(node.inputs)])
    return -1 - (slot - len(node.inputs) - len(constants))
