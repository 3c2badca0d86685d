"""Row operators of attention and normalisation: softmax, layer norm, and their gradients.

A row is the last dimension of a tensor of any rank. Statistics come first, as outputs of their own, of shape
[..., 1].
"""

from __future__ import annotations

from runtime.vm.instructions import SCRATCH, Instruction, Recipe, Register, Source, lane_sum, straight, with_constants
from runtime.vm.opcodes import Opcode, Registers
from runtime.vm.operator_base import Application, Operator, require, require_arity, require_bits, require_flag
from runtime.vm.softfloat import F32, from_integer
from runtime.vm.types import TensorType, f32

Types = tuple[TensorType, ...]
_SCALE = Register(17)
"""Where a row's constant factor is kept beside the sixteen lanes."""


def _statistic(tensor: TensorType) -> TensorType:
    require(len(tensor.shape) >= 1, "needs at least one dimension")
    return TensorType("f32", (*tensor.shape[:-1], 1))


# -- Softmax ----------------------------------------------------------------------------------------------------------


def _softmax_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[..., C] with f32 bits of a scale and a causal flag gives max[..., 1], total[..., 1], probabilities[..., C].

    Causal: row t of the last two dimensions sees columns 0..t only; the others get probability +0.
    """
    require_arity(attributes, inputs, 2, ("f32",))
    require_bits(attributes[0])
    require_flag(attributes[1])
    require(not attributes[1] or len(inputs[0].shape) >= 2, "a causal softmax needs a matrix")
    return _statistic(inputs[0]), _statistic(inputs[0]), inputs[0]


def _seen(node: Application, row: int) -> int:
    """How many columns a row may look at."""
    shape = node.inputs[0].shape
    return min(shape[-1], row % shape[-2] + 1) if node.attributes[1] else shape[-1]


def _softmax_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[-1]
    if output == 2:
        row, column = divmod(element, columns)
        if column >= _seen(node, row):
            return straight([Instruction(Opcode.CANONICAL_F32, 0, (Register(1),))], {1: f32(0)})
        line = (*_power(node, row, column, 0), Instruction(Opcode.DIV_F32, 0, (Register(0), node.load_output(1, row))))
        return straight(line, {17: f32(node.attributes[0])})
    seen = _seen(node, element)
    if output == 1:

        def term(column: int) -> tuple[tuple[Instruction, ...], Source]:
            return _power(node, element, column, SCRATCH.number), SCRATCH

        return with_constants(lane_sum(seen, term), {17: node.attributes[0]})

    def scaled(column: int, destination: int) -> Instruction:
        return Instruction(Opcode.MUL_F32, destination, (node.load(0, element * columns + column), _SCALE))

    def instruction(i: int) -> Instruction:
        if i == 0:
            return scaled(0, 0)
        column, part = divmod(i + 1, 2)
        return Instruction(Opcode.MAX_F32, 0, (Register(0), SCRATCH)) if part else scaled(column, SCRATCH.number)

    length = 2 * seen - 1
    return Recipe(Registers.of({17: f32(node.attributes[0])}), length, length, instruction)


def _power(node: Application, row: int, column: int, target: int) -> tuple[Instruction, ...]:
    """exp(x * scale - max) in a register."""
    at = Register(target)
    return (
        Instruction(Opcode.MUL_F32, target, (node.load(0, row * node.inputs[0].shape[-1] + column), _SCALE)),
        Instruction(Opcode.SUB_F32, target, (at, node.load_output(0, row))),
        Instruction(Opcode.EXP_F32, target, (at,)),
    )


def _last_recipe(node: Application, output: int) -> Recipe:
    """The recipe of an element of a matrix's last row, which sees the most columns."""
    last_row = node.inputs[0].shape[-2] - 1 if node.attributes[1] else 0
    return _softmax_recipe(node, output, last_row if output < 2 else last_row * node.inputs[0].shape[-1])


def _softmax_price(node: Application, output: int) -> int:
    """As if every row saw as many columns as the last."""
    return node.outputs[output].elements * _last_recipe(node, output).gas


def _softmax_longest(node: Application, output: int) -> int:
    return _last_recipe(node, output).length


def _softmax_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """grad[..., C] and probabilities[..., C] with the scale give dot[..., 1], gradient of x [..., C]."""
    require_arity(attributes, inputs, 1, ("f32", "f32"))
    require_bits(attributes[0])
    require(inputs[0].shape == inputs[1].shape, f"grad {inputs[0]} and out {inputs[1]} differ in shape")
    return _statistic(inputs[0]), inputs[0]


