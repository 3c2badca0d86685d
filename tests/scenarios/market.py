"""A market in one process: the real workers on a real chain, with blocks made on demand and no sockets.

`DirectChain` offers the workers what ``solvent.Client`` does, over the `TestChain` that replays every block and
checks every pallet's invariants. Workers take turns; when none has anything to do, an empty block passes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.workers.jobs import Work
from ml.workers.journal import Journal
from ml.workers.limits import UNLIKELY_REACHED, Limits
from ml.workers.registration import Offer
from ml.workers.session import Session, Worker
from ml.workers.solver import Solver
from ml.workers.strategies import SolverStrategy
from ml.workers.verifier import Verifier
from ml.workers.whistleblower import Whistleblower
from runtime.block import IMMORTAL, Header, header_hash, sign_extrinsic
from runtime.codec import Record, encode
from runtime.commitments import tensor_root, tensor_tree
from runtime.crypto import public_key
from runtime.pallets import balances, blobs, disputes, system, tasks, workers
from runtime.pallets.disputes import Dispute
from runtime.pallets.tasks import Task, task_id
from runtime.parameters import TOKEN
from runtime.state import Map
from solvent.client import BlobFailed, Outcome
from tests.scenarios.tiny import Tiny, program_bytes
from tests.support.chain import TestChain, account, build_call, seed

SUBMITTER = "//Submitter"
RICH = ("//Solver1", "//Solver2", "//Mallory", "//Verifier1", "//Verifier2", "//Whistle")
HOLDERS = ("//Holder1", "//Holder2", "//Holder3", "//Holder4", "//Holder5", "//Holder6")
BALANCE = 100_000 * TOKEN
BOND = 10_000 * TOKEN
EVER = object()


class DirectChain:
    """The part of ``solvent.Client`` that workers use, in process. Mutable: every submission makes a block."""

    def __init__(self, parameters: dict[str, dict[str, Any]] | None = None) -> None:
        self.chain = TestChain(balances=dict.fromkeys((SUBMITTER, *RICH, *HOLDERS), BALANCE), parameters=parameters)
        self.blobs: dict[bytes, bytes] = {}

    def head(self) -> Header:
        return self.chain.head

    def read(self, descriptor: Any, key: Any = EVER, at: bytes | None = None) -> Any:
        """Only the state after the head is kept here."""
        assert at in (None, header_hash(self.chain.head))
        state = self.chain.state
        return descriptor.get(state) if key is EVER else descriptor.get(state, key)

    def items(self, descriptor: Map[Any, Any]) -> Any:
        return list(descriptor.items(self.chain.state))

    def submit(self, seed32: bytes, pallet: str, args: Record) -> Outcome:
        return self.submit_and_wait(seed32, pallet, args)

    def submit_and_wait(self, seed32: bytes, pallet: str, args: Record, *, anchor: Header | None = None) -> Outcome:
        """``anchor`` makes no difference: there are no forks."""
        nonce = system.nonce(self.chain.state, public_key(seed32))
        genesis = self.chain.genesis_hash
        extrinsic = sign_extrinsic(seed32, build_call(args), nonce, 0, IMMORTAL, genesis, genesis, 1)
        (receipt,) = self.chain.author(encode(extrinsic))
        return Outcome(self.chain.number, b"", 1, receipt.ok, receipt.error, receipt.fee, [])

    def put_blob(self, data: bytes, seed32: bytes) -> bytes:
        root = tensor_root(data)
        self.blobs[root] = data
        return root

    def get_blob(self, root: bytes, max_bytes: int = 2**40) -> bytes:
        if root not in self.blobs or len(self.blobs[root]) > max_bytes:
            raise BlobFailed(404, f"no blob {root.hex()} of at most {max_bytes} bytes")
        return self.blobs[root]


class AtOnce:
    """Runs a worker's jobs in its turns, so that a story is told in the same order every time."""

    heavy = 0

    def run(self, task: bytes, work: Work, heavy: bool = False) -> bool:
        return work()

    def rest(self, seconds: float) -> None:
        """Nothing runs beside the turns."""

    def stop(self) -> None:
        """The same."""


class PersonWhoHolds:
    """What a node does with ``--holder``, over a `DirectChain`. ``lie`` signs for everything and posts nothing;
    ``deaf`` signs and holds, and posts no chunk. Mutable: it keeps what it fetched."""

    def __init__(self, session: Session, strategy: str) -> None:
        self.session, self.strategy = session, strategy
        self.kept: dict[bytes, bytes] = {}

    def turn(self) -> bool:
        chain, account = self.session.chain, self.session.account
        assert isinstance(chain, DirectChain)
        if chain.read(blobs.HOLDERS, account) is None:
            self.session.call("blobs", blobs.RegisterHolder(BOND))
            return True
        for name, placement in chain.items(blobs.PLACEMENTS):
            if blobs.Seat(account, False) in placement.seats:
                items = chain.read(blobs.ITEMS, name)
                self.kept.update((one.root, chain.blobs[one.root]) for one in items if one.root in chain.blobs)
                if self.strategy == "lie" or all(one.root in self.kept for one in items):
                    self.session.call("blobs", blobs.SignReceipt(name))
                    return True
        for key, _ in chain.items(blobs.CHALLENGES):
            if key.holder == account and self.strategy == "honest":
                data = self.kept[chain.read(blobs.ITEMS, key.placement)[key.item].root]
                chunk, path = data[4096 * key.chunk :][:4096], tensor_tree(data).path(key.chunk)
                self.session.call("blobs", blobs.PostChunk(key.placement, key.item, key.chunk, chunk, tuple(path)))
                return True
        return False

    def leave(self) -> None:
        """Nobody is told."""


