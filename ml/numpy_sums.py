"""Sums and products in the defined orders, in NumPy: loops run along the sum, array operations across outputs.

An operator takes its instruction and its inputs (`Inputs`) and returns its outputs; what the fields of an instruction
mean stands with the kernel of the same name in ``ml/csrc``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ml.backend import Array, Instruction
from ml.numpy_math import canonical, exp, f32, f64, i32, i64, log, rsqrt, u32

BLOCK, LANES, SPAN = 256, 16, 4096
MIDPOINT = i64(1 << 28)
"""Low bits of a float64 that lies half-way between two float32."""


class Inputs:
    """The memory from each input's place on."""

    def __init__(self, places: list[Array]) -> None:
        self.places = places

    def flat(self, number: int, dtype: type, count: int) -> Array:
        """The first ``count`` elements of an input."""
        size = np.dtype(dtype).itemsize
        return self.places[number][: count * size].view(dtype)

    def table(self, number: int, *shape: int) -> Array:
        """An input as a C-ordered float32 array."""
        return self.flat(number, f32, int(np.prod(shape))).reshape(shape)

    def strided(
        self, number: int, dtype: type, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
    ) -> Array:
        """An input read through strides, in elements."""
        data: Array = self.places[number][offset * np.dtype(dtype).itemsize :].view(dtype)
        return as_strided(data, shape, tuple(stride * data.itemsize for stride in strides), writeable=False)


Outputs = tuple[Array, ...]
Operator = Callable[[Instruction, Inputs, int], Outputs]
"""operator(instruction, inputs, step) -> outputs in order."""


def scalar(bits: int) -> Array:
    """The float32 of a bit pattern, of shape ()."""
    return np.array(bits, u32).view(f32)


# -- Products ----------------------------------------------------------------------------------------------------------


def blocked_product(inner: int, left: Callable[[int], Array], right: Callable[[int], Array]) -> Array:
    """Sum over k of left(k) * right(k), fused, in blocks of 256; both float64 holding float32 values, broadcasting."""
    total: Array | None = None
    for start in range(0, inner, BLOCK):
        block: Array | None = None
        for k in range(start, min(start + BLOCK, inner)):
            product = left(k) * right(k)
            block = _fused_sum(product, np.zeros_like(product) if block is None else block)
        assert block is not None
        total = block if total is None else (total.astype(f32) + block.astype(f32)).astype(f64)
    assert total is not None
    return canonical(total.astype(f32))


def _fused_sum(product: Array, addend: Array) -> Array:
    """product + addend rounded once to float32 (kept as float64). The float64 sum rounds wrongly to float32 only where
    it lies half-way between two of them, or where float32 has fewer digits; there it is first rounded to odd."""
    total = product + addend
    result: Array = total.astype(f32)
    small = np.abs(total) < 2.0**-126
    doubtful = np.nonzero(((total.view(i64) & i64(0x1FFFFFFF)) == MIDPOINT) | (small & (total != 0)))
    if len(doubtful[0]):
        result[doubtful] = _rounded_once(product[doubtful], addend[doubtful], total[doubtful])
    wide: Array = result.astype(f64)
    return wide


def _rounded_once(product: Array, addend: Array, total: Array) -> Array:
    """TwoSum gives the error of the sum; the sum rounded to odd rounds to float32 as the exact one (Boldo & Melquiond
    2008)."""
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(i64)
    nudged = bits + np.where((error > 0) == (total > 0), 1, -1)
    uneven = (error != 0) & (bits & 1 == 0) & np.isfinite(error)
    return np.where(uneven, nudged, bits).view(f64).astype(f32)


