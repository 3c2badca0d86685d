"""Operators whose places come from data: rows of a table, their gradient, and the largest element of a row."""

from __future__ import annotations

from runtime.vm.instructions import Address, Instruction, LoadAt, Recipe, Register, fold, straight
from runtime.vm.opcodes import OPCODES, Opcode, Registers
from runtime.vm.operator_base import Application, Operator, require, require_arity, require_range, require_rank
from runtime.vm.types import TensorType, f32, i32

Types = tuple[TensorType, ...]


def _take_rows_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """table[V,D] and index[...] give [..., D]; an index outside the table reads NaN."""
    require_arity(attributes, inputs, 0, ("f32", "i32"))
    require_rank(inputs[0], 2)
    return (TensorType("f32", (*inputs[1].shape, inputs[0].shape[1])),)


def _take_rows_recipe(node: Application, output: int, element: int) -> Recipe:
    rows, columns = node.inputs[0].shape
    place, column = divmod(element, columns)
    chosen = LoadAt(Address("value", node.input_values[0], column), "f32", stride=columns, register=1, bound=rows)
    return straight(
        [
            Instruction(Opcode.MOVE, 1, (node.load(1, place),)),
            Instruction(Opcode.CANONICAL_F32, 0, (chosen,)),
        ]
    )


def _scatter_rows_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """grad[..., D] and index[...], with the number of rows V, give [V,D]: the sum of the rows with that index."""
    require_arity(attributes, inputs, 1, ("f32", "i32"))
    grad, index = inputs
    require(len(grad.shape) >= 1, "grad needs a dimension of columns")
    require(grad.shape[:-1] == index.shape, f"index {index} does not match grad {grad}")
    require_range("row count", attributes[0], 1, (1 << 31) - 1)
    return (TensorType("f32", (attributes[0], grad.shape[-1])),)


def _scatter_rows_recipe(node: Application, output: int, element: int) -> Recipe:
    """From +0, over all positions in order: where the index matches, add; three operations a position."""
    row, column = divmod(element, node.outputs[0].shape[1])
    columns = node.outputs[0].shape[1]

    def instruction(i: int) -> Instruction:
        place, part = divmod(i, 3)
        if part == 0:
            return Instruction(Opcode.EQUAL_I32, 2, (node.load(1, place), Register(1)))
        if part == 1:
            return Instruction(Opcode.ADD_F32, 3, (Register(0), node.load(0, place * columns + column)))
        return Instruction(Opcode.SELECT_F32, 0, (Register(2), Register(3), Register(0)))

    length = 3 * node.inputs[1].elements
    return Recipe(Registers.of({0: f32(0), 1: i32(row)}), length, length, instruction)


def _scatter_rows_price(node: Application, output: int) -> int:
    """A kernel touches each row of the gradient once."""
    return node.outputs[0].elements + 3 * node.inputs[0].elements


def _row_max_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[..., C] gives the largest of each row, then the i32 number of its first occurrence (0 where it is NaN)."""
    require_arity(attributes, inputs, 0, ("f32",))
    require(len(inputs[0].shape) >= 1, "needs at least one dimension")
    rows = inputs[0].shape[:-1]
    return TensorType("f32", rows), TensorType("i32", rows)


def _row_max_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[-1]
    start = element * columns
    if output == 0:
        return fold(
            columns,
            Instruction(Opcode.CANONICAL_F32, 0, (node.load(0, start),)),
            lambda column: Instruction(Opcode.MAX_F32, 0, (Register(0), node.load(0, start + column))),
        )

    def instruction(i: int) -> Instruction:
        """From the last column to the first, so that the first occurrence is chosen last."""
        back, part = divmod(i, 3)
        if part == 0:
            return Instruction(Opcode.SUB_I32, 1, (Register(1), Register(2)))
        if part == 1:
            candidate = node.load(0, start + columns - 1 - back)
            return Instruction(Opcode.EQUAL_F32, 3, (candidate, node.load_output(0, element)))
        return Instruction(Opcode.SELECT_I32, 0, (Register(3), Register(1), Register(0)))

    gas = sum(OPCODES[opcode].gas for opcode in (Opcode.EQUAL_F32, Opcode.SELECT_I32, Opcode.SUB_I32))
    constants = Registers.of({0: i32(0), 1: i32(columns), 2: i32(1)})
    return Recipe(constants, 3 * columns, gas * columns, instruction)


OPERATORS = (
    Operator("take_rows", _take_rows_shapes, _take_rows_recipe),
    Operator("scatter_rows", _scatter_rows_shapes, _scatter_rows_recipe, _scatter_rows_price),
    Operator("row_max", _row_max_shapes, _row_max_recipe),
)
