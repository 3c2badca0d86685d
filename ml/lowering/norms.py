"""Normalisation layers."""

from __future__ import annotations

from ml.builder import Builder, Ref, float_bits
from ml.lowering.base import Application, lowers
from ml.lowering.sums import sum_over
from runtime.commitments import element_count
from runtime.vm.opcodes import Opcode


def _rows(builder: Builder, source: Ref, normalised: int) -> Ref:
    """A tensor whose last so many dimensions are one row."""
    shape = builder.shape(source)
    leading = shape[: len(shape) - normalised]
    return builder.reshape(source, (*leading, element_count(shape[len(shape) - normalised :])))


@lowers("aten.native_layer_norm.default")
def layer_norm(builder: Builder, node: Application) -> tuple[Ref, Ref, Ref]:
    source, normalised, weight, bias, epsilon = node.args
    shape = builder.shape(source)
    dimensions = len(normalised)
    given = [builder.reshape(ref, (element_count(tuple(normalised)),)) for ref in (weight, bias) if ref is not None]
    inputs = [_rows(builder, source, dimensions), *given]
    mean, rstd, output = builder.emit_all("layer_norm", inputs, (float_bits(epsilon),))
    statistic = (*shape[: len(shape) - dimensions], *(1,) * dimensions)
    return builder.reshape(output, shape), builder.reshape(mean, statistic), builder.reshape(rstd, statistic)


