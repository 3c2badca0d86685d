"""IEEE-754 binary32 and binary64 in integers: bit patterns in, bit patterns out, one rounding per operation.

Every operation decodes its operands into exact integers (significand times a power of two), computes the exact result
or an exact quotient with a sticky bit, and rounds once, to nearest with ties to even. Subnormals are kept, signed
zeros and infinities follow the standard (IEEE 754-2019), and every NaN that leaves is the canonical one. exp and log
live in `runtime.vm.elementary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A binary interchange format: ``fraction`` stored significand bits out of ``width``."""

    width: int
    fraction: int
    precision: int
    sign: int
    """Mask of the sign bit."""
    infinity: int
    """Bits of +infinity; anything above, sign aside, is NaN."""
    nan: int
    """The canonical NaN: quiet, positive, no payload."""
    least_exponent: int
    """Exponent of the smallest subnormal: -149 for f32, -1074 for f64."""


def _format(width: int, fraction: int) -> Format:
    exponent_bits = width - 1 - fraction
    infinity = ((1 << exponent_bits) - 1) << fraction
    least_exponent = 2 - (1 << (exponent_bits - 1)) - fraction
    nan = infinity | 1 << (fraction - 1)
    return Format(width, fraction, fraction + 1, 1 << (width - 1), infinity, nan, least_exponent)


F32 = _format(32, 23)
F64 = _format(64, 52)


def is_nan(fmt: Format, bits: int) -> bool:
    return bits & ~fmt.sign > fmt.infinity


def is_infinite(fmt: Format, bits: int) -> bool:
    return bits & ~fmt.sign == fmt.infinity


def unpack(fmt: Format, bits: int) -> tuple[int, int]:
    """Signed significand m and exponent e of a finite number m * 2^e. Both zeros give m = 0."""
    magnitude = bits & ~fmt.sign
    biased = magnitude >> fmt.fraction
    significand = magnitude & ((1 << fmt.fraction) - 1)
    if biased:
        significand |= 1 << fmt.fraction
        biased -= 1
    return (-significand if bits & fmt.sign else significand), fmt.least_exponent + biased


def round_to(fmt: Format, number: int, exponent: int, zero_sign: int = 0) -> int:
    """Bits of number * 2^exponent rounded once; ``zero_sign`` is the sign bit of an exact zero.

    The encoding is monotonic, so a carry out of the significand correctly moves on to the next exponent, and from the
    largest number to infinity.
    """
    if number == 0:
        return zero_sign
    least = fmt.least_exponent
    result_sign = fmt.sign if number < 0 else 0
    magnitude = abs(number)
    shift = max(magnitude.bit_length() - fmt.precision, least - exponent)
    if shift > 0:
        kept = magnitude >> shift
        rest = magnitude & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        if rest > half or (rest == half and kept & 1):
            kept += 1
    else:
        kept = magnitude << -shift
    # A subnormal (or zero) has exponent field 0; a normal number's hidden bit adds the missing one to the field.
    bits = ((exponent + shift - least) << fmt.fraction) + kept
    return result_sign | min(bits, fmt.infinity)


def canonical(fmt: Format, a: int) -> int:
    """The same number, its NaN made canonical."""
    return fmt.nan if is_nan(fmt, a) else a


def negate(fmt: Format, a: int) -> int:
    return fmt.nan if is_nan(fmt, a) else a ^ fmt.sign


def absolute(fmt: Format, a: int) -> int:
    return fmt.nan if is_nan(fmt, a) else a & ~fmt.sign


def add(fmt: Format, a: int, b: int) -> int:
    sign, infinity, nan = fmt.sign, fmt.infinity, fmt.nan
    magnitude_a, magnitude_b = a & ~sign, b & ~sign
    if magnitude_a >= infinity or magnitude_b >= infinity:
        if magnitude_a > infinity or magnitude_b > infinity:
            return nan
        if magnitude_a == magnitude_b:
            return a if a == b else nan
        return a if magnitude_a == infinity else b
    number_a, exponent_a = unpack(fmt, a)
    number_b, exponent_b = unpack(fmt, b)
    exponent = min(exponent_a, exponent_b)
    total = (number_a << (exponent_a - exponent)) + (number_b << (exponent_b - exponent))
    # An exact zero is +0, unless both operands are -0 (round to nearest, IEEE 754-2019 6.3).
    return round_to(fmt, total, exponent, a & b & sign)


def subtract(fmt: Format, a: int, b: int) -> int:
    return fmt.nan if is_nan(fmt, b) else add(fmt, a, b ^ fmt.sign)


def multiply(fmt: Format, a: int, b: int) -> int:
    sign, infinity, nan = fmt.sign, fmt.infinity, fmt.nan
    result_sign = (a ^ b) & sign
    magnitude_a, magnitude_b = a & ~sign, b & ~sign
    if magnitude_a >= infinity or magnitude_b >= infinity:
        if magnitude_a > infinity or magnitude_b > infinity or magnitude_a == 0 or magnitude_b == 0:
            return nan
        return result_sign | infinity
    number_a, exponent_a = unpack(fmt, a)
    number_b, exponent_b = unpack(fmt, b)
    return round_to(fmt, number_a * number_b, exponent_a + exponent_b, result_sign)


