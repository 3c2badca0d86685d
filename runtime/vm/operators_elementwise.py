"""Operators on elements at the same (broadcast) position: one rounded operation each."""

from __future__ import annotations

from runtime.vm.instructions import Instruction, Recipe, Register, Source, straight
from runtime.vm.opcodes import Opcode
from runtime.vm.operator_base import (
    Application,
    Operator,
    broadcast_element,
    broadcast_shape,
    require,
    require_arity,
)
from runtime.vm.types import TensorType, f32

Types = tuple[TensorType, ...]


def _unary(name: str, opcode: Opcode) -> Operator:
    def shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
        require_arity(attributes, inputs, 0, ("f32",))
        return inputs

    def recipe(node: Application, output: int, element: int) -> Recipe:
        return straight([Instruction(opcode, 0, (node.load(0, element),))])

    return Operator(name, shapes, recipe)


def _binary(name: str, opcode: Opcode, result: str = "f32") -> Operator:
    def shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
        require_arity(attributes, inputs, 0, ("f32", "f32"))
        return (TensorType(result, broadcast_shape(inputs[0].shape, inputs[1].shape)),)

    def recipe(node: Application, output: int, element: int) -> Recipe:
        sources: list[Source] = [
            node.load(number, broadcast_element(element, node.outputs[0].shape, node.inputs[number].shape))
            for number in (0, 1)
        ]
        return straight([Instruction(opcode, 0, tuple(sources))])

    return Operator(name, shapes, recipe)


def _relu_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_arity(attributes, inputs, 0, ("f32",))
    return inputs


def _relu_recipe(node: Application, output: int, element: int) -> Recipe:
    return straight([Instruction(Opcode.MAX_F32, 0, (node.load(0, element), Register(1)))], {1: f32(0)})


def _relu_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    require_arity(attributes, inputs, 0, ("f32", "f32"))
    require(inputs[0].shape == inputs[1].shape, f"grad {inputs[0]} and x {inputs[1]} differ in shape")
    return (inputs[0],)


def _relu_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    """x <= 0 ? +0 : grad; a NaN x compares false and passes the gradient, as PyTorch's threshold_backward does."""
    return straight(
        [
            Instruction(Opcode.LESS_EQUAL_F32, 2, (node.load(1, element), Register(1))),
            Instruction(Opcode.SELECT_F32, 0, (Register(2), Register(1), node.load(0, element))),
        ],
        {1: f32(0)},
    )


def _select_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    dtype = inputs[1].dtype if len(inputs) > 1 and inputs[1].dtype == "i32" else "f32"
    require_arity(attributes, inputs, 0, ("i32", dtype, dtype))
    require(inputs[0].shape == inputs[1].shape == inputs[2].shape, "condition and choices differ in shape")
    return (inputs[1],)


def _select_recipe(node: Application, output: int, element: int) -> Recipe:
    opcode = Opcode.SELECT_F32 if node.outputs[0].dtype == "f32" else Opcode.SELECT_I32
    return straight([Instruction(opcode, 0, tuple(node.load(number, element) for number in range(3)))])


OPERATORS = (
    _binary("add", Opcode.ADD_F32),
    _binary("sub", Opcode.SUB_F32),
    _binary("mul", Opcode.MUL_F32),
    _binary("div", Opcode.DIV_F32),
    _binary("maximum", Opcode.MAX_F32),
    _binary("minimum", Opcode.MIN_F32),
    _binary("equal", Opcode.EQUAL_F32, result="i32"),
    _binary("less", Opcode.LESS_F32, result="i32"),
    _binary("less_equal", Opcode.LESS_EQUAL_F32, result="i32"),
    _unary("neg", Opcode.NEG_F32),
    _unary("abs", Opcode.ABS_F32),
    _unary("sqrt", Opcode.SQRT_F32),
    _unary("exp", Opcode.EXP_F32),
    _unary("log", Opcode.LOG_F32),
    Operator("relu", _relu_shapes, _relu_recipe),
    Operator("relu_backward", _relu_backward_shapes, _relu_backward_recipe),
    Operator("select", _select_shapes, _select_recipe),
)