@dataclass
class Market:
    """A chain and its workers. Mutable."""

    folder: Path
    chain: DirectChain = field(default_factory=DirectChain)
    workers: dict[str, Worker] = field(default_factory=dict)

    def session(self, suri: str, role: str, limits: Limits = UNLIKELY_REACHED) -> Session:
        journal = Journal(role, stream=io.StringIO())
        return Session(self.chain, seed(suri), self.folder / suri.strip("/"), journal, AtOnce(), limits=limits)

    def solver(
        self,
        suri: str,
        strategy: str = "honest",
        price: int = 10,
        step: int | None = None,
        limits: Limits = UNLIKELY_REACHED,
    ) -> Solver:
        """Let a solver join, registered at once."""
        worker = Solver(self.session(suri, "solver", limits), Offer(price, BOND), SolverStrategy(strategy, step))
        return self._join(suri, worker)

    def verifier(self, suri: str, strategy: str = "honest") -> Verifier:
        worker = Verifier(self.session(suri, "verifier"), Offer(10, BOND), strategy)
        worker.demander.grace = 0.0
        return self._join(suri, worker)

    def holder(self, suri: str, strategy: str = "honest") -> PersonWhoHolds:
        """Let a holder join, registered at once."""
        return self._join(suri, PersonWhoHolds(self.session(suri, "holder"), strategy))

    def whistleblower(self, suri: str, extra_segments: int = 1, price: int = 1) -> Whistleblower:
        return self._join(suri, Whistleblower(self.session(suri, "whistleblower"), extra_segments, price))

    def _join(self, suri: str, worker: Any) -> Any:
        self.workers[suri] = worker
        worker.turn()
        return worker

    def leave(self, suri: str) -> None:
        """Let a worker go, its ask paused."""
        self.workers.pop(suri).leave()

    def submit(self, tiny: Tiny) -> bytes:
        """Put a task and its blobs on the market; returns the task id."""
        for blob in (tiny.data_blob, tiny.scalars_blob):
            self.chain.put_blob(blob, seed(SUBMITTER))
        programs = program_bytes(tiny.program), program_bytes(tiny.init_program)
        self.chain.chain.submit(SUBMITTER, tasks.Submit(encode(tiny.spec), *programs))
        if blobs.is_on(self.chain.chain.state):
            self.chain.chain.submit(SUBMITTER, tasks.PlaceData(task_id(tiny.spec), len(tiny.data_blob)))
        return task_id(tiny.spec)

    def task(self, name: bytes) -> Task:
        found = self.chain.read(tasks.TASKS, name)
        assert isinstance(found, Task)
        return found

    def run(self, until: Callable[[], bool], rounds: int = 1500) -> None:
        """Give everybody turns until something is true."""
        for _ in range(rounds):
            if until():
                return
            busy = [worker.turn() for worker in list(self.workers.values())]
            if not any(busy):
                self.chain.chain.skip(1)
        raise AssertionError(f"nothing after {rounds} rounds:\n{self.log()}")

    def run_until(self, name: bytes, *statuses: str) -> Task:
        self.run(lambda: self.task(name).status in statuses)
        return self.task(name)

    def log(self) -> str:
        """Every worker's journal, for a failing test."""
        lines = []
        for suri, worker in self.workers.items():
            stream = worker.session.journal.stream
            assert isinstance(stream, io.StringIO)
            lines.append(f"--- {suri}\n{stream.getvalue()}")
        return "\n".join(lines)

    def payments(self, name: bytes) -> dict[tuple[bytes, str], int]:
        """Sums by (account, role)."""
        sums: dict[tuple[bytes, str], int] = {}
        for payment in self.task(name).payments:
            key = (payment.account, payment.role)
            sums[key] = sums.get(key, 0) + payment.amount
        return sums

    def slashes(self, name: bytes) -> dict[bytes, int]:
        return {slash.account: slash.amount for slash in self.task(name).slashes}

    def dispute(self, number: int = 0) -> Dispute:
        found = self.chain.read(disputes.DISPUTES, number)
        assert isinstance(found, Dispute)
        return found

    def wealth(self, suri: str) -> int:
        """Everything that an account has, held or free."""
        units = balances.account(self.chain.chain.state, account(suri))
        return units.free + units.held

    def bond(self, suri: str, role: str) -> int:
        record = self.chain.read(workers.WORKERS, (account(suri), role))
        return record.bond if record else 0
