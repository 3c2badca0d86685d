"""The functions of the operator table in NumPy: bit for bit what the interpreter and the kernels compute.

NumPy's ``+ - * /`` and ``sqrt`` on arrays of float32 and float64 are IEEE-754 operations, each rounded once and never
contracted, so a fixed program of them gives the same bits everywhere. Its ``exp``, ``log`` and ``tanh`` are not used:
they differ from machine to machine. NaN may have any bits inside; `canonical` is for what leaves an operator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.backend import Array
from runtime.vm import elementary
from runtime.vm.approximations import COSINE, ERF, FACTORIALS, HALF_PI, SINE, TAIL
from runtime.vm.softfloat import F32

f32, f64, i32, i64, u32 = np.float32, np.float64, np.int32, np.int64, np.uint32
SIGN = u32(0x80000000)
_LN2_HIGH, _LN2_LOW, _LOG2_E = (
    f64(float.fromhex("0x1.62e42fefa3800p-1")),
    f64(float.fromhex("0x1.ef35793c76730p-45")),
    f64(float.fromhex("0x1.71547652b82fep0")),
)
_MAGIC = f64(1.5 * 2.0**52)
_TOLERANCE = f64(2.0**-50)
"""Bounds the relative error of `_exp_double` and `_log_double`; the proof is in ``ml/csrc/transcendental.h``."""


def _doubles(patterns: tuple[int, ...]) -> tuple[np.float64, ...]:
    return tuple(np.array(patterns, np.uint64).view(f64))


_EXP_13 = tuple(
    f64(1) / f64(n) for n in (6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6)
)
_LOG_25 = tuple(f64(2) / f64(n) for n in range(25, 2, -2))
_GROWTH, _TAIL, _ERF = _doubles(FACTORIALS), _doubles(TAIL), _doubles(ERF)
_SINE, _COSINE, _HALF_PI = _doubles(SINE), _doubles(COSINE), _doubles(HALF_PI)


def canonical(x: Array) -> Array:
    """A float32 array with every NaN as 0x7fc00000."""
    return np.where(x == x, x, f32(np.nan))


def maximum(a: Array, b: Array) -> Array:
    """NaN wins, +0 above -0."""
    larger = np.where(a > b, a, b)
    larger = np.where(a == b, (a.view(u32) & b.view(u32)).view(f32), larger)
    return np.where((a != a) | (b != b), f32(np.nan), larger)


def minimum(a: Array, b: Array) -> Array:
    """NaN wins, -0 below +0."""
    smaller = np.where(a < b, a, b)
    smaller = np.where(a == b, (a.view(u32) | b.view(u32)).view(f32), smaller)
    return np.where((a != a) | (b != b), f32(np.nan), smaller)


def truncate(x: Array) -> Array:
    """float32 to int32: towards zero, saturating, NaN to 0."""
    inside = np.where((x >= f32(-(2.0**31))) & (x < f32(2.0**31)), x, f32(0)).astype(i32)
    return np.where(x >= f32(2.0**31), i32(2**31 - 1), np.where(x < f32(-(2.0**31)), i32(-(2**31)), inside))


def negative(x: Array) -> Array:
    return (x.view(u32) ^ SIGN).view(f32)


def absolute(x: Array) -> Array:
    return (x.view(u32) & ~SIGN).view(f32)


# -- Correctly rounded (Ziv 1991): decided in float64, the few undecided ones by the definition itself -----------------


def exp(x: Array) -> Array:
    y = _exp_double(np.where(x > 89, f32(89), np.where(x < -104, f32(-104), x)))
    return _decide(x, y, elementary.exponential)


def log(x: Array) -> Array:
    ordinary = (x > 0) & (x < f32(np.inf))
    y = _log_double(np.where(ordinary, x, f32(1)))
    result = _decide(np.where(ordinary, x, f32(1)), y, elementary.logarithm)
    special = np.where(x == 0, f32(-np.inf), np.where(x > 0, f32(np.inf), f32(np.nan)))
    return np.where(ordinary, result, special)


def _decide(x: Array, y: Array, definition: Callable[..., int]) -> Array:
    error = y * _TOLERANCE
    low, high = (y - error).astype(f32), (y + error).astype(f32)
    result = canonical(low)
    for place in zip(*np.nonzero((low.view(u32) != high.view(u32)) & (y == y)), strict=True):
        result[place] = np.array(definition(F32, int(x.view(u32)[place])), u32).view(f32)
    return result


def _exp_double(x: Array) -> Array:
    wide = x.astype(f64)
    k = wide * _LOG2_E + _MAGIC
    scale = ((k.view(np.uint64) + np.uint64(1023)) << np.uint64(52)).view(f64)
    k = k - _MAGIC
    r = (wide - k * _LN2_HIGH) - k * _LN2_LOW
    return _horner((*_EXP_13, f64(0.5), f64(1), f64(1)), r) * scale


def _log_double(x: Array) -> Array:
    """For positive finite x."""
    bits = x.astype(f64).view(np.uint64)
    biased = (bits - np.uint64(0x3FE6A09E667F3BCD) + np.uint64(1024 << 52)) >> np.uint64(52)
    e = biased.astype(f64) - f64(1024)
    f = (bits - ((biased - np.uint64(1024)) << np.uint64(52))).view(f64) - f64(1)
    s = f / (f64(2) + f)
    z = s * s
    y = _horner(_LOG_25, z)
    result: Array = e * _LN2_HIGH + (f64(2) * s + (s * z * y + e * _LN2_LOW))
    return result


# -- Fixed programs (runtime/vm/approximations.py) ---------------------------------------------------------------------


def tanh(x: Array) -> Array:
    a = np.minimum(absolute(x).astype(f64), f64(20))
    growth, scale = _growth(a + a)
    e = growth * scale + (scale - f64(1))
    return _with_sign(e / (e + f64(2)), x)


def sigmoid(x: Array) -> Array:
    return (f64(1) / (f64(1) + _exp(-_limited(x, 104)))).astype(f32)


def erf(x: Array) -> Array:
    a = np.minimum(absolute(x).astype(f64), f64(6))
    square = a * a
    tail = _exp(-square) * _tail(a * f64(float.fromhex("0x1.6a09e667f3bcdp+0")))
    return _with_sign(np.where(a < 1, a * _horner(_ERF, square), f64(1) - (tail + tail)), x)


def gelu(x: Array) -> Array:
    below, _ = _normal(_limited(x, 16))
    y: Array = np.maximum(x.astype(f64), f64(-16)) * below
    return y.astype(f32)


def gelu_slope(x: Array) -> Array:
    near = _limited(x, 16)
    below, bell = _normal(near)
    return (below + near * (bell * f64(float.fromhex("0x1.9884533d43651p-2")))).astype(f32)


def sine(x: Array) -> Array:
    return _turned(x, 0)


def cosine(x: Array) -> Array:
    return _turned(x, 1)


def _turned(x: Array, quarters: int) -> Array:
    """sin(x + quarters pi/2); NaN from 2^31 on."""
    a = x.astype(f64)
    a = np.where(np.abs(a) < 2.0**31, a, np.nan)
    k = a * f64(float.fromhex("0x1.45f306dc9c883p-1")) + _MAGIC
    quadrant = k.view(np.uint64) + np.uint64(quarters)
    k = k - _MAGIC
    r = a - k * _HALF_PI[0] - k * _HALF_PI[1] - k * _HALF_PI[2]
    square = r * r
    result = np.where(quadrant & np.uint64(1), _horner(_COSINE, square), r * _horner(_SINE, square))
    return np.where(quadrant & np.uint64(2), -result, result).astype(f32)


def rsqrt(x: Array) -> Array:
    return (f64(1) / np.sqrt(x.astype(f64))).astype(f32)


def _limited(x: Array, limit: int) -> Array:
    return np.maximum(np.minimum(x.astype(f64), f64(limit)), f64(-limit))


def _with_sign(magnitude: Array, x: Array) -> Array:
    return (magnitude.astype(f32).view(u32) | x.view(u32) & SIGN).view(f32)


def _horner(coefficients: tuple[np.float64, ...], x: Array) -> Array:
    result: Array = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        result += coefficient
        result *= x
    result += coefficients[-1]
    return result


def _growth(x: Array) -> tuple[Array, Array]:
    """((exp(r) - 1), 2^k) with x = k ln 2 + r."""
    k = x * _LOG2_E + _MAGIC
    scale = ((k.view(np.uint64) + np.uint64(1023)) << np.uint64(52)).view(f64)
    k = k - _MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return _horner(_GROWTH, r) * r, scale


def _exp(x: Array) -> Array:
    growth, scale = _growth(x)
    result: Array = (growth + f64(1)) * scale
    return result


def _tail(a: Array) -> Array:
    return _horner(_TAIL, (a - f64(4)) / (a + f64(4)))


def _normal(x: Array) -> tuple[Array, Array]:
    """(Phi(x), exp(-x^2 / 2)) for x within 16 of zero."""
    bell = _exp(x * x * f64(-0.5))
    tail = bell * _tail(np.abs(x))
    return np.where(x < 0, tail, f64(1) - tail), bell
