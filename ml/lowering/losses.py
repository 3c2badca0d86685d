"""Softmax and the losses."""

from __future__ import annotations

from typing import Any

from ml.builder import Builder, Ref
from ml.lowering.base import Application, first, integer, lowers, require
from ml.lowering.elementwise import choose, product
from ml.lowering.powers import log_one_plus_exp
from ml.lowering.sums import total
from runtime.commitments import element_count
from runtime.vm.opcodes import Opcode

ONE = 0x3F800000
MEAN, SUM = 1, 2
"""torch's numbers for loss reductions; 0 is none."""


def _over_rows(builder: Builder, op: str, operands: list[Ref], dimension: int, attributes: tuple[int, ...] = ()) -> Ref:
    """A row operator along any dimension."""
    shape = builder.shape(operands[0])
    axis = dimension % len(shape)
    order = [*(other for other in range(len(shape)) if other != axis), axis]
    turned = [builder.permute(ref, order) for ref in operands]
    wide = builder.shape(turned[0])
    if op.startswith("log_softmax"):
        turned = [builder.reshape(ref, (element_count(wide[:-1]), wide[-1])) for ref in turned]
    result = builder.reshape(builder.emit(op, turned, attributes), wide)
    return builder.permute(result, [order.index(other) for other in range(len(shape))])


@lowers("aten._softmax.default")
def softmax(builder: Builder, node: Application) -> Ref:
    return _over_rows(builder, "softmax", [first(node)], node.args[1], (ONE, 0))


@lowers("aten._softmax_backward_data.default")
def softmax_backward(builder: Builder, node: Application) -> Ref:
    gradient, output, dimension, _ = node.args
    return _over_rows(builder, "softmax_backward", [gradient, output], dimension, (ONE,))


@lowers("aten._safe_softmax.default")
def safe_softmax(builder: Builder, node: Application) -> Ref:
    """softmax, but 0 in rows that are all -infinity."""
    source, shape = first(node), builder.shape(first(node))
    require(node.args[1] % len(shape) == len(shape) - 1, "a masked softmax along another than the last dimension")
    largest, _, output = builder.emit_all("softmax", [source], (ONE, 0))
    hidden = builder.emit("equal", [largest, builder.constant(float("-inf"))])
    return builder.emit("select", [hidden, builder.constant(0.0), output])


@lowers("aten._log_softmax.default")
def log_softmax(builder: Builder, node: Application) -> Ref:
    return _over_rows(builder, "log_softmax", [first(node)], node.args[1])


@lowers("aten._log_softmax_backward_data.default")
def log_softmax_backward(builder: Builder, node: Application) -> Ref:
    gradient, output, dimension, _ = node.args
    return _over_rows(builder, "log_softmax_backward", [gradient, output], dimension)


def _is_ignored(builder: Builder, target: Ref, ignored: int) -> Ref:
    return builder.emit("equal", [target, integer(builder, ignored)])


def _weights(builder: Builder, target: Ref, weight: Ref | None, ignored: int) -> Ref:
    """What every target counts: its class's weight or 1, and 0 where it is to be ignored."""
    if weight is None:
        return builder.step(
            Opcode.I32_TO_F32, builder.step(Opcode.SUB_I32, integer(builder, 1), _is_ignored(builder, target, ignored))
        )
    column = builder.reshape(weight, (builder.shape(weight)[0], 1))
    picked = builder.reshape(builder.emit("take_rows", [column, target]), builder.shape(target))
    return choose(builder, _is_ignored(builder, target, ignored), 0.0, picked)