def matmul(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns, inner = instruction.sizes
    a_strides = (1, rows) if instruction.scalars[0] else (inner, 1)
    b_strides = (1, inner) if instruction.scalars[1] else (columns, 1)
    a = inputs.strided(0, f32, (rows, inner), a_strides).astype(f64)
    b = inputs.strided(1, f32, (inner, columns), b_strides).astype(f64)
    return (blocked_product(inner, lambda k: a[:, k, None], lambda k: b[k]),)


def batch_matmul(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    first, second, rows, columns, inner = instruction.sizes
    left, right = instruction.strides
    a = inputs.strided(0, f32, (first, second, rows, inner), left, instruction.offsets[0]).astype(f64)
    b = inputs.strided(1, f32, (first, second, inner, columns), right, instruction.offsets[1]).astype(f64)
    result = blocked_product(inner, lambda k: a[..., k, None], lambda k: b[..., k, None, :])
    return (result.transpose(0, 2, 1, 3) if instruction.scalars[0] else result,)


def pixels(outputs: int, window: tuple[int, ...], tap: int, size: int) -> tuple[Array, Array]:
    """(pixel, whether there is one) for every output along one axis, at one tap of the kernel."""
    stride, before, spread, apart = window
    position = np.arange(outputs) * stride - before + tap * apart
    inside = (position >= 0) & (position % spread == 0) & (position // spread < size)
    return np.where(inside, position // spread, 0), inside


def conv2d(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    images, outputs, height, width = instruction.sizes
    shape, (inner, taps, taps_x, groups), vertical, horizontal = instruction.strides
    image = inputs.table(0, *shape).astype(f64).reshape(images, groups, inner, *shape[2:])
    weights = inputs.table(1, outputs, inner * taps * taps_x).astype(f64).reshape(groups, outputs // groups, -1)

    def column(k: int) -> Array:
        channel, place = divmod(k, taps * taps_x)
        rows, has_row = pixels(height, vertical, place // taps_x, shape[2])
        columns, has_column = pixels(width, horizontal, place % taps_x, shape[3])
        read = image[:, :, channel][:, :, rows[:, None], columns]
        return np.where(has_row[:, None] & has_column, read, 0)[:, :, None]

    result = blocked_product(inner * taps * taps_x, lambda k: weights[:, :, k, None, None], column)
    return (result.reshape(instruction.sizes),)


# -- Sums --------------------------------------------------------------------------------------------------------------


def lane_sum(x: Array) -> Array:
    """Over the last axis: 16 lanes from +0, then halves. No lane can be -0, so an absent element may be added as +0."""
    rows, columns = x.shape
    padded = np.zeros((rows, -(-columns // LANES), LANES), f32)
    padded.reshape(rows, -1)[:, :columns] = x
    sums = np.zeros((rows, LANES), f32)
    for group in range(padded.shape[1]):
        sums = sums + padded[:, group]
    for half in (8, 4, 2, 1):
        sums = sums[:, :half] + sums[:, half : 2 * half]
    return canonical(sums[:, 0])


def largest(x: Array) -> Array:
    """Over the last axis; NaN wins, +0 above -0."""
    bits = x.view(u32)
    order = np.where(bits >> u32(31), ~bits, bits | u32(0x80000000)).max(axis=1)
    found = np.where(order >> u32(31), order & u32(0x7FFFFFFF), ~order).view(f32)
    return np.where((x != x).any(axis=1), f32(np.nan), found)


def row_sum(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    return (lane_sum(inputs.table(0, *instruction.sizes)),)


def col_sum(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns = instruction.sizes
    x = inputs.table(0, rows, columns)
    total = np.zeros(columns, f32)
    for start in range(0, rows, BLOCK):
        block = np.zeros(columns, f32)
        for row in range(start, min(start + BLOCK, rows)):
            block = block + x[row]
        total = total + block if start else block
    return (canonical(total),)


def block_sum(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    (count,) = instruction.sizes
    x = inputs.flat(0, f32, count)
    padded = np.zeros(-(-count // SPAN) * SPAN, f32)
    padded[:count] = x * x if instruction.op == "block_square_sum" else x
    return (lane_sum(padded.reshape(-1, SPAN)),)


def row_max(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    x = inputs.table(0, *instruction.sizes)
    found = largest(x)
    return found, (x == found[:, None]).argmax(axis=1).astype(i32)


# -- Rows --------------------------------------------------------------------------------------------------------------


def log_softmax(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    x = inputs.table(0, *instruction.sizes)
    top = largest(x)
    shifted = x - top[:, None]
    total = canonical(log(lane_sum(exp(shifted))))
    return top, total, canonical(shifted - total[:, None])


def log_softmax_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    grad, logs = inputs.table(0, *instruction.sizes), inputs.table(1, *instruction.sizes)
    total = lane_sum(grad)
    return total, canonical(grad - exp(logs) * total[:, None])


def softmax(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns, matrix = instruction.sizes
    seen = np.full(rows, columns)
    if instruction.scalars[1]:
        seen = np.minimum(np.arange(rows) % matrix + 1, columns)
    mask = np.arange(columns) < seen[:, None]
    x = inputs.table(0, rows, columns) * scalar(instruction.scalars[0])
    top = largest(np.where(mask, x, f32(-np.inf)))
    powers = np.where(mask, exp(x - top[:, None]), f32(0))
    total = lane_sum(powers)
    return top, total, np.where(mask, canonical(powers / total[:, None]), f32(0))


def softmax_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    grad, p = inputs.table(0, *instruction.sizes), inputs.table(1, *instruction.sizes)
    dot = lane_sum(grad * p)
    return dot, canonical(((grad - dot[:, None]) * p) * scalar(instruction.scalars[0]))


def layer_norm(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns = instruction.sizes
    x, count = inputs.table(0, rows, columns), f32(columns)
    mean = canonical(lane_sum(x) / count)
    centred = x - mean[:, None]
    rstd = canonical(rsqrt(lane_sum(centred * centred) / count + scalar(instruction.scalars[0])))
    result = centred * rstd[:, None]
    if instruction.scalars[1] >= 2:
        result = result * inputs.flat(1, f32, columns)
    if instruction.scalars[1] == 3:
        result = result + inputs.flat(2, f32, columns)
    return mean, rstd, canonical(result)


def layer_norm_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns = instruction.sizes
    grad, x, count = inputs.table(0, rows, columns), inputs.table(1, rows, columns), f32(columns)
    mean, rstd = inputs.flat(2, f32, rows)[:, None], inputs.flat(3, f32, rows)[:, None]
    weighted = grad * inputs.flat(4, f32, columns) if instruction.scalars[0] == 5 else grad
    normal = (x - mean) * rstd
    g_mean = canonical(lane_sum(weighted) / count)
    product_mean = canonical(lane_sum(weighted * normal) / count)
    rest = (weighted - g_mean[:, None]) - normal * product_mean[:, None]
    return g_mean, product_mean, canonical(rest * rstd)


OPERATORS: dict[str, Operator] = {
    "matmul": matmul,
    "batch_matmul": batch_matmul,
    "conv2d": conv2d,
    "row_sum": row_sum,
    "col_sum": col_sum,
    "block_sum": block_sum,
    "block_square_sum": block_sum,
    "row_max": row_max,
    "log_softmax": log_softmax,
    "log_softmax_backward": log_softmax_backward,
    "softmax": softmax,
    "softmax_backward": softmax_backward,
    "layer_norm": layer_norm,
    "layer_norm_backward": layer_norm_backward,
}
