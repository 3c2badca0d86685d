"""A verifier's witnesses: the two that it seals, the one that it must open, and what it stands by in the end.

Every secret follows from the worker's key, the task and the attempt, and the true witness from the replay, which is
noted; so a verifier that is killed anywhere opens the very same seals again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml.workers.session import Session
from runtime.pallets import proofs, system
from runtime.pallets.proofs import Audit
from runtime.trees import hash_tagged


@dataclass(frozen=True)
class Witness:
    """Both witnesses of one audit. ``roots`` are the state roots behind the true one."""

    session: Session
    task: bytes
    attempt: int
    roots: Sequence[bytes]

    @property
    def true(self) -> bytes:
        return proofs.witness_root(self.session.account, self.roots)

    @property
    def false(self) -> bytes:
        return secret_of(self.session, self.task, self.attempt, b"false witness")

    def salt(self, witness: bytes) -> bytes:
        """What hides one of the two."""
        return secret_of(self.session, self.task, self.attempt, b"salt" + witness)

    def seals(self) -> tuple[bytes, ...]:
        """The two salted hashes in ascending order, which tells nothing about which is which."""
        account = self.session.account
        both = (proofs.witness_seal(one, self.salt(one), account, self.task) for one in (self.true, self.false))
        return tuple(sorted(both))

    def is_forced(self, audit: Audit) -> bool:
        """Whether the false one must be opened."""
        rarity = self.session.chain.read(system.PARAMETERS).market.forced_rarity
        return proofs.is_forced(forcing_secret(self.session, self.task, self.attempt), audit.decider, rarity)


def secret_of(session: Session, task: bytes, attempt: int, label: bytes) -> bytes:
    """A secret of this account about one audit."""
    return hash_tagged(b"solvent:secret", session.seed + task + attempt.to_bytes(4, "big") + label)


def forcing_secret(session: Session, task: bytes, attempt: int) -> bytes:
    """The secret that decides, with a beacon, about a forced error."""
    return secret_of(session, task, attempt, b"forcing")
