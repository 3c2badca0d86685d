"""The devices that a task can be run on, by name."""

from __future__ import annotations

import os
import warnings
from functools import cache

from ml.backend import Backend, KernelsMissing
from ml.cuda.compiler import CudaCompilerError
from ml.cuda.driver import CudaDevice, CudaError
from ml.cuda.machine import CudaBackend
from ml.numpy_backend import NAME as NUMPY
from ml.numpy_backend import NumpyBackend
from runtime.errors import SolventError

DEVICES = ("cpu", "cuda")
SLOWER = "30 to 220 times more slowly"
"""What a step without compiled kernels costs (docs/exactness.md has the figures)."""


class DeviceMissing(SolventError):
    """This machine, or this release, does not have the device that was asked for."""


def open_backend(device: str = "cpu", threads: int = 1) -> Backend:
    """The backend of a device; threads count on a CPU only, and never change a result. Raises `DeviceMissing`."""
    if device not in DEVICES:
        raise DeviceMissing(f"no device {device!r}: this release computes exactly on {', '.join(DEVICES)} only")
    return _card() if device == "cuda" else _processor(threads)


@cache
def _card() -> Backend:
    """The first graphics card, its kernels compiled once a process."""
    try:
        return CudaBackend(CudaDevice())
    except (CudaError, CudaCompilerError) as error:
        raise DeviceMissing(str(error)) from None


def _processor(threads: int) -> Backend:
    """The compiled kernels; where there are none, and with SOLVENT_INSTRUCTION_SET=numpy, the same in NumPy."""
    if os.environ.get("SOLVENT_INSTRUCTION_SET") == NUMPY:
        return NumpyBackend()
    try:
        from ml.kernels import CpuBackend
    except KernelsMissing as error:
        warnings.warn(f"{error}. Until then NumPy computes the same bits, {SLOWER}", RuntimeWarning, stacklevel=3)
        return NumpyBackend()
    return CpuBackend(threads)