@lowers("aten.native_layer_norm_backward.default")
def layer_norm_backward(builder: Builder, node: Application) -> tuple[Ref | None, Ref | None, Ref | None]:
    gradient, source, normalised, mean, rstd, weight, _, wanted = node.args
    shape, dimensions = builder.shape(source), len(normalised)
    grad, x = (_rows(builder, ref, dimensions) for ref in (gradient, source))
    narrow = (*builder.shape(x)[:-1], 1)
    mean, rstd = builder.reshape(mean, narrow), builder.reshape(rstd, narrow)
    columns = builder.shape(x)[-1]
    given = [] if weight is None else [builder.reshape(weight, (columns,))]
    result: list[Ref | None] = [None, None, None]
    if wanted[0]:
        main = builder.emit("layer_norm_backward", [grad, x, mean, rstd, *given])
        result[0] = builder.reshape(main, shape)
    flat = (element_count(shape) // columns, columns)
    if wanted[1]:
        normal = builder.emit("mul", [builder.emit("sub", [x, mean]), rstd])
        summed = builder.emit("col_sum", [builder.reshape(builder.emit("mul", [grad, normal]), flat)])
        result[1] = builder.reshape(summed, tuple(normalised))
    if wanted[2]:
        result[2] = builder.reshape(builder.emit("col_sum", [builder.reshape(grad, flat)]), tuple(normalised))
    return result[0], result[1], result[2]


# -- Batch norm and group norm ----------------------------------------------------------------------------------------


def _per_channel(builder: Builder, ref: Ref, rank: int) -> Ref:
    """[C] so that it broadcasts over [N, C, ...]."""
    return builder.reshape(ref, (*builder.shape(ref), *(1,) * (rank - 2)))


def _channel_sum(builder: Builder, source: Ref) -> Ref:
    return sum_over(builder, source, [axis for axis in range(len(builder.shape(source))) if axis != 1])


def _times(builder: Builder, ref: Ref, number: float) -> Ref:
    return builder.emit("mul", [ref, builder.constant(number)])


@lowers("aten.native_batch_norm.default", "aten._native_batch_norm_legit_no_training.default")
def batch_norm(builder: Builder, node: Application) -> tuple[Ref, ...]:
    """(output, mean, rstd, running mean, running variance); PyTorch writes the last two without saying so."""
    if node.name == "aten.native_batch_norm.default":
        source, weight, bias, running_mean, running_variance, training, momentum, epsilon = node.args
    else:
        (source, weight, bias, running_mean, running_variance, momentum, epsilon), training = node.args, False
    rank, count = len(builder.shape(source)), element_count(builder.shape(source)) // builder.shape(source)[1]
    mean, variance = running_mean, running_variance
    if training:
        total = builder.constant(float(count))
        mean = builder.emit("div", [_channel_sum(builder, source), total])
        # mean - x, not x - mean: the output's difference is then another node, and both fuse with what follows.
        turned = builder.emit("sub", [_per_channel(builder, mean, rank), source])
        variance = builder.emit("div", [_channel_sum(builder, builder.emit("mul", [turned, turned])), total])
    rstd = builder.step(Opcode.RSQRT_F32, builder.emit("add", [variance, builder.constant(epsilon)]))
    centred = builder.emit("sub", [source, _per_channel(builder, mean, rank)])
    output = builder.emit("mul", [centred, _per_channel(builder, rstd, rank)])
    for op, ref in (("mul", weight), ("add", bias)):
        output = output if ref is None else builder.emit(op, [output, _per_channel(builder, ref, rank)])
    if not training or running_mean is None:
        return output, mean, rstd, running_mean, running_variance
    unbiased = _times(builder, variance, count / max(1, count - 1))
    kept = [
        builder.emit("add", [_times(builder, old, 1 - momentum), _times(builder, new, momentum)])
        for old, new in ((running_mean, mean), (running_variance, unbiased))
    ]
    return output, mean, rstd, *kept


@lowers("aten.native_batch_norm_backward.default")
def batch_norm_backward(builder: Builder, node: Application) -> tuple[Ref | None, Ref | None, Ref | None]:
    """With k = rstd sum(g (x - mean)) rstd / N: (weight rstd) ((g - sum(g) / N) + (mean - x) k)."""
    gradient, source, weight, running_mean, running_variance, mean, rstd, training, epsilon, _ = node.args
    rank, count = len(builder.shape(source)), element_count(builder.shape(source)) // builder.shape(source)[1]
    if not training:
        mean = running_mean
        rstd = builder.step(Opcode.RSQRT_F32, builder.emit("add", [running_variance, builder.constant(epsilon)]))
    centred = builder.emit("sub", [source, _per_channel(builder, mean, rank)])
    grad_bias = _channel_sum(builder, gradient)
    grad_weight = builder.emit("mul", [_channel_sum(builder, builder.emit("mul", [gradient, centred])), rstd])
    rest = gradient
    if training:
        average = _times(builder, grad_bias, 1 / count)
        factor = _times(builder, builder.emit("mul", [grad_weight, rstd]), 1 / count)
        turned = builder.emit("sub", [_per_channel(builder, mean, rank), source])
        rest = builder.emit("sub", [gradient, _per_channel(builder, average, rank)])
        rest = builder.emit("add", [rest, builder.emit("mul", [turned, _per_channel(builder, factor, rank)])])
    scale = rstd if weight is None else builder.emit("mul", [weight, rstd])
    return builder.emit("mul", [rest, _per_channel(builder, scale, rank)]), grad_weight, grad_bias


@lowers("aten.native_group_norm.default")
def group_norm(builder: Builder, node: Application) -> tuple[Ref, Ref, Ref]:
    source, weight, bias, images, channels, area, groups, epsilon = node.args
    rows = builder.reshape(source, (images, groups, channels // groups * area))
    mean, rstd, normal = builder.emit_all("layer_norm", [rows], (float_bits(epsilon),))
    shape = builder.shape(source)
    output = builder.reshape(normal, shape)
    for op, ref in (("mul", weight), ("add", bias)):
        output = output if ref is None else builder.emit(op, [output, _per_channel(builder, ref, len(shape))])
    return output, builder.reshape(mean, (images, groups)), builder.reshape(rstd, (images, groups))


@lowers("aten.native_group_norm_backward.default")
def group_norm_backward(builder: Builder, node: Application) -> tuple[Ref, Ref, Ref]:
    gradient, source, mean, rstd, weight, images, channels, area, groups, _ = node.args
    shape, rows = builder.shape(source), (images, groups, channels // groups * area)
    statistics = [builder.reshape(ref, (images, groups, 1)) for ref in (mean, rstd)]
    scaled = gradient
    if weight is not None:
        scaled = builder.emit("mul", [gradient, _per_channel(builder, weight, len(shape))])
    x = builder.reshape(source, rows)
    main = builder.emit("layer_norm_backward", [builder.reshape(scaled, rows), x, *statistics])
    normal = builder.emit("mul", [builder.emit("sub", [x, statistics[0]]), statistics[1]])
    products = builder.emit("mul", [builder.reshape(gradient, rows), normal])
    channelwise = builder.reshape(products, (images, channels, area))
    grad_bias = _channel_sum(builder, builder.reshape(gradient, (images, channels, area)))
    return builder.reshape(main, shape), _channel_sum(builder, channelwise), grad_bias
