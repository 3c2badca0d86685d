"""A placed program in the memory of a device, run by launches of the same instruction records as on the CPU."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from cffi import FFI

from ml.backend import DTYPES, Array, Instruction
from ml.cuda.compiler import source
from ml.cuda.driver import CudaDevice
from ml.cuda.launches import Launch, launches
from ml.kernel_build import declarations
from ml.record import code_words, fill_record
from runtime.vm.types import TensorType

if TYPE_CHECKING:
    from ml.placement import Placement

Launched = tuple[tuple[Launch, ...], Any]
"""The launches of one instruction, and its record."""


class CudaBackend:
    """The kernels of ``kernels.cu`` on a device (`ml.backend.Backend`)."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.name = device.name
        self.ffi: Any = FFI()
        self.ffi.cdef(declarations(source("solvent.h")))
        self.numbers: dict[str, int] = self.ffi.typeof("enum solvent_op").relements

    def open(self, placement: Placement, types: Sequence[TensorType]) -> CudaMachine:
        return CudaMachine(self, placement, types)


class CudaMachine:
    """Values and the lines of maps in one block of a device's memory each (`ml.backend.Machine`). Mutable."""

    def __init__(self, backend: CudaBackend, placement: Placement, types: Sequence[TensorType]) -> None:
        self.backend, self.device, self.types = backend, backend.device, types
        values = self._own(placement.size)
        self.addresses = [values + offset for offset in placement.offset]
        instructions = [*placement.schedule, *placement.once]
        codes = [code_words(one) for one in instructions]
        places = [0, *accumulate(code.nbytes for code in codes)]
        lines = self._own(max(1, places[-1]))
        if places[-1]:
            self.device.upload(lines, np.concatenate(codes).data.cast("B"))
        launched = [self._prepare(one, lines + place) for one, place in zip(instructions, places, strict=False)]
        self.schedule = launched[: len(placement.schedule)]
        for one in launched[len(placement.schedule) :]:
            self._launch(one, 0)

    def write(self, value: int, array: Array) -> None:
        kind = self.types[value]
        given = np.ascontiguousarray(np.broadcast_to(array, kind.shape), DTYPES[kind.dtype])
        self.device.upload(self.addresses[value], given.reshape(-1).data.cast("B"))

    def read(self, value: int) -> Array:
        kind = self.types[value]
        found = np.empty(kind.shape, DTYPES[kind.dtype])
        self.device.download(self.addresses[value], found.reshape(-1).data.cast("B"))
        return found

    def run(self, first: int, last: int, step: int) -> None:
        for one in self.schedule[first:last]:
            self._launch(one, step & 0xFFFFFFFF)

    def _own(self, size: int) -> int:
        """Memory that is given back when this machine is gone."""
        address = self.device.allocate(size)
        weakref.finalize(self, self.device.free, address)
        return address

    def _prepare(self, instruction: Instruction, code: int) -> Launched:
        ffi = self.backend.ffi
        record = ffi.new("struct solvent_instruction *")
        number = self.backend.numbers[f"OP_{instruction.op.upper()}"]
        fill_record(ffi, record, instruction, number, self.addresses)
        record.code = ffi.cast("int32_t *", code)
        return launches(instruction), record

    def _launch(self, launched: Launched, step: int) -> None:
        for launch in launched[0]:
            self.device.launch(launch, launched[1], step)
