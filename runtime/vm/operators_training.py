"""Operators of classifier training that stay whole: log-softmax, negative log-likelihood, and SGD."""

from __future__ import annotations

from runtime.vm.instructions import (
    SCRATCH,
    Address,
    Instruction,
    LoadAt,
    Recipe,
    Register,
    Source,
    fold,
    lane_sum,
    straight,
)
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import (
    Application,
    Operator,
    require,
    require_arity,
    require_bits,
    require_flag,
    require_rank,
)
from runtime.vm.types import TensorType, f32, i32

Types = tuple[TensorType, ...]


def _log_softmax_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[R,C] gives max[R], log_total[R], out[R,C]."""
    require_arity(attributes, inputs, 0, ("f32",))
    require_rank(inputs[0], 2)
    statistic = TensorType("f32", inputs[0].shape[:1])
    return statistic, statistic, inputs[0]


def _log_softmax_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[1]
    if output == 0:
        return _row_max(node, element * columns, columns)
    if output == 1:
        return _log_total(node, element, columns)
    row = element // columns
    return straight(
        [
            Instruction(Opcode.SUB_F32, 0, (node.load(0, element), node.load_output(0, row))),
            Instruction(Opcode.SUB_F32, 0, (Register(0), node.load_output(1, row))),
        ]
    )


def _row_max(node: Application, start: int, columns: int) -> Recipe:
    return fold(
        columns,
        Instruction(Opcode.CANONICAL_F32, 0, (node.load(0, start),)),
        lambda column: Instruction(Opcode.MAX_F32, 0, (Register(0), node.load(0, start + column))),
    )


def _log_total(node: Application, row: int, columns: int) -> Recipe:
    def term(column: int) -> tuple[tuple[Instruction, ...], Source]:
        centred = (node.load(0, row * columns + column), node.load_output(0, row))
        prepare = (
            Instruction(Opcode.SUB_F32, SCRATCH.number, centred),
            Instruction(Opcode.EXP_F32, SCRATCH.number, (SCRATCH,)),
        )
        return prepare, SCRATCH

    return lane_sum(columns, term, [Instruction(Opcode.LOG_F32, 0, (Register(0),))])


def _log_softmax_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """grad[R,C] and out[R,C] (of log_softmax) give total[R], grad of x [R,C]."""
    require_arity(attributes, inputs, 0, ("f32", "f32"))
    require_rank(inputs[0], 2)
    require(inputs[0].shape == inputs[1].shape, f"grad {inputs[0]} and out {inputs[1]} differ in shape")
    return TensorType("f32", inputs[0].shape[:1]), inputs[0]


def _log_softmax_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[1]
    if output == 0:
        return lane_sum(columns, lambda column: ((), node.load(0, element * columns + column)))
    return straight(
        [
            Instruction(Opcode.EXP_F32, 0, (node.load(1, element),)),
            Instruction(Opcode.MUL_F32, 0, (Register(0), node.load_output(0, element // columns))),
            Instruction(Opcode.SUB_F32, 0, (node.load(0, element), Register(0))),
        ]
    )


def _nll_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """logp[R,C] and label[R] give loss[R]."""
    require_arity(attributes, inputs, 0, ("f32", "i32"))
    require_rank(inputs[0], 2)
    require(inputs[1].shape == inputs[0].shape[:1], f"label {inputs[1]} does not match logp {inputs[0]}")
    return (TensorType("f32", inputs[1].shape),)


def _nll_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[1]
    row_start = Address("value", node.input_values[0], element * columns)
    chosen = LoadAt(row_start, "f32", stride=1, register=1, bound=columns)
    return straight(
        [
            Instruction(Opcode.MOVE, 1, (node.load(1, element),)),
            Instruction(Opcode.NEG_F32, 0, (chosen,)),
        ]
    )


def _nll_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """scale [] and label[R], with the number of classes C, give the gradient [R,C] of the summed, scaled loss."""
    require_arity(attributes, inputs, 1, ("f32", "i32"))
    require_rank(inputs[0], 0)
    require_rank(inputs[1], 1)
    require(1 <= attributes[0] <= (1 << 31) - 1, f"class count {attributes[0]} is out of range")
    return (TensorType("f32", (inputs[1].shape[0], attributes[0])),)


def _nll_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    row, column = divmod(element, node.attributes[0])
    return straight(
        [
            Instruction(Opcode.EQUAL_I32, 3, (node.load(1, row), Register(1))),
            Instruction(Opcode.NEG_F32, 4, (node.load(0, 0),)),
            Instruction(Opcode.SELECT_F32, 0, (Register(3), Register(4), Register(2))),
        ],
        {1: i32(column), 2: f32(0)},
    )


def _sgd_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """param, grad, buffer (one shape) and lr [], with momentum, weight decay, nesterov, give buffer' and param'."""
    require_arity(attributes, inputs, 3, ("f32",) * 4)
    parameter, gradient, buffer, rate = inputs
    require(parameter.shape == gradient.shape == buffer.shape, "param, grad and buffer differ in shape")
    require_rank(rate, 0)
    require_bits(attributes[0])
    require_bits(attributes[1])
    require_flag(attributes[2])
    return buffer, parameter


def _sgd_recipe(node: Application, output: int, element: int) -> Recipe:
    """PyTorch's SGD without dampening. Both outputs compute the decayed gradient g in register 1 anew."""
    momentum, weight_decay, nesterov = node.attributes
    parameter, gradient, buffer = (node.load(number, element) for number in range(3))
    constants = {2: f32(momentum), 3: f32(weight_decay)}
    decayed = [Instruction(Opcode.MOVE, 1, (gradient,))]
    if weight_decay:
        decayed = [
            Instruction(Opcode.MUL_F32, 1, (Register(3), parameter)),
            Instruction(Opcode.ADD_F32, 1, (gradient, Register(1))),
        ]
    if output == 0:
        line = [
            *decayed,
            Instruction(Opcode.MUL_F32, 0, (Register(2), buffer)),
            Instruction(Opcode.ADD_F32, 0, (Register(0), Register(1))),
        ]
        return straight(line, constants)
    new_buffer = node.load_output(0, element)
    direction = [Instruction(Opcode.MOVE, 0, (new_buffer,))]
    if nesterov:
        direction = [
            *decayed,
            Instruction(Opcode.MUL_F32, 0, (Register(2), new_buffer)),
            Instruction(Opcode.ADD_F32, 0, (Register(1), Register(0))),
        ]
    step = [
        Instruction(Opcode.MUL_F32, 0, (node.load(3, 0), Register(0))),
        Instruction(Opcode.SUB_F32, 0, (parameter, Register(0))),
    ]
    return straight([*direction, *step], constants)


OPERATORS = (
    Operator("log_softmax", _log_softmax_shapes, _log_softmax_recipe),
    Operator("log_softmax_backward", _log_softmax_backward_shapes, _log_softmax_backward_recipe),
    Operator("nll", _nll_shapes, _nll_recipe),
    Operator("nll_backward", _nll_backward_shapes, _nll_backward_recipe),
    Operator("sgd", _sgd_shapes, _sgd_recipe),
)