@lowers("aten.nll_loss_forward.default")
def nll_loss(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    """(the loss, what all targets count together)."""
    source, target, weight, reduction, ignored = node.args
    losses, counts = builder.emit("nll", [source, target]), _weights(builder, target, weight, ignored)
    if weight is not None:
        losses = builder.emit("mul", [losses, counts])
    losses = choose(builder, _is_ignored(builder, target, ignored), 0.0, losses)
    if reduction == 0:
        return losses, builder.constant(0.0)
    count, summed = total(builder, counts), total(builder, losses)
    return (builder.emit("div", [summed, count]) if reduction == MEAN else summed), count


@lowers("aten.nll_loss_backward.default")
def nll_loss_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, target, weight, reduction, ignored, _ = node.args
    classes = builder.shape(source)[1]
    kept, counts = target, _weights(builder, target, weight, ignored)
    if 0 <= ignored < classes:
        kept = builder.emit("select", [_is_ignored(builder, target, ignored), integer(builder, -1), target])
    scale = builder.emit("div", [gradient, total(builder, counts)]) if reduction == MEAN else gradient
    if reduction != 0 and weight is None:
        return builder.emit("nll_backward", [scale, kept], [classes])
    if weight is not None:
        scale = builder.emit("mul", [scale, counts])
    picked = builder.emit("nll_backward", [builder.constant(1.0), kept], [classes])
    return builder.emit("mul", [picked, builder.reshape(scale, (*builder.shape(scale), 1))])


@lowers("aten.nll_loss2d_forward.default")
def nll_loss_2d(builder: Builder, node: Application) -> Any:
    source, target = node.args[:2]
    return nll_loss(builder, _flattened(builder, node, source, target, 0))


@lowers("aten.nll_loss2d_backward.default")
def nll_loss_2d_backward(builder: Builder, node: Application) -> Ref:
    _, source, target = node.args[:3]
    shape = builder.shape(source)
    flat = nll_loss_backward(builder, _flattened(builder, node, source, target, 1))
    wide = builder.reshape(flat, (shape[0], *shape[2:], shape[1]))
    return builder.permute(wide, (0, 3, 1, 2))


def _flattened(builder: Builder, node: Application, source: Ref, target: Ref, at: int) -> Application:
    """The same loss over pixels as rows."""
    shape = builder.shape(source)
    require(node.args[3 + at] != 0, "a loss per pixel")
    count = element_count(builder.shape(target))
    rows = builder.reshape(builder.permute(source, (0, 2, 3, 1)), (count, shape[1]))
    args = (*node.args[:at], rows, builder.reshape(target, (count,)), *node.args[at + 2 :])
    return Application(node.name, args, node.kwargs, node.shape, node.dtype)


# -- Regression and binary losses -------------------------------------------------------------------------------------


def _reduced(builder: Builder, losses: Ref, reduction: int) -> Ref:
    if reduction == 0:
        return losses
    summed = total(builder, losses)
    count = builder.constant(float(element_count(builder.shape(losses))))
    return builder.emit("div", [summed, count]) if reduction == MEAN else summed


def _norm(builder: Builder, source: Ref, reduction: int) -> float:
    return 1.0 / element_count(builder.shape(source)) if reduction == MEAN else 1.0


@lowers("aten.mse_loss.default")
def mse_loss(builder: Builder, node: Application) -> Ref:
    difference = builder.emit("sub", [node.args[0], node.args[1]])
    return _reduced(builder, builder.emit("mul", [difference, difference]), node.argument(2, "reduction", MEAN))


@lowers("aten.mse_loss_backward.default")
def mse_loss_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, target, reduction = node.args
    difference = builder.emit("sub", [source, target])
    return product(builder, builder.constant(2.0 * _norm(builder, difference, reduction)), difference, gradient)


@lowers("aten.huber_loss.default", "aten.smooth_l1_loss.default")
def huber_loss(builder: Builder, node: Application) -> Ref:
    """0.5 d^2 up to delta, then delta (|d| - 0.5 delta); smooth L1 is that divided by delta."""
    reduction, delta = node.argument(2, "reduction", MEAN), float(node.argument(3, "delta", 1.0))
    difference = builder.emit("sub", [node.args[0], node.args[1]])
    size, half = builder.emit("abs", [difference]), builder.constant(0.5)
    limit = builder.constant(delta)
    smooth = node.name == "aten.smooth_l1_loss.default"
    near = product(builder, half, size, size)
    far = builder.emit("sub", [size, builder.constant(0.5 * delta)])
    if smooth:
        near = builder.emit("div", [near, limit])
    else:
        far = builder.emit("mul", [limit, far])
    losses = builder.emit("select", [builder.emit("less", [size, limit]), near, far])
    return _reduced(builder, losses, reduction)


@lowers("aten.huber_loss_backward.default", "aten.smooth_l1_loss_backward.default")
def huber_loss_backward(builder: Builder, node: Application) -> Ref:
    """The gradient times d, kept within delta; smooth L1 divides by delta."""
    gradient, source, target, reduction, delta = node.args
    difference = builder.emit("sub", [source, target])
    low, high = builder.constant(-float(delta)), builder.constant(float(delta))
    inside = builder.emit("minimum", [builder.emit("maximum", [difference, low]), high])
    norm = _norm(builder, difference, reduction)
    if node.name == "aten.smooth_l1_loss_backward.default":
        norm /= float(delta)
    return product(builder, builder.constant(norm), inside, gradient)


@lowers("aten.binary_cross_entropy_with_logits.default")
def binary_cross_entropy(builder: Builder, node: Application) -> Ref:
    """(1 - y) x + log(1 + exp(-x)), where the last is max(-x, 0) + log(1 + exp(-|x|))."""
    source, target = node.args[:2]
    require(node.argument(2, "weight") is None, "weights of samples")
    require(node.argument(3, "pos_weight") is None, "weights of classes")
    missing = builder.emit("mul", [builder.emit("sub", [builder.constant(1.0), target]), source])
    losses = builder.emit("add", [missing, log_one_plus_exp(builder, builder.emit("neg", [source]))])
    return _reduced(builder, losses, node.argument(4, "reduction", MEAN))


@lowers("aten.binary_cross_entropy.default")
def binary_cross_entropy_of_chances(builder: Builder, node: Application) -> Ref:
    """-(y log x + (1 - y) log(1 - x)), logarithms being -100 at least, as torch bounds them."""
    source, target = node.args[:2]
    one, low = builder.constant(1.0), builder.constant(-100.0)
    logs = [
        builder.emit("maximum", [builder.emit("log", [chance]), low])
        for chance in (source, builder.emit("sub", [one, source]))
    ]
    parts = builder.emit("mul", [target, logs[0]]), builder.emit("mul", [builder.emit("sub", [one, target]), logs[1]])
    losses = builder.emit("neg", [builder.emit("add", list(parts))])
    if node.argument(2, "weight") is not None:
        losses = builder.emit("mul", [losses, node.argument(2, "weight")])
    return _reduced(builder, losses, node.argument(3, "reduction", MEAN))


@lowers("aten.binary_cross_entropy_backward.default")
def binary_cross_entropy_of_chances_backward(builder: Builder, node: Application) -> Ref:
    """g (x - y) / max(x (1 - x), 1e-12)."""
    gradient, source, target = node.args[:3]
    wide = builder.emit("mul", [builder.emit("sub", [builder.constant(1.0), source]), source])
    slope = builder.emit(
        "div", [builder.emit("sub", [source, target]), builder.emit("maximum", [wide, builder.constant(1e-12)])]
    )
    if node.argument(3, "weight") is not None:
        slope = builder.emit("mul", [slope, node.argument(3, "weight")])
    return product(
        builder, builder.constant(_norm(builder, source, node.argument(4, "reduction", MEAN))), slope, gradient
    )
