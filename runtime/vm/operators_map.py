"""``map``: a straight line of element-wise operations as one node.

Attributes: the number of constants and their f32 bits, the number of outputs and their slots, then the line: for each
operation its code (an index into `CODES`) and the slots it reads. Slots number the inputs, then the constants, then
the operations' results. Inputs are broadcast against each other; every output has the broadcast shape.

So GELU's backward pass, a loss, or a whole update of Adam is one node: one pass over memory, and a few dozen bytes of
program.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.vm.instructions import Instruction, Recipe, Register, Source, straight
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operator_base import (
    Application,
    Operator,
    broadcast_element,
    broadcast_shape,
    require,
    require_bits,
    require_range,
)
from runtime.vm.types import Kind, TensorType, f32

Types = tuple[TensorType, ...]

CODES = (
    Opcode.ADD_F32, Opcode.SUB_F32, Opcode.MUL_F32, Opcode.DIV_F32, Opcode.MAX_F32, Opcode.MIN_F32,
    Opcode.EQUAL_F32, Opcode.LESS_F32, Opcode.LESS_EQUAL_F32, Opcode.NEG_F32, Opcode.ABS_F32, Opcode.SQRT_F32,
    Opcode.RSQRT_F32, Opcode.EXP_F32, Opcode.LOG_F32, Opcode.TANH_F32, Opcode.SIGMOID_F32, Opcode.ERF_F32,
    Opcode.GELU_F32, Opcode.GELU_SLOPE_F32, Opcode.SELECT_F32, Opcode.SELECT_I32, Opcode.I32_TO_F32,
    Opcode.F32_TO_I32, Opcode.ADD_I32, Opcode.SUB_I32, Opcode.MUL_I32, Opcode.EQUAL_I32, Opcode.LESS_I32,
    Opcode.SIN_F32, Opcode.COS_F32,
)  # fmt: skip
"""Operations of a line, by code. New ones are appended: programs hold the numbers."""
MAX_INPUTS, MAX_OUTPUTS, MAX_CELLS = 8, 4, 30
"""Bounds on inputs and outputs, and on constants and operations together: each has a register."""
_DTYPE_OF = {Kind.F32: "f32", Kind.I32: "i32"}


class Line(NamedTuple):
    """A decoded line. ``kinds`` has one entry per slot; ``steps`` are (opcode, slots read)."""

    constants: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[tuple[Opcode, tuple[int, ...]], ...]
    kinds: tuple[Kind, ...]

    def needed(self, inputs: int, output: int) -> list[int]:
        """The steps that an output needs, in order."""
        first = inputs + len(self.constants)
        wanted = {self.outputs[output]}
        for step in reversed(range(len(self.steps))):
            if first + step in wanted:
                wanted.update(self.steps[step][1])
        return [step for step in range(len(self.steps)) if first + step in wanted]


def decode_line(attributes: tuple[int, ...], inputs: Types) -> Line:
    """The line behind a node's attributes. Raises `ProgramError` naming what is malformed."""
    cursor = _Cursor(attributes)
    constants = cursor.take(cursor.count("constants", 0, MAX_CELLS))
    outputs = cursor.take(cursor.count("outputs", 1, MAX_OUTPUTS))
    for bits in constants:
        require_bits(bits)
    kinds = [Kind.F32 if tensor.dtype == "f32" else Kind.I32 for tensor in inputs] + [Kind.F32] * len(constants)
    first, steps = len(kinds), []
    while cursor.at < len(attributes):
        code = cursor.count("code", 0, len(CODES) - 1)
        operation = OPCODES[CODES[code]]
        assert operation.sources is not None
        slots = cursor.take(len(operation.sources))
        for slot, kind in zip(slots, operation.sources, strict=True):
            require_range("slot", slot, 0, len(kinds) - 1)
            require(kinds[slot] == kind, f"{CODES[code].name} reads {kinds[slot].name} in slot {slot}, not {kind.name}")
        steps.append((CODES[code], slots))
        kinds.append(operation.result)
        require(len(steps) + len(constants) <= MAX_CELLS, f"more than {MAX_CELLS} constants and operations")
    for slot in outputs:
        require_range("output slot", slot, first, len(kinds) - 1)
    return Line(constants, outputs, tuple(steps), tuple(kinds))


class _Cursor:
    """Mutable: a place in a list of attributes."""

    def __init__(self, attributes: tuple[int, ...]) -> None:
        self.attributes = attributes
        self.at = 0

    def take(self, count: int) -> tuple[int, ...]:
        taken = self.attributes[self.at : self.at + count]
        require(len(taken) == count, "the line ends too early")
        self.at += count
        return taken

    def count(self, what: str, low: int, high: int) -> int:
        (number,) = self.take(1)
        require_range(what, number, low, high)
        return number


def _map_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_range("number of inputs", len(inputs), 1, MAX_INPUTS)
    shape: tuple[int, ...] = ()
    for number, tensor in enumerate(inputs):
        require(tensor.dtype in ("f32", "i32"), f"input {number} must be f32 or i32, not {tensor}")
        shape = broadcast_shape(shape, tensor.shape)
    line = decode_line(attributes, inputs)
    return tuple(TensorType(_DTYPE_OF[line.kinds[slot]], shape) for slot in line.outputs)


def _map_recipe(node: Application, output: int, element: int) -> Recipe:
    line = decode_line(node.attributes, node.inputs)
    inputs, shape = len(node.inputs), node.outputs[output].shape
    sources: dict[int, Source] = {
        number: node.load(number, broadcast_element(element, shape, tensor.shape))
        for number, tensor in enumerate(node.inputs)
    }
    sources |= {slot: Register(1 + slot - inputs) for slot in range(inputs, len(line.kinds))}
    needed = line.needed(inputs, output)
    instructions = []
    for step in needed:
        opcode, slots = line.steps[step]
        destination = 0 if step == needed[-1] else 1 + len(line.constants) + step
        instructions.append(Instruction(opcode, destination, tuple(sources[slot] for slot in slots)))
    return straight(instructions, {1 + number: f32(bits) for number, bits in enumerate(line.constants)})


def _map_price(node: Application, output: int) -> int:
    line = decode_line(node.attributes, node.inputs)
    gas = sum(OPCODES[line.steps[step][0]].gas for step in line.needed(len(node.inputs), output))
    return node.outputs[output].elements * gas


OPERATORS = (Operator("map", _map_shapes, _map_recipe, _map_price),)
