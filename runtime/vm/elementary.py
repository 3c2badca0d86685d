"""Correctly rounded exp and log by Ziv's strategy (ACM TOMS 17, 1991) on big integers.

The function is evaluated in fixed point with a rigorous error bound; when both ends of the error interval round to
the same number, that is the answer, else the precision doubles. exp of a nonzero rational and log of a rational other
than 1 are transcendental (Lindemann), so the result is never on a rounding boundary and the loop ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from runtime.vm.softfloat import Format, is_infinite, is_nan, round_to, unpack

_FIRST_PRECISION = 96
_GUARD_BITS = 32
"""Extra bits of every fixed-point evaluation. Each of its fewer than 2^20 steps errs by at most 2^8 units, so
2^-precision bounds the total error with room to spare."""


def exponential(fmt: Format, a: int) -> int:
    """e^a: exp(-infinity) is +0, either zero gives 1."""
    one = round_to(fmt, 1, 0)
    if is_nan(fmt, a):
        return fmt.nan
    if is_infinite(fmt, a):
        return 0 if a & fmt.sign else fmt.infinity
    number, exponent = unpack(fmt, a)
    magnitude_exponent = number.bit_length() + exponent
    # |a| < 2^-(precision + 1) moves 1 by less than half of the smaller neighbouring gap.
    if magnitude_exponent < -fmt.precision - 1:
        return one
    # |a| >= 1024 is beyond every overflow (710) and underflow (-746) threshold.
    if magnitude_exponent > 10:
        return 0 if number < 0 else fmt.infinity
    return _round_by_ziv(fmt, lambda precision: _exp_fixed(number, exponent, precision))


def logarithm(fmt: Format, a: int) -> int:
    """ln a: either zero gives -infinity, a negative number NaN, 1 gives +0."""
    if is_nan(fmt, a):
        return fmt.nan
    if a & ~fmt.sign == 0:
        return fmt.sign | fmt.infinity
    if a & fmt.sign:
        return fmt.nan
    if is_infinite(fmt, a):
        return a
    if a == round_to(fmt, 1, 0):
        return 0
    number, exponent = unpack(fmt, a)
    return _round_by_ziv(fmt, lambda precision: _log_fixed(number, exponent, precision))


def _round_by_ziv(fmt: Format, evaluate: Callable[[int], tuple[int, int]]) -> int:
    """Round (m, e) = evaluate(precision), where the true value lies strictly between (m - 1) 2^e and (m + 2) 2^e."""
    precision = _FIRST_PRECISION
    while True:
        middle, exponent = evaluate(precision)
        low, high = round_to(fmt, middle - 1, exponent), round_to(fmt, middle + 2, exponent)
        if low == high:
            return low
        precision *= 2


def _exp_fixed(number: int, exponent: int, precision: int) -> tuple[int, int]:
    """exp(number * 2^exponent) as (m, e), floored: exp(x) = 2^k exp(r) with r = x - k ln 2."""
    bits = precision + _GUARD_BITS
    x = number << (bits + exponent) if bits + exponent >= 0 else number >> -(bits + exponent)
    half = 1 << (bits - 1)
    k = (x + half) // _ln2(bits) if x >= 0 else -((half - x) // _ln2(bits))
    r = x - k * _ln2(bits)
    term = total = 1 << bits
    n = 1
    while term not in (0, -1):  # a floored negative term ends at -1
        term = (term * r >> bits) // n
        total += term
        n += 1
    return total >> _GUARD_BITS, k - precision


def _log_fixed(number: int, exponent: int, precision: int) -> tuple[int, int]:
    """ln(number * 2^exponent) as (m, -precision), floored: k ln 2 + 2 atanh((y - 1) / (y + 1))."""
    bits = precision + _GUARD_BITS
    length = number.bit_length()
    # y = number / 2^scale lies in [3/4, 3/2), where |(y - 1) / (y + 1)| <= 1/5.
    scale = length - 1 if number << 1 < 3 << (length - 1) else length
    unit = 1 << scale
    z = ((number - unit) << bits) // (number + unit)
    square = z * z >> bits
    power = total = z
    n = 1
    while power not in (0, -1):
        power = power * square >> bits
        n += 2
        total += power // n
    return ((exponent + scale) * _ln2(bits) + 2 * total) >> _GUARD_BITS, -precision


@lru_cache(maxsize=32)
def _ln2(bits: int) -> int:
    """ln 2 * 2^bits, off by less than one unit: 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749)."""
    guarded = bits + _GUARD_BITS
    return (18 * _atanh(26, guarded) - 2 * _atanh(4801, guarded) + 8 * _atanh(8749, guarded)) >> _GUARD_BITS


def _atanh(divisor: int, bits: int) -> int:
    """atanh(1 / divisor) * 2^bits, off by less than one unit per term."""
    power = total = (1 << bits) // divisor
    n = 1
    while power:
        power //= divisor * divisor
        n += 2
        total += power // n
    return total
