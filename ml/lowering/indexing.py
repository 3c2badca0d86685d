"""Largest elements, and elements and rows by index.

An index outside of its dimension, an error in PyTorch, reads NaN and adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml.builder import Builder, Ref, Shape
from ml.lowering.base import Application, first, integer, lowers, require
from ml.lowering.sums import matrix
from ml.views import contiguous_strides
from runtime.commitments import element_count


def _largest(builder: Builder, node: Application, source: Ref) -> tuple[Ref, Ref]:
    """(values, places) of the largest elements along dimensions, in the shape of the result without them."""
    shape = builder.shape(source)
    given = node.args[1] if len(node.args) > 1 else None
    axes = [given] if isinstance(given, int) else list(given or range(len(shape)))
    axes = [axis % len(shape) for axis in axes]
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    rows = builder.permute(source, [*kept, *axes])
    count = element_count(tuple(shape[axis] for axis in axes))
    rows = builder.reshape(rows, (*(shape[axis] for axis in kept), count))
    values, places = builder.emit_all("row_max", [rows])
    return values, places


@lowers("aten.amax.default")
def amax(builder: Builder, node: Application) -> Ref:
    return builder.reshape(_largest(builder, node, first(node))[0], node.shape)


@lowers("aten.amin.default")
def amin(builder: Builder, node: Application) -> Ref:
    largest = _largest(builder, node, builder.emit("neg", [first(node)]))[0]
    return builder.emit("neg", [builder.reshape(largest, node.shape)])


@lowers("aten.argmax.default")
def argmax(builder: Builder, node: Application) -> Ref:
    return builder.reshape(_largest(builder, node, first(node))[1], node.shape)


@lowers("aten.max.default")
def max_all(builder: Builder, node: Application) -> Ref:
    return builder.reshape(_largest(builder, node, first(node))[0], ())


@lowers("aten.max.dim")
def max_along(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    shape, axis = list(builder.shape(first(node))), node.args[1] % len(builder.shape(first(node)))
    keep = node.argument(2, "keepdim", False)
    shape[axis : axis + 1] = [1] if keep else []
    values, places = _largest(builder, node, first(node))
    return builder.reshape(values, tuple(shape)), builder.reshape(places, tuple(shape))


# -- Rows by index ----------------------------------------------------------------------------------------------------


@lowers("aten.embedding.default")
def embedding(builder: Builder, node: Application) -> Ref:
    return builder.emit("take_rows", node.args[:2])


@lowers("aten.embedding_dense_backward.default")
def embedding_backward(builder: Builder, node: Application) -> Ref:
    gradient, index, rows, padding, by_frequency = node.args
    require(not by_frequency, "scale_grad_by_freq")
    if padding >= 0:
        is_padding = builder.emit("equal", [index, integer(builder, padding)])
        index = builder.emit("select", [is_padding, integer(builder, -1), index])
    return builder.emit("scatter_rows", [gradient, index], (rows,))


@lowers("aten.index_select.default")
def index_select(builder: Builder, node: Application) -> Ref:
    source, axis, index = node.args
    return _read(builder, source, [None] * (axis % len(node.shape)) + [index], node.shape)


@lowers("aten.index.Tensor")
def index_by_tensors(builder: Builder, node: Application) -> Ref:
    """x[..., i, j, ...] for neighbouring index tensors."""
    return _read(builder, first(node), node.args[1], node.shape)


@lowers("aten.index_put.default", "aten._index_put_impl.default")
def index_put(builder: Builder, node: Application) -> Ref:
    """x[..., i, j, ...] += values, as the gradient of reading asks for."""
    source, given, values = node.args[:3]
    require(bool(node.argument(3, "accumulate", False)), "assignment to elements by index; use torch.where")
    order, index = _index(builder, source, given)
    shape = tuple(builder.shape(source)[axis] for axis in order)
    indexed = sum(one is not None for one in given)
    inner, places, at = shape[indexed:], builder.shape(index), len(given) - indexed
    wide = builder.expand(values, (*inner[:at], *places, *inner[at:]))
    middle = range(at, at + len(places))
    first_places = [*middle, *(axis for axis in range(len(builder.shape(wide))) if axis not in middle)]
    rows = builder.reshape(builder.permute(wide, first_places), (*places, element_count(inner)))
    summed = builder.emit("scatter_rows", [rows, index], (element_count(shape[:indexed]),))
    back = builder.permute(builder.reshape(summed, shape), [order.index(axis) for axis in range(len(order))])
    return builder.emit("add", [source, back])


def _read(builder: Builder, source: Ref, given: Sequence[Ref | None], shape: Shape) -> Ref:
    order, index = _index(builder, source, given)
    sizes = tuple(builder.shape(source)[axis] for axis in order)
    indexed = sum(one is not None for one in given)
    inner, places, at = sizes[indexed:], builder.shape(index), len(given) - indexed
    table = matrix(builder, builder.permute(source, order), element_count(sizes[:indexed]))
    rows = builder.reshape(builder.emit("take_rows", [table, index]), (*places, *inner))
    after = [len(places) + axis for axis in range(len(inner))]
    return builder.reshape(builder.permute(rows, [*after[:at], *range(len(places)), *after[at:]]), shape)


def _index(builder: Builder, source: Ref, given: Sequence[Ref | None]) -> tuple[list[int], Ref]:
    """(order of the dimensions with the indexed ones first, the number of the row of these that each place reads)."""
    shape = builder.shape(source)
    axes = [axis for axis, one in enumerate(given) if one is not None]
    require(axes == list(range(axes[0], len(given))), "indices on dimensions that are not neighbours")
    require(builder.dtype(source) == "f32", "reading integers by index")
    combined = integer(builder, 0)
    for axis in axes:
        one = given[axis]
        assert one is not None
        require(
            builder.dtype(one) == "i32" and not builder.is_bool(one), "a boolean index, whose result has no fixed shape"
        )
        below = builder.emit("less", [one, integer(builder, 0)])
        size = integer(builder, shape[axis])
        place = builder.emit("select", [below, builder.emit("add", [one, size]), one])
        combined = builder.emit("add", [builder.emit("mul", [combined, size]), place]) if axis > axes[0] else place
    return [*axes, *(axis for axis in range(len(shape)) if axis not in axes)], combined


@lowers("aten.gather.default")
def gather(builder: Builder, node: Application) -> Ref:
    """x at the places of an index that has x's rank."""
    source, axis, index = node.args[:3]
    require(builder.dtype(source) == "f32", "gathering integers")
    table = matrix(builder, source, element_count(builder.shape(source)))
    return builder.reshape(builder.emit("take_rows", [table, _places(builder, source, axis, index)]), node.shape)


