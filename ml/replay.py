"""Replay: running a job's steps again, exactly, from a start state.

Solvers train and verifiers replay through the same `StepRunner`, so there is one way a step is computed off chain. A
job is always given with its `Inputs`, which were checked against the spec's roots before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ml.artifacts import Tensors, compute_state_root
from ml.executor import Executor, Patch, StepResult
from ml.job import JobInputs
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Claim, Job

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """What a task's steps read besides the state: each field as [samples, ...], and the f32 table [rows, columns]."""

    fields: Mapping[str, np.ndarray]
    scalars: np.ndarray


class StepRunner:
    """Computes the steps of one program of a task with the exact kernels. Mutable: a state is resident in it.

    Only what a task fixes for all its segments is used of ``job``: seed, data order and scalars. Steps are global.
    """

    def __init__(
        self, checked: CheckedProgram, job: Job, inputs: Inputs, threads: int = 1, executor: Executor | None = None
    ) -> None:
        self.checked = checked
        self.job = job
        self.inputs = inputs
        self.executor = executor or Executor(checked, threads)
        self._job_inputs = JobInputs(job, inputs.fields, inputs.scalars)

    def load(self, state: State) -> None:
        """Make a state the resident one."""
        self.executor.load(state)

    def advance(self, number: int) -> dict[str, np.ndarray]:
        """Run step ``number`` on the resident state; returns the step's metrics."""
        given = self._job_inputs
        return self.executor.advance(self.job, number, given.batch(number), given.scalars(number))

    def state(self) -> Tensors:
        """A copy of the resident state."""
        return self.executor.state()

    def step(self, state: State, number: int) -> StepResult:
        """Run step ``number`` on another state than the resident one, and keep every value of the step."""
        return self.run_step(state, number, None)

    def run_step(self, state: State, number: int, patch: Patch | None) -> StepResult:
        """As `step`, with a hook that may change values as they are computed."""
        given = self._job_inputs
        return self.executor.run_step(
            state, self.job, number, given.batch(number), given.scalars(number), keep_values=True, patch=patch
        )


def replay(runner: StepRunner, job: Job, start: State) -> Tensors:
    """The state in which a job ends."""
    runner.load(start)
    for number in range(job.first_step, job.first_step + job.steps):
        runner.advance(number)
    return runner.state()


def replay_roots(runner: StepRunner, job: Job, start: State, steps: Collection[int]) -> tuple[bytes, list[bytes]]:
    """The root of the state in which a job ends, and the roots after some of its steps on the way (from 1 on)."""
    runner.load(start)
    found = []
    for step in range(1, job.steps + 1):
        runner.advance(job.first_step + step - 1)
        if step in steps:
            found.append(compute_state_root(runner.state()))
    return compute_state_root(runner.state()), found


def replay_claim(runner: StepRunner, claim: Claim, start: State) -> tuple[bool, bytes]:
    """Whether a claim holds, and the root of the state that its job really ends in."""
    found = compute_state_root(replay(runner, claim.job, start))
    return found == claim.end, found
