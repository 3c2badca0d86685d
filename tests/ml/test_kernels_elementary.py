"""exp and log are correctly rounded: against mpmath, and against the chain's integer-only arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from ml import kernels
from ml.backend import Instruction
from ml.kernels import INSTRUCTION_SETS, Plan, Pool
from ml.selftest import ordinary_floats, wild_floats
from runtime.vm.elementary import exponential, logarithm
from runtime.vm.softfloat import F32


@pytest.mark.parametrize("op", ["exp", "log"])
def test_elementary_functions_are_correctly_rounded(op: str) -> None:
    """Against mpmath at 200 bits, rounded."""
    x = np.concatenate([ordinary_floats(1500, 5), wild_floats(500, 6)])
    for value, found in zip(x.tolist(), apply(op, x).tolist(), strict=True):
        if np.isfinite(value) and (op == "exp" or value > 0):
            assert found == round_to_float(op, value), (op, value.hex())


@pytest.mark.parametrize("op", ["exp", "log"])
def test_the_slow_path_alone_is_correctly_rounded_too(op: str) -> None:
    exact = getattr(kernels.lib, f"solvent_{op}_exact")
    for value in ordinary_floats(300, 8).tolist():
        if op == "exp" or value > 0:
            assert exact(value) == round_to_float(op, value), (op, value.hex())


HARD = {
    "exp": "0x1.8p-25 -0x1p-25 0x1p-149 -0x1.9fe368p6 -0x1.9d1da0p6 0x1.62e42ep6 0x1.62e430p6 0x1.62e42fp6 "
    "-0x1.e1dbe2p-8 -0x1.d2259ap3",
    "log": "0x1p-149 0x1.fffffep-127 0x1.fffffep-1 0x1.000002p0 0x1.fffffep127 0x1p1 0x1.6a09e6p-1 0x1.6a09e8p0 "
    "0x1.390ffp-93 0x1.088d96p-74 0x1.22d57p-65 0x1.fa45fp-44 0x1.98496ep-39 0x1.827a74p-7 0x1.2f1fd6p3 0x1.cb534cp13 "
    "0x1.bacb4ap25 0x1.c09d7cp27 0x1.d1309cp62 0x1.b121a6p76 0x1.5190cp78 0x1.6351d8p95 0x1.cfd86ep116",
}
"""Among them every argument whose result lies within 2^-52 of a rounding boundary, found by a search of all floats."""


def test_elementary_functions_are_right_where_results_turn_subnormal_overflow_or_cancel() -> None:
    for op, hard in HARD.items():
        x = np.array([float.fromhex(text) for text in hard.split()], dtype=np.float32)
        for value, found in zip(x.tolist(), apply(op, x).tolist(), strict=True):
            assert found == round_to_float(op, value), (op, value.hex())


@pytest.mark.parametrize("op", ["exp", "log"])
def test_elementary_functions_agree_with_softfloat(op: str) -> None:
    x = wild_floats(400, 9)
    reference = {"exp": exponential, "log": logarithm}[op]
    expected = [reference(F32, bits) for bits in x.view(np.uint32).tolist()]
    assert apply(op, x).view(np.uint32).tolist() == expected


def apply(op: str, x: np.ndarray) -> np.ndarray:
    out = np.zeros_like(x)
    plan = Plan([Instruction(op, (len(x),), (0,), (1,))], [x.ctypes.data, out.ctypes.data])
    plan.run(Pool(1), INSTRUCTION_SETS[0], 0, 1, 0)
    return out


def round_to_float(op: str, value: float) -> float:
    """exp or log of a float, rounded to nearest even from a 200-bit value."""
    with mpmath.workprec(200):
        exact = getattr(mpmath, op)(mpmath.mpf(value))
        if exact == 0:
            return 0.0
        if exact > mpmath.mpf(2) ** 128 - mpmath.mpf(2) ** 103:
            return float("inf")
        exponent = max(int(mpmath.floor(mpmath.log(abs(exact), 2))), -126)
        unit = mpmath.mpf(2) ** (exponent - 23)
        return float(mpmath.nint(exact / unit) * unit)