def fused_multiply_add(fmt: Format, a: int, b: int, c: int) -> int:
    """a * b + c with one rounding."""
    sign, infinity, nan = fmt.sign, fmt.infinity, fmt.nan
    magnitude_a, magnitude_b, magnitude_c = a & ~sign, b & ~sign, c & ~sign
    product_sign = (a ^ b) & sign
    if magnitude_a >= infinity or magnitude_b >= infinity or magnitude_c >= infinity:
        if max(magnitude_a, magnitude_b, magnitude_c) > infinity:
            return nan
        if magnitude_a < infinity and magnitude_b < infinity:
            return c
        if magnitude_a == 0 or magnitude_b == 0 or (magnitude_c == infinity and c & sign != product_sign):
            return nan
        return product_sign | infinity
    number_a, exponent_a = unpack(fmt, a)
    number_b, exponent_b = unpack(fmt, b)
    number_c, exponent_c = unpack(fmt, c)
    product, exponent_p = number_a * number_b, exponent_a + exponent_b
    exponent = min(exponent_p, exponent_c)
    total = (product << (exponent_p - exponent)) + (number_c << (exponent_c - exponent))
    return round_to(fmt, total, exponent, product_sign & c)


def divide(fmt: Format, a: int, b: int) -> int:
    sign, infinity, nan = fmt.sign, fmt.infinity, fmt.nan
    result_sign = (a ^ b) & sign
    magnitude_a, magnitude_b = a & ~sign, b & ~sign
    if (
        magnitude_a > infinity
        or magnitude_b > infinity
        or (magnitude_a == magnitude_b and magnitude_a in (0, infinity))
    ):
        return nan
    if magnitude_a == infinity or magnitude_b == 0:
        return result_sign | infinity
    if magnitude_b == infinity or magnitude_a == 0:
        return result_sign
    number_a, exponent_a = unpack(fmt, magnitude_a)
    number_b, exponent_b = unpack(fmt, magnitude_b)
    # Enough quotient bits for the precision, a rounding bit and one more; the remainder only matters as "not zero".
    shift = fmt.precision + 2 + max(0, number_b.bit_length() - number_a.bit_length())
    quotient, remainder = divmod(number_a << shift, number_b)
    return result_sign | round_to(fmt, quotient << 1 | (remainder != 0), exponent_a - exponent_b - shift - 1)


def square_root(fmt: Format, a: int) -> int:
    sign, infinity, nan = fmt.sign, fmt.infinity, fmt.nan
    if a & ~sign == 0 or a == infinity:
        return a
    if a & sign or a > infinity:
        return nan
    number, exponent = unpack(fmt, a)
    shift = 2 * fmt.precision + 4 + (exponent & 1)
    scaled = number << shift
    root = isqrt(scaled)
    return round_to(fmt, root << 1 | (root * root != scaled), ((exponent - shift) >> 1) - 1)


def equal(fmt: Format, a: int, b: int) -> bool:
    """Numerical equality: NaN equals nothing, both zeros are equal."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return False
    return a == b or (a | b) & ~fmt.sign == 0


def _order(fmt: Format, a: int) -> int:
    """An integer that orders all numbers, with -0 just below +0."""
    return -1 - (a & ~fmt.sign) if a & fmt.sign else a


def less(fmt: Format, a: int, b: int) -> bool:
    if is_nan(fmt, a) or is_nan(fmt, b) or (a | b) & ~fmt.sign == 0:
        return False
    return _order(fmt, a) < _order(fmt, b)


def less_equal(fmt: Format, a: int, b: int) -> bool:
    return less(fmt, a, b) or equal(fmt, a, b)


def maximum(fmt: Format, a: int, b: int) -> int:
    """IEEE 754-2019 maximum: NaN wins, and +0 is above -0."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return fmt.nan
    return a if _order(fmt, a) >= _order(fmt, b) else b


def minimum(fmt: Format, a: int, b: int) -> int:
    """IEEE 754-2019 minimum: NaN wins, and -0 is below +0."""
    if is_nan(fmt, a) or is_nan(fmt, b):
        return fmt.nan
    return a if _order(fmt, a) <= _order(fmt, b) else b


def from_integer(fmt: Format, number: int) -> int:
    """The nearest number to an integer; zero is +0."""
    return round_to(fmt, number, 0)


def to_integer(fmt: Format, a: int, low: int, high: int) -> int:
    """Truncate towards zero and saturate to [low, high]; NaN gives 0."""
    if is_nan(fmt, a):
        return 0
    if is_infinite(fmt, a):
        return low if a & fmt.sign else high
    number, exponent = unpack(fmt, a)
    if exponent > 0 and number.bit_length() + exponent > high.bit_length() + 1:
        return low if number < 0 else high
    magnitude = abs(number) << exponent if exponent >= 0 else abs(number) >> -exponent
    return max(low, min(high, -magnitude if number < 0 else magnitude))


def convert(source: Format, target: Format, a: int) -> int:
    """The nearest number of another format (exact from f32 to f64)."""
    if is_nan(source, a):
        return target.nan
    sign = target.sign if a & source.sign else 0
    if is_infinite(source, a):
        return sign | target.infinity
    number, exponent = unpack(source, a)
    return round_to(target, number, exponent, sign)
