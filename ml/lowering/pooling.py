"""Pooling and upsampling of images, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

from ml.builder import Builder, Ref, Shape
from ml.lowering.base import Application, first, integer, lowers, require
from ml.lowering.convolution import Geometry, pair
from ml.lowering.sums import sum_over
from ml.lowering.views import join
from runtime.commitments import element_count


def _pool_attributes(node: Application, at: int, out: Shape) -> tuple[int, ...]:
    """The attributes of ``max_pool`` from kernel, stride, padding and distance, which begin at argument ``at``."""
    kernel = pair(node.args[at])
    stride = pair(node.argument(at + 1, "stride") or kernel)
    padding, apart = pair(node.argument(at + 2, "padding", 0)), pair(node.argument(at + 3, "dilation", 1))
    require(padding == (0, 0) or apart == (1, 1), "padding with dilation")
    return (*out, *kernel, *stride, *padding, *apart)


@lowers("aten.max_pool2d_with_indices.default")
def max_pool(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    require(len(builder.shape(first(node))) == 4, "pooling without a batch dimension")
    out = node.shapes[0][2:]
    values, places = builder.emit_all("max_pool", [first(node)], _pool_attributes(node, 1, out))
    return values, places


@lowers("aten.max_pool2d_with_indices_backward.default")
def max_pool_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, places = node.args[0], node.args[1], node.args[-1]
    attributes = _pool_attributes(node, 2, builder.shape(gradient)[2:])
    return builder.emit("max_pool_backward", [gradient, places], (*attributes, *builder.shape(source)[2:]))


def _average(builder: Builder, node: Application, at: int, shape: Shape) -> tuple[Geometry, Ref, Ref | None]:
    """(the windows, their weights, how many elements each covers where that differs) of an average pool."""
    kernel = pair(node.args[at])
    stride, padding = pair(node.argument(at + 1, "stride") or kernel), pair(node.argument(at + 2, "padding", 0))
    divisor = node.argument(at + 5, "divisor_override")
    require(not node.argument(at + 3, "ceil_mode", False), "average pooling with ceil_mode")
    geometry = Geometry(stride, padding, (1, 1), shape[1])
    window = (shape[1], 1, *kernel)
    if padding == (0, 0) or node.argument(at + 4, "count_include_pad", True) or divisor:
        return geometry, builder.constant(1 / (divisor or element_count(kernel)), window), None
    ones = builder.constant(1.0, window)
    return geometry, ones, geometry.forward(builder, builder.constant(1.0, (1, *shape[1:])), ones)


@lowers("aten.avg_pool2d.default")
def average_pool(builder: Builder, node: Application) -> Ref:
    geometry, weights, counts = _average(builder, node, 1, builder.shape(first(node)))
    summed = geometry.forward(builder, first(node), weights)
    return summed if counts is None else builder.emit("div", [summed, counts])


@lowers("aten.avg_pool2d_backward.default")
def average_pool_backward(builder: Builder, node: Application) -> Ref:
    gradient, shape = node.args[0], builder.shape(node.args[1])
    geometry, weights, counts = _average(builder, node, 2, shape)
    if counts is not None:
        gradient = builder.emit("div", [gradient, counts])
    return geometry.input_gradient(builder, gradient, weights, shape)


# -- Adaptive pools: windows from floor(i size / out) to ceil((i + 1) size / out) -------------------------------------

LARGEST_UNEVEN = 256
"""Windows of unlike sizes that are taken one by one."""


def _windows(size: int, out: int) -> list[tuple[int, int]]:
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _averaging(builder: Builder, size: int, out: int) -> Ref:
    """A matrix [out, size] that averages every window: 1 / its width within it, else 0.

    Windows' bounds are quotients of whole numbers below 2^24, so that no rounding of theirs crosses a whole number.
    """
    row = builder.reshape(builder.emit("cast", [builder.emit("iota", (), (0, 1, out))], [0]), (out, 1))
    last, wide, parts = builder.constant(out - 1.0), builder.constant(float(size)), builder.constant(float(out))

    def whole_quotient(numbers: Ref) -> Ref:
        return builder.emit("cast", [builder.emit("div", [builder.emit("mul", [numbers, wide]), parts])], [1])

    start = whole_quotient(row)
    end = builder.emit("sub", [integer(builder, size), whole_quotient(builder.emit("sub", [last, row]))])
    column = builder.emit("iota", (), (0, 1, size))
    before, within = builder.emit("less", [column, start]), builder.emit("less", [column, end])
    width = builder.emit("cast", [builder.emit("sub", [end, start])], [0])
    share = builder.emit("select", [within, builder.emit("div", [builder.constant(1.0), width]), builder.constant(0.0)])
    return builder.materialise(builder.emit("select", [before, builder.constant(0.0), share]))


def _between(builder: Builder, left: Ref, planes: Ref, right: Ref) -> Ref:
    """left @ plane @ right for every plane."""
    *leading, rows, columns = builder.shape(planes)
    count = element_count(tuple(leading))
    flat = builder.matmul(builder.reshape(planes, (count * rows, columns)), right)
    narrow = builder.reshape(flat, (count, rows, builder.shape(right)[1]))
    result = builder.batch_matmul(builder.expand(builder.unsqueeze(left), (count, *builder.shape(left))), narrow)
    return builder.reshape(result, (*leading, *builder.shape(result)[-2:]))


@lowers("aten._adaptive_avg_pool2d.default")
def adaptive_average(builder: Builder, node: Application) -> Ref:
    """A product with a matrix for each axis, since averages of rectangles are averages of averages."""
    source, shape = first(node), builder.shape(first(node))
    (rows, columns), (high, wide) = shape[-2:], node.shape[-2:]
    if (high, wide) == (1, 1):
        return builder.reshape(_means(builder, source), node.shape)
    across = builder.permute(_averaging(builder, columns, wide), (1, 0))
    return _between(builder, _averaging(builder, rows, high), source, across)


def _means(builder: Builder, source: Ref) -> Ref:
    """The mean of every plane."""
    *leading, rows, columns = builder.shape(source)
    summed = builder.emit("row_sum", [builder.reshape(source, (element_count(tuple(leading)), rows * columns))])
    return builder.emit("mul", [summed, builder.constant(1 / (rows * columns))])


@lowers("aten._adaptive_avg_pool2d_backward.default")
def adaptive_average_backward(builder: Builder, node: Application) -> Ref:
    gradient, shape = node.args[0], builder.shape(node.args[1])
    (rows, columns), (high, wide) = shape[-2:], builder.shape(gradient)[-2:]
    if (high, wide) == (1, 1):
        return builder.expand(builder.emit("mul", [gradient, builder.constant(1 / (rows * columns))]), shape)
    down = builder.permute(_averaging(builder, rows, high), (1, 0))
    return _between(builder, down, gradient, _averaging(builder, columns, wide))


def _covering(shape: Shape, out: Shape) -> tuple[int, ...]:
    """Attributes of ``max_pool`` for windows that are all alike and cover the adaptive ones, or are these."""
    step = [size // wanted or 1 for size, wanted in zip(shape[-2:], out[-2:], strict=True)]
    taps = [size - (wanted - 1) * apart for size, wanted, apart in zip(shape[-2:], out[-2:], step, strict=True)]
    return (*out[-2:], *taps, *step, 0, 0, 1, 1)


@lowers("aten.adaptive_max_pool2d.default")
def adaptive_max(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    shape, out = builder.shape(first(node)), node.shapes[0]
    require(
        all(size >= wanted for size, wanted in zip(shape[-2:], out[-2:], strict=True)), f"a pool from {shape} to {out}"
    )
    if all(size % wanted == 0 for size, wanted in zip(shape[-2:], out[-2:], strict=True)):
        values, places = builder.emit_all("max_pool", [first(node)], _covering(shape, out))
        return values, places
    require(out[-2] * out[-1] <= LARGEST_UNEVEN, f"a pool to more than {LARGEST_UNEVEN} windows of unlike sizes")
    cells = [
        _window_max(builder, first(node), rows, columns)
        for rows in _windows(shape[-2], out[-2])
        for columns in _windows(shape[-1], out[-1])
    ]
    values, places = (join(builder, list(parts), len(shape) - 2) for parts in zip(*cells, strict=True))
    return builder.reshape(values, out), builder.reshape(places, out)


def _window_max(builder: Builder, source: Ref, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Ref, Ref]:
    """(the largest of one window, its place in the plane), each [..., 1]."""
    shape, high, wide = builder.shape(source), rows[1] - rows[0], columns[1] - columns[0]
    rank = len(shape)
    view = builder.view(source).slice(rank - 2, rows[0], high).slice(rank - 1, columns[0], wide)
    window = builder.reshape(builder.seen(source, view), (*shape[:-2], high * wide))
    values, within = builder.emit_all("row_max", [window])
    row = builder.emit("div", [builder.emit("cast", [within], [0]), builder.constant(float(wide))])
    skipped = builder.emit("mul", [builder.emit("cast", [row], [1]), integer(builder, shape[-1] - wide)])
    place = builder.emit(
        "add", [builder.emit("add", [within, skipped]), integer(builder, rows[0] * shape[-1] + columns[0])]
    )
    return builder.reshape(values, (*shape[:-2], 1)), builder.reshape(place, (*shape[:-2], 1))


@lowers("aten.adaptive_max_pool2d_backward.default")
def adaptive_max_backward(builder: Builder, node: Application) -> Ref:
    """Every place is searched in windows that cover the adaptive ones; it can only lie in its own."""
    gradient, source, places = node.args
    shape = builder.shape(source)
    attributes = (*_covering(shape, builder.shape(gradient)), *shape[-2:])
    return builder.emit("max_pool_backward", [gradient, places], attributes)


# -- Upsampling -------------------------------------------------------------------------------------------------------


@lowers("aten.upsample_nearest2d.default")
def upsample(builder: Builder, node: Application) -> Ref:
    source, shape = first(node), builder.shape(first(node))
    count, channels, rows, columns = shape
    scale = _multiples(shape, node.shape)
    wide = builder.reshape(source, (count, channels, rows, 1, columns, 1))
    return builder.reshape(builder.expand(wide, (count, channels, rows, scale[0], columns, scale[1])), node.shape)


@lowers("aten.upsample_nearest2d_backward.default")
def upsample_backward(builder: Builder, node: Application) -> Ref:
    gradient, shape = node.args[0], tuple(node.args[2])
    count, channels, rows, columns = shape
    scale = _multiples(shape, builder.shape(gradient))
    split = builder.reshape(gradient, (count, channels, rows, scale[0], columns, scale[1]))
    return builder.reshape(sum_over(builder, split, [3, 5]), shape)


def _multiples(small: Sequence[int], large: Sequence[int]) -> tuple[int, int]:
    for size, wide in zip(small[-2:], large[-2:], strict=True):
        require(wide % size == 0, f"upsampling from {tuple(small[-2:])} to {tuple(large[-2:])}, which is no multiple")
    return large[-2] // small[-2], large[-1] // small[-1]
