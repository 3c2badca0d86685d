"""Operators that read another tensor's elements from other places: strided views, padding, joining, counting."""

from __future__ import annotations

from runtime.commitments import element_count
from runtime.vm.instructions import Instruction, Recipe, Register, straight
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import (
    MAX_DIMENSION,
    MAX_RANK,
    Application,
    Operator,
    require,
    require_bits,
    require_range,
    require_shape,
)
from runtime.vm.types import TensorType, f32, i32

Types = tuple[TensorType, ...]
MAX_JOINED = 8
MAX_OFFSET = 1 << 48


def copy_element(node: Application, number: int, element: int) -> Recipe:
    """Copy an element of an input; an f32 NaN becomes canonical."""
    opcode = Opcode.CANONICAL_F32 if node.inputs[number].dtype == "f32" else Opcode.MOVE
    return straight([Instruction(opcode, 0, (node.load(number, element),))])


def _strided_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """offset, shape, strides (of elements, one per dimension, zero or negative allowed) of a view of x."""
    require(len(inputs) == 1, f"takes 1 input, not {len(inputs)}")
    require(len(attributes) % 2 == 1, "takes an offset, a shape, and as many strides")
    rank = len(attributes) // 2
    offset, shape, strides = attributes[0], attributes[1 : 1 + rank], attributes[1 + rank :]
    require_shape(shape)
    lowest = highest = offset
    require_range("offset", offset, 0, MAX_OFFSET)
    for size, stride in zip(shape, strides, strict=True):
        require_range("stride", stride, -MAX_OFFSET, MAX_OFFSET)
        reach = (size - 1) * stride
        lowest, highest = lowest + min(0, reach), highest + max(0, reach)
    require(lowest >= 0 and highest < inputs[0].elements, f"reaches elements {lowest}..{highest} of {inputs[0]}")
    return (TensorType(inputs[0].dtype, shape),)


def _strided_recipe(node: Application, output: int, element: int) -> Recipe:
    rank = len(node.attributes) // 2
    place = node.attributes[0]
    for size, stride in zip(reversed(node.outputs[0].shape), reversed(node.attributes[1 + rank :]), strict=True):
        element, index = divmod(element, size)
        place += index * stride
    return copy_element(node, 0, place)


def _pad_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """f32 bits, then per dimension of x: elements before it, after it, and between its neighbours."""
    require(len(inputs) == 1 and inputs[0].dtype in ("f32", "i32"), "takes one f32 or i32 input")
    shape = inputs[0].shape
    require(len(attributes) == 1 + 3 * len(shape), f"takes {1 + 3 * len(shape)} attributes, not {len(attributes)}")
    require_bits(attributes[0])
    for amount in attributes[1:]:
        require_range("padding", amount, 0, MAX_DIMENSION)
    sizes = [
        attributes[1 + 3 * axis] + (size - 1) * (attributes[3 + 3 * axis] + 1) + 1 + attributes[2 + 3 * axis]
        for axis, size in enumerate(shape)
    ]
    return (TensorType(inputs[0].dtype, tuple(sizes)),)


def _pad_recipe(node: Application, output: int, element: int) -> Recipe:
    place, step, inside = 0, 1, True
    shape, wide = node.inputs[0].shape, node.outputs[0].shape
    for axis in reversed(range(len(shape))):
        element, index = divmod(element, wide[axis])
        index, between = divmod(index - node.attributes[1 + 3 * axis], node.attributes[3 + 3 * axis] + 1)
        inside = inside and between == 0 and 0 <= index < shape[axis]
        place, step = place + index * step, step * shape[axis]
    if inside:
        return copy_element(node, 0, place)
    if node.outputs[0].dtype == "i32":
        return straight([Instruction(Opcode.MOVE, 0, (Register(1),))], {1: i32(node.attributes[0])})
    return straight([Instruction(Opcode.CANONICAL_F32, 0, (Register(1),))], {1: f32(node.attributes[0])})


def _concat_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """Two to eight tensors joined along one axis."""
    require_range("number of inputs", len(inputs), 2, MAX_JOINED)
    require(len(attributes) == 1, f"takes an axis, not {len(attributes)} attributes")
    axis, first = attributes[0], inputs[0]
    require(first.dtype in ("f32", "i32"), f"joins f32 or i32, not {first}")
    require(0 <= axis < len(first.shape), f"axis {axis} of {first}")
    for tensor in inputs[1:]:
        alike = tensor.shape[:axis] == first.shape[:axis] and tensor.shape[axis + 1 :] == first.shape[axis + 1 :]
        require(tensor.dtype == first.dtype and alike, f"{tensor} does not join {first} along axis {axis}")
    total = sum(tensor.shape[axis] for tensor in inputs)
    return (TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :])),)


def _concat_recipe(node: Application, output: int, element: int) -> Recipe:
    axis = node.attributes[0]
    inner = element_count(node.inputs[0].shape[axis + 1 :])
    outer, within = divmod(element, node.outputs[0].shape[axis] * inner)
    for number, tensor in enumerate(node.inputs):
        run = tensor.shape[axis] * inner
        if within < run:
            return copy_element(node, number, outer * run + within)
        within -= run
    raise AssertionError("an element of a join lies in one of its inputs")


def _iota_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """start, step, count: the i32 numbers start, start + step, ..., wrapped."""
    require(not inputs and len(attributes) == 3, "takes no inputs, and a start, a step and a count")
    for number in attributes[:2]:
        require_range("number", number, -(1 << 31), (1 << 31) - 1)
    require_range("count", attributes[2], 1, MAX_DIMENSION)
    return (TensorType("i32", (attributes[2],)),)


def _iota_recipe(node: Application, output: int, element: int) -> Recipe:
    start, step, _ = node.attributes
    return straight([Instruction(Opcode.MOVE, 0, (Register(1),))], {1: i32(start + step * element)})


assert MAX_RANK == 8, "the kernels' records hold eight dimensions"

OPERATORS = (
    Operator("strided", _strided_shapes, _strided_recipe),
    Operator("pad", _pad_shapes, _pad_recipe),
    Operator("concat", _concat_shapes, _concat_recipe),
    Operator("iota", _iota_shapes, _iota_recipe),
)
