"""Element-wise arithmetic, comparisons, choices and roundings."""

from __future__ import annotations

import torch

from ml.builder import Builder, Ref
from ml.lowering.base import RULES, Application, first, integer, lowers, require, tensor
from runtime.vm.opcodes import Opcode


def operands(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    """Two operands of one dtype; integers become floats where PyTorch promotes them."""
    given = [argument for argument in node.args[:2] if isinstance(argument, Ref)]
    dtypes = {builder.dtype(ref) for ref in given}
    numbers = [argument for argument in node.args[:2] if not isinstance(argument, Ref)]
    mixed = "f32" in dtypes or node.dtype == torch.float32 or any(isinstance(number, float) for number in numbers)
    wanted = "f32" if mixed else "i32"
    pair = [tensor(builder, argument, wanted) for argument in node.args[:2]]
    for ref in pair:
        require(builder.dtype(ref) in ("f32", "i32"), f"an operand is {builder.dtype(ref)}; cast it to float")
    left, right = (ref if builder.dtype(ref) == wanted else builder.emit("cast", [ref], [0]) for ref in pair)
    return left, right


def _enter_binary(name: str, op: str, *, swap: bool = False, comparison: bool = False) -> None:
    def rule(builder: Builder, node: Application) -> Ref:
        require(not node.kwargs.get("rounding_mode"), "division with a rounding mode")
        left, right = operands(builder, node)
        alpha = node.argument(2, "alpha", 1)
        if alpha != 1:
            right = builder.emit("mul", [tensor(builder, alpha, builder.dtype(right)), right])
        if builder.dtype(left) == "i32":
            require(op not in ("div", "maximum", "minimum"), f"{op} of integers")
        pair = [right, left] if swap else [left, right]
        if op == "less_equal" and builder.dtype(left) == "i32":
            result = builder.emit("equal", [builder.emit("less", [pair[1], pair[0]]), integer(builder, 0)])
        else:
            result = builder.emit(op, pair)
        return builder.note_bool(result) if comparison else result

    RULES[name] = rule


for _op in ("add", "sub", "mul", "div"):
    _enter_binary(f"aten.{_op}.Tensor", _op)
    _enter_binary(f"aten.{_op}.Scalar", _op)
_enter_binary("aten.rsub.Scalar", "sub", swap=True)
_enter_binary("aten.rsub.Tensor", "sub", swap=True)
_enter_binary("aten.maximum.default", "maximum")
_enter_binary("aten.minimum.default", "minimum")
_enter_binary("aten.clamp_min.default", "maximum")
_enter_binary("aten.clamp_max.default", "minimum")
for _kind in ("Tensor", "Scalar"):
    _enter_binary(f"aten.eq.{_kind}", "equal", comparison=True)
    _enter_binary(f"aten.lt.{_kind}", "less", comparison=True)
    _enter_binary(f"aten.le.{_kind}", "less_equal", comparison=True)
    _enter_binary(f"aten.gt.{_kind}", "less", swap=True, comparison=True)
    _enter_binary(f"aten.ge.{_kind}", "less_equal", swap=True, comparison=True)


def _enter_unary(name: str, op: str | Opcode) -> None:
    def rule(builder: Builder, node: Application) -> Ref:
        source = as_float(builder, node)
        return builder.emit(op, [source]) if isinstance(op, str) else builder.step(op, source)

    RULES[f"aten.{name}.default"] = rule


for _op in ("sqrt", "exp", "log", "relu"):
    _enter_unary(_op, _op)
_enter_unary("rsqrt", Opcode.RSQRT_F32)
_enter_unary("tanh", Opcode.TANH_F32)
_enter_unary("sigmoid", Opcode.SIGMOID_F32)
_enter_unary("erf", Opcode.ERF_F32)
_enter_unary("sin", Opcode.SIN_F32)
_enter_unary("cos", Opcode.COS_F32)


@lowers("aten.neg.default", "aten.abs.default")
def negative_or_size(builder: Builder, node: Application) -> Ref:
    source = first(node)
    if builder.dtype(source) == "f32":
        return builder.emit("neg" if node.name == "aten.neg.default" else "abs", [source])
    turned = builder.emit("sub", [integer(builder, 0), source])
    if node.name == "aten.neg.default":
        return turned
    return builder.emit("select", [builder.emit("less", [source, integer(builder, 0)]), turned, source])


def as_float(builder: Builder, node: Application) -> Ref:
    ref = first(node)
    return ref if builder.dtype(ref) == "f32" else builder.emit("cast", [ref], [0])


@lowers("aten.ne.Tensor", "aten.ne.Scalar")
def unequal(builder: Builder, node: Application) -> Ref:
    left, right = operands(builder, node)
    return negation(builder, builder.emit("equal", [left, right]))


def negation(builder: Builder, condition: Ref) -> Ref:
    """1 where a bool is 0."""
    return builder.note_bool(builder.emit("equal", [condition, integer(builder, 0)]))


@lowers("aten.logical_not.default", "aten.bitwise_not.default")
def logical_not(builder: Builder, node: Application) -> Ref:
    require(builder.is_bool(first(node)), "not of numbers that are not bool")
    return negation(builder, first(node))


@lowers("aten.logical_and.default", "aten.bitwise_and.Tensor")
def logical_and(builder: Builder, node: Application) -> Ref:
    require(all(builder.is_bool(ref) for ref in node.args), "and of numbers that are not bool")
    return builder.note_bool(builder.emit("mul", node.args))


@lowers("aten.logical_or.default", "aten.bitwise_or.Tensor")
def logical_or(builder: Builder, node: Application) -> Ref:
    require(all(builder.is_bool(ref) for ref in node.args), "or of numbers that are not bool")
    neither = builder.emit("mul", [negation(builder, ref) for ref in node.args])
    return negation(builder, neither)


@lowers("aten.reciprocal.default")
def reciprocal(builder: Builder, node: Application) -> Ref:
    return builder.emit("div", [builder.constant(1.0), first(node)])


@lowers("aten.addcmul.default", "aten.addcdiv.default")
def add_product(builder: Builder, node: Application) -> Ref:
    start, left, right = node.args[:3]
    value = node.argument(3, "value", 1)
    product = builder.emit("mul" if node.name == "aten.addcmul.default" else "div", [left, right])
    if value != 1:
        product = builder.emit("mul", [builder.constant(float(value)), product])
    return builder.emit("add", [start, product])


@lowers("aten.lerp.Scalar")
def lerp(builder: Builder, node: Application) -> Ref:
    start, end, weight = node.args
    step = builder.emit("mul", [builder.constant(float(weight)), builder.emit("sub", [end, start])])
    return builder.emit("add", [start, step])


@lowers("aten.clamp.default", "aten.hardtanh.default")
def clamp(builder: Builder, node: Application) -> Ref:
    result = first(node)
    hardtanh = node.name == "aten.hardtanh.default"
    low, high = node.argument(1, "min", -1.0 if hardtanh else None), node.argument(2, "max", 1.0 if hardtanh else None)
    for op, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            result = builder.emit(op, [result, tensor(builder, bound)])
    return result


@lowers("aten.sgn.default", "aten.sign.default")
def sign(builder: Builder, node: Application) -> Ref:
    """(0 < x) - (x < 0), as torch computes it."""
    zero, source = builder.constant(0.0), first(node)
    sides = [builder.emit("less", pair) for pair in ([zero, source], [source, zero])]
    return builder.emit("sub", [builder.emit("cast", [side], [0]) for side in sides])


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(builder: Builder, node: Application) -> Ref:
    source, mask, value = node.args
    chosen = [mask, tensor(builder, value, builder.dtype(source)), source]
    return builder.emit("select", chosen)


@lowers("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(builder: Builder, node: Application) -> Ref:
    dtype = "i32" if node.dtype in (torch.int64, torch.int32, torch.bool) else "f32"
    choices = [tensor(builder, argument, dtype) for argument in node.args[1:3]]
    return builder.emit("select", [node.args[0], *choices])


def product(builder: Builder, *factors: Ref) -> Ref:
    """Factors multiplied from left to right."""
    result = factors[0]
    for factor in factors[1:]:
        result = builder.emit("mul", [result, factor])
    return result


def choose(builder: Builder, condition: Ref, chosen: Ref | float, other: Ref | float) -> Ref:
    """``chosen`` where the condition is not 0."""
    return builder.emit("select", [condition, tensor(builder, chosen), tensor(builder, other)])


# -- Rounding and division of integers --------------------------------------------------------------------------------


@lowers("aten.floor.default", "aten.ceil.default", "aten.trunc.default")
def rounded(builder: Builder, node: Application) -> Ref:
    """Through integers, where there are any between neighbours; what is beyond 2^23 is whole anyway."""
    source = first(node)
    whole = builder.emit("cast", [builder.emit("cast", [source], [1])], [0])
    one, name = builder.constant(1.0), node.name.split(".")[1]
    if name == "floor":
        whole = choose(builder, builder.emit("less", [source, whole]), builder.emit("sub", [whole, one]), whole)
    elif name == "ceil":
        whole = choose(builder, builder.emit("less", [whole, source]), builder.emit("add", [whole, one]), whole)
    small = builder.emit("less", [builder.emit("abs", [source]), builder.constant(2.0**23)])
    return builder.emit("select", [small, whole, source])


@lowers("aten.floor_divide.default", "aten.floor_divide.Scalar", "aten.remainder.Scalar", "aten.remainder.Tensor")
def whole_division(builder: Builder, node: Application) -> Ref:
    """Of integers: the quotient in floats may be off by some units, that of what it leaves by less than one."""
    left, right = operands(builder, node)
    require(builder.dtype(left) == "i32", "division with a remainder of numbers that are not integers")
    quotient, rest = integer(builder, 0), left
    for _ in range(2):
        near = builder.emit("div", [builder.emit("cast", [part], [0]) for part in (rest, right)])
        quotient = builder.emit("add", [quotient, builder.emit("cast", [near], [1])])
        rest = builder.emit("sub", [left, builder.emit("mul", [quotient, right])])
    zero = integer(builder, 0)
    sides = [builder.emit("less", [part, zero]) for part in (rest, right)]
    unlike = negation(builder, builder.emit("equal", sides))
    unlike = builder.emit("mul", [unlike, negation(builder, builder.emit("equal", [rest, zero]))])
    if node.name.startswith("aten.floor_divide"):
        return builder.emit("sub", [quotient, unlike])
    return builder.emit("add", [rest, builder.emit("mul", [unlike, right])])
