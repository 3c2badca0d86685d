"""The devices that a task can be run on, by name."""

from __future__ import annotations

from ml.backend import Backend
from ml.kernels import CpuBackend

DEVICES = ("cpu",)


def open_backend(device: str = "cpu", threads: int = 1) -> Backend:
    """The backend of a device; threads count on a CPU only, and never change a result."""
    return CpuBackend(threads)
