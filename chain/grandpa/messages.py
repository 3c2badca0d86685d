"""What voters tell each other, and how it is decoded within bounds.

Votes themselves are in `runtime.votes`, because the chain punishes those who contradict themselves, and justifications
in `runtime.finality`, because clients check them. On the topic of
votes travel `SignedVote`, `SignedProposal` and `Justification`; `CatchUpRequest` and `CatchUp` pass between two peers.
"""

from __future__ import annotations

from runtime.codec import U63, AccountId, Hash, Record, Signature, decode, encode
from runtime.errors import CodecError
from runtime.finality import MAX_JUSTIFICATION_BYTES, Justification
from runtime.trees import hash_tagged
from runtime.votes import SignedVote

MAX_GOSSIP_BYTES = MAX_JUSTIFICATION_BYTES
"""A vote has about 200 bytes."""
MAX_CATCH_UP_BYTES = 2 * 1024 * 1024
"""Two rounds of the largest set, in which everybody equivocated."""
MAX_CATCH_UPS = 2


class Proposal(Record):
    """The primary's hint for a round: the estimate of the round before, which is not final yet."""

    set_id: U63
    round: U63
    target_hash: Hash
    target_number: U63


class SignedProposal(Record):
    """A proposal with the key and the signature of the primary."""

    proposal: Proposal
    voter: AccountId
    signature: Signature


class CatchUpRequest(Record):
    """Asks for all votes of the rounds that the peer is in: its previous and its current one, from ``round`` on."""

    set_id: U63
    round: U63


class CatchUp(Record):
    """All votes that a voter holds of one round: what follows from them is for the receiver to find out."""

    set_id: U63
    round: U63
    prevotes: tuple[SignedVote, ...]
    precommits: tuple[SignedVote, ...]


Gossip = SignedVote | SignedProposal | Justification
"""What the topic of votes carries."""


def proposal_message(genesis_hash: bytes, proposal: Proposal) -> bytes:
    """The 32 bytes that a primary signs."""
    return hash_tagged(b"solvent:propose", encode((genesis_hash, proposal)))


def decode_gossip(data: bytes) -> Gossip:
    """A message of the topic of votes. Raises `CodecError`; nothing is allocated beyond a multiple of ``data``."""
    message: Gossip = decode(data, SignedVote | SignedProposal | Justification, MAX_GOSSIP_BYTES)
    return message


def decode_catch_ups(data: bytes) -> tuple[CatchUp, ...]:
    """A peer's answer to a `CatchUpRequest`: at most its previous and its current round. Raises `CodecError`."""
    catch_ups: tuple[CatchUp, ...] = decode(data, tuple[CatchUp, ...], MAX_CATCH_UP_BYTES)
    if len(catch_ups) > MAX_CATCH_UPS:
        raise CodecError(f"the votes of {len(catch_ups)} rounds; at most {MAX_CATCH_UPS} are asked for")
    return catch_ups
