"""Compiles the training kernels. Everything else about the package is in pyproject.toml.

The extension is optional. A machine without a C compiler still gets a working node, and workers that compute the same
bits with NumPy, much more slowly (``ml.devices`` says so when one starts). SOLVENT_WITHOUT_KERNELS=1 leaves them out
on purpose, for a wheel that any platform can install.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ADVICE = (
    "ml._kernels was not compiled: workers of this installation compute with NumPy, the same bits, far more slowly. "
    "Install a C compiler (gcc or clang) and run the same pip install command again."
)


class BuildKernels(build_ext):
    """Builds the optional extension and says in one sentence what follows when it cannot."""

    def run(self) -> None:
        super().run()
        if not all(path.exists() for path in self._outputs()):
            self.warn(ADVICE)

    def _outputs(self) -> list[Path]:
        return [Path(self.get_ext_fullpath(extension.name)) for extension in self.extensions]


if os.environ.get("SOLVENT_WITHOUT_KERNELS") == "1":
    setup()
else:
    setup(
        cffi_modules=["ml/kernel_build.py:build"],
        cmdclass={"build_ext": BuildKernels},
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
