"""One round: the views of its two stages, and the three questions that the protocol asks of them.

The *ghost* is what the prevotes agree on; the *estimate* is the highest block that the round may have made final,
here or at anybody else's; a round is *completable* when no later vote can raise the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.grandpa.messages import CatchUp, SignedProposal
from chain.grandpa.tree import BlockTree
from chain.grandpa.view import Added, View
from runtime.voters import VoterSet
from runtime.votes import SignedVote


@dataclass(frozen=True, slots=True)
class RoundState:
    """What a round's votes say at one moment."""

    ghost: bytes | None
    estimate: bytes | None
    completable: bool
    final: bytes | None
    """The highest block with a supermajority of precommits."""


class Round:
    """Mutable. One round of one authority set whose base is the block ``base``."""

    def __init__(self, number: int, set_id: int, voters: VoterSet, base: bytes, base_number: int) -> None:
        self.number = number
        self.set_id = set_id
        self.prevotes = View(voters)
        self.precommits = View(voters)
        self.proposal: SignedProposal | None = None
        self._base, self._base_number = base, base_number
        self._state: RoundState | None = None

    def view(self, stage: str) -> View:
        """The view of one stage."""
        return self.prevotes if stage == "prevote" else self.precommits

    def add(self, signed: SignedVote, tree: BlockTree) -> Added:
        """Take in a vote of this round by a member of the set, its signature already checked."""
        added = self.view(signed.vote.stage).add(signed, tree)
        if added is not Added.KNOWN:
            self._state = None
        return added

    def count_known(self, tree: BlockTree) -> None:
        """Count the votes whose blocks have arrived since."""
        if self.prevotes.count_known(tree) | self.precommits.count_known(tree):
            self._state = None

    def state(self, tree: BlockTree) -> RoundState:
        """Ghost, estimate, completability and finality by the votes counted so far; computed once per change."""
        if self._state is None:
            self._state = self._compute_state(tree)
        return self._state

    def missing_blocks(self) -> dict[bytes, int]:
        """The blocks that votes of this round wait for."""
        return self.prevotes.missing_blocks() | self.precommits.missing_blocks()

    def all_votes(self) -> CatchUp:
        """For a peer that lacks some of them, and for the next start of this node."""
        return CatchUp(self.set_id, self.number, tuple(self.prevotes), tuple(self.precommits))

    def _compute_state(self, tree: BlockTree) -> RoundState:
        final = self.precommits.ghost(tree, self._base_number)
        ghost = self.prevotes.ghost(tree, self._base_number)
        if ghost is None:
            return RoundState(None, None, False, final)
        estimate = self._estimate(ghost, tree)
        completable = estimate != ghost or not self.precommits.is_child_possible(ghost, tree)
        return RoundState(ghost, estimate, completable, final)

    def _estimate(self, ghost: bytes, tree: BlockTree) -> bytes:
        """The last block from the base to the ghost that the precommits leave possible."""
        block = ghost
        while block != self._base and not self.precommits.is_possible(block, tree):
            parent = tree.parent_of(block)
            if parent is None:
                return self._base
            block = parent
        return block
