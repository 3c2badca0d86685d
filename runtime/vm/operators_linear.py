"""Operators that sum: matrix product, row, column and flat sums, in the fixed orders of ``verification.md``."""

from __future__ import annotations

from runtime.vm.instructions import SCRATCH, Instruction, Recipe, Register, Source, blocked_sum, lane_sum
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import (
    Application,
    Operator,
    require,
    require_arity,
    require_flag,
    require_range,
    require_rank,
    require_shape,
)
from runtime.vm.types import TensorType

Types = tuple[TensorType, ...]
FLAT_BLOCK = 4096
"""Elements that one output of ``block_sum`` covers."""
MAX_STRIDE = 1 << 48


def _matmul_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """A[M,K] (or [K,M] with flag ta) times B[K,N] (or [N,K] with flag tb) gives [M,N]."""
    require_arity(attributes, inputs, 2, ("f32", "f32"))
    for flag, tensor in zip(attributes, inputs, strict=True):
        require_flag(flag)
        require_rank(tensor, 2)
    rows, inner = inputs[0].shape[:: -1 if attributes[0] else 1]
    inner_b, columns = inputs[1].shape[:: -1 if attributes[1] else 1]
    require(inner == inner_b, f"inner dimensions {inner} and {inner_b} differ")
    return (TensorType("f32", (rows, columns)),)


def _matmul_recipe(node: Application, output: int, element: int) -> Recipe:
    transposed_a, transposed_b = node.attributes
    rows, columns = node.outputs[0].shape
    inner = node.inputs[0].shape[0 if transposed_a else 1]
    row, column = divmod(element, columns)
    start_a, stride_a = (row, rows) if transposed_a else (row * inner, 1)
    start_b, stride_b = (column * inner, 1) if transposed_b else (column, columns)

    def term(k: int, destination: int, accumulator: Register) -> Instruction:
        a, b = node.load(0, start_a + stride_a * k), node.load(1, start_b + stride_b * k)
        return Instruction(Opcode.FMA_F32, destination, (a, b, accumulator))

    return blocked_sum(inner, term)


def _row_sum_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_arity(attributes, inputs, 0, ("f32",))
    require_rank(inputs[0], 2)
    return (TensorType("f32", inputs[0].shape[:1]),)


def _row_sum_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[1]
    return lane_sum(columns, lambda column: ((), node.load(0, element * columns + column)))


def _col_sum_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_arity(attributes, inputs, 0, ("f32",))
    require_rank(inputs[0], 2)
    return (TensorType("f32", inputs[0].shape[1:]),)


def _col_sum_recipe(node: Application, output: int, element: int) -> Recipe:
    rows, columns = node.inputs[0].shape

    def term(row: int, destination: int, accumulator: Register) -> Instruction:
        return Instruction(Opcode.ADD_F32, destination, (accumulator, node.load(0, row * columns + element)))

    return blocked_sum(rows, term)


def _block_sum_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_arity(attributes, inputs, 0, ("f32",))
    return (TensorType("f32", (-(-inputs[0].elements // FLAT_BLOCK),)),)


def _block_sum_recipe(node: Application, output: int, element: int) -> Recipe:
    start = element * FLAT_BLOCK
    return lane_sum(min(FLAT_BLOCK, node.inputs[0].elements - start), lambda k: ((), node.load(0, start + k)))


def _block_square_sum_recipe(node: Application, output: int, element: int) -> Recipe:
    start = element * FLAT_BLOCK

    def term(k: int) -> tuple[tuple[Instruction, ...], Source]:
        number = node.load(0, start + k)
        return (Instruction(Opcode.MUL_F32, SCRATCH.number, (number, number)),), SCRATCH

    return lane_sum(min(FLAT_BLOCK, node.inputs[0].elements - start), term)


def _batch_matmul_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """B1 x B2 products of [M,K] and [K,N], each operand read through a view of its own.

    Attributes: B1, B2, M, N, K; offset and strides of A along (B1, B2, M, K) and of B along (B1, B2, K, N), none
    negative, 0 repeating; and a flag. Gives [B1,B2,M,N], or with the flag [B1,M,B2,N], as attention joins its heads.
    """
    require_arity(attributes, inputs, 16, ("f32", "f32"))
    sizes, flag = attributes[:5], attributes[15]
    require_flag(flag)
    require_shape(sizes)
    first, second, rows, columns, inner = sizes
    for tensor, view, along in (
        (inputs[0], attributes[5:10], (first, second, rows, inner)),
        (inputs[1], attributes[10:15], (first, second, inner, columns)),
    ):
        for number in view:
            require_range("offset or stride", number, 0, MAX_STRIDE)
        last = view[0] + sum((size - 1) * stride for size, stride in zip(along, view[1:], strict=True))
        require(last < tensor.elements, f"reads element {last} of {tensor}")
    shape = (first, rows, second, columns) if flag else (first, second, rows, columns)
    return (TensorType("f32", shape),)


def _batch_matmul_recipe(node: Application, output: int, element: int) -> Recipe:
    _, second, rows, columns, inner = node.attributes[:5]
    rest, column = divmod(element, columns)
    if node.attributes[15]:
        rest, batch = divmod(rest, second)
        outer, row = divmod(rest, rows)
    else:
        rest, row = divmod(rest, rows)
        outer, batch = divmod(rest, second)
    a_start, a_outer, a_batch, a_row, a_inner = node.attributes[5:10]
    b_start, b_outer, b_batch, b_inner, b_column = node.attributes[10:15]
    start_a = a_start + outer * a_outer + batch * a_batch + row * a_row
    start_b = b_start + outer * b_outer + batch * b_batch + column * b_column

    def term(k: int, destination: int, accumulator: Register) -> Instruction:
        a, b = node.load(0, start_a + a_inner * k), node.load(1, start_b + b_inner * k)
        return Instruction(Opcode.FMA_F32, destination, (a, b, accumulator))

    return blocked_sum(inner, term)


OPERATORS = (
    Operator("matmul", _matmul_shapes, _matmul_recipe),
    Operator("row_sum", _row_sum_shapes, _row_sum_recipe),
    Operator("col_sum", _col_sum_shapes, _col_sum_recipe),
    Operator("block_sum", _block_sum_shapes, _block_sum_recipe),
    Operator("block_square_sum", _block_sum_shapes, _block_square_sum_recipe),
    Operator("batch_matmul", _batch_matmul_shapes, _batch_matmul_recipe),
)
