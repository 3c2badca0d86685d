"""Element-wise arithmetic, comparisons, choices, and activations with their gradients."""

from __future__ import annotations

import math

import torch

from ml.builder import Builder, Ref
from ml.lowering.base import RULES, Application, first, integer, lowers, require, spread, tensor
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
        return spread(builder, builder.note_bool(result) if comparison else result, node.shape)

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
        source = _float(builder, node)
        return builder.emit(op, [source]) if isinstance(op, str) else builder.step(op, source)

    RULES[f"aten.{name}.default"] = rule


for _op in ("neg", "abs", "sqrt", "exp", "log", "relu"):
    _enter_unary(_op, _op)
_enter_unary("rsqrt", Opcode.RSQRT_F32)
_enter_unary("tanh", Opcode.TANH_F32)
_enter_unary("sigmoid", Opcode.SIGMOID_F32)
_enter_unary("erf", Opcode.ERF_F32)


def _float(builder: Builder, node: Application) -> Ref:
    ref = first(node)
    return ref if builder.dtype(ref) == "f32" else builder.emit("cast", [ref], [0])


@lowers("aten.ne.Tensor", "aten.ne.Scalar")
def unequal(builder: Builder, node: Application) -> Ref:
    left, right = operands(builder, node)
    return spread(builder, negation(builder, builder.emit("equal", [left, right])), node.shape)


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
    return spread(builder, builder.note_bool(builder.emit("mul", node.args)), node.shape)


@lowers("aten.logical_or.default", "aten.bitwise_or.Tensor")
def logical_or(builder: Builder, node: Application) -> Ref:
    require(all(builder.is_bool(ref) for ref in node.args), "or of numbers that are not bool")
    neither = builder.emit("mul", [negation(builder, ref) for ref in node.args])
    return spread(builder, negation(builder, neither), node.shape)


@lowers("aten.reciprocal.default")
def reciprocal(builder: Builder, node: Application) -> Ref:
    return builder.emit("div", [builder.constant(1.0), first(node)])


@lowers("aten.pow.Tensor_Scalar")
def power(builder: Builder, node: Application) -> Ref:
    base, exponent = node.args
    require(exponent in (-1, -0.5, 0.5, 1, 2, 3), f"no exact power {exponent}; powers are -1, -0.5, 0.5, 1, 2 and 3")
    if exponent == -1:
        return builder.emit("div", [builder.constant(1.0), base])
    if exponent in (0.5, -0.5):
        return builder.emit("sqrt", [base]) if exponent > 0 else builder.step(Opcode.RSQRT_F32, base)
    result: Ref = base
    for _ in range(int(exponent) - 1):
        result = builder.emit("mul", [result, base])
    return result


@lowers("aten.addcmul.default", "aten.addcdiv.default")
def add_product(builder: Builder, node: Application) -> Ref:
    start, left, right = node.args[:3]
    value = node.argument(3, "value", 1)
    product = builder.emit("mul" if node.name == "aten.addcmul.default" else "div", [left, right])
    if value != 1:
        product = builder.emit("mul", [builder.constant(float(value)), product])
    return spread(builder, builder.emit("add", [start, product]), node.shape)


@lowers("aten.lerp.Scalar")
def lerp(builder: Builder, node: Application) -> Ref:
    start, end, weight = node.args
    step = builder.emit("mul", [builder.constant(float(weight)), builder.emit("sub", [end, start])])
    return spread(builder, builder.emit("add", [start, step]), node.shape)


@lowers("aten.clamp.default", "aten.hardtanh.default")
def clamp(builder: Builder, node: Application) -> Ref:
    result = first(node)
    hardtanh = node.name == "aten.hardtanh.default"
    low, high = node.argument(1, "min", -1.0 if hardtanh else None), node.argument(2, "max", 1.0 if hardtanh else None)
    for op, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            result = builder.emit(op, [result, tensor(builder, bound)])
    return result


@lowers("aten.hardtanh_backward.default")
def hardtanh_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, low, high = node.args
    inside = builder.emit(
        "mul",
        [builder.emit("less", [tensor(builder, low), source]), builder.emit("less", [source, tensor(builder, high)])],
    )
    return builder.emit("select", [inside, gradient, builder.constant(0.0)])


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
    return spread(builder, builder.emit("select", chosen), node.shape)


