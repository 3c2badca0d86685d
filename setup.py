"""Compiles the training kernels. Everything else about the package is in pyproject.toml.

A node needs no kernels, so a machine without a C compiler still gets a working node: the extension is optional, and
``ml.kernels`` says what is missing when a worker is started without it.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ADVICE = (
    "ml._kernels was not compiled: this installation runs nodes, but no workers. "
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


setup(cffi_modules=["ml/kernel_build.py:build"], cmdclass={"build_ext": BuildKernels})
