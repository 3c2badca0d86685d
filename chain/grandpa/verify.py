"""Judging a voter from outside: two votes that contradict each other, with nothing but the authority set at hand."""

from __future__ import annotations

from runtime import crypto
from runtime.crypto import Verify
from runtime.errors import SolventError
from runtime.pallets.offences import VoteEquivocation
from runtime.voters import VoterSet
from runtime.votes import vote_message


class InvalidEquivocation(SolventError):
    """The two votes do not convict anybody."""


def verify_equivocation(
    equivocation: VoteEquivocation, voters: VoterSet, set_id: int, genesis_hash: bytes, verify: Verify = crypto.verify
) -> None:
    """Check that one member of the set signed two different votes for one stage. Raises `InvalidEquivocation`."""
    first, second = equivocation.first, equivocation.second
    places = [(signed.voter, signed.vote.stage, signed.vote.set_id, signed.vote.round) for signed in (first, second)]
    if places[0] != places[1]:
        raise InvalidEquivocation("the votes are of different voters, stages, sets or rounds")
    if first.vote == second.vote:
        raise InvalidEquivocation("the votes are the same")
    if first.vote.set_id != set_id or first.voter not in voters:
        raise InvalidEquivocation(f"0x{first.voter.hex()} has no vote in the set {set_id}")
    for signed in (first, second):
        if not verify(signed.voter, signed.signature, vote_message(genesis_hash, signed.vote)):
            raise InvalidEquivocation("a signature is wrong")
