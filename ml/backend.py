"""What executes placed instructions: one interface for the compiled kernels, and for every other place that computes.

A *backend* says where (an instruction set, a graphics card) and owns no tensors. It opens a *machine*: memory
for one placed program and the program itself, ready to run. `ml.executor` knows these two and nothing about devices;
`ml.devices` chooses one. Whatever the backend, the bits are those of the operator table (`ml.selftest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from runtime.errors import SolventError
from runtime.vm.types import TensorType

if TYPE_CHECKING:
    from ml.placement import Placement

Array = np.ndarray

ALIGNMENT = 64
"""Bytes; of every value's place. What the widest vectors and a cache line want."""

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i32": np.dtype("<i4"),
    "u32": np.dtype("<u4"),
    "u8": np.dtype("u1"),
}


class KernelMismatch(SolventError):
    """The self-test found other bits than the committed ones. Do not work on this machine: it would be slashed."""


class KernelsMissing(SolventError):
    """The compiled kernels are not there, or this processor lacks the instruction set that was asked for."""


class FpuModeError(SolventError):
    """The calling thread's FPU mode would change results."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"this thread's floating-point unit {fault}; exact training needs the default mode "
            "(torch.set_flush_denormal(True) or a library built with -ffast-math changes it)"
        )


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operator application before its buffers are placed. Fields as in ``struct solvent_instruction``.

    ``inputs`` and ``outputs`` are value numbers of the program. ``work`` estimates nanoseconds on one core.
    """

    op: str
    sizes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scalars: tuple[int, ...] = ()
    strides: tuple[tuple[int, ...], ...] = ()
    work: int = 0
    in_place: tuple[tuple[int, int], ...] = ()
    """(output, input) positions that may share a buffer, since equal indices read before they write."""
    offsets: tuple[int, ...] = ()
    code: tuple[int, ...] = ()
    """The line of a map, as ``ml/csrc/map.h`` reads it."""


class Machine(Protocol):
    """A placed program in some memory. Mutable; one caller at a time."""

    def write(self, value: int, array: Array) -> None:
        """Copy an array of the value's type into its place."""

    def read(self, value: int) -> Array:
        """A copy of a value that its place still holds."""

    def run(self, first: int, last: int, step: int) -> None:
        """Execute instructions first, ..., last - 1 of the placement's schedule as those of a step."""


class Backend(Protocol):
    """A place that computes. ``name`` tells it from others that could compute other bits."""

    name: str

    def open(self, placement: Placement, types: Sequence[TensorType]) -> Machine:
        """Memory for a placement, its ``once`` instructions done. Values beyond ``types`` are scratch, never read."""
