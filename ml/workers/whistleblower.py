"""The whistleblower: re-runs what verifiers passed, and disputes what they should not have.

It looks at tasks in their challenge window, replays the segments that were audited and some that were not, and reports
what it finds. It needs no registration: a dispute's bond is all that it stakes.
"""

from __future__ import annotations

from ml.workers.auditing import Auditor
from ml.workers.session import Session
from runtime.pallets import proofs, tasks
from runtime.pallets.proofs import Board, Proof
from runtime.pallets.proofs.storage import WINDOW
from runtime.pallets.tasks import Task, TaskSpec, segment_count
from runtime.pallets.workers import derive_number
from runtime.trees import hash_tagged

ENDED = ("settled", "failed", "cancelled", "expired")


class Whistleblower:
    """One whistleblower. Mutable: it remembers which proofs it has checked."""

    def __init__(self, session: Session, extra_segments: int = 1) -> None:
        self.session = session
        self.extra_segments = extra_segments
        self.auditor = Auditor(session)
        self._checked: set[tuple[bytes, int]] = set()

    def turn(self) -> bool:
        """Check one proof, or move in a dispute."""
        live: set[bytes] = set()
        for name, task in self.session.chain.items(tasks.TASKS):
            if task.status in ENDED:
                continue
            live.add(name)
            if self._may_check(name, task) and self._check(name, task):
                return True
        self.auditor.forget(live)
        return self.auditor.play(self._proof)

    def leave(self) -> None:
        """Nothing to say: nobody waits for a whistleblower."""

    def _proof(self, name: bytes) -> tuple[TaskSpec, Proof] | None:
        task, proof = self.session.chain.read(tasks.TASKS, name), self.session.chain.read(proofs.PROOFS, name)
        return None if task is None or proof is None else (task.spec, proof)

    def _may_check(self, name: bytes, task: Task) -> bool:
        mine = self.session.account in (task.solver, task.submitter)
        return not mine and (name, task.attempt) not in self._checked

    def _check(self, name: bytes, task: Task) -> bool:
        """Re-run the audited segments of a proof in its window, and random others; False if it is not there yet."""
        board: Board | None = self.session.chain.read(proofs.AUDITS, name)
        proof: Proof | None = self.session.chain.read(proofs.PROOFS, name)
        if board is None or proof is None or board.phase != WINDOW or board.attempt != task.attempt:
            return False
        audited = sorted({segment for audit in board.audits for segment in audit.segments})
        segments = [*audited, *self._others(name, task, audited)]
        self.session.journal.event("recheck", task=name.hex(), audited=audited, segments=segments)
        wrong = [segment for segment in segments if not self.auditor.holds(name, task.spec, proof, segment)]
        self.session.journal.event("finding", task=name.hex(), segments=segments, wrong=wrong, confirmed=not wrong)
        if wrong:
            self.auditor.open_dispute(name, wrong[0])
        self._checked.add((name, task.attempt))
        return True

    def _others(self, name: bytes, task: Task, audited: list[int]) -> list[int]:
        """Segments nobody audited, drawn from this account's own secret: a solver cannot know which."""
        left = [segment for segment in range(segment_count(task.spec)) if segment not in audited]
        drawn = []
        randomness = hash_tagged(b"solvent:recheck", self.session.seed + name)
        for turn in range(min(self.extra_segments, len(left))):
            drawn.append(left.pop(derive_number(randomness, turn.to_bytes(4, "big"), len(left))))
        return drawn
