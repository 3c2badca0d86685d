"""Everything a worker must have before it can compute a task, fetched once and checked against the spec's roots.

Programs come from the chain, samples and step scalars from the blob store. Downloads are kept in the worker's folder
under their blob root, bounded by what the spec says they hold before the first byte is read; `ml.workers.limits` counts
what they take.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ml.artifacts import ArtifactError, CheckpointStore, Layout, decode_tensors, file_limit, write_atomically
from ml.data import data_tree_of
from ml.devices import open_backend
from ml.executor import Executor
from ml.proof import Blobs, state_layout
from ml.replay import Inputs, StepRunner
from ml.workers.limits import BLOBS, TaskRefused, compute_need, data_layout
from ml.workers.session import Session
from runtime.commitments import tensor_root
from runtime.pallets import tasks
from runtime.pallets.tasks import TaskSpec, segment_job
from runtime.trees import PADDING
from runtime.vm.check import CheckedProgram, check_program, decode_program
from runtime.vm.job import Job


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
    device: str = "cpu"

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
        return self._runner(self.program, 1, self.threads)

    @cached_property
    def initializer(self) -> StepRunner:
        """Runs the init program (segment 0)."""
        return self._runner(self.init_program, 0, 1)

    def runner(self, segment: int) -> StepRunner:
        return self.trainer if segment else self.initializer

    def _runner(self, program: CheckedProgram, segment: int, threads: int) -> StepRunner:
        executor = Executor(program, backend=open_backend(self.device, threads))
        return StepRunner(program, self._job(segment), self.inputs, executor=executor)

    def _job(self, segment: int) -> Job:
        """A job with the task's seed, data and scalars; its start state does not matter to a runner."""
        return segment_job(self.spec, (PADDING[0],) * (segment + 1), segment)


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
    session: Session, task: bytes, spec: TaskSpec, trains: bool = False, is_taken: bool = False
) -> Materials:
    """Programs, samples and scalars of a task, for which room is reserved before anything large is fetched.

    Who ``trains`` keeps checkpoints, too. Raises `TaskRefused` where the task does not fit, unless it ``is_taken``.
    """
    programs = []
    for root in (spec.program, spec.init_program):
        data = session.chain.read(tasks.PROGRAMS, root)
        if not isinstance(data, bytes):
            raise TaskRefused(f"the chain holds no program {root.hex()}")
        programs.append(check_program(decode_program(data)))
    session.room.admit(task, compute_need(spec, programs, state_layout(programs[0]) if trains else None), is_taken)
    inputs = fetch_inputs(session.chain, spec, session.folder / BLOBS)
    threads = max(1, min(session.threads, os.cpu_count() or 1))
    folder = session.folder / task.hex()
    return Materials(task, spec, programs[0], programs[1], inputs, folder, threads, session.device)
