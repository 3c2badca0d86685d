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

import numpy as np

from ml import selftest
from ml.backend import DTYPES, Array, Backend
from ml.devices import open_backend
from ml.instructions import build_instruction
from ml.placement import Placement, place_compactly, place_openly
from runtime.errors import SolventError
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Job

Arrays = Mapping[str, Array]
Patch = Callable[[int, Array], None]
"""patch(value number, array): called right after a value is computed (inputs too); may write to the array."""


class ExecutorError(SolventError):
    """An input does not have the type that the program asks for, or two threads use one executor."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step leaves: the next state, the metrics, and (if asked for) a copy of every value by number."""

    state: dict[str, Array]
    metrics: dict[str, Array]
    values: list[Array] | None


class Executor:
    """Runs one program. Mutable: it holds buffers and a resident state; use it from one thread at a time."""

    def __init__(self, checked: CheckedProgram, threads: int = 1, backend: Backend | None = None) -> None:
        self.checked = checked
        self.backend = backend or open_backend(threads=threads)
        selftest.check(self.backend)
        self._instructions = [build_instruction(checked, node) for node in range(len(checked.program.nodes))]
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
            values = [run.machine.read(value) for value in range(len(self.checked.values))] if keep_values else None
            homes = run.homes if run is self._compact else run.outputs
            return StepResult(run.state(homes), run.metrics(), values)

    def _resident(self) -> _Run:
        if self._compact is None:
            placement = place_compactly(self.checked, self._instructions)
            self._compact = _Run(self.checked, placement, self.backend)
        return self._compact

    def _opened(self) -> _Run:
        if self._open is None:
            placement = place_openly(self.checked, self._instructions)
            self._open = _Run(self.checked, placement, self.backend)
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
    """A placed program: its machine, and the value numbers of inputs and outputs by name. Mutable."""

    def __init__(self, checked: CheckedProgram, placement: Placement, backend: Backend) -> None:
        self.checked = checked
        self.placement = placement
        self.machine = backend.open(placement, checked.values)
        inputs = list(enumerate(checked.program.inputs))
        self.batch = {source.name: value for value, source in inputs if source.kind == "batch"}
        self.scalars = {source.name: value for value, source in inputs if source.kind == "scalar"}
        self.keys = [value for value, source in inputs if source.kind == "key"]
        self.start = {name: value for name, value, _ in checked.start_state}
        self.outputs = {name: value for name, value, _ in checked.state}
        self.homes = {**self.start, **{name: self.start.get(name, value) for name, value in self.outputs.items()}}

    def load_state(self, state: Arrays) -> None:
        _require_names("state", state, self.start)
        for name, value in self.start.items():
            self._copy_in(f"state {name}", value, state[name])

    def load_step(self, job: Job, batch: Arrays, scalars: Sequence[float] | Array) -> None:
        _require_names("batch", batch, self.batch)
        for name, value in self.batch.items():
            self._copy_in(f"batch {name}", value, batch[name])
        for name, value in self.scalars.items():
            if name not in job.scalar_names or len(scalars) != len(job.scalar_names):
                raise ExecutorError(f"step scalar {name!r} is not among {job.scalar_names} with {len(scalars)} given")
            self.machine.write(value, np.array(scalars[job.scalar_names.index(name)], DTYPES["f32"]))
        for value in self.keys:
            self.machine.write(value, np.array((job.seed & 0xFFFFFFFF, job.seed >> 32), DTYPES["u32"]))

    def execute(self, step: int, patch: Patch | None = None) -> None:
        if patch is None:
            self.machine.run(0, len(self.placement.schedule), step)
            return
        for value in range(len(self.checked.program.inputs)):
            self._patch(patch, value)
        for index, instruction in enumerate(self.placement.schedule):
            self.machine.run(index, index + 1, step)
            for value in instruction.outputs:
                self._patch(patch, value)

    def state(self, places: Mapping[str, int]) -> dict[str, Array]:
        return {name: self.machine.read(places[name]) for name in sorted(places)}

    def metrics(self) -> dict[str, Array]:
        return {entry.name: self.machine.read(entry.value) for entry in self.checked.program.metrics}

    def _patch(self, patch: Patch, value: int) -> None:
        array = self.machine.read(value)
        patch(value, array)
        self.machine.write(value, array)

    def _copy_in(self, what: str, value: int, array: Array) -> None:
        kind = self.checked.values[value]
        dtype = DTYPES[kind.dtype]
        if array.dtype != dtype or array.shape != kind.shape:
            raise ExecutorError(
                f"{what} is {array.dtype}{list(array.shape)}, the program reads {dtype}{list(kind.shape)}"
            )
        self.machine.write(value, array)


def _require_names(what: str, given: Arrays, wanted: Mapping[str, int]) -> None:
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise ExecutorError(f"the program reads {what} {', '.join(missing)}, which is not given")
