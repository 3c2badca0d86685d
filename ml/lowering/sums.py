"""Matrix products, sums, means, variances and norms."""

from __future__ import annotations

import torch

from ml.builder import Builder, Ref
from ml.lowering.base import Application, first, lowers, require
from runtime.commitments import element_count
from runtime.vm.opcodes import Opcode


@lowers("aten.mm.default")
def mm(builder: Builder, node: Application) -> Ref:
    return builder.matmul(node.args[0], node.args[1])


@lowers("aten.bmm.default", "aten.matmul.default")
def bmm(builder: Builder, node: Application) -> Ref:
    return builder.batch_matmul(node.args[0], node.args[1])


@lowers("aten.addmm.default")
def addmm(builder: Builder, node: Application) -> Ref:
    require(node.kwargs.get("beta", 1) == 1 and node.kwargs.get("alpha", 1) == 1, "beta and alpha must be 1")
    return builder.emit("add", [builder.matmul(node.args[1], node.args[2]), node.args[0]])


@lowers("aten.baddbmm.default")
def baddbmm(builder: Builder, node: Application) -> Ref:
    beta, alpha = node.kwargs.get("beta", 1), node.kwargs.get("alpha", 1)
    result = builder.batch_matmul(node.args[1], node.args[2])
    if alpha != 1:
        result = builder.emit("mul", [builder.constant(float(alpha)), result])
    if beta == 0:
        return result
    added = first(node) if beta == 1 else builder.emit("mul", [builder.constant(float(beta)), first(node)])
    return builder.emit("add", [added, result])


def total(builder: Builder, source: Ref) -> Ref:
    """Sum of all elements as a scalar: block sums of block sums."""
    while element_count(builder.shape(source)) > 1:
        source = builder.emit("block_sum", [source])
    return builder.reshape(source, ())


@lowers("aten.sum.default")
def sum_all(builder: Builder, node: Application) -> Ref:
    return _as_asked(builder, node, total(builder, _floats(builder, first(node))))


def _as_asked(builder: Builder, node: Application, ref: Ref) -> Ref:
    """Counts, which torch sums as integers: exact here below 2^24."""
    return builder.emit("cast", [ref], [1]) if node.dtype == torch.int64 else ref


def _floats(builder: Builder, source: Ref) -> Ref:
    return source if builder.dtype(source) == "f32" else builder.emit("cast", [source], [0])


@lowers("aten.sum.dim_IntList")
def sum_dimensions(builder: Builder, node: Application) -> Ref:
    source = _floats(builder, first(node))
    axes = node.args[1] if len(node.args) > 1 else None
    return _as_asked(builder, node, builder.reshape(sum_over(builder, source, axes), node.shape))


def sum_over(builder: Builder, source: Ref, axes: list[int] | int | None) -> Ref:
    """Sums over some dimensions, the others in order: leading ones as columns, trailing ones as rows."""
    shape = builder.shape(source)
    rank = len(shape)
    given = [axes] if isinstance(axes, int) else axes
    summed = sorted(axis % rank for axis in given or range(rank)) if rank else []
    kept = [axis for axis in range(rank) if axis not in summed]
    if not kept:
        return total(builder, source)
    if summed == list(range(len(summed))):
        result = builder.emit("col_sum", [matrix(builder, source, element_count(shape[: len(summed)]))])
    elif kept == list(range(kept[0], kept[-1] + 1)) and kept[0] > 0:
        # Leading and trailing ones, as of a channel: rows first, then columns; nothing is moved.
        trailing = sum_over(builder, source, list(range(kept[-1] + 1, rank))) if kept[-1] + 1 < rank else source
        return sum_over(builder, trailing, list(range(kept[0])))
    else:
        moved = source if kept == list(range(len(kept))) else builder.permute(source, [*kept, *summed])
        result = builder.emit("row_sum", [matrix(builder, moved, element_count(tuple(shape[axis] for axis in kept)))])
    return builder.reshape(result, tuple(shape[axis] for axis in kept))


def matrix(builder: Builder, source: Ref, rows: int) -> Ref:
    """A tensor as so many rows."""
    return builder.reshape(source, (rows, element_count(builder.shape(source)) // rows))


@lowers("aten.mean.default", "aten.mean.dim")
def mean(builder: Builder, node: Application) -> Ref:
    count = element_count(builder.shape(first(node))) // element_count(node.shape)
    summed = sum_all(builder, node) if len(node.args) == 1 else sum_dimensions(builder, node)
    return builder.emit("div", [summed, builder.constant(float(count))])


@lowers("aten.var.correction")
def variance(builder: Builder, node: Application) -> Ref:
    source, axes = first(node), node.argument(1, "dim")
    correction = node.kwargs.get("correction")
    shape = builder.shape(source)
    chosen = {axis % len(shape) for axis in axes} if axes else set(range(len(shape)))
    narrow = tuple(1 if axis in chosen else size for axis, size in enumerate(shape))
    count = element_count(shape) // element_count(narrow)
    summed = builder.reshape(sum_over(builder, source, axes), narrow)
    average = builder.emit("div", [summed, builder.constant(float(count))])
    centred = builder.emit("sub", [source, average])
    squares = sum_over(builder, builder.emit("mul", [centred, centred]), axes)
    left = float(max(0, count - (1 if correction is None else correction)))
    return builder.reshape(builder.emit("div", [squares, builder.constant(left)]), node.shape)


@lowers("aten.linalg_vector_norm.default")
def vector_norm(builder: Builder, node: Application) -> Ref:
    """The root of the sum of squares, or the sum of sizes."""
    source, order, axes = first(node), node.argument(1, "ord", 2), node.argument(2, "dim")
    require(order in (1, 2), f"a norm of order {order}; orders are 1 and 2")
    parts = builder.emit("abs", [source]) if order == 1 else builder.emit("mul", [source, source])
    summed = sum_over(builder, parts, axes)
    return builder.reshape(summed if order == 1 else builder.emit("sqrt", [summed]), node.shape)


@lowers("aten.cumsum.default")
def cumulative(builder: Builder, node: Application) -> Ref:
    """Sums of the first 1, 2, ... elements along a dimension: a product with a triangle of ones."""
    source = _floats(builder, first(node))
    rank = len(node.shape)
    axis = node.args[1] % rank
    size = node.shape[axis]
    last = [other for other in range(rank) if other != axis] + [axis]
    rows = matrix(builder, builder.permute(source, last), element_count(node.shape) // size)
    early = builder.emit("iota", (), (0, 1, size))
    late = builder.emit("less", [early, builder.reshape(early, (size, 1))])
    triangle = builder.emit("sub", [builder.constant(1.0), builder.step(Opcode.I32_TO_F32, late)])
    summed = builder.reshape(builder.matmul(rows, triangle), tuple(node.shape[other] for other in last))
    back = [last.index(other) for other in range(rank)]
    return builder.permute(summed, back)
