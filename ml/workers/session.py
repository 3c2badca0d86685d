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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ml.workers.journal import Journal
from runtime.block import Header
from runtime.codec import Record
from runtime.crypto import public_key, to_ss58
from runtime.errors import SolventError
from solvent.client import NodeUnreachable, Outcome

POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
"""Pause after an error that is not the connection's."""
PATIENCE_SECONDS = 120.0
"""How long a node may stay away before a worker gives up."""


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
    threads: int = 1
    stopped: Callable[[], bool] = lambda: False

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
        yield


class Worker(Protocol):
    """One role: `turn` does at most one thing that is due and says whether there was one; `leave` says goodbye."""

    session: Session

    def turn(self) -> bool: ...
    def leave(self) -> None: ...


def run(worker: Worker, patience: float = PATIENCE_SECONDS) -> None:
    """Give a worker its turns until it is told to stop. Raises `NodeUnreachable` when the node stays away too long.

    Every other error of the protocol concerns one task or one call: it is logged once, and the worker goes on.
    """
    session, journal = worker.session, worker.session.journal
    lost_at: float | None = None
    complaint = ""
    while not session.stopped():
        busy = False
        try:
            busy = worker.turn()
            complaint = ""
            if lost_at is not None:
                journal.event("node_back", away_seconds=round(time.monotonic() - lost_at, 1))
                lost_at = None
        except NodeUnreachable as error:
            now = time.monotonic()
            if lost_at is None:
                lost_at = now
                journal.event("node_away", error=str(error), patience_seconds=patience)
            if now - lost_at > patience:
                raise
        except SolventError as error:
            if complaint != str(error):
                complaint = str(error)
                journal.event("refused", error=f"{type(error).__name__}: {error}")
            time.sleep(RETRY_SECONDS)
        if not busy:
            time.sleep(POLL_SECONDS)
