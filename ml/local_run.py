"""Running a captured task on one's own machine: the same programs, kernels and data order as a solver's, no chain.

The seed of the initial weights and of the data order are given, so two machines that run the same bundle with the same
seed end in the same state root.
"""

from __future__ import annotations

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
"""Scalar operations that one core of today does in a second, for a first guess of a task's time."""


@dataclass(frozen=True)
class Outline:
    """What a compiled task is made of. Gas is in units, memory in bytes, ``seconds`` a guess for one core."""

    operators: dict[str, int]
    nodes: int
    program_bytes: int
    init_bytes: int
    memory: int
    state: int
    gas_of_step: int
    gas: int
    seconds: float
    samples: int
    batch_size: int
    steps: int


def outline(bundle: Bundle) -> Outline:
    """What a task needs, from its programs alone."""
    record = bundle.record
    train, init = programs(bundle)
    operators: dict[str, int] = {}
    for node in train.program.nodes:
        operators[node.op] = operators.get(node.op, 0) + 1
    instructions = [build_instruction(train, node) for node in range(len(train.program.nodes))]
    return Outline(
        operators=dict(sorted(operators.items(), key=lambda entry: (-entry[1], entry[0]))),
        nodes=len(train.program.nodes),
        program_bytes=len(record.train),
        init_bytes=len(record.init),
        memory=place_compactly(train, instructions).size,
        state=sum(kind.bytes for _, _, kind in train.state),
        gas_of_step=gas_units(train.gas),
        gas=gas_units(train.gas * record.steps) + gas_units(init.gas),
        seconds=step_time(train) * record.steps / OPERATIONS_PER_SECOND,
        samples=record.samples,
        batch_size=record.batch_size,
        steps=record.steps,
    )


def programs(bundle: Bundle) -> tuple[CheckedProgram, CheckedProgram]:
    """(train, init), checked as the chain does."""
    train, init = (check_program(decode_program(data)) for data in (bundle.record.train, bundle.record.init))
    return train, init


OnStep = Callable[[int, Mapping[str, np.ndarray]], None]


def run_locally(bundle: Bundle, seed: int, threads: int, on_step: OnStep, device: str = "cpu") -> tuple[bytes, Tensors]:
    """Initialise and train; returns the root of the last state, and the state."""
    record = bundle.record
    train, init = programs(bundle)
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
    backend = open_backend(device, threads)
    start = Executor(init, backend=backend).run_step({}, job, 0, {}, table[0]).state
    state = run_segment(Executor(train, backend=backend), JobInputs(job, fields, table), start, on_step)
    return compute_state_root(state), state
