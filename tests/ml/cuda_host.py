"""The graphics card's kernels as host code: a device for tests on machines without a card."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cffi import FFI

from ml.cuda import compiler
from ml.cuda.launches import Launch, kernels
from ml.cuda.machine import CudaBackend
from ml.kernel_build import declarations

FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unused-function")


@cache
def compiled() -> tuple[Any, Any]:
    """The library and its cffi, compiled once a process by the C++ compiler (in seconds)."""
    library = Path(mkdtemp()) / "host.so"
    includes = [f"-I{folder}" for folder in compiler.FOLDERS]
    subprocess.run(
        ["g++", *FLAGS, *includes, "-o", str(library), str(compiler.FOLDERS[0] / "host.cpp")], check=True, timeout=240
    )
    ffi: Any = FFI()
    ffi.cdef(declarations(compiler.source("solvent.h")))
    ffi.cdef(
        "void solvent_host_launch(void *kernel, const struct solvent_instruction *in, uint32_t step,"
        " unsigned int blocks, unsigned int threads);"
    )
    ffi.cdef("\n".join(f"void {kernel}(struct solvent_instruction in, uint32_t step);" for kernel in kernels()))
    return ffi, ffi.dlopen(str(library))


class HostDevice:
    """Memory of this process, and kernels that run one block after another (`ml.cuda.machine.Device`). Mutable."""

    name = "cuda kernels on the host"

    def __init__(self) -> None:
        self._ffi, self._lib = compiled()
        self._blocks: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        block = self._ffi.new("char[]", size + 64)
        address = -(-int(self._ffi.cast("uintptr_t", block)) // 64) * 64
        self._blocks[address] = block
        return address

    def free(self, address: int) -> None:
        del self._blocks[address]

    def upload(self, address: int, data: memoryview) -> None:
        self._ffi.memmove(self._ffi.cast("char *", address), data, data.nbytes)

    def download(self, address: int, into: memoryview) -> None:
        self._ffi.memmove(into, self._ffi.cast("char *", address), into.nbytes)

    def launch(self, launch: Launch, record: Any, step: int) -> None:
        kernel = self._ffi.addressof(self._lib, launch.kernel)
        own = self._ffi.cast("struct solvent_instruction *", self._ffi.cast("void *", record))
        self._lib.solvent_host_launch(self._ffi.cast("void *", kernel), own, step, launch.blocks, launch.threads)


@cache
def host_backend() -> CudaBackend:
    return CudaBackend(HostDevice())
