"""What a voter keeps on its disk: what it signed, and what its signature rested on. See "What is stored" in the ADR."""

from __future__ import annotations

from dataclasses import dataclass

from chain.grandpa.messages import CatchUp, SignedProposal
from runtime.codec import Hash, Record
from runtime.votes import SignedVote

Place = tuple[int, str]
"""A round, and ``proposal``, ``prevote`` or ``precommit``."""


class Grounds(Record):
    """All votes that an own vote rested on. Whoever forgot them could not show the others why it voted so.

    ``ghost`` and ``estimate`` are what ``completed``, the round before ``current``, said when they were used: votes for
    forks that finality left behind no longer count after a restart, and must not open a round again.
    """

    completed: CatchUp
    ghost: Hash
    estimate: Hash
    current: CatchUp


@dataclass(frozen=True, slots=True)
class Memory:
    """What a voter recorded before a restart: the last `Grounds`, and what it signed from its completed round on."""

    grounds: Grounds | None = None
    signed: tuple[SignedVote | SignedProposal, ...] = ()


def place_of(signed: SignedVote | SignedProposal) -> Place:
    """The stage of the round that a signed message fills."""
    if isinstance(signed, SignedProposal):
        return signed.proposal.round, "proposal"
    return signed.vote.round, signed.vote.stage
