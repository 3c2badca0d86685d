"""tanh, sigmoid, erf, GELU and its slope, sine and cosine: fixed f64 programs whose result is rounded once to f32.

Each is a short straight line of f64 operations, every one rounded by itself, so the kernels run the very same line in
plain C (``ml/csrc/approximations.h``). A program's own error is below 2^-39 of its result, so the f32 that comes out is
the nearest one but for an argument in some ten thousand, and then its neighbour. Coefficients are Chebyshev
fits, written as bit patterns because nothing here may hold a float.

rsqrt needs no program: 1 / sqrt(x) in f64, rounded once, is the correctly rounded f32 for every x (both binades were
searched).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from runtime.vm import softfloat as sf
from runtime.vm.softfloat import F32, F64

_add, _sub, _mul, _div = (partial(operation, F64) for operation in (sf.add, sf.subtract, sf.multiply, sf.divide))
_sqrt = partial(sf.square_root, F64)

_ONE, _TWO, _HALF, _FOUR = 0x3FF0000000000000, 0x4000000000000000, 0x3FE0000000000000, 0x4010000000000000
_LOG2_E = 0x3FF71547652B82FE
_LN2_HIGH, _LN2_LOW = 0x3FE62E42FEFA3800, 0x3D2EF35793C76730
_MAGIC = 0x4338000000000000
"""1.5 * 2^52: adding it to a small number rounds that to an integer, which then stands in the low bits."""
_SQRT_2, _DENSITY = 0x3FF6A09E667F3BCD, 0x3FD9884533D43651
"""sqrt(2), and 1 / sqrt(2 pi)."""
FACTORIALS = (
    0x3E5AE64567F544E4, 0x3E927E4FB7789F5C, 0x3EC71DE3A556C734, 0x3EFA01A01A01A01A, 0x3F2A01A01A01A01A,
    0x3F56C16C16C16C17, 0x3F81111111111111, 0x3FA5555555555555, 0x3FC5555555555555, _HALF, _ONE,
)  # fmt: skip
"""1/11!, 1/10!, ..., 1/1!."""
TAIL = (
    0x3E5D7A7B0BED1C36, 0x3E90F51D3337B3A9, 0x3EA25FDDCB26DDC6, 0xBEAF8A7D577043AE, 0xBED1EE8F47634B22,
    0x3ED3B49405EE21D0, 0x3EFE0BC69AABE883, 0xBF07E4D50102597E, 0xBF2888FFD73CCBBE, 0x3F44EEC87D4BBAC8,
    0x3F40A1BEE21B833B, 0xBF81644DCAC1F4B5, 0x3F9F9B05EFF2C899, 0xBFB25B6AA95C7A92, 0x3FBFD751A1FD550E,
    0xBFC5CF97B0AE9530, 0x3FB82B4BB8C94BFD,
)  # fmt: skip
"""Phi(-a) exp(a^2 / 2) in t = (a - 4) / (a + 4), for a in [0, 16]; highest power first."""
ERF = (
    0xBE0ACBABF57EF501, 0x3E4D777C51831224, 0xBE85C14FC0842667, 0x3EBB982295083CFC, 0xBEEF4CA8C11F4161,
    0x3F1F9A2BEE1B1F05, 0xBF4C02DB06CA928F, 0x3F7565BCCFA6F4BE, 0xBF9B82CE31204D17, 0x3FBCE2F21A040FBF,
    0xBFD812746B0379C1, 0x3FF20DD750429B6D,
)  # fmt: skip
"""erf(a) / a in a^2, for a in [0, 1]; highest power first."""

_TWO_OVER_PI, _BEYOND = 0x3FE45F306DC9C883, 0x41E0000000000000
HALF_PI = 0x3FF921FB00000000, 0x3E95110B00000000, 0x3D318469898CC517
"""pi/2 in three parts, the first two of 22 bits: up to 2^31 their products with a count of quarter turns are exact."""
SINE = (
    0x3DE6124613A86D09, 0xBE5AE64567F544E4, 0x3EC71DE3A556C734, 0xBF2A01A01A01A01A, 0x3F81111111111111,
    0xBFC5555555555555, _ONE,
)  # fmt: skip
COSINE = (
    0xBDA93974A8C07C9D, 0x3E21EED8EFF8D898, 0xBE927E4FB7789F5C, 0x3EFA01A01A01A01A, 0xBF56C16C16C16C17,
    0x3FA5555555555555, 0xBFE0000000000000, _ONE,
)  # fmt: skip
"""Taylor's coefficients of sin(r) / r and cos(r) in r^2, for |r| <= pi/4; highest power first."""


