"""The same bits without a compiler: every kernel in NumPy, some hundred times slower.

What takes the place of ``ml.kernels`` where the extension module was not compiled (`ml.devices`), and a second opinion
on it elsewhere: the self-test and the tests hold both against the definition. Each operator is a function of an
instruction and its inputs in ``ml/numpy_sums.py`` or ``ml/numpy_moves.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml import numpy_moves, numpy_sums
from ml.backend import ALIGNMENT, DTYPES, Array, FpuModeError, Instruction
from runtime.vm.types import TensorType

if TYPE_CHECKING:
    from ml.placement import Placement

OPERATORS = {**numpy_sums.OPERATORS, **numpy_moves.OPERATORS}
NAME = "numpy"


class NumpyBackend:
    """Runs instructions one by one with NumPy (`ml.backend.Backend`)."""

    name = NAME

    def open(self, placement: Placement, types: Sequence[TensorType]) -> NumpyMachine:
        return NumpyMachine(placement, types)


class NumpyMachine:
    """One block of memory and views of the values in it (`ml.backend.Machine`). Mutable."""

    def __init__(self, placement: Placement, types: Sequence[TensorType]) -> None:
        self.schedule = placement.schedule
        block = np.zeros(placement.size + ALIGNMENT, dtype=np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        memory = block[start : start + placement.size]
        self.places = [memory[offset:] for offset in placement.offset]
        self.views = [
            place[: kind.bytes].view(DTYPES[kind.dtype]).reshape(kind.shape)
            for place, kind in zip(self.places, types, strict=False)
        ]
        self._execute(placement.once, 0)

    def write(self, value: int, array: Array) -> None:
        np.copyto(self.views[value], array)

    def read(self, value: int) -> Array:
        return self.views[value].copy()

    def run(self, first: int, last: int, step: int) -> None:
        self._execute(self.schedule[first:last], step)

    def _execute(self, instructions: Sequence[Instruction], step: int) -> None:
        check_fpu_mode()
        with np.errstate(all="ignore"):
            for instruction in instructions:
                inputs = numpy_sums.Inputs([self.places[value] for value in instruction.inputs])
                outputs = OPERATORS[instruction.op](instruction, inputs, step)
                # All of them are computed before the first is stored: it may take the place of an input.
                for value, output in zip(instruction.outputs, outputs, strict=True):
                    data = np.ascontiguousarray(output).reshape(-1).view(np.uint8)
                    self.places[value][: len(data)] = data


def check_fpu_mode() -> None:
    """Raise `FpuModeError` where this thread's floating-point unit would change results."""
    tiny, half, one, ulp = (np.array([x], np.float32) for x in (2.0**-126, 0.5, 1.0, 2.0**-24))
    if (tiny * half).view(np.uint32)[0] == 0 or (np.array([1], np.uint32).view(np.float32) * one).view(np.uint32)[
        0
    ] == 0:
        raise FpuModeError("flushes subnormal numbers to zero (FTZ, DAZ)")
    if (one + ulp)[0] != 1 or (one - ulp * half)[0] != 1 or (-one - ulp)[0] != -1:
        raise FpuModeError("does not round to nearest, ties to even")