def _softmax_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[-1]
    if output == 0:

        def term(column: int) -> tuple[tuple[Instruction, ...], Source]:
            place = element * columns + column
            product = Instruction(Opcode.MUL_F32, SCRATCH.number, (node.load(0, place), node.load(1, place)))
            return (product,), SCRATCH

        return lane_sum(columns, term)
    return straight(
        [
            Instruction(Opcode.SUB_F32, 0, (node.load(0, element), node.load_output(0, element // columns))),
            Instruction(Opcode.MUL_F32, 0, (Register(0), node.load(1, element))),
            Instruction(Opcode.MUL_F32, 0, (Register(0), _SCALE)),
        ],
        {17: f32(node.attributes[0])},
    )


# -- Layer norm -------------------------------------------------------------------------------------------------------


def _layer_norm_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[..., C], or x with weight[C], or also bias[C], and f32 bits of epsilon give mean[..., 1], rstd[..., 1] and
    out[..., C]."""
    require(1 <= len(inputs) <= 3, f"takes 1 to 3 inputs, not {len(inputs)}")
    require_arity(attributes, inputs, 1, ("f32",) * len(inputs))
    require_bits(attributes[0])
    statistic = _statistic(inputs[0])
    for tensor in inputs[1:]:
        require(tensor.shape == inputs[0].shape[-1:], f"{tensor} does not match rows of {inputs[0]}")
    return statistic, statistic, inputs[0]


def _layer_norm_recipe(node: Application, output: int, element: int) -> Recipe:
    columns = node.inputs[0].shape[-1]
    count = from_integer(F32, columns)
    if output == 0:
        last = Instruction(Opcode.DIV_F32, 0, (Register(0), _SCALE))
        row_sum = lane_sum(columns, lambda column: ((), node.load(0, element * columns + column)), (last,))
        return with_constants(row_sum, {17: count})
    if output == 1:

        def term(column: int) -> tuple[tuple[Instruction, ...], Source]:
            centred = (node.load(0, element * columns + column), node.load_output(0, element))
            prepare = (
                Instruction(Opcode.SUB_F32, SCRATCH.number, centred),
                Instruction(Opcode.MUL_F32, SCRATCH.number, (SCRATCH, SCRATCH)),
            )
            return prepare, SCRATCH

        finish = (
            Instruction(Opcode.DIV_F32, 0, (Register(0), _SCALE)),
            Instruction(Opcode.ADD_F32, 0, (Register(0), Register(18))),
            Instruction(Opcode.RSQRT_F32, 0, (Register(0),)),
        )
        return with_constants(lane_sum(columns, term, finish), {17: count, 18: node.attributes[0]})
    row, column = divmod(element, columns)
    line = [
        Instruction(Opcode.SUB_F32, 0, (node.load(0, element), node.load_output(0, row))),
        Instruction(Opcode.MUL_F32, 0, (Register(0), node.load_output(1, row))),
    ]
    for number, opcode in ((1, Opcode.MUL_F32), (2, Opcode.ADD_F32)):
        if number < len(node.inputs):
            line.append(Instruction(opcode, 0, (Register(0), node.load(number, column))))
    return straight(line)


def _layer_norm_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """grad[..., C], x[..., C], mean[..., 1], rstd[..., 1], maybe weight[C], give the row means of g and of g xhat,
    g being grad times weight and xhat the normalised x, and then the gradient of x."""
    require(4 <= len(inputs) <= 5, f"takes 4 or 5 inputs, not {len(inputs)}")
    require_arity(attributes, inputs, 0, ("f32",) * len(inputs))
    grad, source, mean, rstd = inputs[:4]
    statistic = _statistic(grad)
    require(grad.shape == source.shape, f"grad {grad} and x {source} differ in shape")
    require(mean.shape == rstd.shape == statistic.shape, f"statistics {mean} and {rstd} do not match rows of {grad}")
    for tensor in inputs[4:]:
        require(tensor.shape == grad.shape[-1:], f"{tensor} does not match rows of {grad}")
    return statistic, statistic, grad


def _layer_norm_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    """rstd ((g - mean(g)) - xhat mean(g xhat)); g is kept in register 16, xhat in 18."""
    columns = node.inputs[0].shape[-1]
    if output == 2:
        row = element // columns
        line = (
            *_weighted(node, element, 16),
            *_normalised(node, element, 18),
            Instruction(Opcode.SUB_F32, 16, (SCRATCH, node.load_output(0, row))),
            Instruction(Opcode.MUL_F32, 18, (Register(18), node.load_output(1, row))),
            Instruction(Opcode.SUB_F32, 0, (SCRATCH, Register(18))),
            Instruction(Opcode.MUL_F32, 0, (Register(0), node.load(3, row))),
        )
        return straight(line)

    def term(column: int) -> tuple[tuple[Instruction, ...], Source]:
        place = element * columns + column
        line = _weighted(node, place, 16)
        if output == 1:
            product = Instruction(Opcode.MUL_F32, 16, (SCRATCH, Register(18)))
            line = (*line, *_normalised(node, place, 18), product)
        return line, SCRATCH

    last = Instruction(Opcode.DIV_F32, 0, (Register(0), _SCALE))
    return with_constants(lane_sum(columns, term, (last,)), {17: from_integer(F32, columns)})


def _weighted(node: Application, element: int, target: int) -> tuple[Instruction, ...]:
    gradient = node.load(0, element)
    if len(node.inputs) == 4:
        return (Instruction(Opcode.CANONICAL_F32, target, (gradient,)),)
    weight = node.load(4, element % node.inputs[0].shape[-1])
    return (Instruction(Opcode.MUL_F32, target, (gradient, weight)),)


def _normalised(node: Application, element: int, target: int) -> tuple[Instruction, ...]:
    """(x - mean) * rstd of one element; inputs 1, 2, 3."""
    row = element // node.inputs[1].shape[-1]
    return (
        Instruction(Opcode.SUB_F32, target, (node.load(1, element), node.load(2, row))),
        Instruction(Opcode.MUL_F32, target, (Register(target), node.load(3, row))),
    )


OPERATORS = (
    Operator("softmax", _softmax_shapes, _softmax_recipe, _softmax_price, _softmax_longest),
    Operator("softmax_backward", _softmax_backward_shapes, _softmax_backward_recipe),
    Operator("layer_norm", _layer_norm_shapes, _layer_norm_recipe),
    Operator("layer_norm_backward", _layer_norm_backward_shapes, _layer_norm_backward_recipe),
)
