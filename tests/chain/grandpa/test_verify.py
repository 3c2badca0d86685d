"""Justifications and equivocations, judged without a block tree: what proves, and everything that almost does."""

from __future__ import annotations

import random

import pytest

from chain.grandpa.justify import build_justification
from chain.grandpa.messages import MAX_GOSSIP_BYTES, decode_gossip
from chain.grandpa.round import Round
from chain.grandpa.verify import InvalidEquivocation, verify_equivocation
from runtime import crypto
from runtime.block import Authority
from runtime.codec import encode, replace
from runtime.errors import CodecError
from runtime.finality import InvalidJustification, Justification, decode_justification, verify_justification
from runtime.pallets.offences import VoteEquivocation
from runtime.voters import VoterSet
from runtime.votes import Vote, sign_vote, verify_vote
from tests.chain.grandpa.world import GENESIS_HASH, Blocks, KnownTree, authorities, key, verify_hash, vote

VOTERS = VoterSet(authorities(1, 1, 1, 1))


class Story:
    """Four voters on a chain of five blocks: two precommitted the third, one the fifth, one equivocated."""

    def __init__(self) -> None:
        self.blocks = Blocks()
        self.chain = self.blocks.grow(self.blocks.genesis, 5)
        self.fork = self.blocks.extend(self.chain[0], 9)
        self.tree = KnownTree.of_all(self.blocks)

    def round(self, *targets: tuple[int, bytes]) -> Round:
        round_ = Round(4, 0, VOTERS, self.blocks.genesis, 0)
        for voter, target in targets:
            number = self.blocks.headers[target].number
            round_.add(vote(voter, "precommit", 4, target, number), self.tree)
        return round_

    def justify(self, *targets: tuple[int, bytes]) -> Justification:
        justification = build_justification(self.round(*targets), self.chain[2], VOTERS, self.tree)
        assert justification is not None
        return justification


@pytest.fixture
def story() -> Story:
    return Story()


def judge(justification: Justification) -> None:
    verify_justification(justification, VOTERS, 0, GENESIS_HASH, verify_hash)


def test_a_quorum_for_one_block_needs_no_headers(story: Story) -> None:
    justification = story.justify(*[(voter, story.chain[2]) for voter in range(4)])
    assert len(justification.precommits) == 3
    assert justification.ancestry == ()
    judge(justification)
    assert decode_justification(encode(justification)) == justification
    assert decode_gossip(encode(justification)) == justification


def test_precommits_for_later_blocks_count_by_their_headers(story: Story) -> None:
    justification = story.justify((0, story.chain[2]), (1, story.chain[4]), (2, story.chain[3]))
    assert [header.number for header in justification.ancestry] == [4, 5]
    judge(justification)


def test_an_equivocator_counts_for_every_block(story: Story) -> None:
    justification = story.justify((0, story.chain[2]), (1, story.chain[2]), (3, story.fork), (3, story.chain[0]))
    assert len(justification.precommits) == 4
    judge(justification)


def test_less_than_a_quorum_builds_and_proves_nothing(story: Story) -> None:
    few = story.round((0, story.chain[2]), (1, story.chain[2]), (2, story.fork))
    assert build_justification(few, story.chain[2], VOTERS, story.tree) is None
    whole = story.justify(*[(voter, story.chain[2]) for voter in range(3)])
    with pytest.raises(InvalidJustification, match="quorum"):
        judge(replace(whole, precommits=whole.precommits[:2]))


