"""Running a captured task on one's own machine: the same programs, kernels and data order as a solver's, no chain.

The seed of the initial weights and of the data order are given, so two machines that run the same bundle with the same
seed end in the same state root.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ml.artifacts import Tensors, compute_state_root, decode_tensors
from ml.bundle import Bundle
from ml.devices import open_backend
from ml.executor import Executor
from ml.instructions import build_instruction
from ml.job import JobInputs, compute_scalars_root, run_segment
from ml.placement import place_compactly
from runtime.commitments import EMPTY_STATE_ROOT
from runtime.trees import hash_tagged
from runtime.vm.check import CheckedProgram, check_program, decode_program
from runtime.vm.gas import gas_units, step_time
from runtime.vm.job import DataSource, Job

OPERATIONS_PER_SECOND = 1e10
"""Scalar operations that one core of today does in a second: to tell whether a step is short enough to be timed."""
LONGEST_STEP = 20.0
"""Seconds by that rate above which a step is not timed but only guessed."""
TIMED_SECONDS, TIMED_STEPS = 0.5, 4
"""How long, and how many steps at least, a program is timed."""


@dataclass(frozen=True)
class Outline:
    """What a compiled task is made of. Gas is in units, memory in bytes, ``seconds`` are of one core of this machine:
    from steps that were timed, or a guess from gas alone where ``timed`` is false."""

    operators: dict[str, int]
    nodes: int
    program_bytes: int
    init_bytes: int
    memory: int
    state: int
    gas_of_step: int
    gas: int
    seconds: float
    timed: bool
    samples: int
    batch_size: int
    steps: int


def outline(bundle: Bundle) -> Outline:
    """What a task needs. A few steps are run to tell how long it takes."""
    record = bundle.record
    train, init = programs(bundle)
    operators: dict[str, int] = {}
    for node in train.program.nodes:
        operators[node.op] = operators.get(node.op, 0) + 1
    instructions = [build_instruction(train, node) for node in range(len(train.program.nodes))]
    timed = step_time(train) / OPERATIONS_PER_SECOND < LONGEST_STEP
    step = time_step(bundle, train, init) if timed else step_time(train) / OPERATIONS_PER_SECOND
    return Outline(
        operators=dict(sorted(operators.items(), key=lambda entry: (-entry[1], entry[0]))),
        nodes=len(train.program.nodes),
        program_bytes=len(record.train),
        init_bytes=len(record.init),
        memory=place_compactly(train, instructions).size,
        state=sum(kind.bytes for _, _, kind in train.state),
        gas_of_step=gas_units(train.gas),
        gas=gas_units(train.gas * record.steps) + gas_units(init.gas),
        seconds=step * record.steps,
        timed=timed,
        samples=record.samples,
        batch_size=record.batch_size,
        steps=record.steps,
    )


def programs(bundle: Bundle) -> tuple[CheckedProgram, CheckedProgram]:
    """(train, init), checked as the chain does."""
    train, init = (check_program(decode_program(data)) for data in (bundle.record.train, bundle.record.init))
    return train, init


OnStep = Callable[[int, Mapping[str, np.ndarray]], None]


def time_step(bundle: Bundle, train: CheckedProgram, init: CheckedProgram) -> float:
    """Seconds of processor time that a step takes one core here. The first step, which warms caches, does not count."""
    job, inputs = local_job(bundle, train, 0)
    backend = open_backend("cpu", 1)
    executor = Executor(train, backend=backend)
    executor.load(Executor(init, backend=backend).run_step({}, job, 0, {}, inputs.scalars(0)).state)
    taken: list[float] = []
    while len(taken) <= TIMED_STEPS or sum(taken) < TIMED_SECONDS:
        began = time.process_time()
        step = len(taken) % job.steps
        executor.advance(job, step, inputs.batch(step), inputs.scalars(step))
        taken.append(time.process_time() - began)
    return sum(taken[1:]) / len(taken[1:])


def local_job(bundle: Bundle, train: CheckedProgram, seed: int) -> tuple[Job, JobInputs]:
    """All steps of a task as one job, and what they read; weights and order follow from the seed."""
    record = bundle.record
    layout = {field.name: (field.dtype, (record.samples, *field.shape)) for field in record.fields}
    fields = decode_tensors(bundle.data, layout)
    table = np.frombuffer(bundle.scalars, "<f4").reshape(record.steps, len(record.scalar_names))
    order = hash_tagged(b"solvent:local", seed.to_bytes(8, "little"))
    source = DataSource(record.data_root, record.samples, record.fields, order, record.batch_size)
    job = Job(
        program=train.root,
        start=EMPTY_STATE_ROOT,
        first_step=0,
        steps=record.steps,
        seed=seed,
        data=source,
        scalar_names=record.scalar_names,
        scalars_root=compute_scalars_root(table),
        scalar_rows=record.steps,
    )
    return job, JobInputs(job, fields, table)


def run_locally(bundle: Bundle, seed: int, threads: int, on_step: OnStep, device: str = "cpu") -> tuple[bytes, Tensors]:
    """Initialise and train; returns the root of the last state, and the state."""
    train, init = programs(bundle)
    job, inputs = local_job(bundle, train, seed)
    backend = open_backend(device, threads)
    start = Executor(init, backend=backend).run_step({}, job, 0, {}, inputs.scalars(0)).state
    state = run_segment(Executor(train, backend=backend), inputs, start, on_step)
    return compute_state_root(state), state
