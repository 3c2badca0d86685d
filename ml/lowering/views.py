"""Views, copies, joins, conversions and constants."""

from __future__ import annotations

from dataclasses import replace

import torch

from ml.builder import Builder, Ref, Shape
from ml.initial import Normal, Uniform
from ml.lowering.base import Application, first, integer, lowers, require, tensor
from runtime.vm.opcodes import Opcode
from runtime.vm.operators_views import MAX_JOINED


@lowers(
    "aten.detach.default",
    "aten.alias.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.lift_fresh_copy.default",
)
def identity(builder: Builder, node: Application) -> Ref:
    return first(node)


@lowers("aten.t.default", "aten.numpy_T.default", "aten.transpose.int", "aten.permute.default")
def permute(builder: Builder, node: Application) -> Ref:
    rank = len(node.shape)
    order = list(range(rank))
    if len(node.args) == 1:
        order.reverse()
    elif len(node.args) == 3:
        one, other = node.args[1] % rank, node.args[2] % rank
        order[one], order[other] = other, one
    else:
        order = [axis % rank for axis in node.args[1]]
    return builder.permute(first(node), order)


@lowers(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.squeeze.dim", "aten.squeeze.dims",
    "aten.squeeze.default", "aten.unsqueeze.default", "aten.flatten.using_ints", "aten.unflatten.int",
)  # fmt: skip
def reshape(builder: Builder, node: Application) -> Ref:
    return builder.reshape(first(node), node.shape)


@lowers("aten.expand.default")
def expand(builder: Builder, node: Application) -> Ref:
    return builder.expand(first(node), node.shape)


@lowers("aten.repeat.default")
def repeat(builder: Builder, node: Application) -> Ref:
    times = list(node.args[1])
    shape = (1,) * (len(times) - len(builder.shape(first(node)))) + builder.shape(first(node))
    apart = builder.reshape(first(node), tuple(size for one in shape for size in (1, one)))
    wide = builder.expand(apart, tuple(size for pair in zip(times, shape, strict=True) for size in pair))
    return builder.reshape(wide, node.shape)


@lowers("aten.slice.Tensor")
def cut(builder: Builder, node: Application) -> Ref:
    axis, start, _, step = _slice_of(node, builder.shape(first(node)), 1)
    view = builder.view(first(node)).slice(axis, start, node.shape[axis], step)
    return builder.seen(first(node), view)


def _slice_of(node: Application, shape: Shape, at: int) -> tuple[int, int, int, int]:
    """(axis, start, end, step) of a slice of a tensor whose axis is argument ``at``, from 0 and within bounds."""
    given = (*node.args[at:], *(None,) * 4)
    axis = (given[0] or 0) % len(shape)
    size = shape[axis]
    start, end, step = given[1] or 0, size if given[2] is None else given[2], given[3] or 1
    start, end = (min(max(edge + size if edge < 0 else edge, 0), size) for edge in (start, end))
    return axis, start, end, step


@lowers("aten.select.int")
def pick(builder: Builder, node: Application) -> Ref:
    shape = builder.shape(first(node))
    axis = node.args[1] % len(shape)
    return builder.seen(first(node), builder.view(first(node)).slice(axis, node.args[2] % shape[axis], 1).drop(axis))


