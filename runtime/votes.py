"""A vote on finality as both the voters and the chain that punishes them read it.

A voter signs at most one vote for each *stage* of a round: first a *prevote*, then a *precommit*. What it signs names
the genesis, the authority set, the round, the stage and the block, so no vote means anything elsewhere, and two
different ones for the same stage of a round prove by themselves that their signer equivocated.
"""

from __future__ import annotations

from typing import Literal

from runtime import crypto
from runtime.codec import U63, AccountId, Hash, Record, Signature, encode
from runtime.trees import hash_tagged

Stage = Literal["prevote", "precommit"]


class Vote(Record):
    """What one voter says in one stage of a round of the authority set ``set_id``: this block, and all before it."""

    stage: Stage
    set_id: U63
    round: U63
    target_hash: Hash
    target_number: U63


class SignedVote(Record):
    """A vote with the session key of its voter and that key's signature of `vote_message`."""

    vote: Vote
    voter: AccountId
    signature: Signature


def vote_message(genesis_hash: bytes, vote: Vote) -> bytes:
    """The 32 bytes that a voter signs."""
    return hash_tagged(b"solvent:vote", encode((genesis_hash, vote)))


def sign_vote(seed: bytes, genesis_hash: bytes, vote: Vote) -> SignedVote:
    """Sign a vote with the seed of a session key. Whether it may be signed is for the caller to know."""
    return SignedVote(vote, crypto.public_key(seed), crypto.sign(seed, vote_message(genesis_hash, vote)))


def verify_vote(genesis_hash: bytes, signed: SignedVote) -> bool:
    """Whether the signature is the voter's."""
    return crypto.verify(signed.voter, signed.signature, vote_message(genesis_hash, signed.vote))
