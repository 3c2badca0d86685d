"""The rounds of one authority set, and what the rules let a voter do in them at a given moment.

The rules, and why they are safe, are in `docs/adr/0001-grandpa.md`; "rule 3" here is rule 3 there. `Rounds` knows
nothing of peers: `chain.grandpa.voter` checks what arrives, and repeats and requests what got lost.
"""

from __future__ import annotations

from chain.grandpa.ballot import Ballot
from chain.grandpa.effects import (
    Effect,
    FinalityFault,
    Finalize,
    NeedBlock,
    RecordGrounds,
    RecordVote,
    ReportEquivocation,
)
from chain.grandpa.justify import build_justification
from chain.grandpa.memory import Grounds, Memory
from chain.grandpa.messages import CatchUp, SignedProposal
from chain.grandpa.round import Round, RoundState
from chain.grandpa.tree import BlockTree
from chain.grandpa.view import Added
from runtime.finality import Justification
from runtime.pallets.offences import VoteEquivocation
from runtime.voters import VoterSet
from runtime.votes import SignedVote, Stage

PREVOTE_AFTER = 2
PRECOMMIT_AFTER = 4
"""In gossip times after the start of a round: how long a voter waits for others before each stage."""


class Rounds:
    """Mutable. The previous, the current and the next round, and the finalized block.

    ``ended``: the block that ends the set is final. ``faulted``: two conflicting blocks were justified. In both cases
    nothing more is signed.
    """

    def __init__(
        self,
        tree: BlockTree,
        voters: VoterSet,
        set_id: int,
        base: bytes,
        finalized: bytes,
        ballot: Ballot | None,
        gossip_seconds: float,
    ) -> None:
        self.tree, self.voters, self.set_id, self.ballot = tree, voters, set_id, ballot
        self.base, self.base_number = base, _number(base, tree)
        self.finalized = finalized
        self.current = 1
        self.started: float | None = None
        self.ended = tree.first_change(base, finalized) is not None
        self.faulted = False
        self.is_silent = False
        """Whether to sign nothing for now, although there is a ballot."""
        self._gossip = gossip_seconds
        self._rounds: dict[int, Round] = {}
        self._entry = RoundState(base, base, True, None)
        self._grounds: Grounds | None = None
        """As they are on the disk."""

    @property
    def stopped(self) -> bool:
        """Whether this set is over for this voter."""
        return self.ended or self.faulted

    def restore(self, memory: Memory) -> None:
        """Go on where the records of the last run end. Own votes count again, and are not signed again."""
        if self.ballot is None:
            return
        grounds = self._grounds = memory.grounds
        for signed in memory.signed:
            self.ballot.remember(signed)
        self.current = max(1 if grounds is None else grounds.current.round, self.ballot.last_round())
        for votes in () if grounds is None else (grounds.completed, grounds.current):
            for vote in (*votes.prevotes, *votes.precommits) if self.is_held(votes.round) else ():
                self.round_at(votes.round).add(vote, self.tree)
        if grounds is not None and grounds.current.round == self.current:
            self._entry = RoundState(grounds.ghost, grounds.estimate, True, None)
        else:
            self._entry = self.state(self.current - 1)
        for signed in memory.signed:
            if isinstance(signed, SignedVote) and signed.vote.round >= self.current - 1:
                self.round_at(signed.vote.round).add(signed, self.tree)
            elif isinstance(signed, SignedProposal) and signed.proposal.round >= self.current:
                self.round_at(signed.proposal.round).proposal = signed

    def is_held(self, round_: int) -> bool:
        """Whether votes of a round are kept at all."""
        return max(self.current - 1, 1) <= round_ <= self.current + 1

    def round_at(self, number: int) -> Round:
        """A round that is held, made when it is first asked for."""
        if number not in self._rounds:
            self._rounds[number] = self.new_round(number)
        return self._rounds[number]

    def new_round(self, number: int) -> Round:
        """A round without votes, not held yet."""
        return Round(number, self.set_id, self.voters, self.base, self.base_number)

    def held(self) -> list[Round]:
        """The rounds that hold anything, oldest first."""
        return [self._rounds[number] for number in sorted(self._rounds)]

    def state(self, number: int) -> RoundState:
        """What the votes of a round say; round 0 is the past."""
        if number == 0:
            return RoundState(self.base, self.base, True, None)
        if number not in self._rounds:
            return RoundState(None, None, False, None)
        return self._rounds[number].state(self.tree)

    def take(self, signed: SignedVote, round_: Round) -> list[Effect]:
        """Count a valid vote. Says who contradicted himself by it, and which block it waits for."""
        before = round_.view(signed.vote.stage).votes_of(signed.voter)
        added = round_.add(signed, self.tree)
        if added is Added.KNOWN:
            return []
        effects: list[Effect] = []
        if self.ballot and signed.voter == self.ballot.key and self.ballot.remember(signed):
            effects.append(RecordVote(signed))
        if added is Added.EQUIVOCATION:
            effects.append(ReportEquivocation(VoteEquivocation(before[0], signed)))
        if self.tree.number_of(signed.vote.target_hash) is None:
            effects.append(NeedBlock(signed.vote.target_hash, signed.vote.target_number))
        return effects

    def advance(self, now: float) -> list[Effect]:
        """Do all that the votes and the time permit."""
        if self.started is None:
            self.started = now
        effects = self._finalize()
        while not self.stopped:
            effects += self._propose() + self._prevote(now) + self._precommit(now) + self._finalize()
            if self.stopped or not self.state(self.current).completable:
                break
            self.enter_after(self.round_at(self.current), now)
        return effects

    def enter_after(self, completed: Round, now: float) -> None:
        """Rule 1: go to the round after one that is completable. Rounds before that one are forgotten."""
        self._rounds[completed.number] = completed
        self._entry = completed.state(self.tree)
        self.current, self.started = completed.number + 1, now
        self._rounds = {number: kept for number, kept in self._rounds.items() if number >= completed.number}
        if self.ballot is not None:
            self.ballot.forget_before(completed.number)

    def accept(self, justification: Justification) -> list[Effect]:
        """Rule 5, for a verified justification. One for a block that is not here yet is left to the caller."""
        target = justification.target_hash
        if self.stopped or self.tree.is_descendant(target, self.finalized):
            return []
        change = self.tree.first_change(self.base, target)
        if self._conflicts(target, justification.target_number) or change not in (None, target):
            self.faulted = True
            return [FinalityFault(justification, self.finalized)]
        if self.tree.number_of(target) is None:
            return [NeedBlock(target, justification.target_number)]
        self.finalized, self.ended = target, change is not None
        return [Finalize(target, justification.target_number, justification)]

    def _conflicts(self, target: bytes, number: int) -> bool:
        """Whether a block can never join the finalized chain, even one whose branch was forgotten."""
        block: bytes | None = self.finalized
        if self.tree.number_of(target) is not None:
            return not self.tree.is_descendant(self.finalized, target)
        while block is not None and (self.tree.number_of(block) or 0) > number:
            block = self.tree.parent_of(block)
        return block is not None and self.tree.number_of(block) == number

    def lock(self) -> bytes | None:
        """The estimate of the previous round, or what is known to be final (rule 6); None: nothing may be signed."""
        estimate = self._previous_state().estimate
        if estimate is None:
            return None
        return estimate if self.tree.is_descendant(self.finalized, estimate) else self.finalized

    def _previous_state(self) -> RoundState:
        """The previous round by all its votes, or at least as it was when this voter left it.

        Votes for forgotten forks no longer count, so that a view may seem incomplete afterwards.
        """
        state = self.state(self.current - 1)
        if state.completable:
            return state
        return self._entry if self._entry.completable else RoundState(None, None, False, None)

    def _finalize(self) -> list[Effect]:
        effects: list[Effect] = []
        for round_ in self.held():
            final = round_.state(self.tree).final
            if final is None or self.stopped or self.tree.is_descendant(final, self.finalized):
                continue
            justification = build_justification(round_, final, self.voters, self.tree)
            if justification is not None:
                effects += self.accept(justification)
        return effects

    def _propose(self) -> list[Effect]:
        """Rule 2."""
        lock = self.lock()
        if (
            self.ballot is None
            or self.is_silent
            or lock in (None, self.finalized)
            or self.voters.primary(self.current) != self.ballot.key
        ):
            return []
        if self.ballot.has_signed(self.current, "proposal"):
            return []
        assert lock is not None
        signed, published = self.ballot.propose(self.current, lock, _number(lock, self.tree))
        effects = [*self._record_grounds(), *published]
        self.round_at(self.current).proposal = signed
        return effects

    def _prevote(self, now: float) -> list[Effect]:
        """Rule 3."""
        lock = self.lock()
        if self.ballot is None or self.is_silent or lock is None or self.ballot.has_signed(self.current, "prevote"):
            return []
        if not (self._has_lasted(PREVOTE_AFTER, now) or self.state(self.current).completable):
            return []
        return self._vote("prevote", self._best_above(self._anchor(lock)))

    def _precommit(self, now: float) -> list[Effect]:
        """Rule 4."""
        lock, state = self.lock(), self.state(self.current)
        if self.ballot is None or self.is_silent or lock is None or self.ballot.has_signed(self.current, "precommit"):
            return []
        if state.ghost is None or not self.tree.is_descendant(lock, state.ghost):
            return []
        if not self.ballot.has_signed(self.current, "prevote"):
            return []
        prevotes = self.round_at(self.current).prevotes
        is_due = self._has_lasted(PRECOMMIT_AFTER, now) or state.completable
        if not is_due and prevotes.is_child_possible(state.ghost, self.tree):
            return []
        return self._vote("precommit", state.ghost)

    def _vote(self, stage: Stage, target: bytes) -> list[Effect]:
        """Sign in the current round. What the vote rests on is recorded first, then the vote, and then it leaves."""
        assert self.ballot is not None
        grounds = self._record_grounds()
        signed, published = self.ballot.vote(stage, self.current, target, _number(target, self.tree))
        return [*grounds, *published, *self.take(signed, self.round_at(self.current))]

    def _record_grounds(self) -> list[Effect]:
        """All votes of the previous and the current round, unless the disk has them."""
        before = self._previous_state()
        assert before.ghost is not None
        assert before.estimate is not None
        if self.current == 1:
            completed = CatchUp(self.set_id, 0, (), ())
        else:
            completed = self.round_at(self.current - 1).all_votes()
        grounds = Grounds(completed, before.ghost, before.estimate, self.round_at(self.current).all_votes())
        if grounds == self._grounds:
            return []
        self._grounds = grounds
        return [RecordGrounds(grounds)]

    def _anchor(self, lock: bytes) -> bytes:
        """The block that a prevote's chain must contain: the lock, or the primary's proposal where rule 3 allows."""
        proposed, ghost = self.round_at(self.current).proposal, self._previous_state().ghost
        if proposed is None or ghost is None:
            return lock
        target = proposed.proposal.target_hash
        is_between = self.tree.is_descendant(lock, target) and self.tree.is_descendant(target, ghost)
        return target if is_between else lock

    def _best_above(self, anchor: bytes) -> bytes:
        """The best chain's head, or the block that ends the set if that comes first (rule 7)."""
        head = self.tree.best_containing(anchor)
        head = self.tree.first_change(self.base, head) or head
        return head if self.tree.is_descendant(anchor, head) else anchor

    def _has_lasted(self, gossips: int, now: float) -> bool:
        return self.started is not None and now >= self.started + gossips * self._gossip


def _number(block: bytes, tree: BlockTree) -> int:
    number = tree.number_of(block)
    assert number is not None, f"block 0x{block.hex()} is not in the tree"
    return number
