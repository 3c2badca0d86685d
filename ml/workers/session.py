"""One worker's line to the chain: its account, its log, its folder, and calls that outlive a node's restart.

A worker is a loop of short *turns*. Each turn reads the chain, does the next thing that is due and returns; nothing
that matters is kept only in memory. So a lost connection, a restarted node or a ``kill -9`` all mean the same: read
the chain again and go on.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ml.workers.figures import Figures
from ml.workers.jobs import Jobs
from ml.workers.journal import Journal
from ml.workers.limits import UNLIKELY_REACHED, Limits, Room
from runtime.block import Header
from runtime.codec import Record
from runtime.crypto import public_key, to_ss58
from runtime.errors import SolventError
from solvent.client import NodeUnreachable, Outcome

POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
"""Pause after an error that is not the connection's, and first pause after one that is: it doubles from try to try."""
LONGEST_RETRY_SECONDS = 30.0


class CallFailed(SolventError):
    """The chain refused a worker's call; the message carries the chain's reason."""


class Chain(Protocol):
    """What a worker needs from ``solvent.Client``; tests put a chain in its own process behind the same methods."""

    def head(self) -> Header: ...
    def read(self, descriptor: Any, key: Any = ..., at: bytes | None = ...) -> Any: ...
    def items(self, descriptor: Any) -> Any: ...
    def submit(self, seed: bytes, pallet: str, args: Record) -> Any: ...
    def submit_and_wait(self, seed: bytes, pallet: str, args: Record, *, anchor: Header | None = ...) -> Outcome: ...
    def put_blob(self, data: bytes, seed: bytes) -> bytes: ...
    def get_blob(self, root: bytes, max_bytes: int = ...) -> bytes: ...


@dataclass(frozen=True)
class Session:
    """Who a worker is and how it speaks."""

    chain: Chain
    seed: bytes
    folder: Path
    journal: Journal
    jobs: Jobs
    threads: int = 1
    """Of the kernels, in each job."""
    device: str = "cpu"
    stopped: Callable[[], bool] = lambda: False
    limits: Limits = UNLIKELY_REACHED
    figures: Figures = field(default_factory=Figures)

    @cached_property
    def room(self) -> Room:
        """What the tasks of this worker may take of the machine."""
        return Room(self.folder, self.limits)

    @property
    def account(self) -> bytes:
        return public_key(self.seed)

    @property
    def address(self) -> str:
        return to_ss58(self.account)

    def call(self, pallet: str, args: Record, anchor: Header | None = None) -> Outcome:
        """Submit a call, wait until it is in a block, and raise `CallFailed` when the chain refused it.

        With an ``anchor`` it is valid only on top of that block.
        """
        outcome = self.chain.submit_and_wait(self.seed, pallet, args, anchor=anchor)
        self.figures.fees += outcome.fee
        self.figures.calls[f"{pallet}.{type(args).__name__}", outcome.ok] += 1
        if not outcome.ok:
            raise CallFailed(f"{pallet}.{type(args).__name__}: {outcome.error}")
        return outcome


class FolderInUse(SolventError):
    """Another worker of this role and account runs in the same folder."""


@contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Keep a second worker with the same key out of a folder: they would overwrite each other's checkpoints and race
    for nonces. The system gives the claim back when the process ends, however it ends. Raises `FolderInUse`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise FolderInUse(
                f"{folder} is in use by process {holder}, a worker with the same key and role; "
                "stop that one, or give this one a key of its own"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        for half_written in folder.glob("*/.*"):  # by a process that was killed: nobody else writes here
            half_written.unlink()
        yield


class Worker(Protocol):
    """One role: `turn` begins what is due and says whether something was done at once; `leave` says goodbye."""

    session: Session

    def turn(self) -> bool: ...
    def leave(self) -> None: ...


def run(worker: Worker, patience: float | None = None) -> None:
    """Give a worker its turns until it is told to stop.

    A node that is away is told of once, and asked again after longer and longer pauses; only when that takes more than
    ``patience`` seconds is `NodeUnreachable` raised. Every other error of the protocol concerns one task or one call:
    it is logged once, and the worker goes on.
    """
    session, journal = worker.session, worker.session.journal
    lost_at: float | None = None
    pause = RETRY_SECONDS
    complaint = ""
    while not session.stopped():
        try:
            busy = worker.turn()
            complaint = ""
            if lost_at is not None:
                journal.event("node_back", away_seconds=round(time.monotonic() - lost_at, 1))
                lost_at, pause, session.figures.node_is_away = None, RETRY_SECONDS, False
            if not busy:
                session.jobs.rest(POLL_SECONDS)
        except NodeUnreachable as error:
            now = time.monotonic()
            if lost_at is None:
                lost_at, session.figures.node_is_away = now, True
                journal.warn("node_away", error=str(error), advice="asked again until it answers")
            if patience is not None and now - lost_at > patience:
                raise
            _wait(session, pause)
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        except SolventError as error:
            if complaint != str(error):
                complaint = str(error)
                journal.warn("refused", error=f"{type(error).__name__}: {error}")
            _wait(session, RETRY_SECONDS)
    session.jobs.stop()


def _wait(session: Session, seconds: float) -> None:
    """Let time pass, a second at a time, so that a worker that is told to stop does."""
    while seconds > 0 and not session.stopped():
        session.jobs.rest(min(1.0, seconds))
        seconds -= 1.0
