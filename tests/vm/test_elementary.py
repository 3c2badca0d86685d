"""exp and log, correctly rounded, against mpmath at several hundred bits."""

from __future__ import annotations

import random
from typing import Any

import mpmath
import numpy as np

from runtime.vm.elementary import exponential, logarithm
from runtime.vm.softfloat import F32, F64
from tests.vm.numeric import SPECIALS_F32, bits_of, exp32, f32_array, log32


def floats_between(low: float, high: float, count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [int(np.float32(generator.uniform(low, high)).view(np.uint32)) for _ in range(count)]


def nearby(value: float) -> list[int]:
    """Bit patterns just around a threshold."""
    middle = int(np.float32(value).view(np.uint32))
    return list(range(middle - 4, middle + 5))


def exp_inputs() -> list[int]:
    generator = random.Random(2)
    thresholds = [88.72284, -87.33655, -103.27893, -103.97208, 2.0**-24, -(2.0**-25), -(2.0**-26), 0.34657359]
    edges = [bits for value in thresholds for bits in nearby(value)]
    tiny = [generator.getrandbits(1) << 31 | generator.randrange(90, 110) << 23 | generator.getrandbits(23)
            for _ in range(300)]  # fmt: skip
    return SPECIALS_F32 + edges + tiny + floats_between(-110, 95, 1500, 3) + floats_between(-1, 1, 500, 4)


def test_exp_is_correctly_rounded_from_overflow_to_subnormal_results() -> None:
    inputs = exp_inputs()
    wanted = bits_of([exp32(x) for x in f32_array(inputs)]).tolist()
    assert [exponential(F32, x) for x in inputs] == wanted
    assert any(0 < bits < 0x00800000 for bits in wanted)


def test_log_is_correctly_rounded_for_subnormal_and_near_one_operands() -> None:
    generator = random.Random(5)
    inputs = SPECIALS_F32 + nearby(1.0) + nearby(2.0) + nearby(0.5) + nearby(0.75) + nearby(1.5)
    inputs += [generator.getrandbits(31) for _ in range(1500)] + [generator.getrandbits(22) for _ in range(200)]
    inputs += [0x3F800000 + generator.randrange(-4000, 4000) for _ in range(300)]
    wanted = bits_of([log32(x) for x in f32_array(inputs)]).tolist()
    assert [logarithm(F32, x) for x in inputs] == wanted


def double_bits(value: Any) -> int:
    return int(np.float64(value).view(np.uint64))


def test_double_precision_exp_and_log_are_correctly_rounded() -> None:
    generator = random.Random(6)
    with mpmath.workprec(600):
        for _ in range(400):
            x = generator.choice([generator.uniform(-700, 709), generator.uniform(-1, 1), generator.gauss(0, 1e-9)])
            assert exponential(F64, double_bits(x)) == double_bits(float(mpmath.exp(mpmath.mpf(x))))
            y = abs(generator.choice([x, 1 + x * 1e-12, 2.0 ** generator.randrange(-1070, 1020)])) or 3.0
            assert logarithm(F64, double_bits(y)) == double_bits(float(mpmath.log(mpmath.mpf(y))))


def test_double_precision_exp_overflows_and_underflows_at_the_right_places() -> None:
    assert exponential(F64, double_bits(709.782712893384)) < F64.infinity
    assert exponential(F64, double_bits(709.7827128933841)) == F64.infinity
    assert exponential(F64, double_bits(-745.1332191019411)) == 1
    assert exponential(F64, double_bits(-745.1332191019412)) == 0
    assert exponential(F64, double_bits(1e300)) == F64.infinity
    assert exponential(F64, double_bits(-1e300)) == 0
    assert exponential(F64, 1) == double_bits(1.0)
