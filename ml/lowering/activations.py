"""Activations and their gradients."""

from __future__ import annotations

import math

from ml.builder import Builder, Ref
from ml.lowering.base import Application, first, lowers, require, tensor
from ml.lowering.elementwise import choose, product
from ml.lowering.powers import exp_minus_one, log_one_plus_exp
from runtime.vm.opcodes import Opcode


@lowers("aten.hardtanh_backward.default")
def hardtanh_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, low, high = node.args
    inside = builder.emit(
        "mul",
        [builder.emit("less", [tensor(builder, low), source]), builder.emit("less", [source, tensor(builder, high)])],
    )
    return builder.emit("select", [inside, gradient, builder.constant(0.0)])


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


@lowers("aten.softplus_backward.default")
def softplus_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, beta, threshold = node.args[:4]
    scaled = source if beta == 1 else builder.emit("mul", [source, builder.constant(float(beta))])
    above = builder.emit("less", [builder.constant(float(threshold)), scaled])
    smooth = builder.emit("mul", [gradient, builder.step(Opcode.SIGMOID_F32, scaled)])
    return builder.emit("select", [above, gradient, smooth])


@lowers("aten.elu.default", "aten.celu.default")
def elu(builder: Builder, node: Application) -> Ref:
    """scale x above 0, else scale alpha (exp(inner x) - 1); CELU's inner scale is 1 / alpha."""
    source, alpha = first(node), float(node.argument(1, "alpha", 1))
    scale, inner = float(node.argument(2, "scale", 1)), float(node.argument(3, "input_scale", 1))
    if node.name == "aten.celu.default":
        inner = 1 / alpha
    below = exp_minus_one(builder, builder.emit("mul", [source, builder.constant(inner)]))
    below = builder.emit("mul", [below, builder.constant(alpha * scale)])
    above = builder.emit("mul", [source, builder.constant(scale)])
    return choose(builder, builder.emit("less", [builder.constant(0.0), source]), above, below)


@lowers("aten.elu_backward.default")
def elu_backward(builder: Builder, node: Application) -> Ref:
    """From the output y, where it was kept, the slope below 0 is inner (y + scale alpha)."""
    gradient, alpha, scale, inner, from_result, source = node.args
    if from_result:
        slope = builder.emit("add", [source, builder.constant(float(alpha) * float(scale))])
        slope = builder.emit("mul", [slope, builder.constant(float(inner))])
    else:
        slope = builder.emit("exp", [builder.emit("mul", [source, builder.constant(float(inner))])])
        slope = builder.emit("mul", [slope, builder.constant(float(alpha) * float(scale) * float(inner))])
    above = builder.emit("less", [builder.constant(0.0), source])
    return builder.emit("mul", [gradient, choose(builder, above, float(scale), slope)])


@lowers("aten.mish.default")
def mish(builder: Builder, node: Application) -> Ref:
    return builder.emit("mul", [first(node), builder.step(Opcode.TANH_F32, log_one_plus_exp(builder, first(node)))])


@lowers("aten.mish_backward.default")
def mish_backward(builder: Builder, node: Application) -> Ref:
    """g (t + x s (1 - t^2)), t being tanh(softplus(x)) and s sigmoid(x)."""
    gradient, source = node.args
    bent, gate = (
        builder.step(Opcode.TANH_F32, log_one_plus_exp(builder, source)),
        builder.step(Opcode.SIGMOID_F32, source),
    )
    steep = builder.emit("sub", [builder.constant(1.0), builder.emit("mul", [bent, bent])])
    return builder.emit("mul", [gradient, builder.emit("add", [bent, product(builder, source, gate, steep)])])


@lowers("aten.hardsigmoid.default", "aten.hardswish.default")
def hard_sigmoid(builder: Builder, node: Application) -> Ref:
    """min(max(x + 3, 0), 6) / 6, and x times that."""
    source, six = first(node), builder.constant(6.0)
    ramp = builder.emit("add", [source, builder.constant(3.0)])
    ramp = builder.emit("minimum", [builder.emit("maximum", [ramp, builder.constant(0.0)]), six])
    return builder.emit(
        "div", [ramp if node.name == "aten.hardsigmoid.default" else builder.emit("mul", [source, ramp]), six]
    )


@lowers("aten.hardsigmoid_backward.default", "aten.hardswish_backward.default")
def hard_sigmoid_backward(builder: Builder, node: Application) -> Ref:
    gradient, source = node.args
    zero, swish = builder.constant(0.0), node.name == "aten.hardswish_backward.default"
    low, high = (
        builder.emit("less", pair) for pair in ([builder.constant(-3.0), source], [source, builder.constant(3.0)])
    )
    slope: Ref = builder.constant(1 / 6)
    if swish:
        slope = builder.emit("add", [builder.emit("div", [source, builder.constant(3.0)]), builder.constant(0.5)])
    above = gradient if swish else zero
    inside = choose(builder, high, builder.emit("mul", [gradient, slope]), above)
    return choose(builder, low, inside, zero)


@lowers("aten.log_sigmoid_forward.default")
def log_sigmoid(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    """-log(1 + exp(-x)), and a buffer that only PyTorch's own backward pass reads."""
    result = builder.emit("neg", [log_one_plus_exp(builder, builder.emit("neg", [first(node)]))])
    return result, result


@lowers("aten.log_sigmoid_backward.default")
def log_sigmoid_backward(builder: Builder, node: Application) -> Ref:
    gradient, source = node.args[:2]
    return builder.emit("mul", [gradient, builder.step(Opcode.SIGMOID_F32, builder.emit("neg", [source]))])


@lowers("aten._prelu_kernel.default")
def prelu(builder: Builder, node: Application) -> Ref:
    source, weight = node.args
    above = builder.emit("less", [builder.constant(0.0), source])
    return choose(builder, above, source, builder.emit("mul", [weight, source]))


@lowers("aten._prelu_kernel_backward.default")
def prelu_backward(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    """(the input's gradient, the weight's for every element)."""
    gradient, source, weight = node.args
    above = builder.emit("less", [builder.constant(0.0), source])
    slope = choose(builder, above, gradient, builder.emit("mul", [weight, gradient]))
    return slope, choose(builder, above, 0.0, builder.emit("mul", [source, gradient]))
