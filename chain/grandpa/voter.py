"""GRANDPA's voter for one authority set, as a passive state machine: events and the time in, effects out.

It judges what peers send, hands what is valid to `chain.grandpa.rounds`, and makes up for what the network loses: own
votes are repeated, blocks and catch-ups asked for again.

A voter without a signer, or whose key is not in the set, is an *observer*: it follows the rounds, finalizes and
answers, but signs nothing. When the block that ends the set is final the voter has *ended*; its node goes on with a
new voter for the next set, whose base is that block.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.grandpa.ballot import Ballot, Signer
from chain.grandpa.effects import (
    Broadcast,
    Effect,
    Finalize,
    NeedBlock,
    Penalize,
    RecordVote,
    Relay,
    RequestCatchUp,
    SendCatchUp,
)
from chain.grandpa.memory import Memory
from chain.grandpa.messages import CatchUp, CatchUpRequest, SignedProposal, proposal_message
from chain.grandpa.rounds import PRECOMMIT_AFTER, PREVOTE_AFTER, Rounds
from chain.grandpa.tree import BlockTree
from runtime import crypto
from runtime.block import Authority
from runtime.crypto import Verify
from runtime.finality import InvalidJustification, Justification, verify_justification
from runtime.voters import VoterSet
from runtime.votes import SignedVote, vote_message

REPEAT_AFTER = 4
"""In gossip times: own votes are repeated so often, and requests made again."""
BEHIND_AFTER = 6
"""In gossip times: in a round that lasts longer, a voter asks peers one after the other for all votes they hold."""
MAX_PATIENCE = 10
"""In gossip times: nobody waits longer for a better placed voter to publish a justification."""


class GrandpaVoter:
    """Mutable. Times are seconds on any clock that never goes back; `wake_at` says when to call `on_time`."""

    def __init__(
        self,
        tree: BlockTree,
        authorities: Sequence[Authority],
        set_id: int,
        signer: Signer | None,
        genesis_hash: bytes,
        base: bytes,
        finalized: bytes | None = None,
        memory: Memory | None = None,
        gossip_seconds: float = 1.0,
        verify: Verify = crypto.verify,
    ) -> None:
        """``base`` is the block with which the set begins, ``finalized`` the last final block; both are in the tree.

        ``memory`` is what this voter recorded in this set before a restart. ``gossip_seconds`` is the time T in which
        a message reaches everybody; a wrong guess costs time, never safety.
        """
        voters = VoterSet(authorities)
        ballot = Ballot(signer, set_id, genesis_hash) if signer and signer.public in voters else None
        self._rounds = Rounds(tree, voters, set_id, base, finalized or base, ballot, gossip_seconds)
        self._rounds.restore(memory or Memory())
        self._tree, self._voters, self._set_id, self._ballot = tree, voters, set_id, ballot
        self._genesis_hash, self._gossip, self._verify = genesis_hash, gossip_seconds, verify
        self._next_repeat = 0.0
        self._unpublished: tuple[float, Justification] | None = None
        self._waiting_justification: Justification | None = None
        self._waiting_catch_up: CatchUp | None = None

    @property
    def round(self) -> int:
        """The round that this voter is in."""
        return self._rounds.current

    @property
    def rounds(self) -> Rounds:
        """The rounds that it follows, for whoever wants to look on."""
        return self._rounds

    @property
    def voters(self) -> VoterSet:
        """Who votes in this set."""
        return self._voters

    @property
    def finalized(self) -> bytes:
        """The last block that is final, as far as this voter knows."""
        return self._rounds.finalized

    @property
    def promised(self) -> bytes | None:
        """A block that a verified justification makes final as soon as it is here; None when none is missing."""
        return self._waiting_justification.target_hash if self._waiting_justification else None

    @property
    def ended(self) -> bool:
        """Whether the block that ends this authority set is final."""
        return self._rounds.ended

    def wake_at(self, now: float) -> float:
        """The next moment after ``now`` at which `on_time` has something to do; infinity when it never will."""
        started = self._rounds.started
        if started is None:
            return now
        moments = [self._unpublished[0]] if self._unpublished else []
        if not self._rounds.stopped:
            moments.append(self._next_repeat)
            moments += [started + gossips * self._gossip for gossips in (PREVOTE_AFTER, PRECOMMIT_AFTER)]
        return min((moment for moment in moments if moment > now), default=float("inf"))

    # --- events

    def on_time(self, now: float) -> list[Effect]:
        """Time has passed, or blocks have arrived."""
        effects = self._retry(now) + self._advance(now)
        if self._unpublished and self._unpublished[0] <= now:
            effects.append(Broadcast(self._unpublished[1]))
            self._unpublished = None
        if not self._rounds.stopped and now >= self._next_repeat:
            self._next_repeat = now + REPEAT_AFTER * self._gossip
            effects += self._repeat(now)
        return effects

    def on_best_block(self, hash: bytes, number: int, now: float) -> list[Effect]:
        """The tree has grown. What to vote for is asked of the tree; here, votes for new blocks begin to count."""
        return self._retry(now) + self._advance(now)

    def on_vote(self, signed: SignedVote, now: float) -> list[Effect]:
        """A vote has arrived, from anybody. Votes of other sets or of rounds long past do nothing."""
        vote, rounds = signed.vote, self._rounds
        if vote.set_id != self._set_id or rounds.stopped or vote.round < max(rounds.current - 1, 1):
            return []
        known = (
            rounds.round_at(vote.round).view(vote.stage).votes_of(signed.voter) if rounds.is_held(vote.round) else ()
        )
        if len(known) == 2 or any(earlier.vote == vote for earlier in known):
            return []
        fault = self._find_fault(signed)
        if fault:
            return [Penalize(fault)]
        if self._misstates_number(signed):
            return []
        if not rounds.is_held(vote.round):
            return self._remember_own(signed)
        effects = rounds.take(signed, rounds.round_at(vote.round))
        return [*effects, Relay(signed), *self._advance(now)]

    def on_proposal(self, signed: SignedProposal, now: float) -> list[Effect]:
        """The primary's proposal for a round has arrived. The first one counts."""
        proposal, rounds = signed.proposal, self._rounds
        if proposal.set_id != self._set_id or rounds.stopped:
            return []
        if not rounds.current <= proposal.round <= rounds.current + 1:
            return []
        if signed.voter != self._voters.primary(proposal.round):
            return [Penalize(f"a proposal for round {proposal.round} that is not by its primary")]
        if rounds.round_at(proposal.round).proposal is not None:
            return []
        if not self._verify(signed.voter, signed.signature, proposal_message(self._genesis_hash, proposal)):
            return [Penalize(f"the signature of a proposal by 0x{signed.voter.hex()} is wrong")]
        rounds.round_at(proposal.round).proposal = signed
        return [*self._remember_own(signed), Relay(signed), *self._advance(now)]

    def on_justification(self, justification: Justification, now: float) -> list[Effect]:
        """Somebody says that a block is final, and why."""
        waited, news = self._unpublished, not self._tree.is_descendant(justification.target_hash, self.finalized)
        spares = waited is not None and justification.target_number >= waited[1].target_number
        if justification.set_id != self._set_id or not (news or spares):
            return []
        try:
            verify_justification(justification, self._voters, self._set_id, self._genesis_hash, self._verify)
        except InvalidJustification as error:
            return [Penalize(f"a justification of block {justification.target_number}: {error}")]
        if spares:
            self._unpublished = None
        return [Relay(justification), *self._accept(justification), *self._advance(now)]

    def on_catch_up_request(self, request: CatchUpRequest) -> list[Effect]:
        """A peer is behind, or lacks votes: it gets all of the previous and the current round, from its own on."""
        if request.set_id != self._set_id:
            return []
        chosen = [round_ for round_ in self._rounds.held() if request.round <= round_.number <= self.round]
        return [SendCatchUp(round_.all_votes()) for round_ in chosen]

    def on_catch_up(self, catch_up: CatchUp, now: float) -> list[Effect]:
        """A peer's answer. Its votes are checked and judged here; what the peer concluded from them is not asked.

        It is honest to know less than this voter, or something else: only what no honest peer can hold is a fault.
        """
        if catch_up.set_id != self._set_id or self._rounds.stopped or catch_up.round < max(self.round - 1, 1):
            return []
        held = self._rounds.round_at(catch_up.round) if self._rounds.is_held(catch_up.round) else None
        for stage, votes in (("prevote", catch_up.prevotes), ("precommit", catch_up.precommits)):
            if len(votes) > 2 * len(self._voters):
                return [Penalize(f"a catch-up with {len(votes)} votes of {len(self._voters)} voters")]
            for signed in votes:
                is_misplaced = (signed.vote.stage, signed.vote.round) != (stage, catch_up.round)
                if held is not None and not is_misplaced and signed in held.view(stage).votes_of(signed.voter):
                    continue
                fault = "a vote of another round" if is_misplaced else self._find_fault(signed)
                if fault:
                    return [Penalize(f"a catch-up to round {catch_up.round}: {fault}")]
        return self._catch_up(catch_up, now) + self._advance(now)

    # --- inside

    def _advance(self, now: float) -> list[Effect]:
        """Let the rounds go on. A block made final here is announced by the primary at once, by others in turn."""
        effects = self._rounds.advance(now)
        for effect in effects:
            if isinstance(effect, Finalize) and self._ballot:
                distance = self._voters.distance_from_primary(self._ballot.key, effect.justification.round)
                due = now + min(distance, MAX_PATIENCE) * self._gossip
                self._unpublished = (due, effect.justification)
        if self._unpublished and self._unpublished[0] <= now:
            effects.append(Broadcast(self._unpublished[1]))
            self._unpublished = None
        return effects

    def _find_fault(self, signed: SignedVote) -> str | None:
        """Why no honest peer would send this vote."""
        vote, voter = signed.vote, signed.voter
        if voter not in self._voters or vote.set_id != self._set_id:
            return f"0x{voter.hex()} has no vote in the set {vote.set_id}"
        if not self._verify(voter, signed.signature, vote_message(self._genesis_hash, vote)):
            return f"the signature of a vote by 0x{voter.hex()} is wrong"
        if vote.target_number < self._rounds.base_number:
            return f"a vote for block {vote.target_number}, but the set begins at {self._rounds.base_number}"
        return None

    def _misstates_number(self, signed: SignedVote) -> bool:
        """Whether a vote gives its block another number. Whoever does not have the block passes it on in good faith."""
        return self._tree.number_of(signed.vote.target_hash) not in (None, signed.vote.target_number)

    def _remember_own(self, signed: SignedVote | SignedProposal) -> list[Effect]:
        """Something under this voter's own key that it does not remember: it will not contradict it."""
        if self._ballot and signed.voter == self._ballot.key and self._ballot.remember(signed):
            return [RecordVote(signed)]
        return []

    def _accept(self, justification: Justification) -> list[Effect]:
        """Finalize by a verified justification, at once or when its block is here."""
        effects: list[Effect] = []
        if self._tree.number_of(justification.target_hash) is None:
            waiting = self._waiting_justification
            if waiting is None or waiting.target_number < justification.target_number:
                self._waiting_justification = justification
            return self._rounds.accept(justification)
        if self._rounds.is_held(justification.round):
            for signed in justification.precommits:
                effects += self._rounds.take(signed, self._rounds.round_at(justification.round))
        return effects + self._rounds.accept(justification)

    def _catch_up(self, catch_up: CatchUp, now: float) -> list[Effect]:
        """Take in the votes of a checked catch-up, and go to the round after it if they complete a later one.

        Votes of a round further ahead that do not complete it yet wait as a whole while blocks are missing.
        """
        rounds, number = self._rounds, catch_up.round
        round_ = rounds.round_at(number) if rounds.is_held(number) else rounds.new_round(number)
        effects: list[Effect] = []
        for signed in (*catch_up.prevotes, *catch_up.precommits):
            if not self._misstates_number(signed):
                effects += rounds.take(signed, round_)
        if number > rounds.current:
            if round_.state(self._tree).completable:
                rounds.enter_after(round_, now)
            elif round_.missing_blocks():
                self._waiting_catch_up = catch_up
        return effects

    def _retry(self, now: float) -> list[Effect]:
        """Count the votes, and use the messages, whose blocks have arrived."""
        if self._rounds.stopped:
            return []
        effects: list[Effect] = []
        for round_ in self._rounds.held():
            round_.count_known(self._tree)
        justification, catch_up = self._waiting_justification, self._waiting_catch_up
        if justification is not None and self._tree.number_of(justification.target_hash) is not None:
            self._waiting_justification = None
            effects += self._accept(justification)
        self._waiting_catch_up = None
        if catch_up is not None and catch_up.round >= self.round:
            effects += self._catch_up(catch_up, now)
        return effects

    def _repeat(self, now: float) -> list[Effect]:
        """Say again what may have got lost, and ask again for what is missing."""
        effects: list[Effect] = []
        if self._ballot:
            for number in (self.round - 1, self.round):
                effects += [Broadcast(signed) for signed in self._ballot.of_round(number)]
        missing: dict[bytes, int] = {}
        for round_ in self._rounds.held():
            missing |= round_.missing_blocks()
        if self._waiting_justification:
            missing[self._waiting_justification.target_hash] = self._waiting_justification.target_number
        effects += [NeedBlock(hash_, number) for hash_, number in missing.items()]
        started = self._rounds.started
        if started is not None and now >= started + BEHIND_AFTER * self._gossip:
            effects.append(RequestCatchUp(CatchUpRequest(self._set_id, max(self.round - 1, 1))))
        return effects
