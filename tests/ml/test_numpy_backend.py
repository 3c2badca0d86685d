"""The fallback without a compiler. That it gives the interpreter's bits is tested with the kernels (`BACKENDS`)."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from ml import kernels, selftest
from ml.backend import FpuModeError
from ml.devices import open_backend
from ml.executor import Executor
from ml.kernels import CpuBackend
from ml.numpy_backend import OPERATORS, NumpyBackend
from ml.numpy_moves import STEPS
from ml.selftest import ordinary_floats
from runtime.vm.operators_map import CODES
from tests.ml.kernel_cases import job_of, one_operator


def test_numpy_has_every_kernel_and_every_operation_of_a_map() -> None:
    names = {name.removeprefix("OP_").lower() for name in dir(kernels.lib) if name.startswith("OP_")} - {"count"}
    assert set(OPERATORS) == names
    assert set(STEPS) == set(CODES)


def test_numpy_passes_the_self_test_case_by_case() -> None:
    assert selftest.compute_digests(NumpyBackend()) == selftest.compute_digests(CpuBackend())


def test_long_products_are_summed_in_blocks_as_the_kernels_do() -> None:
    for size in ((5, 40, 520), (3, 2, 2305)):
        rows, columns, inner = size
        a, b = ordinary_floats(rows * inner, 1).reshape(rows, inner), ordinary_floats(columns * inner, 2)
        arrays = [a, b.reshape(inner, columns)]
        checked = one_operator("matmul", (0, 0), arrays)
        state = {f"t{i}": array for i, array in enumerate(arrays)}
        found = [
            Executor(checked, backend=backend).run_step(state, job_of(checked), 0, {}, ()).metrics["out"].tobytes()
            for backend in (CpuBackend(), NumpyBackend())
        ]
        assert found[0] == found[1]


def test_without_compiled_kernels_numpy_computes_and_says_how_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ml.kernels")
    monkeypatch.setitem(sys.modules, "ml._kernels", None)
    with pytest.warns(RuntimeWarning, match=r"C compiler .* NumPy computes the same bits, .* times more slowly"):
        assert open_backend().name == "numpy"


def test_numpy_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLVENT_INSTRUCTION_SET", "numpy")
    assert isinstance(open_backend(), NumpyBackend)


def test_numpy_refuses_a_thread_that_flushes_subnormals() -> None:
    x = np.ones((2, 2), np.float32)
    checked = one_operator("neg", (), [x])
    executor = Executor(checked, backend=NumpyBackend())
    executor.run_step({"t0": x}, job_of(checked), 0, {}, ())
    assert torch.set_flush_denormal(True)
    try:
        with pytest.raises(FpuModeError, match="flushes subnormal"):
            executor.run_step({"t0": x}, job_of(checked), 0, {}, ())
    finally:
        torch.set_flush_denormal(False)