@lowers("aten.scatter_add.default")
def scatter_add(builder: Builder, node: Application) -> Ref:
    source, axis, index, given = node.args
    shape = builder.shape(index)
    require(builder.shape(given) == shape, "a scatter whose values and places differ in shape")
    rows = builder.reshape(given, (*shape, 1))
    count = element_count(node.shape)
    summed = builder.emit("scatter_rows", [rows, _places(builder, source, axis, index)], (count,))
    return builder.emit("add", [source, builder.reshape(summed, node.shape)])


def _places(builder: Builder, source: Ref, axis: int, index: Ref) -> Ref:
    """The number, in C order, of the element of the source that each place of an index means; -1 for none."""
    shape, wide = builder.shape(source), builder.shape(index)
    axis %= len(shape)
    strides = contiguous_strides(shape)
    result = builder.emit("mul", [index, integer(builder, strides[axis])])
    for other, size in enumerate(wide):
        if other != axis and size > 1:
            counted = builder.emit("iota", (), (0, strides[other], size))
            result = builder.emit("add", [result, builder.reshape(counted, (size, *(1,) * (len(wide) - other - 1)))])
    inside = builder.emit("less", [integer(builder, -1), index])
    inside = builder.emit("mul", [inside, builder.emit("less", [index, integer(builder, shape[axis])])])
    return builder.emit("select", [inside, result, integer(builder, -1)])


@lowers("aten.scatter.src")
def scatter(builder: Builder, node: Application) -> Ref:
    """One element along the dimension replaced, as the gradient of a largest element asks for."""
    source, axis, places, given = node.args
    shape = node.shape
    axis %= len(shape)
    narrow = tuple(1 if other == axis else size for other, size in enumerate(shape))
    require(builder.shape(places) == narrow == builder.shape(given), "a scatter of more than one element of each row")
    column = builder.emit("iota", (), (0, 1, shape[axis]))
    column = builder.reshape(column, (shape[axis], *(1,) * (len(shape) - axis - 1)))
    return builder.emit("select", [builder.emit("equal", [places, column]), given, source])
