"""What a worker may take of its machine: memory and disk, counted before a task is taken.

What a task *needs* follows from its spec and programs alone, before a byte of it is fetched. A worker holds a
reservation for every task from the moment it takes it until the task is over, so that the sum of what its tasks may
need never passes the limits. Where the disk is full of what tasks left that are over, the oldest of that goes first.
"""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ml.artifacts import Layout, file_limit
from ml.proof import state_layout
from runtime.errors import SolventError
from runtime.pallets.tasks import TaskSpec, segment_count
from runtime.vm.check import CheckedProgram

GIB = 1024**3
PROGRAM_BYTES = GIB
"""What the worker itself may take besides its tasks: Python, NumPy, the stacks of its threads."""
STEP_COPIES = 3
"""Times that a step's values may be in memory: for training, and twice for the trace of a step in a dispute."""
BLOBS = "blobs"
"""The folder of downloads, beside one folder for each task."""


class TaskRefused(SolventError):
    """The task's materials are not what its spec promises, or it does not fit this worker."""


@dataclass(frozen=True)
class Limits:
    """Bytes that all tasks of a worker may take together."""

    memory: int
    disk: int


UNLIKELY_REACHED = Limits(memory=64 * GIB, disk=1024 * GIB)


@dataclass(frozen=True)
class Need:
    """The most that one task takes, in bytes, and the blobs of it that are kept on disk."""

    memory: int
    disk: int
    blobs: tuple[bytes, ...] = ()


def data_layout(spec: TaskSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What the data blob must hold: one array [samples, *field shape] for each field."""
    count = spec.data.sample_count
    return {one.name: (one.dtype, (count, *one.shape)) for one in spec.data.fields}


def compute_need(spec: TaskSpec, programs: Collection[CheckedProgram], layout: Layout | None = None) -> Need:
    """What a task takes at most. Samples are in memory twice while they are read; with the ``layout`` of the state its
    checkpoints, one more than there are segments of training, are counted on the disk."""
    data, table = file_limit(data_layout(spec)), 4 * spec.scalar_rows * len(spec.scalar_names)
    step = max(sum(value.bytes for value in checked.values) for checked in programs)
    state = max(file_limit(state_layout(checked)) for checked in programs)
    checkpoints = segment_count(spec) * file_limit(layout) if layout else 0
    memory = 2 * (data + table + state) + STEP_COPIES * step
    return Need(memory, data + table + checkpoints, (spec.data_blob, spec.scalars_blob))


@dataclass
class Room:
    """The reservations of one worker, and its folder on the disk. Mutable; any thread may use it."""

    folder: Path
    limits: Limits
    held: set[bytes] = field(default_factory=set)
    """Tasks whose files must stay, whether or not anything is reserved for them."""
    _needs: dict[bytes, Need] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def hold(self, tasks: Collection[bytes]) -> None:
        """Keep what these tasks have; let go of the reservations of all others."""
        with self._lock:
            self.held = set(tasks)
            self._needs = {task: need for task, need in self._needs.items() if task in self.held}

    def admit(self, task: bytes, need: Need, is_taken: bool = False) -> None:
        """Reserve what a task needs, making room on the disk where that takes it. Raises `TaskRefused`.

        A task that ``is_taken`` already is admitted at any rate: to drop it would cost the worker its bond.
        """
        with self._lock:
            if task in self._needs:
                return
            if not is_taken:
                taken = self.reserved_memory()
                if taken + need.memory > self.limits.memory:
                    raise TaskRefused(_refusal("memory", need.memory, taken, self.limits.memory, len(self._needs)))
                self._make_room(need)
            self._needs[task] = need
            self.held.add(task)

    def reserved_memory(self) -> int:
        """Bytes of memory that the tasks at hand may take."""
        with self._lock:
            return sum(need.memory for need in self._needs.values())

    def used_disk(self) -> int:
        """Bytes of files that are there."""
        return sum(_size(path) for path in self._entries())

    def _entries(self) -> Iterator[Path]:
        """Every download and every task's folder."""
        for path in self.folder.iterdir() if self.folder.exists() else ():
            if path.name == BLOBS:
                yield from path.iterdir()
            elif len(path.name) == 64:
                yield path

    def _make_room(self, need: Need) -> None:
        """Delete what is left of tasks that are over, the oldest first, until the reservations fit."""
        reserved = sum(one.disk for one in self._needs.values())
        kept = {root.hex() for one in (need, *self._needs.values()) for root in one.blobs}
        unreserved = {task.hex() for task in self.held if task not in self._needs}
        counted = {task.hex() for task in self._needs}
        idle: list[tuple[float, Path, int]] = []
        for path in self._entries():
            if path.name in unreserved:
                reserved += _size(path)
            elif path.name not in counted and path.name not in kept:
                idle.append((path.stat().st_mtime, path, _size(path)))
        if reserved + need.disk > self.limits.disk:
            raise TaskRefused(_refusal("disk", need.disk, reserved, self.limits.disk, len(self.held)))
        excess = reserved + need.disk + sum(size for _, _, size in idle) - self.limits.disk
        for _, path, size in sorted(idle):
            if excess <= 0:
                return
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            excess -= size


def _size(path: Path) -> int:
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(one.stat().st_size for one in path.iterdir())
    except FileNotFoundError:
        return 0  # a temporary file that got its name meanwhile


def _refusal(what: str, wanted: int, taken: int, limit: int, tasks: int) -> str:
    others = f", of which {tasks} other task{'s' if tasks != 1 else ''} may take {_mib(taken)}" if taken else ""
    return f"it may need {_mib(wanted)} of {what}; the limit is {_mib(limit)} (--max-{what}){others}"


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def hold_memory(limit: int) -> None:
    """Have the system refuse this process more than the limit and `PROGRAM_BYTES`: a task that needs more than it was
    counted with fails with ``MemoryError``, instead of making the machine swap or stop others."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = limit + PROGRAM_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
