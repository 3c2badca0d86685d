"""What a whistleblower does about witnesses: commit to what it found, and open that when the window is over."""

from __future__ import annotations

from collections.abc import Sequence

from ml.workers.auditing import Auditor
from ml.workers.session import Session
from ml.workers.witnessing import secret_of
from runtime.pallets import jackpot, proofs
from runtime.pallets.jackpot import ROUNDS, Round, RoundKey
from runtime.pallets.proofs import Audit, Board, Proof
from runtime.pallets.proofs.storage import PASSED, REVEALING, WINDOW
from runtime.pallets.tasks import Task


class Bettor:
    """Compares witnesses with the own replay. It keeps nothing: salts follow from the key, replays are noted."""

    def __init__(self, session: Session, auditor: Auditor) -> None:
        self.session = session
        self.auditor = auditor

    def act(self, name: bytes, task: Task, board: Board, proof: Proof) -> bool:
        """Do what is due about one of the proof's witnesses. Whether anything was."""
        for place, audit in enumerate(board.audits):
            if audit.status != PASSED or audit.proven:
                continue
            found: Round | None = self.session.chain.read(ROUNDS, RoundKey(name, board.attempt, place))
            mine = found is not None and any(one.account == self.session.account for one in found.sealed)
            if board.phase == WINDOW and not mine and self._commit(name, task, proof, audit, found):
                return True
            if board.phase == REVEALING and mine and found is not None and found.exposed:
                self._reveal(name, task, proof, audit, found)
                return True
        return False

    def _roots(self, name: bytes, task: Task, proof: Proof, audit: Audit) -> tuple[bytes, ...]:
        return self.auditor.roots(name, task.spec, proof, audit.segments)

    def _commit(self, name: bytes, task: Task, proof: Proof, audit: Audit, found: Round | None) -> bool:
        """Commit to the own finding where it is not what the verifier shows, or stands by after a forced error."""
        witness = proofs.witness_root(audit.verifier, self._roots(name, task, proof, audit))
        if witness == (found.claim if found is not None and found.exposed else audit.witness):
            return False
        salt = self._salt(name, proof.attempt, audit)
        hidden = jackpot.commitment_of(name, audit.verifier, witness, salt, self.session.account)
        self.session.call("jackpot", jackpot.Commit(name, audit.verifier, hidden))
        self.session.journal.event("witness_committed", task=name.hex(), verifier=audit.verifier.hex())
        return True

    def _reveal(self, name: bytes, task: Task, proof: Proof, audit: Audit, found: Round) -> None:
        """Open the commitment; name the first leaf that differs, if there is one."""
        roots = self._roots(name, task, proof, audit)
        witness = proofs.witness_root(audit.verifier, roots)
        salt = self._salt(name, proof.attempt, audit)
        reveal = jackpot.Reveal(name, audit.verifier, witness, salt, first_difference(roots, found.roots))
        self.session.call("jackpot", reveal)
        agrees = witness == found.claim
        self.session.journal.event("witness_revealed", task=name.hex(), verifier=audit.verifier.hex(), agrees=agrees)

    def _salt(self, name: bytes, attempt: int, audit: Audit) -> bytes:
        return secret_of(self.session, name, attempt, b"bet" + audit.verifier)


def first_difference(own: Sequence[bytes], claimed: Sequence[bytes]) -> int:
    """The first place where two lists of roots differ; 0 where they do not."""
    return next((place for place, (one, other) in enumerate(zip(own, claimed, strict=True)) if one != other), 0)