@lowers("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(builder: Builder, node: Application) -> Ref:
    dtype = "i32" if node.dtype in (torch.int64, torch.int32, torch.bool) else "f32"
    choices = [tensor(builder, argument, dtype) for argument in node.args[1:3]]
    return spread(builder, builder.emit("select", [node.args[0], *choices]), node.shape)


# -- Activations ------------------------------------------------------------------------------------------------------


def product(builder: Builder, *factors: Ref) -> Ref:
    """Factors multiplied from left to right."""
    result = factors[0]
    for factor in factors[1:]:
        result = builder.emit("mul", [result, factor])
    return result


@lowers("aten.threshold_backward.default")
def threshold_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, threshold = node.args
    require(threshold == 0, f"threshold {threshold}; only 0 (relu) has a definition")
    return builder.emit("relu_backward", [gradient, source])


@lowers("aten.sigmoid_backward.default")
def sigmoid_backward(builder: Builder, node: Application) -> Ref:
    gradient, output = node.args
    return product(builder, gradient, builder.emit("sub", [builder.constant(1.0), output]), output)


@lowers("aten.tanh_backward.default")
def tanh_backward(builder: Builder, node: Application) -> Ref:
    gradient, output = node.args
    square = builder.emit("mul", [output, output])
    return builder.emit("mul", [gradient, builder.emit("sub", [builder.constant(1.0), square])])


@lowers("aten.silu.default")
def silu(builder: Builder, node: Application) -> Ref:
    return builder.emit("mul", [first(node), builder.step(Opcode.SIGMOID_F32, first(node))])


@lowers("aten.silu_backward.default")
def silu_backward(builder: Builder, node: Application) -> Ref:
    """g s (1 + x (1 - s)), s being sigmoid(x)."""
    gradient, source = node.args
    one, gate = builder.constant(1.0), builder.step(Opcode.SIGMOID_F32, source)
    slope = builder.emit("add", [one, builder.emit("mul", [source, builder.emit("sub", [one, gate])])])
    return product(builder, gradient, gate, slope)


_CUBE, _ROOT = 0.044715, math.sqrt(2 / math.pi)


@lowers("aten.gelu.default")
def gelu(builder: Builder, node: Application) -> Ref:
    source = first(node)
    if node.kwargs.get("approximate", "none") == "none":
        return builder.step(Opcode.GELU_F32, source)
    half = builder.emit("mul", [builder.constant(0.5), source])
    one = builder.constant(1.0)
    return builder.emit("mul", [half, builder.emit("add", [one, _gelu_tanh(builder, source)])])


def _gelu_tanh(builder: Builder, source: Ref) -> Ref:
    """tanh(sqrt(2 / pi) (x + 0.044715 x^3))."""
    cube = product(builder, builder.constant(_CUBE), source, source, source)
    inner = builder.emit("mul", [builder.constant(_ROOT), builder.emit("add", [source, cube])])
    return builder.step(Opcode.TANH_F32, inner)


@lowers("aten.gelu_backward.default")
def gelu_backward(builder: Builder, node: Application) -> Ref:
    gradient, source = node.args[:2]
    if node.kwargs.get("approximate", "none") == "none":
        return builder.emit("mul", [gradient, builder.step(Opcode.GELU_SLOPE_F32, source)])
    one, half = builder.constant(1.0), builder.constant(0.5)
    bent = _gelu_tanh(builder, source)
    square = product(builder, builder.constant(3 * _CUBE), source, source)
    inner = builder.emit("mul", [builder.constant(_ROOT), builder.emit("add", [one, square])])
    steep = builder.emit("sub", [one, builder.emit("mul", [bent, bent])])
    right = product(builder, half, source, steep, inner)
    left = builder.emit("mul", [half, builder.emit("add", [one, bent])])
    return builder.emit("mul", [gradient, builder.emit("add", [left, right])])


@lowers("aten.leaky_relu.default")
def leaky_relu(builder: Builder, node: Application) -> Ref:
    return _leak(builder, first(node), first(node), node.argument(1, "negative_slope", 0.01))


@lowers("aten.leaky_relu_backward.default")
def leaky_relu_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, slope, _ = node.args
    return _leak(builder, source, gradient, slope)


def _leak(builder: Builder, source: Ref, passed: Ref, slope: float) -> Ref:
    """``passed`` where the source is above 0, else ``passed`` times the slope."""
    above = builder.emit("less", [builder.constant(0.0), source])
    return builder.emit("select", [above, passed, builder.emit("mul", [passed, builder.constant(slope)])])


@lowers("aten.softplus.default")
def softplus(builder: Builder, node: Application) -> Ref:
    """log(1 + exp(b x)) / b, and x itself where b x is above the threshold.

    It is computed as max(z, 0) + log(1 + exp(-|z|)), which neither overflows nor cancels.
    """
    source, beta, threshold = first(node), node.argument(1, "beta", 1), node.argument(2, "threshold", 20)
    scaled = source if beta == 1 else builder.emit("mul", [source, builder.constant(float(beta))])
    smooth = log_one_plus_exp(builder, scaled)
    if beta != 1:
        smooth = builder.emit("div", [smooth, builder.constant(float(beta))])
    above = builder.emit("less", [builder.constant(float(threshold)), scaled])
    return builder.emit("select", [above, source, smooth])


def log_one_plus_exp(builder: Builder, source: Ref) -> Ref:
    """max(z, 0) + log(1 + exp(-|z|))."""
    small = builder.emit("exp", [builder.emit("neg", [builder.emit("abs", [source])])])
    tail = builder.emit("log", [builder.emit("add", [builder.constant(1.0), small])])
    return builder.emit("add", [builder.emit("maximum", [source, builder.constant(0.0)]), tail])


@lowers("aten.softplus_backward.default")
def softplus_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, beta, threshold = node.args[:4]
    scaled = source if beta == 1 else builder.emit("mul", [source, builder.constant(float(beta))])
    above = builder.emit("less", [builder.constant(float(threshold)), scaled])
    smooth = builder.emit("mul", [gradient, builder.step(Opcode.SIGMOID_F32, scaled)])
    return builder.emit("select", [above, gradient, smooth])
