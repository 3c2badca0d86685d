"""Single-operator programs for the kernel tests: how to build one and run it by kernels and by interpreter."""

from __future__ import annotations

from functools import partial

import numpy as np

from ml.backend import DTYPES, Backend
from ml.executor import Executor
from ml.kernels import INSTRUCTION_SETS, CpuBackend
from ml.numpy_backend import NumpyBackend
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.instructions import Address
from runtime.vm.job import DataSource, Job
from runtime.vm.program import Input, Named, Node, Program
from runtime.vm.reference import evaluate_step, load_from

BACKENDS: tuple[Backend, ...] = (*(CpuBackend(1, name) for name in INSTRUCTION_SETS), NumpyBackend())
"""Everything that must give the interpreter's bits."""
SEED = 0x0123456789ABCDEF
NO_DATA = DataSource(root=bytes(32), sample_count=1, fields=(), order_seed=bytes(32), batch_size=1)


def job_of(checked: CheckedProgram) -> Job:
    return Job(
        program=checked.root, start=bytes(32), first_step=0, steps=1, seed=SEED, data=NO_DATA, scalar_names=(),
        scalars_root=bytes(32), scalar_rows=0,
    )  # fmt: skip


def one_operator(op: str, attributes: tuple[int, ...], arrays: list[np.ndarray], key: bool = False) -> CheckedProgram:
    """A program whose state inputs t0, t1, ... feed one node, the last output being its metric."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    inputs = [
        Input(kind="state", name=f"t{i}", dtype=names[array.dtype], shape=array.shape) for i, array in enumerate(arrays)
    ]
    if key:
        inputs.append(Input(kind="key", name="key", dtype="u32", shape=(2,)))
    count = len(inputs)
    node = Node(op=op, attributes=attributes, inputs=tuple(range(count)))
    metrics = (Named(name="out", value=count),)
    return check_program(Program(version=1, inputs=tuple(inputs), nodes=(node,), state=(), metrics=metrics))


def interpret(checked: CheckedProgram, arrays: list[np.ndarray], step: int = 0) -> list[bytes]:
    """Every value of the step by the interpreter alone."""
    state = [array.tobytes() for array in arrays]
    dtypes = [entry[2].dtype for entry in checked.start_state]
    load = load_from(state, dtypes, b"", no_samples)
    return evaluate_step(checked, job_of(checked), step, partial(load))


def no_samples(leaf: int) -> tuple[bytes, str]:
    raise AssertionError(f"sample leaf {leaf} was read")


def execute(
    checked: CheckedProgram,
    arrays: list[np.ndarray],
    step: int = 0,
    backend: Backend | None = None,
) -> list[bytes]:
    """Every value of the step by the kernels."""
    state = {f"t{i}": array for i, array in enumerate(arrays)}
    executor = Executor(checked, backend=backend)
    result = executor.run_step(state, job_of(checked), step, {}, (), keep_values=True)
    assert result.values is not None
    compact = executor.run_step(state, job_of(checked), step, {}, ())
    assert compact.metrics["out"].tobytes() == result.metrics["out"].tobytes()
    return [value.tobytes() for value in result.values]


__all__ = ["Address", "execute", "interpret", "job_of", "one_operator"]
