"""One voter's view of one stage of one round: who voted for what, and which blocks can win.

*for* a block counts those who voted for it or a descendant, and equivocators; *against* it those who voted for
anything else, and equivocators. See the definitions in `docs/adr/0001-grandpa.md`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import Enum

from chain.grandpa.tree import BlockTree
from runtime.voters import VoterSet
from runtime.votes import SignedVote


class Added(Enum):
    """What a vote was to the view that took it in."""

    NEW = "new"
    EQUIVOCATION = "equivocation"
    KNOWN = "known"
    """The same vote was there, or two others of its voter: it changes nothing."""


class View:
    """Mutable. Holds at most two votes of each voter, all with valid signatures.

    A vote for a block that the tree does not have waits: it counts for nothing yet, except that two different votes
    make their voter an equivocator, whatever they name.
    """

    def __init__(self, voters: VoterSet) -> None:
        self._voters = voters
        self._votes: dict[bytes, tuple[SignedVote, ...]] = {}
        self._weights: dict[bytes, int] = {}
        self._counted: dict[bytes, bytes] = {}
        self._waiting: dict[bytes, SignedVote] = {}
        self._equivocating = 0
        self._voted = 0

    def __iter__(self) -> Iterator[SignedVote]:
        for votes in self._votes.values():
            yield from votes

    @property
    def voted(self) -> int:
        """Weight of all voters whose votes count, equivocators once."""
        return self._voted

    @property
    def equivocating(self) -> int:
        """Weight of the equivocators."""
        return self._equivocating

    def votes_of(self, voter: bytes) -> tuple[SignedVote, ...]:
        """None, one or two votes of a voter."""
        return self._votes.get(voter, ())

    def add(self, signed: SignedVote, tree: BlockTree) -> Added:
        """Take in a vote of this stage and round by a member of the set, its signature already checked."""
        earlier = self.votes_of(signed.voter)
        if len(earlier) == 2 or any(vote.vote == signed.vote for vote in earlier):
            return Added.KNOWN
        self._votes[signed.voter] = (*earlier, signed)
        if earlier:
            self._count_equivocator(signed.voter)
            return Added.EQUIVOCATION
        self._waiting[signed.voter] = signed
        self._count_if_known(signed, tree)
        return Added.NEW

    def count_known(self, tree: BlockTree) -> bool:
        """Count the waiting votes whose blocks have arrived; whether there were any."""
        counted = [signed for signed in list(self._waiting.values()) if self._count_if_known(signed, tree)]
        return bool(counted)

    def missing_blocks(self) -> dict[bytes, int]:
        """The blocks that votes wait for, with the numbers that these give."""
        return {signed.vote.target_hash: signed.vote.target_number for signed in self._waiting.values()}

    def weight_for(self, block: bytes, tree: BlockTree) -> int:
        """Weight of the voters for ``block``, equivocators included."""
        lone = sum(weight for target, weight in self._weights.items() if tree.is_descendant(block, target))
        return lone + self._equivocating

    def is_possible(self, block: bytes, tree: BlockTree) -> bool:
        """Whether ``block`` may still have, or somewhere already has, a supermajority of this stage."""
        against = self._voted - self.weight_for(block, tree) + self._equivocating
        return against <= 2 * self._voters.faulty

    def is_child_possible(self, block: bytes, tree: BlockTree) -> bool:
        """Whether any child of ``block`` is possible, be it one that nobody has voted for."""
        bound = 2 * self._voters.faulty
        if self._voted <= bound:
            return True
        above: dict[bytes, int] = {}
        for target, weight in self._weights.items():
            if target != block and tree.is_descendant(block, target):
                child = _child_towards(block, target, tree)
                above[child] = above.get(child, 0) + weight
        return any(self._voted - weight <= bound for weight in above.values())

    def ghost(self, tree: BlockTree, base_number: int) -> bytes | None:
        """The highest block with a supermajority, from the base upwards.

        Walks all chains down together, highest block first, so that a block's weight is complete when its turn comes:
        the work is the length of the forks that are not agreed on, not of the chain.
        """
        if self._voted < self._voters.quorum:
            return None
        weights = dict(self._weights)
        queue = [(-(tree.number_of(target) or 0), target) for target in weights]
        heapq.heapify(queue)
        while queue:
            negative, block = heapq.heappop(queue)
            if weights[block] + self._equivocating >= self._voters.quorum:
                return block
            parent = tree.parent_of(block)
            if parent is None or -negative <= base_number:
                continue
            if parent not in weights:
                heapq.heappush(queue, (negative + 1, parent))
            weights[parent] = weights.get(parent, 0) + weights[block]
        return None

    def _count_if_known(self, signed: SignedVote, tree: BlockTree) -> bool:
        """Count a voter's only vote once its block is here. A vote that misstates its block's number never counts."""
        target, number = signed.vote.target_hash, tree.number_of(signed.vote.target_hash)
        if number is None:
            return False
        del self._waiting[signed.voter]
        if number != signed.vote.target_number:
            return False
        weight = self._voters.weight(signed.voter)
        self._counted[signed.voter] = target
        self._weights[target] = self._weights.get(target, 0) + weight
        self._voted += weight
        return True

    def _count_equivocator(self, voter: bytes) -> None:
        """Move a voter from its first vote's block, if that counted, to the equivocators."""
        weight, target = self._voters.weight(voter), self._counted.pop(voter, None)
        self._waiting.pop(voter, None)
        self._equivocating += weight
        if target is None:
            self._voted += weight
            return
        self._weights[target] -= weight
        if not self._weights[target]:
            del self._weights[target]


def _child_towards(block: bytes, descendant: bytes, tree: BlockTree) -> bytes:
    """The child of ``block`` on the way to a descendant of it."""
    parent = tree.parent_of(descendant)
    while parent is not None and parent != block:
        descendant, parent = parent, tree.parent_of(parent)
    return descendant
