"""Views and rounds: the definitions by brute force, and the lemmas of the ADR on random votes."""

from __future__ import annotations

import random

import pytest

from chain.grandpa.round import Round
from chain.grandpa.view import Added, View
from runtime.block import Authority
from runtime.voters import MAX_VOTERS, InvalidAuthorities, VoterSet
from runtime.votes import SignedVote
from tests.chain.grandpa.world import Blocks, KnownTree, authorities, key, vote


def random_tree(source: random.Random) -> Blocks:
    blocks = Blocks()
    for _ in range(source.randint(3, 14)):
        blocks.extend(source.choice(sorted(blocks.headers)), source.getrandbits(60))
    return blocks


def random_votes(source: random.Random, blocks: Blocks, voters: VoterSet, stage: str) -> list[SignedVote]:
    """Tolerant votes in random order: everybody votes, and some within the faulty weight vote twice."""
    budget, votes = voters.faulty, []
    heads = sorted(blocks.headers)
    favourite = source.choice(heads)
    for index, authority in enumerate(voters.authorities):
        count = 1
        if authority.weight <= budget and source.random() < 0.6:
            budget -= authority.weight
            count = 2
        for _ in range(count):
            target = favourite if source.random() < 0.6 else source.choice(heads)
            number = blocks.headers[target].number
            votes.append(vote(index, "prevote" if stage == "prevote" else "precommit", 1, target, number))
    source.shuffle(votes)
    return votes


def brute_weights(blocks: Blocks, voters: VoterSet, votes: list[SignedVote], block: bytes) -> tuple[int, int]:
    """(for, against), straight from the definitions."""
    targets: dict[bytes, set[bytes]] = {}
    for signed in votes:
        targets.setdefault(signed.voter, set()).add(signed.vote.target_hash)
    supporting = opposing = 0
    for voter, named in targets.items():
        is_above = any(block in blocks.chains[target] for target in named)
        supporting += voters.weight(voter) if len(named) > 1 or is_above else 0
        opposing += voters.weight(voter) if len(named) > 1 or not is_above else 0
    return supporting, opposing


@pytest.mark.parametrize("seed", range(60))
def test_weights_ghost_and_possibility_are_those_of_the_definitions(seed: int) -> None:
    source = random.Random(seed)
    blocks = random_tree(source)
    tree, voters = KnownTree.of_all(blocks), VoterSet(authorities(*[source.randint(1, 4) for _ in range(7)]))
    votes = random_votes(source, blocks, voters, "prevote")
    view, taken = View(voters), list[SignedVote]()
    for signed in votes:
        view.add(signed, tree)
        taken.append(signed)
        winners = []
        for block in blocks.headers:
            supporting, opposing = brute_weights(blocks, voters, taken, block)
            assert view.weight_for(block, tree) == supporting
            assert view.is_possible(block, tree) == (opposing <= 2 * voters.faulty)
            if supporting >= voters.quorum:
                winners.append(block)
            children = [child for child, header in blocks.headers.items() if header.parent == block]
            possible = any(view.is_possible(child, tree) for child in children)
            assert view.is_child_possible(block, tree) == (possible or view.voted <= 2 * voters.faulty)
        highest = max(winners, key=lambda block: len(blocks.chains[block]), default=None)
        assert view.ghost(tree, 0) == highest


@pytest.mark.parametrize("seed", range(60))
def test_the_lemmas_hold_while_votes_come_in(seed: int) -> None:
    source = random.Random(1000 + seed)
    blocks = random_tree(source)
    tree, voters = KnownTree.of_all(blocks), VoterSet(authorities(*[source.randint(1, 4) for _ in range(7)]))
    votes = random_votes(source, blocks, voters, "prevote") + random_votes(source, blocks, voters, "precommit")
    source.shuffle(votes)
    round_ = Round(1, 0, voters, blocks.genesis, 0)
    impossible: set[bytes] = set()
    before = round_.state(tree)
    for signed in votes:
        round_.add(signed, tree)
        state = round_.state(tree)
        assert not any(round_.precommits.is_possible(block, tree) for block in impossible)  # lemma 1
        impossible = {block for block in blocks.headers if not round_.precommits.is_possible(block, tree)}
        if before.ghost:
            assert state.ghost  # lemma 2
            assert tree.is_descendant(before.ghost, state.ghost)
        if before.completable:
            assert state.completable  # lemma 3
            assert state.estimate
            assert before.estimate
            assert tree.is_descendant(state.estimate, before.estimate)
        before = state


@pytest.mark.parametrize("total", range(1, 40))
def test_two_quorums_share_more_than_the_faulty_weight(total: int) -> None:
    voters = VoterSet(authorities(*[1] * total))
    assert 3 * voters.faulty < total <= 3 * voters.faulty + 3
    assert 2 * voters.quorum > total + voters.faulty
    assert voters.quorum > 2 * voters.faulty


def test_a_third_vote_and_a_repeated_vote_change_nothing() -> None:
    blocks = Blocks()
    left, right, third = (blocks.extend(blocks.genesis, salt) for salt in range(3))
    tree, view = KnownTree.of_all(blocks), View(VoterSet(authorities(1, 1, 1, 1)))
    assert view.add(vote(0, "prevote", 1, left, 1), tree) is Added.NEW
    assert view.add(vote(0, "prevote", 1, left, 1), tree) is Added.KNOWN
    assert view.add(vote(0, "prevote", 1, right, 1), tree) is Added.EQUIVOCATION
    assert view.add(vote(0, "prevote", 1, third, 1), tree) is Added.KNOWN
    assert view.voted == view.weight_for(third, tree) == 1
    assert len(list(view)) == 2


def test_votes_for_unknown_blocks_count_when_the_block_arrives() -> None:
    blocks = Blocks()
    block = blocks.extend(blocks.genesis)
    tree, view = KnownTree(blocks), View(VoterSet(authorities(1)))
    view.add(vote(0, "prevote", 1, block, 1), tree)
    assert (view.voted, view.ghost(tree, 0), view.missing_blocks()) == (0, None, {block: 1})
    assert not view.count_known(tree)
    tree.known.add(block)
    assert view.count_known(tree)
    assert (view.voted, view.ghost(tree, 0), view.missing_blocks()) == (1, block, {})


def test_a_vote_with_a_wrong_number_never_counts_but_still_convicts() -> None:
    blocks = Blocks()
    block = blocks.extend(blocks.genesis)
    tree, view = KnownTree(blocks), View(VoterSet(authorities(1, 1, 1, 1)))
    view.add(vote(0, "prevote", 1, block, 7), tree)
    tree.known.add(block)
    assert not view.count_known(tree)
    assert (view.voted, view.missing_blocks()) == (0, {})
    assert view.add(vote(0, "prevote", 1, block, 1), tree) is Added.EQUIVOCATION
    assert view.equivocating == view.voted == 1


@pytest.mark.parametrize(
    "members",
    [(), (Authority(key(0), 0),), (Authority(key(0), 1),) * 2, authorities(*[1] * 200) * 6],
)
def test_sets_that_cannot_vote_are_refused(members: tuple[Authority, ...]) -> None:
    with pytest.raises(InvalidAuthorities):
        VoterSet(members)
    assert MAX_VOTERS == 1024


def test_primaries_take_turns() -> None:
    voters = VoterSet(authorities(5, 1, 1))
    assert [voters.primary(round_) for round_ in range(1, 5)] == [key(1), key(2), key(0), key(1)]
    assert [voters.distance_from_primary(key(0), round_) for round_ in (0, 1, 2, 3)] == [0, 2, 1, 0]
