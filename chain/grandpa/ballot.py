"""What one voter signs, and its memory of having signed it: at most one vote for each stage of a round, for ever."""

from __future__ import annotations

from typing import Protocol

from chain.grandpa.effects import Broadcast, Effect, RecordVote
from chain.grandpa.memory import Place, place_of
from chain.grandpa.messages import Proposal, SignedProposal, proposal_message
from runtime.votes import SignedVote, Stage, Vote, vote_message


class Signer(Protocol):
    """What may sign for one session key without giving the seed away."""

    @property
    def public(self) -> bytes:
        """The session key."""

    def sign(self, message: bytes) -> bytes:
        """The key's signature of ``message``."""


class Ballot:
    """Mutable. The signatures of one voter in one authority set."""

    def __init__(self, signer: Signer, set_id: int, genesis_hash: bytes) -> None:
        self.key = signer.public
        self._signer, self._set_id, self._genesis_hash = signer, set_id, genesis_hash
        self._signed: dict[Place, SignedVote | SignedProposal] = {}

    def remember(self, signed: SignedVote | SignedProposal) -> bool:
        """Treat a message under this key as signed; False when its place is taken already."""
        place = place_of(signed)
        if place in self._signed:
            return False
        self._signed[place] = signed
        return True

    def has_signed(self, round_: int, stage: str) -> bool:
        """Whether this key has spoken in a stage, now or before a restart."""
        return (round_, stage) in self._signed

    def of_round(self, round_: int) -> list[SignedVote | SignedProposal]:
        """What was signed in a round, to say it again."""
        return [signed for (number, _), signed in self._signed.items() if number == round_]

    def last_round(self) -> int:
        """The highest round in which anything was signed, 0 when nothing was."""
        return max((number for number, _ in self._signed), default=0)

    def forget_before(self, round_: int) -> None:
        """Drop rounds that this voter has left for good."""
        self._signed = {place: signed for place, signed in self._signed.items() if place[0] >= round_}

    def vote(self, stage: Stage, round_: int, target: bytes, number: int) -> tuple[SignedVote, list[Effect]]:
        """Sign a vote in a stage that is still free; recorded before it is published."""
        assert not self.has_signed(round_, stage), f"a second {stage} in round {round_}"
        vote = Vote(stage, self._set_id, round_, target, number)
        signed = SignedVote(vote, self.key, self._signer.sign(vote_message(self._genesis_hash, vote)))
        return signed, self._publish(signed)

    def propose(self, round_: int, target: bytes, number: int) -> tuple[SignedProposal, list[Effect]]:
        """Sign the primary's proposal."""
        assert not self.has_signed(round_, "proposal"), f"a second proposal in round {round_}"
        proposal = Proposal(self._set_id, round_, target, number)
        signature = self._signer.sign(proposal_message(self._genesis_hash, proposal))
        signed = SignedProposal(proposal, self.key, signature)
        return signed, self._publish(signed)

    def _publish(self, signed: SignedVote | SignedProposal) -> list[Effect]:
        self.remember(signed)
        return [RecordVote(signed), Broadcast(signed)]
