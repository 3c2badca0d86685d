"""Executes the steps of a checked program with the exact kernels.

Two ways to run. *Resident*: `load` a state once, `advance` step after step with buffers planned once and state tensors
updated where they lie, read it back with `state`. *Single*: `run_step` takes a state and returns the next one, on
request with every value of the step (for traces) or with a hook that may tamper with values (for tests and for showing
that a tampered run is caught).

::

    SolventError
    └── ExecutorError        an input does not match the program, or the executor is already running
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml import kernels, selftest
from ml.instructions import build_instruction
from ml.kernels import Instruction, Plan, Pool
from ml.placement import ALIGNMENT, Placement, place_compactly, place_openly
from runtime.errors import SolventError
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Job
from runtime.vm.types import TensorType

Array = np.ndarray
Arrays = Mapping[str, Array]
Patch = Callable[[int, Array], None]
"""patch(value number, array): called right after a value is computed (inputs too); may write to the array."""

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i32": np.dtype("<i4"),
    "u32": np.dtype("<u4"),
    "u8": np.dtype("u1"),
}


class ExecutorError(SolventError):
    """An input does not have the type that the program asks for, or two threads use one executor."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step leaves: the next state, the metrics, and (if asked for) a copy of every value by number."""

    state: dict[str, Array]
    metrics: dict[str, Array]
    values: list[Array] | None


