"""Following a task on chain: snapshots for programs, a progress bar for people."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runtime.errors import SolventError
from runtime.pallets import proofs, tasks
from runtime.pallets.proofs import Board
from runtime.pallets.tasks import Task
from runtime.pallets.tasks.storage import LIVE
from solvent.client import Client

POLL_SECONDS = 0.2


class UnknownTask(SolventError):
    """The chain has no such task."""


@dataclass(frozen=True)
class Snapshot:
    """A task as the chain has it: its record, the latest heartbeat, and its audits."""

    task: Task
    step: int
    loss: float | None
    board: Board | None

    @property
    def over(self) -> bool:
        return self.task.status not in LIVE


def take_snapshot(client: Client, name: bytes, at: bytes | None = None) -> Snapshot:
    """Read a task after block ``at``, the best one without. Raises `UnknownTask`."""
    task: Task | None = client.read(tasks.TASKS, name, at)
    if task is None:
        raise UnknownTask(f"the chain has no task {name.hex()}; is this the right node?")
    progress: tasks.Progress | None = client.read(tasks.PROGRESS, name, at)
    board: Board | None = client.read(proofs.AUDITS, name, at)
    if progress is None:
        return Snapshot(task, 0, None, board)
    (loss,) = struct.unpack("<f", struct.pack("<I", progress.loss_bits))
    return Snapshot(task, progress.step, loss, board)


def follow(client: Client, name: bytes, timeout: float | None = None) -> Iterator[Snapshot]:
    """Snapshots whenever something changed, until the task is over or the time is up.

    A task is over when a finalized block says so; what the best block says may be taken back by another fork.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last: Snapshot | None = None
    while deadline is None or time.monotonic() < deadline:
        snapshot = take_snapshot(client, name)
        if snapshot != last and not snapshot.over:
            last = snapshot
            yield snapshot
        if snapshot.over and _is_over(client, name):
            yield take_snapshot(client, name, client.finalized_hash())
            return
        time.sleep(POLL_SECONDS)


def _is_over(client: Client, name: bytes) -> bool:
    """Whether a finalized block ends the task; one that submitted it may not be final yet either."""
    task: Task | None = client.read(tasks.TASKS, name, client.finalized_hash())
    return task is not None and task.status not in LIVE


def describe(snapshot: Snapshot) -> str:
    """What is going on, in a few words."""
    status = snapshot.task.status
    if status in ("proved", "auditing") and snapshot.board is not None:
        live = [audit for audit in snapshot.board.audits if audit.status != "replaced"]
        verdicts = ", ".join(f"audit {audit.status}" for audit in live)
        if snapshot.board.phase == "window":
            return f"challenge window ({verdicts})"
        return verdicts or "drawing verifiers"
    if status == "pooled":
        return "waiting for a solver" if not snapshot.task.attempt else "waiting for another solver"
    return status


class TaskBar:
    """A progress bar for one task. Mutable; a context manager."""

    def __init__(self, console: Console, label: str, steps: int) -> None:
        columns = (
            TextColumn("{task.fields[label]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("[dim]{task.description}"),
            TextColumn("[dim]{task.fields[seconds]}"),
        )
        self.progress = Progress(*columns, console=console)
        self.bar = self.progress.add_task("", total=steps, label=label, loss="", seconds="")
        self.began = time.monotonic()

    def __enter__(self) -> TaskBar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, snapshot: Snapshot, note: str = "") -> None:
        """Draw a snapshot, described by ``note`` or in a few words.

        Past training the bar is full, since heartbeats are not sent to the very end.
        """
        training = snapshot.task.status in ("pooled", "assigned", "training")
        step = snapshot.step if training else snapshot.task.spec.steps
        seconds = f"{time.monotonic() - self.began:.0f} s"
        loss = "" if snapshot.loss is None else f"loss {snapshot.loss:.4f}"
        self.progress.update(
            self.bar, completed=step, loss=loss, description=note or describe(snapshot), seconds=seconds
        )