def test_every_way_to_bend_a_justification_is_refused(story: Story) -> None:
    whole = story.justify((0, story.chain[2]), (1, story.chain[4]), (2, story.chain[3]))
    votes, headers = whole.precommits, whole.ancestry
    stranger = replace(votes[0], voter=key(9))
    forged = replace(votes[0], signature=bytes(64))
    other_round = vote(0, "precommit", 5, story.chain[2], 3)
    prevote = vote(0, "prevote", 4, story.chain[2], 3)
    wrong_number = vote(0, "precommit", 4, story.chain[2], 4)
    astray = vote(0, "precommit", 4, story.fork, 2)
    bends = {
        "the set 1": replace(whole, set_id=1),
        "not sorted": replace(whole, precommits=votes[::-1]),
        "not sorted by voter": replace(whole, precommits=(votes[0], *votes)),
        "not in the authority set": replace(whole, precommits=(*votes[1:], stranger)),
        "signature": replace(whole, precommits=(forged, *votes[1:])),
        "round 5": replace(whole, precommits=(other_round, *votes[1:])),
        "a prevote": replace(whole, precommits=(prevote, *votes[1:])),
        "block number": replace(whole, precommits=(wrong_number, *votes[1:])),
        "not shown": replace(whole, precommits=(astray, *votes[1:])),
        "is not shown": replace(whole, ancestry=headers[:1]),
        "prove nothing": replace(whole, ancestry=(story.blocks.headers[story.chain[0]], *headers)),
        "number and hash": replace(whole, ancestry=headers[::-1]),
        "sorted by number": replace(whole, ancestry=(*headers, headers[1])),
        "not shown to be": replace(whole, target_hash=story.fork),
        "for the target": replace(whole, target_number=2),
        "precommits of 4 voters": replace(whole, precommits=votes * 3),
        "headers; at most": replace(whole, ancestry=headers * 513),
    }
    for message, bent in bends.items():
        with pytest.raises(InvalidJustification, match=message):
            judge(bent)
    judge(whole)


def test_a_justification_is_of_one_chain_and_one_set_of_keys(story: Story) -> None:
    whole = story.justify(*[(voter, story.chain[2]) for voter in range(3)])
    with pytest.raises(InvalidJustification, match="signature"):
        verify_justification(whole, VOTERS, 0, b"h" * 32, verify_hash)
    with pytest.raises(InvalidJustification, match="quorum"):
        verify_justification(whole, VoterSet(authorities(1, 1, 1, 9)), 0, GENESIS_HASH, verify_hash)


def test_damaged_bytes_never_make_another_justification(story: Story) -> None:
    whole = story.justify((0, story.chain[2]), (1, story.chain[4]), (2, story.chain[3]))
    data, source = encode(whole), random.Random(5)
    for _ in range(400):
        damaged = bytearray(data)
        damaged[source.randrange(len(data))] ^= 1 << source.randrange(8)
        try:
            bent = decode_justification(bytes(damaged))
        except CodecError:
            continue
        with pytest.raises(InvalidJustification):
            judge(bent)


def test_an_oversized_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(CodecError, match="at most"):
        decode_gossip(bytes(MAX_GOSSIP_BYTES + 1))


def test_real_signatures_verify_too() -> None:
    seeds = [crypto.derive_seed(name) for name in ("//Alice", "//Bob", "//Charlie", "//Dave")]
    voters = VoterSet([Authority(crypto.public_key(seed), 1) for seed in seeds])
    what = Vote("precommit", 7, 2, b"t" * 32, 12)
    votes = sorted((sign_vote(seed, GENESIS_HASH, what) for seed in seeds[:3]), key=lambda signed: signed.voter)
    assert all(verify_vote(GENESIS_HASH, signed) for signed in votes)
    justification = Justification(7, 2, b"t" * 32, 12, tuple(votes), ())
    verify_justification(justification, voters, 7, GENESIS_HASH)
    swapped = replace(votes[0], signature=votes[1].signature)
    with pytest.raises(InvalidJustification, match="signature"):
        verify_justification(replace(justification, precommits=(swapped, *votes[1:])), voters, 7, GENESIS_HASH)


def test_two_votes_convict_only_who_signed_both_in_one_stage() -> None:
    left, right = vote(1, "prevote", 3, b"x" * 32, 5), vote(1, "prevote", 3, b"y" * 32, 5)
    verify_equivocation(VoteEquivocation(left, right), VOTERS, 0, GENESIS_HASH, verify_hash)
    innocent = {
        "the same": (left, left),
        "different voters": (left, vote(2, "prevote", 3, b"y" * 32, 5)),
        "stages": (left, vote(1, "precommit", 3, b"y" * 32, 5)),
        "rounds": (left, vote(1, "prevote", 4, b"y" * 32, 5)),
        "sets or rounds": (left, vote(1, "prevote", 3, b"y" * 32, 5, set_id=1)),
        "no vote in the set": (vote(8, "prevote", 3, b"x" * 32, 5), vote(8, "prevote", 3, b"y" * 32, 5)),
        "signature": (left, replace(right, signature=bytes(64))),
    }
    for message, (first, second) in innocent.items():
        with pytest.raises(InvalidEquivocation, match=message):
            verify_equivocation(VoteEquivocation(first, second), VOTERS, 0, GENESIS_HASH, verify_hash)