class Arena:
    """One block of memory and views of the values in it. Mutable."""

    def __init__(self, checked: CheckedProgram, placement: Placement) -> None:
        block = np.zeros(placement.size + ALIGNMENT, dtype=np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        self.block = block
        self.addresses = [block.ctypes.data + start + offset for offset in placement.offset]
        self.views = [
            _view(block, start + offset, tensor)
            for offset, tensor in zip(placement.offset, checked.values, strict=False)
        ]


def _view(block: Array, start: int, tensor: TensorType) -> Array:
    dtype: np.dtype[Any] = DTYPES[tensor.dtype]
    view: Array = block[start : start + tensor.bytes].view(dtype)
    return view.reshape(tensor.shape)


class Executor:
    """Runs one program. Mutable: it holds buffers and a resident state; use it from one thread at a time."""

    def __init__(self, checked: CheckedProgram, threads: int = 1, instruction_set: str | None = None) -> None:
        self.checked = checked
        self.instruction_set = instruction_set or kernels.default_instruction_set()
        selftest.check_kernels(self.instruction_set)
        self._instructions = [build_instruction(checked, node) for node in range(len(checked.program.nodes))]
        self._pool = Pool(threads)
        self._lock = threading.Lock()
        self._compact: _Run | None = None
        self._open: _Run | None = None

    # -- Resident ---------------------------------------------------------------------------------------------------

    def load(self, state: Arrays) -> None:
        """Copy a start state in; it must hold exactly the tensors that the program reads."""
        with self._exclusive():
            self._resident().load_state(state)

    def advance(self, job: Job, step: int, batch: Arrays, scalars: Sequence[float] | Array) -> dict[str, Array]:
        """Execute the step of global number ``step`` on the resident state; returns copies of the metrics.

        ``batch`` holds the step's samples by field, ``scalars`` one row of the table, in order of ``job.scalar_names``.
        """
        with self._exclusive():
            run = self._resident()
            run.load_step(job, batch, scalars)
            run.execute(step)
            return run.metrics()

    def state(self) -> dict[str, Array]:
        """A copy of the resident state, by name."""
        with self._exclusive():
            return self._resident().state(self._resident().homes)

    # -- Single -----------------------------------------------------------------------------------------------------

    def run_step(
        self,
        state: Arrays,
        job: Job,
        step: int,
        batch: Arrays,
        scalars: Sequence[float] | Array,
        keep_values: bool = False,
        patch: Patch | None = None,
    ) -> StepResult:
        """Execute one step from ``state``. With ``keep_values`` or ``patch`` no buffer is shared between values."""
        with self._exclusive():
            run = self._resident() if patch is None and not keep_values else self._opened()
            run.load_state(state)
            run.load_step(job, batch, scalars)
            run.execute(step, patch)
            values = [view.copy() for view in run.arena.views] if keep_values else None
            homes = run.homes if run is self._compact else run.outputs
            return StepResult(run.state(homes), run.metrics(), values)

    def _resident(self) -> _Run:
        if self._compact is None:
            placement = place_compactly(self.checked, self._instructions)
            self._compact = _Run(self.checked, placement, self._pool, self.instruction_set)
        return self._compact

    def _opened(self) -> _Run:
        if self._open is None:
            placement = place_openly(self.checked, self._instructions)
            self._open = _Run(self.checked, placement, self._pool, self.instruction_set)
        return self._open

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise ExecutorError("this executor is already running in another thread; give each thread its own")
        try:
            yield
        finally:
            self._lock.release()


class _Run:
    """A placed program: arena, plan, and the places of inputs and outputs. Mutable."""

    def __init__(self, checked: CheckedProgram, placement: Placement, pool: Pool, instruction_set: str) -> None:
        self.checked = checked
        self.pool = pool
        self.instruction_set = instruction_set
        self.arena = Arena(checked, placement)
        self.schedule: list[Instruction] = placement.schedule
        self.plan = Plan(placement.schedule, self.arena.addresses)
        inputs = list(enumerate(checked.program.inputs))
        self.batch = {source.name: self.arena.views[value] for value, source in inputs if source.kind == "batch"}
        self.scalars = [(source.name, self.arena.views[value]) for value, source in inputs if source.kind == "scalar"]
        self.keys = [self.arena.views[value] for value, source in inputs if source.kind == "key"]
        self.start = {name: self.arena.views[value] for name, value, _ in checked.start_state}
        self.outputs = {name: self.arena.views[value] for name, value, _ in checked.state}
        self.homes = {**self.start, **{name: self.start.get(name, view) for name, view in self.outputs.items()}}
        self._metrics = {entry.name: self.arena.views[entry.value] for entry in checked.program.metrics}
        Plan(placement.once, self.arena.addresses).run(pool, instruction_set, 0, len(placement.once), 0)

    def load_state(self, state: Arrays) -> None:
        _require_names("state", state, self.start)
        for name, view in self.start.items():
            _copy_in(f"state {name}", view, state[name])

    def load_step(self, job: Job, batch: Arrays, scalars: Sequence[float] | Array) -> None:
        _require_names("batch", batch, self.batch)
        for name, view in self.batch.items():
            _copy_in(f"batch {name}", view, batch[name])
        for name, view in self.scalars:
            if name not in job.scalar_names or len(scalars) != len(job.scalar_names):
                raise ExecutorError(f"step scalar {name!r} is not among {job.scalar_names} with {len(scalars)} given")
            view[...] = scalars[job.scalar_names.index(name)]
        for view in self.keys:
            view[...] = (job.seed & 0xFFFFFFFF, job.seed >> 32)

    def execute(self, step: int, patch: Patch | None = None) -> None:
        if patch is None:
            self.plan.run(self.pool, self.instruction_set, 0, self.plan.length, step)
            return
        for value in range(len(self.checked.program.inputs)):
            patch(value, self.arena.views[value])
        for index, instruction in enumerate(self.schedule):
            self.plan.run(self.pool, self.instruction_set, index, index + 1, step)
            for value in instruction.outputs:
                patch(value, self.arena.views[value])

    def state(self, places: Arrays) -> dict[str, Array]:
        return {name: places[name].copy() for name in sorted(places)}

    def metrics(self) -> dict[str, Array]:
        return {name: view.copy() for name, view in self._metrics.items()}


def _require_names(what: str, given: Arrays, wanted: Arrays) -> None:
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise ExecutorError(f"the program reads {what} {', '.join(missing)}, which is not given")


def _copy_in(what: str, view: Array, array: Array) -> None:
    if array.dtype != view.dtype or array.shape != view.shape:
        raise ExecutorError(
            f"{what} is {array.dtype}{list(array.shape)}, the program reads {view.dtype}{list(view.shape)}"
        )
    np.copyto(view, array)