def tanh(fmt: sf.Format, a: int) -> int:
    """e / (e + 2) with e = exp(2 |x|) - 1."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    x = _limited(a & ~F32.sign, 0x4034000000000000)  # 20
    growth, scale = _growth(_add(x, x))
    e = _add(_mul(growth, scale), _sub(scale, _ONE))
    return _rounded(_div(e, _add(e, _TWO))) | a & F32.sign


def sigmoid(fmt: sf.Format, a: int) -> int:
    """1 / (1 + exp(-x))."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    x = sf.negate(F64, _limited(a, 0x405A000000000000))  # 104: beyond it the result rounds to 0 or 1
    return _rounded(_div(_ONE, _add(_ONE, _exp(x))))


def erf(fmt: sf.Format, a: int) -> int:
    """a P(a^2) up to 1, then 1 - 2 Phi(-sqrt(2) a); the sign comes last."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    x = _limited(a & ~F32.sign, 0x4018000000000000)  # 6
    square = _mul(x, x)
    if sf.less(F64, x, _ONE):
        result = _mul(x, _horner(ERF, square))
    else:
        tail = _mul(_exp(sf.negate(F64, square)), _tail(_mul(x, _SQRT_2)))
        result = _sub(_ONE, _add(tail, tail))
    return _rounded(result) | a & F32.sign


def gelu(fmt: sf.Format, a: int) -> int:
    """x Phi(x), Phi being the normal distribution function. -infinity gives its limit, -0."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    x, below, _ = _normal(a)
    if sf.less(F64, x, sf.negate(F64, _FAR)):
        x = sf.negate(F64, _FAR)
    return _rounded(_mul(x, below))


def gelu_slope(fmt: sf.Format, a: int) -> int:
    """Phi(x) + x phi(x), the derivative of GELU."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    _, below, bell = _normal(a)
    return _rounded(_add(below, _mul(_limited(a, _FAR), _mul(bell, _DENSITY))))


def reciprocal_root(fmt: sf.Format, a: int) -> int:
    """1 / sqrt(x): a zero gives the infinity of its sign, a negative number NaN."""
    if sf.is_nan(fmt, a):
        return fmt.nan
    return _rounded(_div(_ONE, _sqrt(sf.convert(F32, F64, a))))


def sine(fmt: sf.Format, a: int) -> int:
    """sin(x); NaN from 2^31 on, where neighbouring floats are many turns apart."""
    return _turned(fmt, a, 0)


def cosine(fmt: sf.Format, a: int) -> int:
    """cos(x), which is sin(x + a quarter turn); NaN from 2^31 on."""
    return _turned(fmt, a, 1)


def _turned(fmt: sf.Format, a: int, quarters: int) -> int:
    """sin(x + quarters pi/2): x is brought within pi/4 of a multiple of pi/2, whose parity chooses the series."""
    x = sf.convert(F32, F64, a)
    if sf.is_nan(fmt, a) or not sf.less(F64, x & ~F64.sign, _BEYOND):
        return fmt.nan
    shifted = _add(_mul(x, _TWO_OVER_PI), _MAGIC)
    k = _sub(shifted, _MAGIC)
    r = x
    for part in HALF_PI:
        r = _sub(r, _mul(k, part))
    square, quadrant = _mul(r, r), shifted + quarters & 3
    result = _horner(COSINE, square) if quadrant & 1 else _mul(r, _horner(SINE, square))
    return _rounded(sf.negate(F64, result) if quadrant & 2 else result)


_FAR = 0x4030000000000000
"""16: beyond it the tails are below the smallest f32, and the fits end."""


def _rounded(x: int) -> int:
    return sf.convert(F64, F32, x)


def _limited(a: int, limit: int) -> int:
    """An f32 as f64, between -limit and limit."""
    x = sf.convert(F32, F64, a)
    return sf.maximum(F64, sf.minimum(F64, x, limit), sf.negate(F64, limit))


def _horner(coefficients: Sequence[int], x: int) -> int:
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = _add(_mul(result, x), coefficient)
    return result


def _growth(x: int) -> tuple[int, int]:
    """((exp(r) - 1), 2^k) with x = k ln 2 + r."""
    shifted = _add(_mul(x, _LOG2_E), _MAGIC)
    scale = (shifted + 1023 & 0x7FF) << 52
    k = _sub(shifted, _MAGIC)
    r = _sub(_sub(x, _mul(k, _LN2_HIGH)), _mul(k, _LN2_LOW))
    return _mul(_horner(FACTORIALS, r), r), scale


def _exp(x: int) -> int:
    growth, scale = _growth(x)
    return _mul(_add(growth, _ONE), scale)


def _tail(a: int) -> int:
    return _horner(TAIL, _div(_sub(a, _FOUR), _add(a, _FOUR)))


def _normal(a: int) -> tuple[int, int, int]:
    """(x, Phi(x), exp(-x^2 / 2)); the last two for x within 16 of zero."""
    near = _limited(a, _FAR)
    bell = _exp(_mul(_mul(near, near), sf.negate(F64, _HALF)))
    tail = _mul(bell, _tail(near & ~F64.sign))
    below = tail if sf.less(F64, near, 0) else _sub(_ONE, tail)
    return sf.convert(F32, F64, a), below, bell
