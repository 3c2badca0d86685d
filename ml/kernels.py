"""The compiled kernels as Python sees them: plans of instructions, a thread pool, and the instruction sets of this
processor.

A *plan* is an array of C records, one per operator application, whose buffers are already placed; executing a range of
it is one call that releases the GIL. A plan owns no memory of tensors: whoever builds one keeps its buffers alive, as
`CpuBackend` does with one block of memory for all values of a program.

::

    SolventError
    ├── KernelsMissing   the extension was not compiled: `ml.devices` falls back to NumPy
    └── KernelsStale     it was compiled from other sources than those of this checkout
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.backend import ALIGNMENT, DTYPES, Array, FpuModeError, Instruction, KernelsMissing
from ml.kernel_build import REBUILD, fingerprint
from ml.record import code_words, fill_record
from runtime.errors import SolventError
from runtime.vm.types import TensorType

if TYPE_CHECKING:
    from ml.placement import Placement


class KernelsStale(SolventError):
    """The extension module was compiled from other sources."""


try:
    _kernels: Any = import_module("ml._kernels")
except ImportError as error:
    raise KernelsMissing(
        f"the compiled kernels cannot be loaded ({error}): install a C compiler and run `pip install '.[ml]'`, "
        f"or `{REBUILD}` in a source checkout"
    ) from None

ffi: Any = _kernels.ffi
lib: Any = _kernels.lib


def check_build(compiled: Any, folder: Path) -> None:
    """Raise `KernelsStale` unless the build is of the sources in a folder. An installed package has no sources beside
    it, and its build came with it."""
    wanted = fingerprint(folder)
    known = hasattr(compiled.lib, "solvent_sources")
    found = compiled.ffi.string(compiled.lib.solvent_sources()).decode() if known else ""
    if wanted and found != wanted:
        raise KernelsStale(
            f"{compiled.__file__} was compiled from other sources ({found[:8] or 'older ones'}) than those in {folder} "
            f"({wanted[:8]}): run `make install`, or `cd {folder.parents[1]} && {REBUILD}`"
        )


check_build(_kernels, Path(__file__).parent / "csrc")

FPU_FAULTS = {
    1: "flushes subnormal results to zero (FTZ)",
    2: "reads subnormal operands as zero (DAZ)",
    3: "does not round to nearest, ties to even",
}


def instruction_sets() -> tuple[str, ...]:
    """Names of the instruction sets that this processor can run, best first; every processor runs the last."""
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
        self.records = ffi.new("struct solvent_instruction[]", max(1, self.length))
        self.codes = [ffi.from_buffer("int32_t[]", code_words(one)) for one in instructions]
        for record, instruction, code in zip(self.records, instructions, self.codes, strict=False):
            fill_record(ffi, record, instruction, getattr(lib, f"OP_{instruction.op.upper()}"), addresses)
            record.code = code

    def run(self, pool: Pool, instruction_set: str, first: int, last: int, step: int) -> None:
        """Execute instructions first, ..., last - 1. Raises `FpuModeError` before anything is computed."""
        index = INSTRUCTION_SETS.index(instruction_set)
        fault = lib.solvent_run(pool.handle, index, self.records, first, last, step & 0xFFFFFFFF)
        if fault:
            raise FpuModeError(FPU_FAULTS.get(fault, str(fault)))


class CpuBackend:
    """The compiled kernels of one instruction set, by default the best, on a pool of threads (`ml.backend.Backend`)."""

    def __init__(self, threads: int = 1, instruction_set: str | None = None) -> None:
        self.name = instruction_set or default_instruction_set()
        self.pool = Pool(threads)

    def open(self, placement: Placement, types: Sequence[TensorType]) -> CpuMachine:
        return CpuMachine(self, placement, types)


class CpuMachine:
    """One block of memory, views of the values in it, and the plan over it (`ml.backend.Machine`). Mutable."""

    def __init__(self, backend: CpuBackend, placement: Placement, types: Sequence[TensorType]) -> None:
        self.backend = backend
        block = np.zeros(placement.size + ALIGNMENT, dtype=np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        addresses = [block.ctypes.data + start + offset for offset in placement.offset]
        self.views: list[Array] = [
            block[start + offset : start + offset + kind.bytes].view(DTYPES[kind.dtype]).reshape(kind.shape)
            for offset, kind in zip(placement.offset, types, strict=False)
        ]
        self.plan = Plan(placement.schedule, addresses)
        Plan(placement.once, addresses).run(backend.pool, backend.name, 0, len(placement.once), 0)

    def write(self, value: int, array: Array) -> None:
        np.copyto(self.views[value], array)

    def read(self, value: int) -> Array:
        return self.views[value].copy()

    def run(self, first: int, last: int, step: int) -> None:
        self.plan.run(self.backend.pool, self.backend.name, first, last, step)
