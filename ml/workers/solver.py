"""The solver: accepts tasks, trains them, registers the proof, and defends it until it is paid.

``assigned -> accept -> train, with checkpoints on disk -> upload -> register -> defend``. Each turn looks at the chain
and does what is due, so it does not matter where an earlier run of the same worker ended.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ml.dispute import Defender
from ml.proof import Blobs, upload_manifest, upload_proof
from ml.trace import ExecutorTracer
from ml.workers.disputing import play_disputes
from ml.workers.figures import TaskProgress
from ml.workers.materials import Materials, fetch_materials
from ml.workers.registration import Offer, attend, pause
from ml.workers.session import CallFailed, Session
from ml.workers.strategies import Nowhere, SolverStrategy
from ml.workers.training import Trainer
from ml.workers.withheld import deliver
from runtime.pallets import proofs, tasks, workers
from runtime.pallets.disputes import Dispute
from runtime.pallets.proofs import Proof
from runtime.pallets.tasks import Task, segment_job
from runtime.pallets.tasks.storage import ASSIGNED, DISPUTED, TRAINING
from solvent.client import ClientError

ROLE = workers.SOLVER


class Solver:
    """One solver. Mutable: it keeps the materials of its tasks, and its players, which can all be rebuilt."""

    def __init__(self, session: Session, offer: Offer, strategy: SolverStrategy | None = None) -> None:
        self.session = session
        self.offer = offer
        self.strategy = strategy or SolverStrategy()
        self._materials: dict[bytes, Materials] = {}
        self._players: dict[tuple[bytes, int, int], Defender] = {}

    def turn(self) -> bool:
        """Begin what is due for each of this worker's tasks, for disputes first, since their clocks run."""
        names = attend(self.session, ROLE, self.offer)
        self._forget(names)
        found = [(name, self.session.chain.read(tasks.TASKS, name)) for name in names]
        mine = [(name, task) for name, task in found if task is not None and task.solver == self.session.account]
        due = [(name, task.status) for name, task in mine if task.status in self._statuses]
        for name, status in sorted(due, key=lambda pair: pair[1] != DISPUTED):
            if self.session.jobs.run(name, partial(self._work, name, status), heavy=status == TRAINING):
                return True
        return False

    @property
    def _statuses(self) -> tuple[str, ...]:
        """Those in which something is asked of the solver."""
        return (ASSIGNED, TRAINING, DISPUTED) if self.strategy.defends else (ASSIGNED, TRAINING)

    def _work(self, name: bytes, status: str) -> bool:
        """Do what a task asks of its solver, unless the job before this one just did it."""
        task: Task | None = self.session.chain.read(tasks.TASKS, name)
        if task is None or task.status != status:
            return False
        return {ASSIGNED: self._accept, TRAINING: self._train, DISPUTED: self._defend}[status](name, task)

    def leave(self) -> None:
        """Take no new tasks; those at hand go on when the worker comes back."""
        pause(self.session, ROLE)

    def materials(self, name: bytes, task: Task) -> Materials:
        """The task's programs and data, fetched once."""
        if name not in self._materials:
            is_taken = task.status != ASSIGNED
            self._materials[name] = fetch_materials(self.session, name, task.spec, trains=True, is_taken=is_taken)
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
            self.session.figures.progress[name] = TaskProgress(step, task.spec.steps, loss)
            self.session.journal.event("progress", task=name.hex(), step=step, steps=task.spec.steps, loss=loss)
            try:
                self.session.chain.submit(self.session.seed, "tasks", tasks.Heartbeat(name, step, bits))
            except ClientError as error:
                self.session.journal.warn("heartbeat_lost", error=str(error))

        trainer = Trainer(materials, runner, self.session.journal, heartbeat, self.session.stopped)
        if trainer.train():
            self._register(name, materials)
        return True

    def _register(self, name: bytes, materials: Materials) -> None:
        session, spec = self.session, materials.spec
        manifest = upload_proof(self._shared, session.seed, name, spec, materials.store)
        blob = upload_manifest(self._shared, session.seed, manifest)
        roots = tuple(state.root for state in manifest.states)
        session.call("proofs", proofs.RegisterProof(name, roots, blob))
        session.journal.event("proof_registered", task=name.hex(), checkpoints=len(roots), manifest=blob.hex())

    def _defend(self, name: bytes, task: Task) -> bool:
        """Place the states that are demanded, and answer every dispute in which it is this worker's turn."""
        if self.strategy.delivers and deliver(self.session, self._shared, name, task, self.materials(name, task).store):
            return True
        return play_disputes(self.session, name, lambda dispute, game: self._player(name, task, dispute))

    @property
    def _shared(self) -> Blobs:
        """Where this solver's states go."""
        return self.session.chain if self.strategy.shares else Nowhere()

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
        for key in [key for key in self._players if key[0] not in jobs]:
            del self._players[key]
