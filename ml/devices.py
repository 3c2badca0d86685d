"""The devices that a task can be run on, by name."""

from __future__ import annotations

from ml.backend import Backend
from ml.kernels import CpuBackend
from runtime.errors import SolventError

DEVICES = ("cpu",)


class DeviceMissing(SolventError):
    """This machine, or this release, does not have the device that was asked for."""


def open_backend(device: str = "cpu", threads: int = 1) -> Backend:
    """The backend of a device; threads count on a CPU only, and never change a result. Raises `DeviceMissing`."""
    if device not in DEVICES:
        raise DeviceMissing(f"no device {device!r}: this release computes exactly on {', '.join(DEVICES)} only")
    return CpuBackend(threads)
