"""Judging finality from outside: what light clients, newcomers and voters check, with nothing but an authority set.

A *justification* holds the precommits of a supermajority of the set for a block. It needs no block tree: headers in it
show that precommits for later blocks are precommits for its target. A block that ends its set names the next one in its
header, so from a set that one trusts a chain of *steps*, one a change, leads to the present one (`follow_step`).
"""

from __future__ import annotations

from runtime import crypto
from runtime.block import Authority, Header, NextAuthorities, header_hash
from runtime.codec import U63, Hash, Record, decode
from runtime.crypto import Verify
from runtime.errors import SolventError
from runtime.voters import VoterSet
from runtime.votes import SignedVote, vote_message

MAX_JUSTIFICATION_BYTES = 2 * 1024 * 1024
"""One of the largest set with its headers."""
MAX_ANCESTRY = 1024
"""Headers that a justification may carry to show that precommits for later blocks count for its target."""


class InvalidJustification(SolventError):
    """The justification proves nothing to a holder of this authority set."""


class Justification(Record):
    """Precommits of one round with a supermajority for the target: it is final. Also gossiped, as a *commit*.

    ``precommits`` are sorted by (voter, target hash); of an equivocator it holds both. ``ancestry`` holds the headers
    between the target and the later blocks that were voted for, sorted by (number, hash); usually there are none.
    """

    set_id: U63
    round: U63
    target_hash: Hash
    target_number: U63
    precommits: tuple[SignedVote, ...]
    ancestry: tuple[Header, ...]


class TrustedSet(Record):
    """An authority set that can be relied on: the one that votes on the blocks after a final block."""

    number: U63
    hash: Hash
    set_id: U63
    authorities: tuple[Authority, ...]


def decode_justification(data: bytes) -> Justification:
    """A justification that was stored or fetched. Raises `CodecError`."""
    return decode(data, Justification, MAX_JUSTIFICATION_BYTES)


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


def follow_step(
    trusted: TrustedSet, header: Header, data: bytes, genesis_hash: bytes, verify: Verify = crypto.verify
) -> TrustedSet:
    """The set that votes after ``header``, which the encoded justification ``data`` shows to be final.

    Raises `InvalidJustification`, `runtime.voters.InvalidAuthorities` or `CodecError`.
    """
    justification, hash_ = decode_justification(data), header_hash(header)
    named = (justification.target_hash, justification.target_number)
    if named != (hash_, header.number) or header.number <= trusted.number:
        raise InvalidJustification(f"it is not of block {header.number}, or that is not after {trusted.number}")
    verify_justification(justification, VoterSet(trusted.authorities), trusted.set_id, genesis_hash, verify)
    changes = [item for item in header.digest if isinstance(item, NextAuthorities)]
    if not changes:
        return TrustedSet(header.number, hash_, trusted.set_id, trusted.authorities)
    following = changes[0]
    VoterSet(following.authorities)
    if len(changes) != 1 or following.set_id != trusted.set_id + 1:
        raise InvalidJustification(f"block {header.number} announces set {following.set_id} out of turn")
    return TrustedSet(header.number, hash_, following.set_id, following.authorities)
