"""Integer floating point against the machine's own: every operation, random and special operands, both formats."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from runtime.vm import softfloat as sf
from tests.vm.numeric import SPECIALS_F32, SPECIALS_F64, F, bits_of, f32_array, fma32

FORMATS = {"f32": (sf.F32, np.uint32, F, SPECIALS_F32), "f64": (sf.F64, np.uint64, np.float64, SPECIALS_F64)}
BINARY: dict[str, tuple[Callable[..., int], Any]] = {
    "add": (sf.add, np.add),
    "sub": (sf.subtract, np.subtract),
    "mul": (sf.multiply, np.multiply),
    "div": (sf.divide, np.divide),
}


def random_bits(width: int, count: int, seed: int) -> list[int]:
    """Uniform bit patterns, and as many whose exponents are close so that rounding and cancellation happen."""
    generator = random.Random(seed)
    fraction = 23 if width == 32 else 52
    bias = (1 << (width - 2 - fraction)) - 1
    near = [
        generator.getrandbits(1) << (width - 1)
        | (bias + generator.randrange(-30, 30)) << fraction
        | generator.getrandbits(fraction) & generator.choice([-1, -1 << (fraction // 2), 7])
        for _ in range(count)
    ]
    return [generator.getrandbits(width) for _ in range(count)] + near


def pairs(kind: str) -> tuple[list[int], list[int]]:
    fmt, _, _, specials = FORMATS[kind]
    crossed = list(product(specials, specials))
    left = [a for a, _ in crossed] + random_bits(fmt.width, 2500, 1)
    right = [b for _, b in crossed] + random_bits(fmt.width, 2500, 2)
    return left, right


def as_floats(kind: str, bits: list[int]) -> Any:
    _, unsigned, dtype, _ = FORMATS[kind]
    return np.array(bits, dtype=unsigned).view(dtype)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", BINARY)
def test_an_arithmetic_operation_rounds_as_hardware_does(kind: str, name: str) -> None:
    ours, theirs = BINARY[name]
    left, right = pairs(kind)
    with np.errstate(all="ignore"):
        wanted = bits_of(theirs(as_floats(kind, left), as_floats(kind, right)))
    given = [ours(FORMATS[kind][0], a, b) for a, b in zip(left, right, strict=True)]
    assert given == wanted.tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_square_root_rounds_as_hardware_does(kind: str) -> None:
    left, _ = pairs(kind)
    with np.errstate(all="ignore"):
        wanted = bits_of(np.sqrt(as_floats(kind, left)))
    assert [sf.square_root(FORMATS[kind][0], a) for a in left] == wanted.tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_comparisons_agree_with_hardware(kind: str) -> None:
    fmt = FORMATS[kind][0]
    left, right = pairs(kind)
    right[-2000:] = left[-2000:]
    a, b = as_floats(kind, left), as_floats(kind, right)
    rows = list(zip(left, right, strict=True))
    assert [sf.equal(fmt, x, y) for x, y in rows] == (a == b).tolist()
    assert [sf.less(fmt, x, y) for x, y in rows] == (a < b).tolist()
    assert [sf.less_equal(fmt, x, y) for x, y in rows] == (a <= b).tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_maximum_lets_nan_win_and_puts_plus_zero_above_minus_zero(kind: str) -> None:
    fmt = FORMATS[kind][0]
    left, right = pairs(kind)
    a, b = as_floats(kind, left), as_floats(kind, right)
    with np.errstate(all="ignore"):
        high, low = np.maximum(a, b), np.minimum(a, b)
    zeros = (a == 0) & (b == 0)
    high[zeros] = np.where(np.signbit(a) & np.signbit(b), -0.0, 0.0)[zeros]
    low[zeros] = np.where(np.signbit(a) | np.signbit(b), -0.0, 0.0)[zeros]
    rows = list(zip(left, right, strict=True))
    assert [sf.maximum(fmt, x, y) for x, y in rows] == bits_of(high).tolist()
    assert [sf.minimum(fmt, x, y) for x, y in rows] == bits_of(low).tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_signs_flip_and_clear_but_nan_stays_canonical(kind: str) -> None:
    fmt = FORMATS[kind][0]
    left, _ = pairs(kind)
    a = as_floats(kind, left)
    assert [sf.negate(fmt, x) for x in left] == bits_of(-a).tolist()
    assert [sf.absolute(fmt, x) for x in left] == bits_of(np.abs(a)).tolist()
    assert [sf.canonical(fmt, x) for x in left] == bits_of(a).tolist()


def fma_triples() -> list[tuple[int, int, int]]:
    generator = random.Random(7)
    triples = list(product(SPECIALS_F32[::2], SPECIALS_F32, SPECIALS_F32[::2]))
    a, b, c = (random_bits(32, 2000, seed) for seed in (3, 4, 5))
    triples += list(zip(a, b, c, strict=True))
    for _ in range(3000):
        # The addend sits on a rounding boundary of the product, give or take one unit: double rounding shows here.
        x, y = generator.getrandbits(23) | 0x3F800000, generator.getrandbits(23) | 0x3F800000
        shift = generator.randrange(20, 60)
        z = (127 + generator.choice([-1, 1]) * shift) << 23 | generator.choice([0, 1, 0x7FFFFF, 0x400000])
        triples.append((x, y, z | generator.getrandbits(1) << 31))
    return triples


def test_fma_rounds_once() -> None:
    triples = fma_triples()
    columns = [f32_array([row[i] for row in triples]) for i in range(3)]
    wanted = bits_of([fma32(a, b, c) for a, b, c in zip(*columns, strict=True)])
    assert [sf.fused_multiply_add(sf.F32, *row) for row in triples] == wanted.tolist()


def test_fma_in_double_precision_equals_exact_fractions() -> None:
    columns = [as_floats("f64", random_bits(64, 1, 0) + random_bits(64, 3000, seed)[3000:]) for seed in (8, 9, 10)]
    checked = 0
    for a, b, c in zip(*(column.tolist() for column in columns), strict=True):
        if not all(np.isfinite([a, b, c])):
            continue
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        if exact == 0 or abs(exact) >= Fraction(2) ** 1023:
            continue
        arguments = [int(np.float64(x).view(np.uint64)) for x in (a, b, c)]
        assert sf.fused_multiply_add(sf.F64, *arguments) == int(np.float64(float(exact)).view(np.uint64))
        checked += 1
    assert checked > 2900


def test_fma_keeps_the_sign_of_an_exact_zero() -> None:
    one, minus_one, minus_zero = 0x3F800000, 0xBF800000, 0x80000000
    assert sf.fused_multiply_add(sf.F32, one, one, minus_one) == 0
    assert sf.fused_multiply_add(sf.F32, minus_zero, one, minus_zero) == minus_zero
    assert sf.fused_multiply_add(sf.F32, minus_zero, one, 0) == 0


def test_an_underflowing_product_keeps_its_sign() -> None:
    assert sf.multiply(sf.F32, 0x80000001, 0x00000001) == 0x80000000
    assert sf.divide(sf.F32, 0x80000001, 0x7F7FFFFF) == 0x80000000


def test_conversions_agree_with_hardware() -> None:
    narrow, wide = random_bits(32, 3000, 11) + SPECIALS_F32, random_bits(64, 3000, 12) + SPECIALS_F64
    wide += [(896 + i % 70) << 52 | i * 0x1F3A5C7E91 for i in range(3000)]  # around the subnormals of f32
    with np.errstate(all="ignore"):
        widened = bits_of(f32_array(narrow).astype(np.float64)).tolist()
        narrowed = bits_of(as_floats("f64", wide).astype(F)).tolist()
    assert [sf.convert(sf.F32, sf.F64, x) for x in narrow] == widened
    assert [sf.convert(sf.F64, sf.F32, x) for x in wide] == narrowed


def test_integers_convert_to_the_nearest_float() -> None:
    numbers = [*range(-3, 4), 2**31 - 1, -(2**31), 2**24 + 1, 2**24 + 3, 2**25 + 2, -(2**24) - 1, 0xFFFFFFFF]
    numbers += [random.Random(13).randrange(-(2**31), 2**32) for _ in range(2000)]
    wanted = bits_of(np.array(numbers, dtype=np.int64).astype(F)).tolist()
    assert [sf.from_integer(sf.F32, n) for n in numbers] == wanted


def test_a_float_truncates_and_saturates_to_an_integer() -> None:
    patterns = SPECIALS_F32 + random_bits(32, 3000, 14) + [0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0xBF7FFFFF]
    for bits, value in zip(patterns, f32_array(patterns).tolist(), strict=True):
        clipped = 0 if np.isnan(value) else int(max(-(2.0**31), min(2.0**31 - 1, value)))
        assert sf.to_integer(sf.F32, bits, -(2**31), 2**31 - 1) == clipped, value
