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


def _binary(name: str, opcode: Opcode, result: str | None = None, on_integers: Opcode | None = None) -> Operator:
    """One operation on two broadcast operands, both f32 or, where it has one ``on_integers``, both i32.

    The output has the operands' dtype, or ``result``.
    """

    def shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
        dtype = "i32" if on_integers and inputs and inputs[0].dtype == "i32" else "f32"
        require_arity(attributes, inputs, 0, (dtype, dtype))
        return (TensorType(result or dtype, broadcast_shape(inputs[0].shape, inputs[1].shape)),)

    def recipe(node: Application, output: int, element: int) -> Recipe:
        chosen = on_integers if on_integers and node.inputs[0].dtype == "i32" else opcode
        return straight([Instruction(chosen, 0, tuple(_broadcast_sources(node, element)))])

    return Operator(name, shapes, recipe)


def _broadcast_sources(node: Application, element: int) -> list[Source]:
    """The element of every input that stands at an element of the output."""
    return [
        node.load(number, broadcast_element(element, node.outputs[0].shape, tensor.shape))
        for number, tensor in enumerate(node.inputs)
    ]


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
    choices = broadcast_shape(inputs[1].shape, inputs[2].shape)
    return (TensorType(dtype, broadcast_shape(inputs[0].shape, choices)),)


def _select_recipe(node: Application, output: int, element: int) -> Recipe:
    opcode = Opcode.SELECT_F32 if node.outputs[0].dtype == "f32" else Opcode.SELECT_I32
    return straight([Instruction(opcode, 0, tuple(_broadcast_sources(node, element)))])


OPERATORS = (
    _binary("add", Opcode.ADD_F32, on_integers=Opcode.ADD_I32),
    _binary("sub", Opcode.SUB_F32, on_integers=Opcode.SUB_I32),
    _binary("mul", Opcode.MUL_F32, on_integers=Opcode.MUL_I32),
    _binary("div", Opcode.DIV_F32),
    _binary("maximum", Opcode.MAX_F32),
    _binary("minimum", Opcode.MIN_F32),
    _binary("equal", Opcode.EQUAL_F32, "i32", Opcode.EQUAL_I32),
    _binary("less", Opcode.LESS_F32, "i32", Opcode.LESS_I32),
    _binary("less_equal", Opcode.LESS_EQUAL_F32, "i32"),
    _unary("neg", Opcode.NEG_F32),
    _unary("abs", Opcode.ABS_F32),
    _unary("sqrt", Opcode.SQRT_F32),
    _unary("exp", Opcode.EXP_F32),
    _unary("log", Opcode.LOG_F32),
    Operator("relu", _relu_shapes, _relu_recipe),
    Operator("relu_backward", _relu_backward_shapes, _relu_backward_recipe),
    Operator("select", _select_shapes, _select_recipe),
)
