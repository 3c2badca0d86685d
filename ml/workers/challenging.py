"""Challenges by people who were not asked to audit: commit first, reveal once no fork can undo that.

Salts follow from the worker's key, and the segment is the one whose commitment hashes to what the chain has, so that a
worker that is killed anywhere in between forgets nothing.
"""

from __future__ import annotations

from ml.workers.session import CallFailed, Session
from runtime.pallets import disputes, proofs, system
from runtime.pallets.disputes import Commitment
from runtime.pallets.tasks import Task, segment_count
from runtime.trees import hash_tagged


def salt_of(session: Session, name: bytes, attempt: int) -> bytes:
    """What hides this account's challenges of one proof."""
    return hash_tagged(b"solvent:secret", session.seed + name + attempt.to_bytes(4, "big") + b"challenge")


def commit_challenge(session: Session, name: bytes, attempt: int, segment: int) -> None:
    """Commit to the challenge of a segment, unless this account has done so."""
    commitment = disputes.commitment_of(name, segment, salt_of(session, name, attempt), session.account)
    key = proofs.DisputeKey(name, segment, session.account)
    is_open = session.chain.read(proofs.DISPUTES, key) == attempt
    if is_open or any(found.commitment == commitment for _, found in _own_commitments(session, name)):
        return
    session.call("disputes", disputes.Commit(name, commitment))
    session.journal.event("challenge_committed", task=name.hex(), segment=segment)


def reveal_challenges(session: Session, name: bytes, task: Task) -> bool:
    """Open the disputes that this account committed to, as far as their commitments are final. Whether any was."""
    final = _finalized(session)
    for number, found in _own_commitments(session, name):
        if found.attempt != task.attempt or found.block > final:
            continue
        salt = salt_of(session, name, found.attempt)
        for segment in range(segment_count(task.spec)):
            if disputes.commitment_of(name, segment, salt, session.account) == found.commitment:
                session.call("disputes", disputes.Reveal(number, segment, salt))
                session.journal.event("dispute_opened", task=name.hex(), segment=segment)
                return True
        raise CallFailed(f"commitment {number} of this account about task {name.hex()} was made with another key")
    return False


def _own_commitments(session: Session, name: bytes) -> list[tuple[int, Commitment]]:
    listed = session.chain.items(disputes.COMMITMENTS)
    return [(number, found) for number, found in listed if (found.task, found.challenger) == (name, session.account)]


def _finalized(session: Session) -> int:
    """The height that the next block counts as final."""
    if session.chain.read(system.PARAMETERS).block.instant_finality:
        return session.chain.head().number
    return int(session.chain.read(system.FINALIZED))
