"""Independent definitions in NumPy and mpmath that the integer machine is compared with. Nothing here imports it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

Array = np.ndarray[Any, Any]
F = np.float32

SPECIALS_F32 = [
    0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF800123, 0x7FFFFFFF,
    0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x00800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0xBF800000,
    0x3F800001, 0x3F7FFFFF, 0x33800000, 0x33800001, 0x33000000, 0x4B000001, 0x4B800001, 0x3FC00000, 0x40490FDB,
]  # fmt: skip
SPECIALS_F64 = [
    0x0, 1 << 63, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, 0xFFF8 << 48, (0x7FF << 52) + 1, 1, (1 << 63) + 1,
    (1 << 52) - 1, 1 << 52, (0x7FF << 52) - 1, 0x3FF << 52, 0xBFF << 52, (0x3FF << 52) + 1, (0x3FF << 52) - 1,
    0x3CA << 52, 0x3CB << 52, 0x400921FB54442D18, 0x1FF << 52, 0x5FF << 52,
]  # fmt: skip


def f32_array(bits: Any) -> Array:
    return np.array(bits, dtype=np.uint32).view(F)


def bits_of(values: Any) -> Array:
    """Bit patterns of an f32 or f64 array, its NaNs canonical."""
    array = np.array(values)
    array[np.isnan(array)] = np.nan
    return array.view(np.uint32 if array.dtype == F else np.uint64)


def fma32(a: Any, b: Any, c: Any) -> Any:
    """f32 fused multiply-add in floats: exact product in f64, TwoSum, round to odd, then to f32."""
    with np.errstate(all="ignore"):
        product, addend = np.float64(a) * np.float64(b), np.float64(c)
        total = product + addend
        part = total - product
        error = (product - (total - part)) + (addend - part)
        if np.isfinite(total) and error != 0 and not np.float64(total).view(np.uint64) & np.uint64(1):
            total = np.nextafter(total, np.inf if error > 0 else -np.inf)
        return F(total)


def nearest_f32(value: Any) -> Any:
    """The f32 nearest to an mpmath number by exact distances, ties to even."""
    if value and mpmath.mag(value) < -1000:
        return F(np.copysign(0.0, float(mpmath.sign(value))))  # as a fraction it would fill the memory
    exact = Fraction(*mpmath.libmp.to_rational(value._mpf_))
    with np.errstate(all="ignore"):
        guess = F(float(exact)) if abs(exact) < Fraction(2) ** 1023 else F(np.inf if exact > 0 else -np.inf)
    largest, beyond = Fraction(float(np.finfo(F).max)), Fraction(2) ** 128
    if abs(exact) >= (largest + beyond) / 2:
        return F(np.inf if exact > 0 else -np.inf)
    if np.isinf(guess):
        guess = np.copysign(np.finfo(F).max, guess)
    with np.errstate(all="ignore"):
        candidates = [guess, np.nextafter(guess, F(np.inf)), np.nextafter(guess, F(-np.inf))]
    finite = [candidate for candidate in candidates if np.isfinite(candidate)]
    return min(finite, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1))


def exp32(x: Any) -> Any:
    if np.isnan(x) or np.isinf(x):
        return F(np.nan) if np.isnan(x) else F(np.inf if x > 0 else 0)
    if abs(x) > 200:
        return F(np.inf if x > 0 else 0)
    with mpmath.workprec(400):
        return nearest_f32(mpmath.exp(mpmath.mpf(float(x))))


def log32(x: Any) -> Any:
    if np.isnan(x) or x < 0:
        return F(np.nan)
    if x == 0 or np.isinf(x):
        return F(-np.inf if x == 0 else np.inf)
    with mpmath.workprec(400):
        return nearest_f32(mpmath.log(mpmath.mpf(float(x))))


def max32(a: Any, b: Any) -> Any:
    if np.isnan(a) or np.isnan(b):
        return F(np.nan)
    if a == b:
        return a if not np.signbit(a) else b
    return a if a > b else b


def min32(a: Any, b: Any) -> Any:
    return -max32(-a, -b)


def matmul32(a: Array, b: Array) -> Array:
    out = np.zeros((a.shape[0], b.shape[1]), F)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            sums = []
            for start in range(0, a.shape[1], 256):
                s = F(0)
                for k in range(start, min(start + 256, a.shape[1])):
                    s = fma32(a[i, k], b[k, j], s)
                sums.append(s)
            out[i, j] = fold_add(sums)
    return out


def fold_add(values: Any) -> Any:
    with np.errstate(all="ignore"):
        total = values[0]
        for value in values[1:]:
            total = total + value
    return total


def lane_sum32(values: Any) -> Any:
    lanes = [F(0)] * 16
    with np.errstate(all="ignore"):
        for position, value in enumerate(values):
            lanes[position % 16] = lanes[position % 16] + value
        for half in (8, 4, 2, 1):
            lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0]


def column_sum32(x: Array) -> Array:
    out = np.zeros(x.shape[1], F)
    for c in range(x.shape[1]):
        blocks = [fold_add([F(0), *x[start : start + 256, c]]) for start in range(0, x.shape[0], 256)]
        out[c] = fold_add(blocks)
    return out


def log_softmax32(x: Array) -> tuple[Array, Array, Array]:
    rows = x.shape[0]
    maxima, totals, out = np.zeros(rows, F), np.zeros(rows, F), np.zeros_like(x)
    with np.errstate(all="ignore"):
        for r in range(rows):
            top = x[r, 0]
            for value in x[r, 1:]:
                top = max32(top, value)
            maxima[r] = top
            totals[r] = log32(lane_sum32([exp32(value - top) for value in x[r]]))
            out[r] = (x[r] - top) - totals[r]
    return maxima, totals, out


def philox_reference(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 over NumPy's unsigned words."""
    c = [np.uint64(word) for word in counter]
    k = [np.uint64(word) for word in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ k[0], p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ k[1], p0 & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return [int(word) for word in c]
