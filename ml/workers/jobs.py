"""The work that a worker does beside its turns: training, replaying, fetching, answering disputes.

A turn of a worker only looks at the chain; what takes long becomes the *job* of a task, on a thread of its own, at most
one for each task. *Heavy* jobs compute for minutes or hours, and no more of them run at once than the worker's limit;
the others, first of all moves in disputes, whose clocks run, never wait for a place. The kernels release Python's
interpreter lock while they compute, so that several jobs really use several cores.

A job that fails is told of once, and tried again after a pause that doubles. Nothing but the disk and the chain
remembers what a job did, so it may be killed anywhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ml.workers.journal import Journal
from runtime.errors import SolventError
from solvent.client import NodeUnreachable

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a failed job is tried again."""
JOIN_SECONDS = 10.0
"""How long jobs may take to stop when the worker does: they look at that between two steps."""

Work = Callable[[], bool]
"""Does the next thing that is due for a task; whether there was one."""


class Jobs(Protocol):
    """Runs the jobs of a worker; tests run them at once, in the turn itself."""

    @property
    def heavy(self) -> int:
        """How many heavy jobs run now."""

    def run(self, task: bytes, work: Work, heavy: bool = False) -> bool:
        """Begin a job, unless the task has one or there is no place. Whether something was done already."""

    def rest(self, seconds: float) -> None:
        """Let time pass, but no longer than until a job has done something."""

    def stop(self) -> None:
        """Wait a moment for jobs that are about to stop."""


@dataclass(frozen=True)
class _Failure:
    message: str
    pause: float
    until: float


class ThreadedJobs:
    """Jobs on threads. Mutable. ``limit`` is how many heavy ones run at once."""

    def __init__(self, limit: int, journal: Journal) -> None:
        self.limit, self._journal = limit, journal
        self._running: dict[bytes, tuple[threading.Thread, bool]] = {}
        self._failures: dict[bytes, _Failure] = {}
        self._crash: BaseException | None = None
        self._news = threading.Event()

    @property
    def heavy(self) -> int:
        """See `Jobs`."""
        return sum(heavy for _, heavy in list(self._running.values()))

    def run(self, task: bytes, work: Work, heavy: bool = False) -> bool:
        """See `Jobs`. Raises what ended an earlier job if it was a fault of the program itself."""
        if self._crash is not None:
            raise self._crash
        failure = self._failures.get(task)
        if task in self._running or (failure is not None and time.monotonic() < failure.until):
            return False
        if heavy and self.heavy >= self.limit:
            return False
        thread = threading.Thread(target=self._do, args=(task, work), name=f"task {task.hex()[:8]}", daemon=True)
        self._running[task] = thread, heavy
        thread.start()
        return False

    def rest(self, seconds: float) -> None:
        """See `Jobs`."""
        self._news.wait(seconds)
        self._news.clear()

    def stop(self) -> None:
        """See `Jobs`. A replay does not stop in the middle; it ends with the process."""
        deadline = time.monotonic() + JOIN_SECONDS
        for thread, _ in list(self._running.values()):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _do(self, task: bytes, work: Work) -> None:
        done = False
        try:
            done = work()
            self._failures.pop(task, None)
        except NodeUnreachable:
            done = False  # the turns notice it, too, and say so
        except (SolventError, OSError, MemoryError) as error:
            self._note(task, f"{type(error).__name__}: {error}")
        except BaseException as error:
            self._crash = error
            done = True
        finally:
            del self._running[task]
        if done:
            self._news.set()

    def _note(self, task: bytes, message: str) -> None:
        before = self._failures.get(task)
        pause = min(2 * before.pause, LONGEST_PAUSE) if before else FIRST_PAUSE
        self._failures[task] = _Failure(message, pause, time.monotonic() + pause)
        if before is None or before.message != message:
            self._journal.warn("refused", task=task.hex(), error=message)
