"""The whistleblower: re-runs what verifiers passed, and disputes what they should not have.

It looks at tasks in their challenge window, in an order of its own, replays the segments that were audited and some
that were not, and challenges what it finds: committed first, revealed when that is final. It needs no registration:
the bond of a dispute is all that it stakes. It joins and leaves by its own estimate of income (`income`), and says why.
"""

from __future__ import annotations

from functools import partial

from ml.workers.auditing import Auditor
from ml.workers.betting import Bettor
from ml.workers.challenging import commit_challenge, reveal_challenges
from ml.workers.income import Record, estimate_income, read_record
from ml.workers.notebook import Notebook
from ml.workers.session import Session
from runtime.drawing import derive_number
from runtime.pallets import proofs, system, tasks
from runtime.pallets.proofs import Board, Proof
from runtime.pallets.proofs.storage import PASSED, WINDOW
from runtime.pallets.tasks import Task, segment_count
from runtime.pallets.tasks.storage import AUDITING, DISPUTED, LIVE
from runtime.trees import hash_tagged


class Whistleblower:
    """One whistleblower. Mutable: it notes which proofs it has checked."""

    def __init__(self, session: Session, extra_segments: int = 1, price: int = 1) -> None:
        self.session = session
        self.extra_segments = extra_segments
        self.price = price
        """What a unit of gas costs this worker: it checks what is expected to bring more."""
        self._is_in: bool | None = None
        self._record = Record(0, 0)
        self.auditor = Auditor(session)
        self.notebook = Notebook(session.folder)
        self.bettor = Bettor(session, self.auditor)

    def turn(self) -> bool:
        """Begin to check proofs, and to move in disputes."""
        live: set[bytes] = set()
        listed = sorted(self.session.chain.items(tasks.TASKS), key=self._order)
        self._record = read_record(task for _, task in listed)
        for name, task in listed:
            if task.status not in LIVE:
                continue
            live.add(name)
            heavy = self._may_check(name, task)
            if task.status in (AUDITING, DISPUTED) and self.session.jobs.run(name, partial(self._work, name), heavy):
                return True
        self.auditor.forget(live)
        self.session.room.hold(live)
        return False

    def _order(self, item: tuple[bytes, Task]) -> bytes:
        """A random order that only this account knows, so that no proof can hide behind others."""
        return hash_tagged(b"solvent:recheck", self.session.seed + b"order" + item[0])

    def _work(self, name: bytes) -> bool:
        task: Task | None = self.session.chain.read(tasks.TASKS, name)
        return task is not None and self._act(name, task)

    def leave(self) -> None:
        """Nothing to say: nobody waits for a whistleblower."""

    def _act(self, name: bytes, task: Task) -> bool:
        board: Board | None = self.session.chain.read(proofs.AUDITS, name)
        proof: Proof | None = self.session.chain.read(proofs.PROOFS, name)
        if board is None or proof is None or not proof.attempt == board.attempt == task.attempt:
            return False
        if board.commitments and reveal_challenges(self.session, name, task):
            return True
        if self.auditor.play(name, task.spec, proof):
            return True
        if self._may_check(name, task) and board.phase == WINDOW and self._is_worth_it(name, task, board):
            self._check(name, task, board, proof)
            return True
        return self._has_checked(name, task) and self.bettor.act(name, task, board, proof)

    def _may_check(self, name: bytes, task: Task) -> bool:
        mine = self.session.account in (task.solver, task.submitter)
        return not mine and not self._has_checked(name, task)

    def _has_checked(self, name: bytes, task: Task) -> bool:
        return self.notebook.read(name, f"checked-{task.attempt}") is not None

    def _check(self, name: bytes, task: Task, board: Board, proof: Proof) -> None:
        """Re-run the audited segments of a proof in its window, and random others; challenge the first that differs."""
        audited, segments = self._choose(name, task, board)
        self.session.journal.event("recheck", task=name.hex(), audited=audited, segments=segments)
        wrong = [segment for segment in segments if not self.auditor.holds(name, task.spec, proof, segment)]
        self.session.journal.event("finding", task=name.hex(), segments=segments, wrong=wrong, confirmed=not wrong)
        if wrong:
            commit_challenge(self.session, name, task.attempt, wrong[0])
        self.notebook.write(name, f"checked-{task.attempt}", b"")

    def _is_worth_it(self, name: bytes, task: Task, board: Board) -> bool:
        """Whether checking a proof is expected to bring more than it costs; says so when that changes."""
        _, segments = self._choose(name, task, board)
        rarity = self.session.chain.read(system.PARAMETERS).market.forced_rarity
        jackpots = sum(audit.jackpot for audit in board.audits if audit.status == PASSED) // (2 * rarity)
        income = estimate_income(task, segments, self._record, self.price, jackpots)
        if income.pays is not self._is_in:
            self._is_in = income.pays
            self.session.journal.event(
                "joined" if income.pays else "left",
                task=name.hex(),
                proofs_stood=self._record.stood,
                proofs_voided=self._record.voided,
                chance=round(income.chance, 6),
                reward=income.reward,
                jackpots=income.jackpots,
                expected=round(income.expected),
                cost=income.cost,
            )
        return income.pays

    def _choose(self, name: bytes, task: Task, board: Board) -> tuple[list[int], list[int]]:
        """The segments that were audited, and those together with random others."""
        audited = sorted({segment for audit in board.audits for segment in audit.segments})
        return audited, [*audited, *self._others(name, task, audited)]

    def _others(self, name: bytes, task: Task, audited: list[int]) -> list[int]:
        """Segments nobody audited, drawn from this account's own secret: a solver cannot know which."""
        left = [segment for segment in range(segment_count(task.spec)) if segment not in audited]
        drawn = []
        randomness = hash_tagged(b"solvent:recheck", self.session.seed + name)
        for turn in range(min(self.extra_segments, len(left))):
            drawn.append(left.pop(derive_number(randomness, turn.to_bytes(4, "big"), len(left))))
        return drawn
