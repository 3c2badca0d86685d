"""Normalisation layers."""

from __future__ import annotations

from ml.builder import Builder, Ref, float_bits
from ml.lowering.base import Application, lowers
from runtime.commitments import element_count


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
