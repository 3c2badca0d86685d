"""The solver: accepts tasks, trains them, registers the proof, and defends it until it is paid.

``assigned -> accept -> train, with checkpoints on disk -> upload -> register -> defend``. Each turn looks at the chain
and does what is due, so it does not matter where an earlier run of the same worker ended.
"""

from __future__ import annotations

import time

import numpy as np

from ml.dispute import Defender
from ml.proof import upload_manifest, upload_proof
from ml.trace import ExecutorTracer
from ml.workers.disputing import play_disputes
from ml.workers.materials import Materials, fetch_materials
from ml.workers.registration import Offer, ensure_registered, pause
from ml.workers.session import CallFailed, Session
from ml.workers.strategies import SolverStrategy
from ml.workers.training import Trainer
from runtime.errors import SolventError
from runtime.pallets import proofs, tasks, workers
from runtime.pallets.disputes import Dispute
from runtime.pallets.proofs import Proof
from runtime.pallets.tasks import Task, segment_job
from runtime.pallets.tasks.storage import ASSIGNED, DISPUTED, TRAINING
from solvent.client import ClientError

ROLE = workers.SOLVER
GLANCE_SECONDS = 2.0
"""How often a solver in training looks for disputes about its other tasks."""


class Solver:
    """One solver. Mutable: it keeps the materials of its tasks, and its players, which can all be rebuilt."""

    def __init__(self, session: Session, offer: Offer, strategy: SolverStrategy | None = None) -> None:
        self.session = session
        self.offer = offer
        self.strategy = strategy or SolverStrategy()
        self._materials: dict[bytes, Materials] = {}
        self._players: dict[tuple[bytes, int, int], Defender] = {}
        self._glanced = time.monotonic()

    def turn(self) -> bool:
        """Do the next thing that is due for one of this worker's tasks: a dispute first, since its clock runs."""
        record = ensure_registered(self.session, ROLE, self.offer)
        self._forget(record.jobs)
        if self._defend_all(record.jobs):
            return True
        for name in record.jobs:
            task: Task | None = self.session.chain.read(tasks.TASKS, name)
            if task is None or task.solver != self.session.account:
                continue
            if task.status == ASSIGNED:
                return self._accept(name, task)
            if task.status == TRAINING:
                return self._train(name, task)
        return False

    def _defend_all(self, jobs: tuple[bytes, ...]) -> bool:
        """Make the moves that are due in disputes about any of these tasks."""
        moved = False
        for name in jobs if self.strategy.defends else ():
            task: Task | None = self.session.chain.read(tasks.TASKS, name)
            if task is not None and task.solver == self.session.account and task.status == DISPUTED:
                moved = self._defend(name, task) or moved
        return moved

    def _glance(self) -> None:
        """Answer disputes about other tasks while one trains, which may take longer than their clocks last."""
        if time.monotonic() - self._glanced < GLANCE_SECONDS:
            return
        try:
            record = self.session.chain.read(workers.WORKERS, (self.session.account, ROLE))
            self._defend_all(record.jobs if record else ())
        except SolventError as error:
            self.session.journal.event("defence_failed", error=str(error))
        self._glanced = time.monotonic()

    def leave(self) -> None:
        """Take no new tasks; those at hand go on when the worker comes back."""
        pause(self.session, ROLE)

    def materials(self, name: bytes, task: Task) -> Materials:
        """The task's programs and data, fetched once."""
        if name not in self._materials:
            session = self.session
            found = fetch_materials(session.chain, session.chain.read, name, task.spec, session.folder, session.threads)
            self._materials[name] = found
        return self._materials[name]

    def _accept(self, name: bytes, task: Task) -> bool:
        materials = self.materials(name, task)
        self.session.call("tasks", tasks.Accept(name))
        samples = materials.spec.data.sample_count
        self.session.journal.event("accepted", task=name.hex(), steps=task.spec.steps, samples=samples)
        return True

    def _train(self, name: bytes, task: Task) -> bool:
        materials = self.materials(name, task)
        runner = self.strategy.training_runner(materials)
        reported: tasks.Progress | None = self.session.chain.read(tasks.PROGRESS, name)

        def heartbeat(step: int, bits: int) -> None:
            if reported is not None and step < reported.step:
                return
            loss = float(np.uint32(bits).view(np.float32))
            self.session.journal.event("progress", task=name.hex(), step=step, steps=task.spec.steps, loss=loss)
            try:
                self.session.chain.submit(self.session.seed, "tasks", tasks.Heartbeat(name, step, bits))
            except ClientError as error:
                self.session.journal.event("heartbeat_lost", error=str(error))

        def stopped() -> bool:
            self._glance()
            return self.session.stopped()

        trainer = Trainer(materials, runner, self.session.journal, heartbeat, stopped)
        if trainer.train():
            self._register(name, materials)
        return True

    def _register(self, name: bytes, materials: Materials) -> None:
        session, spec = self.session, materials.spec
        manifest = upload_proof(session.chain, session.seed, name, spec, materials.store)
        blob = upload_manifest(session.chain, session.seed, manifest)
        roots = tuple(state.root for state in manifest.states)
        session.call("proofs", proofs.RegisterProof(name, roots, blob))
        session.journal.event("proof_registered", task=name.hex(), checkpoints=len(roots), manifest=blob.hex())

    def _defend(self, name: bytes, task: Task) -> bool:
        """Answer every dispute on this task in which it is this worker's turn."""
        return play_disputes(self.session, name, lambda dispute: self._player(name, task, dispute))

    def _player(self, name: bytes, task: Task, dispute: Dispute) -> Defender:
        key = (name, dispute.attempt, dispute.segment)
        if key not in self._players:
            proof: Proof | None = self.session.chain.read(proofs.PROOFS, name)
            if proof is None:
                raise CallFailed(f"task {name.hex()} is disputed but has no proof")
            materials, segment = self.materials(name, task), dispute.segment
            job = segment_job(task.spec, proof.checkpoints, segment)
            start = materials.store.load(job.first_step, job.start) if segment else {}
            tracer = ExecutorTracer(self.strategy.runner(materials, segment), job, start)
            self._players[key] = Defender(tracer)
        return self._players[key]

    def _forget(self, jobs: tuple[bytes, ...]) -> None:
        for name in set(self._materials) - set(jobs):
            del self._materials[name]
        self._players = {key: player for key, player in self._players.items() if key[0] in jobs}
