"""Operators that move, convert or create elements: views, casts, constants and random numbers."""

from __future__ import annotations

from runtime.commitments import element_count
from runtime.vm.instructions import Instruction, Recipe, Register, straight
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import (
    Application,
    Operator,
    broadcast_element,
    broadcast_shape,
    require,
    require_bits,
    require_dtypes,
    require_rank,
    require_shape,
)
from runtime.vm.philox import element_counter
from runtime.vm.types import TensorType, f32, u32

Types = tuple[TensorType, ...]
DTYPE_CODES = ("f32", "i32", "u8", "u32")
"""The ``cast`` operator's attribute indexes this."""
_CASTS = {
    ("u8", "f32"): Opcode.U32_TO_F32,
    ("i32", "f32"): Opcode.I32_TO_F32,
    ("u32", "f32"): Opcode.U32_TO_F32,
    ("f32", "i32"): Opcode.F32_TO_I32,
    ("u8", "i32"): Opcode.U32_TO_I32,
}
_TWO_TO_THE_MINUS_24 = 0x33800000


def _move(node: Application, element: int) -> Recipe:
    """Copy an element of input 0; an f32 NaN becomes canonical."""
    opcode = Opcode.CANONICAL_F32 if node.inputs[0].dtype == "f32" else Opcode.MOVE
    return straight([Instruction(opcode, 0, (node.load(0, element),))])


def _one_input(inputs: Types) -> TensorType:
    require(len(inputs) == 1, f"takes 1 input, not {len(inputs)}")
    return inputs[0]


def _reshape_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    source = _one_input(inputs)
    require_shape(attributes)
    require(element_count(attributes) == source.elements, f"{source} does not reshape to {attributes}")
    return (TensorType(source.dtype, attributes),)


def _reshape_recipe(node: Application, output: int, element: int) -> Recipe:
    return _move(node, element)


def _transpose_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    source = _one_input(inputs)
    require(not attributes, f"takes 0 attributes, not {len(attributes)}")
    require_rank(source, 2)
    return (TensorType(source.dtype, source.shape[::-1]),)


def _transpose_recipe(node: Application, output: int, element: int) -> Recipe:
    rows, columns = node.inputs[0].shape
    column, row = divmod(element, rows)
    return _move(node, row * columns + column)


def _broadcast_to_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    source = _one_input(inputs)
    require_shape(attributes)
    require(broadcast_shape(source.shape, attributes) == attributes, f"{source} does not broadcast to {attributes}")
    return (TensorType(source.dtype, attributes),)


def _broadcast_to_recipe(node: Application, output: int, element: int) -> Recipe:
    return _move(node, broadcast_element(element, node.outputs[0].shape, node.inputs[0].shape))


def _cast_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    source = _one_input(inputs)
    require(len(attributes) == 1 and 0 <= attributes[0] < len(DTYPE_CODES), "takes one dtype code, 0 to 3")
    target = DTYPE_CODES[attributes[0]]
    require((source.dtype, target) in _CASTS, f"no cast from {source.dtype} to {target}")
    return (TensorType(target, source.shape),)


def _cast_recipe(node: Application, output: int, element: int) -> Recipe:
    opcode = _CASTS[node.inputs[0].dtype, node.outputs[0].dtype]
    return straight([Instruction(opcode, 0, (node.load(0, element),))])


def _fill_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require(not inputs and len(attributes) >= 1, "takes no inputs, and f32 bits before its shape")
    require_bits(attributes[0])
    require_shape(attributes[1:])
    return (TensorType("f32", attributes[1:]),)


def _fill_recipe(node: Application, output: int, element: int) -> Recipe:
    return straight([Instruction(Opcode.CANONICAL_F32, 0, (Register(1),))], {1: f32(node.attributes[0])})


def _uniform_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_dtypes(inputs, ("u32",))
    require(inputs[0].shape == (2,), f"needs a Philox key u32[2], not {inputs[0]}")
    require(len(attributes) >= 2, "takes low and high f32 bits before its shape")
    require_bits(attributes[0])
    require_bits(attributes[1])
    require_shape(attributes[2:])
    return (TensorType("f32", attributes[2:]),)


def _uniform_recipe(node: Application, output: int, element: int) -> Recipe:
    """low + u * (high - low), u being the top 24 bits of the element's random word as a fraction of 2^24."""
    low, high = node.attributes[:2]
    counter = element_counter(element, node.node, node.step)
    words = {1 + i: u32(word) for i, word in enumerate(counter)}
    constants = words | {5: u32(element & 3), 6: u32(8), 7: f32(_TWO_TO_THE_MINUS_24), 8: f32(low), 9: f32(high)}
    key = (node.load(0, 0), node.load(0, 1))
    random_word = (Register(1), Register(2), Register(3), Register(4), *key, Register(5))
    return straight(
        [
            Instruction(Opcode.PHILOX, 10, random_word),
            Instruction(Opcode.SHIFT_RIGHT_U32, 10, (Register(10), Register(6))),
            Instruction(Opcode.U32_TO_F32, 0, (Register(10),)),
            Instruction(Opcode.MUL_F32, 0, (Register(0), Register(7))),
            Instruction(Opcode.SUB_F32, 11, (Register(9), Register(8))),
            Instruction(Opcode.MUL_F32, 0, (Register(0), Register(11))),
            Instruction(Opcode.ADD_F32, 0, (Register(8), Register(0))),
        ],
        constants,
    )


OPERATORS = (
    Operator("reshape", _reshape_shapes, _reshape_recipe),
    Operator("transpose", _transpose_shapes, _transpose_recipe),
    Operator("broadcast_to", _broadcast_to_shapes, _broadcast_to_recipe),
    Operator("cast", _cast_shapes, _cast_recipe),
    Operator("fill", _fill_shapes, _fill_recipe),
    Operator("uniform", _uniform_shapes, _uniform_recipe),
)
