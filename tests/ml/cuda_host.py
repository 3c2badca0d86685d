"""The graphics card's kernels as host code under a driver library of our own (``cuda_host.cpp``): a card for tests."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

from ml.cuda import compiler
from ml.cuda.driver import CudaDevice
from ml.cuda.machine import CudaBackend

FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unused-function")


@cache
def host_backend() -> CudaBackend:
    """Our own driver module on the library, which the C++ compiler makes once a process (in seconds)."""
    library = Path(mkdtemp()) / "libcuda.so"
    includes = [f"-I{folder}" for folder in compiler.FOLDERS]
    source = Path(__file__).with_name("cuda_host.cpp")
    subprocess.run(["g++", *FLAGS, *includes, "-o", str(library), str(source), "-ldl"], check=True, timeout=240)
    with (
        patch("ml.cuda.driver.LIBRARY", str(library)),
        patch("ml.cuda.driver.compile_kernels", lambda *_, **__: b"here"),
    ):
        return CudaBackend(CudaDevice())
