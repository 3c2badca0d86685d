"""The compiled kernels as Python sees them: plans of instructions, a thread pool, and the instruction sets of this
processor.

A *plan* is an array of C records, one per operator application, whose buffers are already placed; executing a range of
it is one call that releases the GIL. This module owns no memory of tensors: whoever builds a plan keeps its buffers
alive.

::

    SolventError
    ├── KernelsMissing   the extension was not compiled; nothing can be trained on this machine
    ├── FpuModeError     this thread's floating-point unit flushes subnormals or rounds another way
    └── KernelMismatch   a kernel computes other bits than the definition (`ml.selftest`)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from runtime.errors import SolventError


class KernelsMissing(SolventError):
    """The extension module is not there."""


class FpuModeError(SolventError):
    """The calling thread's FPU mode would change results."""


class KernelMismatch(SolventError):
    """The self-test found other bits than the committed ones. Do not work on this machine: it would be slashed."""


try:
    _kernels: Any = import_module("ml._kernels")
except ImportError as error:
    raise KernelsMissing(
        f"the compiled kernels cannot be loaded ({error}): install a C compiler and run `pip install '.[ml]'`, "
        "or `python setup.py build_ext --inplace` in a source checkout"
    ) from None

ffi: Any = _kernels.ffi
lib: Any = _kernels.lib

FPU_FAULTS = {
    1: "flushes subnormal results to zero (FTZ)",
    2: "reads subnormal operands as zero (DAZ)",
    3: "does not round to nearest, ties to even",
}


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


def instruction_sets() -> tuple[str, ...]:
    """Names of the instruction sets that this processor can run, best first; the last is always ``baseline``."""
    names: list[str] = []
    while (name := lib.solvent_instruction_set(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return tuple(names)


INSTRUCTION_SETS = instruction_sets()


def default_instruction_set() -> str:
    """The best one, unless the environment variable SOLVENT_INSTRUCTION_SET names another."""
    name = os.environ.get("SOLVENT_INSTRUCTION_SET", INSTRUCTION_SETS[0])
    if name not in INSTRUCTION_SETS:
        raise KernelsMissing(f"SOLVENT_INSTRUCTION_SET={name}: this processor runs {', '.join(INSTRUCTION_SETS)}")
    return name


class Pool:
    """Sleeping worker threads. Mutable; one caller at a time. Results never depend on ``threads``."""

    def __init__(self, threads: int) -> None:
        if not 1 <= threads <= 256:
            raise ValueError(f"{threads} threads; use 1 to 256")
        handle = lib.solvent_pool_open(threads)
        if handle == ffi.NULL:
            raise MemoryError(f"no memory for {threads} threads' scratch space")
        self.threads = threads
        self.handle: Any = ffi.gc(handle, lib.solvent_pool_close)


class Plan:
    """Instructions with placed buffers, ready to run. ``addresses[value]`` is a value's address in memory."""

    def __init__(self, instructions: Sequence[Instruction], addresses: Sequence[int]) -> None:
        self.length = len(instructions)
        self._records = ffi.new("struct solvent_instruction[]", max(1, self.length))
        self._codes = [ffi.new("int32_t[]", [_signed(word) for word in one.code]) for one in instructions]
        for record, instruction, code in zip(self._records, instructions, self._codes, strict=False):
            _write(record, instruction, addresses)
            record.code = code

    def run(self, pool: Pool, instruction_set: str, first: int, last: int, step: int) -> None:
        """Execute instructions first, ..., last - 1. Raises `FpuModeError` before anything is computed."""
        index = INSTRUCTION_SETS.index(instruction_set)
        fault = lib.solvent_run(pool.handle, index, self._records, first, last, step & 0xFFFFFFFF)
        if fault:
            raise FpuModeError(
                f"this thread's floating-point unit {FPU_FAULTS.get(fault, fault)}; exact training needs the default "
                "mode (torch.set_flush_denormal(True) or a library built with -ffast-math changes it)"
            )


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def _write(record: Any, instruction: Instruction, addresses: Sequence[int]) -> None:
    record.op = getattr(lib, f"OP_{instruction.op.upper()}")
    record.rank = len(instruction.sizes)
    record.work = instruction.work
    record.inputs, record.outputs = len(instruction.inputs), len(instruction.outputs)
    for index, offset in enumerate(instruction.offsets):
        record.offset[index] = offset
    for index, size in enumerate(instruction.sizes):
        record.size[index] = size
    for index, bits in enumerate(instruction.scalars):
        record.scalar[index] = bits
    for side, strides in enumerate(instruction.strides):
        for index, stride in enumerate(strides):
            record.stride[side][index] = stride
    pointers = getattr(record, "in")  # a keyword in Python
    for index, value in enumerate(instruction.inputs):
        pointers[index] = ffi.cast("void *", addresses[value])
    for index, value in enumerate(instruction.outputs):
        record.out[index] = ffi.cast("void *", addresses[value])
