"""Judging finality from outside: justifications and equivocations, with nothing but the authority set at hand.

A light client, a warp sync and a voter all use the same `verify_justification`. It needs no block tree: headers in the
justification itself show that precommits for later blocks are precommits for its target.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.grandpa.authorities import VoterSet
from chain.grandpa.messages import MAX_ANCESTRY, Justification
from runtime import crypto
from runtime.block import Header, header_hash
from runtime.errors import SolventError
from runtime.pallets.offences import VoteEquivocation
from runtime.votes import SignedVote, vote_message

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) -> whether the signature is valid. Injected, so that results can be memoised."""


class InvalidJustification(SolventError):
    """The justification proves nothing to a holder of this authority set."""


class InvalidEquivocation(SolventError):
    """The two votes do not convict anybody."""


def verify_justification(
    justification: Justification, voters: VoterSet, set_id: int, genesis_hash: bytes, verify: Verify = crypto.verify
) -> None:
    """Check that the precommits are a supermajority of the set for the target. Raises `InvalidJustification`.

    Everything cheap comes before the first signature. Each vote and each header must serve the proof, and both are
    sorted, so that nobody can inflate a justification or make a second one of the same votes.
    """
    votes = justification.precommits
    if justification.set_id != set_id:
        raise InvalidJustification(f"it is of the set {justification.set_id}, not {set_id}")
    if len(votes) > 2 * len(voters):
        raise InvalidJustification(f"{len(votes)} precommits of {len(voters)} voters")
    keys = [(signed.voter, signed.vote.target_hash) for signed in votes]
    if keys != sorted(set(keys)):
        raise InvalidJustification("precommits are not sorted by voter and target")
    _require_weight(justification, voters)
    for signed in votes:
        if not verify(signed.voter, signed.signature, vote_message(genesis_hash, signed.vote)):
            raise InvalidJustification(f"the signature of 0x{signed.voter.hex()} is wrong")


def _require_weight(justification: Justification, voters: VoterSet) -> None:
    """Who counts for the target: who voted for it or a descendant, and who voted twice."""
    parents, used = _index(justification.ancestry), set[bytes]()
    by_voter: dict[bytes, list[SignedVote]] = {}
    for signed in justification.precommits:
        by_voter.setdefault(signed.voter, []).append(signed)
    weight = 0
    for voter, votes in by_voter.items():
        if voter not in voters:
            raise InvalidJustification(f"0x{voter.hex()} is not in the authority set")
        if len(votes) > 2:
            raise InvalidJustification(f"{len(votes)} votes of 0x{voter.hex()}")
        for signed in votes:
            _require_precommit(signed, justification)
        if len(votes) == 1:
            used |= _climb(votes[0], justification, parents)
        weight += voters.weight(voter)
    if weight < voters.quorum:
        raise InvalidJustification(f"a weight of {weight}, but {voters.quorum} of {voters.total} is a quorum")
    if len(used) != len(parents):
        raise InvalidJustification(f"{len(parents) - len(used)} headers prove nothing")


def _require_precommit(signed: SignedVote, justification: Justification) -> None:
    vote = signed.vote
    if (vote.stage, vote.set_id, vote.round) != ("precommit", justification.set_id, justification.round):
        raise InvalidJustification(f"a {vote.stage} of round {vote.round}, set {vote.set_id}")


def _index(ancestry: tuple[Header, ...]) -> dict[bytes, Header]:
    if len(ancestry) > MAX_ANCESTRY:
        raise InvalidJustification(f"{len(ancestry)} headers; at most {MAX_ANCESTRY} are allowed")
    headers = {header_hash(header): header for header in ancestry}
    if [(header.number, hash_) for hash_, header in headers.items()] != sorted(
        (header.number, header_hash(header)) for header in ancestry
    ):
        raise InvalidJustification("headers are not sorted by number and hash")
    return headers


def _climb(signed: SignedVote, justification: Justification, headers: dict[bytes, Header]) -> set[bytes]:
    """The hashes of the headers between a vote's block and the target, both numbers checked on the way."""
    block, number, used = signed.vote.target_hash, signed.vote.target_number, set[bytes]()
    while block != justification.target_hash:
        header = headers.get(block)
        if header is None or header.number != number or number <= justification.target_number:
            raise InvalidJustification(f"the precommit of 0x{signed.voter.hex()} is not shown to be for the target")
        used.add(block)
        block, number = header.parent, number - 1
    if number != justification.target_number:
        raise InvalidJustification(f"block number {number} for the target {justification.target_number}")
    return used


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
