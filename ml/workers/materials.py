"""Everything a worker must have before it can compute a task, fetched once and checked against the spec's roots.

Programs come from the chain, samples and step scalars from the blob store. Downloads are kept in the worker's folder
under their blob root, bounded by what the spec says they hold before the first byte is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ml.artifacts import ArtifactError, CheckpointStore, Layout, decode_tensors, file_limit, write_atomically
from ml.data import data_tree_of
from ml.proof import Blobs, state_layout
from ml.replay import Inputs, StepRunner
from runtime.commitments import tensor_root
from runtime.errors import SolventError
from runtime.pallets import tasks
from runtime.pallets.tasks import TaskSpec, segment_job
from runtime.trees import PADDING
from runtime.vm.check import CheckedProgram, check_program, decode_program
from runtime.vm.job import Job

MAX_DATA_BYTES = 8 * 1024**3
"""Larger data sets are refused: they would fill the worker's disk."""


MAX_STEP_BYTES = 8 * 1024**3
"""Programs whose values take more memory are refused before the task is accepted."""


class TaskRefused(SolventError):
    """The task's materials are not what its spec promises, or are too large for this worker."""


@dataclass(frozen=True)
class Materials:
    """One task, ready to be computed. ``folder`` is where its checkpoints go."""

    task: bytes
    spec: TaskSpec
    program: CheckedProgram
    init_program: CheckedProgram
    inputs: Inputs
    folder: Path
    threads: int = 1

    @property
    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Names, dtypes and shapes of the training state."""
        return state_layout(self.program)

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.folder, self.layout)

    @cached_property
    def trainer(self) -> StepRunner:
        """Runs training steps (segments from 1 on)."""
        return StepRunner(self.program, self._job(1), self.inputs, self.threads)

    @cached_property
    def initializer(self) -> StepRunner:
        """Runs the init program (segment 0)."""
        return StepRunner(self.init_program, self._job(0), self.inputs, 1)

    def runner(self, segment: int) -> StepRunner:
        return self.trainer if segment else self.initializer

    def _job(self, segment: int) -> Job:
        """A job with the task's seed, data and scalars; its start state does not matter to a runner."""
        return segment_job(self.spec, (PADDING[0],) * (segment + 1), segment)


def data_layout(spec: TaskSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What the data blob must hold: one array [samples, *field shape] for each field."""
    count = spec.data.sample_count
    return {field.name: (field.dtype, (count, *field.shape)) for field in spec.data.fields}


def fetch_cached(blobs: Blobs, root: bytes, limit: int, cache: Path) -> bytes:
    """A blob from the cache folder or the node, checked against its root."""
    path = cache / root.hex()
    if path.exists() and path.stat().st_size <= limit:
        data = path.read_bytes()
        if tensor_root(data) == root:
            return data
    data = blobs.get_blob(root, max_bytes=limit)
    if tensor_root(data) != root:
        raise ArtifactError(f"the node sent other bytes than blob {root.hex()}")
    write_atomically(path, data)
    return data


def fetch_inputs(blobs: Blobs, spec: TaskSpec, cache: Path) -> Inputs:
    """The task's samples and step scalars, checked against the roots in its spec. Raises `ArtifactError`."""
    layout: Layout = data_layout(spec)
    if file_limit(layout) > MAX_DATA_BYTES:
        raise TaskRefused(f"the data take {file_limit(layout)} bytes; this worker takes at most {MAX_DATA_BYTES}")
    fields = decode_tensors(fetch_cached(blobs, spec.data_blob, file_limit(layout), cache), layout)
    if data_tree_of(fields, spec.data.fields).root != spec.data.root:
        raise ArtifactError(f"the data blob does not hold the samples of root {spec.data.root.hex()}")
    size = 4 * spec.scalar_rows * len(spec.scalar_names)
    table = fetch_cached(blobs, spec.scalars_blob, size, cache) if size else b""
    if len(table) != size or tensor_root(table) != spec.scalars_root:
        raise ArtifactError(f"the scalars blob does not hold the table of root {spec.scalars_root.hex()}")
    scalars = np.frombuffer(table, "<f4").reshape(spec.scalar_rows, len(spec.scalar_names))
    return Inputs(fields, scalars)


def fetch_materials(
    blobs: Blobs, read: Callable[..., object], task: bytes, spec: TaskSpec, folder: Path, threads: int = 1
) -> Materials:
    """Programs, samples and scalars of a task. ``read`` is the chain's (descriptor, key) reader."""
    programs = []
    for root in (spec.program, spec.init_program):
        data = read(tasks.PROGRAMS, root)
        if not isinstance(data, bytes):
            raise TaskRefused(f"the chain holds no program {root.hex()}")
        checked = check_program(decode_program(data))
        size = sum(value.bytes for value in checked.values)
        if size > MAX_STEP_BYTES:
            raise TaskRefused(f"a step holds {size} bytes of values; this worker takes at most {MAX_STEP_BYTES}")
        programs.append(checked)
    inputs = fetch_inputs(blobs, spec, folder / "blobs")
    threads = max(1, min(threads, os.cpu_count() or 1))
    return Materials(task, spec, programs[0], programs[1], inputs, folder / task.hex(), threads)