@lowers(
    "aten.split.Tensor", "aten.unsafe_split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default",
    "aten.unbind.int",
)  # fmt: skip
def split(builder: Builder, node: Application) -> tuple[Ref, ...]:
    source = first(node)
    shape = builder.shape(source)
    given = node.argument(1, "dim", 0)
    unbinding = len(node.args) < 2 or node.name == "aten.unbind.int"
    axis = (given if unbinding else node.argument(2, "dim", 0)) % len(shape)
    if unbinding:
        sizes = [1] * shape[axis]
    elif isinstance(given, int):
        width = -(-shape[axis] // given) if node.name == "aten.chunk.default" else given
        sizes = [min(width, shape[axis] - start) for start in range(0, shape[axis], width)]
    else:
        sizes = list(given)
    pieces, start = [], 0
    for size in sizes:
        view = builder.view(source).slice(axis, start, size)
        pieces.append(builder.seen(source, view.drop(axis) if unbinding else view))
        start += size
    return tuple(pieces)


@lowers("aten.flip.default")
def flip(builder: Builder, node: Application) -> Ref:
    rank = len(node.shape)
    return builder.seen(first(node), builder.view(first(node)).flip([axis % rank for axis in node.args[1]]))


# -- Joins and their gradients ----------------------------------------------------------------------------------------


@lowers("aten.cat.default")
def cat(builder: Builder, node: Application) -> Ref:
    parts = [part for part in node.args[0] if 0 not in builder.shape(part)]
    return join(builder, parts, node.argument(1, "dim", 0) % len(node.shape))


@lowers("aten.stack.default")
def stack(builder: Builder, node: Application) -> Ref:
    axis = node.argument(1, "dim", 0) % len(node.shape)
    shape = (*node.shape[:axis], 1, *node.shape[axis + 1 :])
    return join(builder, [builder.reshape(part, shape) for part in node.args[0]], axis)


def join(builder: Builder, parts: list[Ref], axis: int) -> Ref:
    """Tensors joined along an axis, eight at a time."""
    while len(parts) > 1:
        groups = [parts[start : start + MAX_JOINED] for start in range(0, len(parts), MAX_JOINED)]
        parts = [builder.emit("concat", group, (axis,)) if len(group) > 1 else group[0] for group in groups]
    return parts[0]


def pad(builder: Builder, source: Ref, amounts: list[tuple[int, int, int]]) -> Ref:
    """Zeros before, after and between the elements of each dimension."""
    if not any(any(amount) for amount in amounts):
        return source
    return builder.emit("pad", [source], (0, *(number for amount in amounts for number in amount)))


@lowers("aten.slice_backward.default")
def slice_backward(builder: Builder, node: Application) -> Ref:
    axis, start, _, step = _slice_of(node, node.shape, 2)
    count = builder.shape(first(node))[axis]
    amounts = [(0, 0, 0)] * len(node.shape)
    amounts[axis] = (start, node.shape[axis] - start - (count - 1) * step - 1, step - 1)
    return pad(builder, first(node), amounts)


@lowers("aten.select_backward.default")
def select_backward(builder: Builder, node: Application) -> Ref:
    axis = node.args[2] % len(node.shape)
    index = node.args[3] % node.shape[axis]
    amounts = [(0, 0, 0)] * len(node.shape)
    amounts[axis] = (index, node.shape[axis] - index - 1, 0)
    return pad(builder, builder.reshape(first(node), (*node.shape[:axis], 1, *node.shape[axis + 1 :])), amounts)


@lowers("aten.slice_scatter.default")
def slice_scatter(builder: Builder, node: Application) -> Ref:
    """x with a slice of it replaced, which is what an assignment to the slice becomes."""
    source, given = node.args[:2]
    axis, start, _, step = _slice_of(node, node.shape, 2)
    size, count = node.shape[axis], builder.shape(given)[axis]
    if step == 1:
        return _replace(builder, source, given, axis, start)
    after = size - start - (count - 1) * step - 1
    amounts = [(0, 0, 0)] * len(node.shape)
    amounts[axis] = (start, after, step - 1)
    ones = builder.materialise(builder.expand(integer(builder, 1), (count,)))
    chosen = builder.reshape(
        pad(builder, ones, [(start, after, step - 1)]), (size, *(1,) * (len(node.shape) - axis - 1))
    )
    return builder.emit("select", [chosen, pad(builder, given, amounts), source])


@lowers("aten.select_scatter.default")
def select_scatter(builder: Builder, node: Application) -> Ref:
    source, given, axis, index = node.args
    axis %= len(node.shape)
    narrow = (*node.shape[:axis], 1, *node.shape[axis + 1 :])
    return _replace(builder, source, builder.reshape(given, narrow), axis, index % node.shape[axis])


def _replace(builder: Builder, source: Ref, given: Ref, axis: int, start: int) -> Ref:
    """A tensor with consecutive elements along an axis replaced."""
    end, size = start + builder.shape(given)[axis], builder.shape(source)[axis]
    view = builder.view(source)
    before = [builder.seen(source, view.slice(axis, 0, start))] if start else []
    after = [builder.seen(source, view.slice(axis, end, size - end))] if end < size else []
    return join(builder, [*before, given, *after], axis)


@lowers("aten.copy.default")
def copy(builder: Builder, node: Application) -> Ref:
    """The second tensor in the shape and dtype of the first."""
    result: Ref = convert(builder, replace(node, args=node.args[1:]))
    return result


@lowers("aten.constant_pad_nd.default")
def constant_pad(builder: Builder, node: Application) -> Ref:
    source, rank = first(node), len(node.shape)
    require(float(node.argument(2, "value", 0) or 0) == 0, "padding with another number than 0")
    sides = list(node.args[1])
    amounts = [(0, 0, 0)] * rank
    view = builder.view(source)
    for number in range(len(sides) // 2):
        axis, before, after = rank - 1 - number, sides[2 * number], sides[2 * number + 1]
        cut_size = view.shape[axis] + min(before, 0) + min(after, 0)
        view = view.slice(axis, max(0, -before), cut_size)
        amounts[axis] = (max(before, 0), max(after, 0), 0)
    return pad(builder, builder.seen(source, view), amounts)


# -- Conversions and constants ----------------------------------------------------------------------------------------

OF_DTYPE = {torch.float32: "f32", torch.int32: "i32", torch.int64: "i32", torch.bool: "i32", torch.uint8: "u8"}
"""Index tensors are int64 in torch and i32 here: labels and positions fit. A bool is an i32, 0 or 1."""
_CODES = {"f32": 0, "i32": 1}


@lowers("aten._to_copy.default")
def convert(builder: Builder, node: Application) -> Ref:
    source, target = first(node), node.dtype
    require(target in OF_DTYPE, f"no tensors of {target}")
    assert target is not None
    if target == torch.bool and not builder.is_bool(source):
        zero = tensor(builder, 0, builder.dtype(source))
        unequal = builder.step(Opcode.SUB_I32, integer(builder, 1), builder.emit("equal", [source, zero]))
        return builder.note_bool(unequal)
    wanted = OF_DTYPE[target]
    if wanted == builder.dtype(source):
        return source
    require(wanted in _CODES, f"no conversion to {target}")
    return builder.emit("cast", [source], [_CODES[wanted]])


@lowers("aten.ones_like.default", "aten.ones.default", "aten.new_ones.default")
def ones(builder: Builder, node: Application) -> Ref:
    return constant(builder, node, 1)


@lowers("aten.zeros_like.default", "aten.zeros.default", "aten.new_zeros.default")
def zeros(builder: Builder, node: Application) -> Ref:
    return constant(builder, node, 0)


@lowers(
    "aten.fill.Scalar",
    "aten.full_like.default",
    "aten.full.default",
    "aten.scalar_tensor.default",
    "aten.new_full.default",
)
def full(builder: Builder, node: Application) -> Ref:
    number = node.args[-1]
    require(isinstance(number, int | float), "the value must be a number")
    return constant(builder, node, number)


def constant(builder: Builder, node: Application, number: float) -> Ref:
    """A constant tensor: one number, repeated."""
    require(node.dtype in OF_DTYPE and node.dtype != torch.uint8, f"no constants of {node.dtype}")
    assert node.dtype is not None
    ref = tensor(builder, number, OF_DTYPE[node.dtype])
    return builder.note_bool(ref) if node.dtype == torch.bool else ref


@lowers("aten.arange.default", "aten.arange.start", "aten.arange.start_step", "aten.linspace.default")
def arange(builder: Builder, node: Application) -> Ref:
    numbers = [0, *node.args] if len(node.args) == 1 else list(node.args)
    start, count = numbers[0], node.shape[0]
    step = numbers[2] if len(numbers) > 2 else 1
    if node.name == "aten.linspace.default":
        step = (numbers[1] - start) / max(1, count - 1)
    if all(isinstance(number, int) for number in (start, step)):
        ref = builder.emit("iota", (), (start, step, count))
        return builder.emit("cast", [ref], [0]) if node.dtype == torch.float32 else ref
    require(node.dtype == torch.float32, "a count of integers in steps that are not whole")
    counted = builder.emit("cast", [builder.emit("iota", (), (0, 1, count))], [0])
    steps = builder.emit("mul", [counted, builder.constant(float(step))])
    return builder.emit("add", [steps, builder.constant(float(start))])


@lowers("aten.tril.default", "aten.triu.default")
def triangle(builder: Builder, node: Application) -> Ref:
    """x where column <= row + k (tril) or column >= row + k (triu), else 0."""
    rows, columns = node.shape[-2:]
    shift = node.argument(1, "diagonal", 0)
    row = builder.reshape(builder.emit("iota", (), (shift, 1, rows)), (rows, 1))
    column = builder.emit("iota", (), (0, 1, columns))
    pair = [row, column] if node.name == "aten.tril.default" else [column, row]
    outside = builder.emit("less", pair)
    zero = tensor(builder, 0, builder.dtype(first(node)))
    return builder.emit("select", [outside, zero, first(node)])


# -- Random numbers ---------------------------------------------------------------------------------------------------


@lowers("aten.bernoulli.p", "aten.bernoulli.default")
def bernoulli(builder: Builder, node: Application) -> Ref:
    """1 with probability p, by Philox: a solver draws other numbers than PyTorch, every solver the same."""
    chance = node.argument(1, "p")
    require(isinstance(chance, float), "probabilities that differ between elements")
    drawn = builder.emit("uniform", [builder.key], (0, 0x3F800000, *node.shape))
    return builder.emit("cast", [builder.emit("less", [drawn, builder.constant(chance)])], [0])


@lowers(
    "aten.empty_like.default", "aten.empty.memory_format", "aten.new_empty.default", "aten.new_empty_strided.default"
)
def empty(builder: Builder, node: Application) -> Ref:
    """Memory that is about to be written."""
    return constant(builder, node, 0)


@lowers("aten.rand_like.default", "aten.rand.default")
def random_uniform(builder: Builder, node: Application) -> Ref:
    return Uniform(0.0, 1.0).emit(builder, builder.key, node.shape)


@lowers("aten.randn_like.default", "aten.randn.default")
def random_normal(builder: Builder, node: Application) -> Ref:
    return Normal(0.0, 1.0).emit(builder, builder.key, node.shape)
