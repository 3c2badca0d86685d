"""The verifier: accepts audits with a committed secret, replays the segments drawn, and stands by its verdict.

``drawn -> accept -> (beacon) -> replay -> verdict``; after a *fail* it opens the dispute and plays it to the end, after
a *pass* it opens a witness, and at the end of the window the secret behind it (`witnessing`). Its secrets follow from
its key, the task and the attempt, so a restarted verifier knows them again and nobody else can.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

from ml.replay import StepRunner
from ml.trace import FaultyRunner
from ml.workers.auditing import Auditor, honest_runner
from ml.workers.materials import Materials
from ml.workers.registration import Offer, attend, pause
from ml.workers.session import Session
from ml.workers.strategies import HONEST, LIE, RUBBER_STAMP
from ml.workers.withheld import Demander, StateMissing
from ml.workers.witnessing import Witness, forcing_secret, secret_of
from runtime.pallets import jackpot, proofs, tasks, workers
from runtime.pallets.jackpot import ROUNDS, Round, RoundKey
from runtime.pallets.proofs import Audit, Board, Proof
from runtime.pallets.proofs.storage import CALLED, DISPUTING, DRAWN, FAILED, OPENED, PASSED, REPLACED, REVEALING
from runtime.pallets.tasks import Task
from runtime.trees import hash_tagged

ROLE = workers.VERIFIER
DUE = (DRAWN, OPENED, CALLED, PASSED, FAILED, DISPUTING)
"""Statuses of an audit in which something may be asked of its verifier."""


def lying_runner(materials: Materials, segment: int) -> StepRunner:
    """A replay that goes wrong in the first training segment, to accuse an honest solver with."""
    return FaultyRunner(materials.trainer, 0) if segment else materials.initializer


class Verifier:
    """One verifier. Mutable: its auditor keeps materials and players."""

    def __init__(self, session: Session, offer: Offer, strategy: str = HONEST) -> None:
        self.session = session
        self.offer = offer
        self.strategy = strategy
        self.auditor = Auditor(session, lying_runner if strategy == LIE else honest_runner)
        self.demander = Demander(session)

    def turn(self) -> bool:
        """Begin what is due for each of this worker's audits."""
        names = attend(self.session, ROLE, self.offer)
        self.auditor.forget(set(names))
        for name in names:
            audit = self._audit(name)
            status = audit.status if audit else ""
            if status in DUE and self.session.jobs.run(name, partial(self._work, name, status), status == OPENED):
                return True
        return False

    def _work(self, name: bytes, status: str) -> bool:
        """Do what an audit asks of its verifier, unless the job before this one just did it."""
        task: Task | None = self.session.chain.read(tasks.TASKS, name)
        audit = self._audit(name)
        return task is not None and audit is not None and audit.status == status and self._act(name, task, audit)

    def leave(self) -> None:
        """Take no new audits; those at hand go on when the worker comes back."""
        pause(self.session, ROLE)

    def secret(self, name: bytes, attempt: int) -> bytes:
        """The draw secret for one audit."""
        return hash_tagged(b"solvent:secret", self.session.seed + name + attempt.to_bytes(4, "big"))

    def _audit(self, name: bytes) -> Audit | None:
        """This worker's audit of the task's latest proof."""
        board: Board | None = self.session.chain.read(proofs.AUDITS, name)
        mine = [audit for audit in board.audits if audit.verifier == self.session.account] if board else []
        return next((audit for audit in reversed(mine) if audit.status != REPLACED), None)

    def _act(self, name: bytes, task: Task, audit: Audit) -> bool:
        secret = self.secret(name, task.attempt)
        if audit.status == DRAWN:
            self.auditor.prepare(name, task.spec)
            commitment = proofs.draw_commitment(secret, self.session.account, name)
            forcing = forcing_secret(self.session, name, task.attempt)
            forcing = proofs.forcing_commitment(forcing, self.session.account, name)
            self.session.call("proofs", proofs.AcceptAudit(name, commitment, forcing))
            self.session.journal.event("audit_accepted", task=name.hex(), commitment=commitment.hex())
            return True
        proof: Proof | None = self.session.chain.read(proofs.PROOFS, name)
        if proof is None or proof.attempt != task.attempt:
            return False
        if audit.status == OPENED:
            return self._give_verdict(name, task, proof, audit, secret)
        if audit.status == CALLED:
            return self._open_witness(name, task, proof, audit)
        if audit.status == PASSED:
            if self._expose(name, task, proof, audit):
                return True
            # Who has replayed nothing has no states to show: every move would be illegal.
            return self.strategy != RUBBER_STAMP and self.auditor.play(name, task.spec, proof)
        if audit.status == FAILED:
            self.auditor.open_dispute(name, audit.failed[0])
            return True
        return audit.status == DISPUTING and self.auditor.play(name, task.spec, proof)

    def _give_verdict(self, name: bytes, task: Task, proof: Proof, audit: Audit, secret: bytes) -> bool:
        if self.demander.waits(name):
            return False
        segments = proofs.audit_segments(task.spec, audit, secret)
        self.session.journal.event("audit_drawn", task=name.hex(), segments=list(segments))
        failed: tuple[int, ...] = ()
        if self.strategy != RUBBER_STAMP:
            # One failure decides. The initialisation comes first: it needs nothing that the solver could withhold.
            wrong = (one for one in segments if not self.auditor.holds(name, task.spec, proof, one))
            try:
                failed = tuple(islice(wrong, 1))
            except StateMissing as missing:
                return self.demander.see_to(name, task.attempt, secret, missing)
        seals = () if failed else self._witness(name, task, proof, segments).seals()
        self.session.call("proofs", proofs.SubmitVerdict(name, secret, failed, seals))
        verdict = "fail" if failed else "pass"
        self.session.journal.event("verdict", task=name.hex(), verdict=verdict, failed=list(failed))
        return True

    def _witness(self, name: bytes, task: Task, proof: Proof, segments: Sequence[int]) -> Witness:
        """The witness of this worker's replay; of nothing but its secrets where it did not replay."""
        if self.strategy == RUBBER_STAMP:
            count = len(proofs.witnessed_steps(task.spec, segments))
            labels = (b"made up" + number.to_bytes(4, "big") for number in range(count))
            roots = tuple(secret_of(self.session, name, task.attempt, label) for label in labels)
        else:
            roots = self.auditor.roots(name, task.spec, proof, segments)
        return Witness(self.session, name, task.attempt, roots)

    def _open_witness(self, name: bytes, task: Task, proof: Proof, audit: Audit) -> bool:
        """Open the witness that the beacon and the secret demand."""
        witness = self._witness(name, task, proof, audit.segments)
        shown = witness.false if witness.is_forced(audit) else witness.true
        self.session.call("proofs", proofs.OpenWitness(name, shown, witness.salt(shown)))
        self.session.journal.event("witness_opened", task=name.hex(), witness=shown.hex())
        return True

    def _expose(self, name: bytes, task: Task, proof: Proof, audit: Audit) -> bool:
        """Once the window is over, open the forcing secret and the other witness."""
        board: Board | None = self.session.chain.read(proofs.AUDITS, name)
        if board is None or board.phase != REVEALING or audit.proven:
            return False
        place = proofs.find_audit(board, audit.verifier)
        found: Round | None = self.session.chain.read(ROUNDS, RoundKey(name, board.attempt, place or 0))
        if found is not None and found.exposed:
            return False
        witness = self._witness(name, task, proof, audit.segments)
        other = witness.false if audit.witness == witness.true else witness.true
        secret = forcing_secret(self.session, name, task.attempt)
        exposed = jackpot.Expose(name, secret, other, witness.salt(other), tuple(witness.roots))
        self.session.call("jackpot", exposed)
        self.session.journal.event("witness_exposed", task=name.hex(), forced=audit.witness == witness.false)
        return True
