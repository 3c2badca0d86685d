"""Chunk challenges: a holder that has the blob answers and earns, one that signed without having it pays."""

from __future__ import annotations

import pytest

from runtime.codec import replace
from runtime.pallets import balances, blobs, tasks, treasury
from runtime.pallets.blobs.storage import ChunkPosted, ChunkRefused, PlacementLost
from tests.blobs.keeping import BOND, LOCK, Keeping
from tests.market.market import SUBMITTER
from tests.support.chain import account

CHALLENGER = "//Verifier5"


@pytest.fixture
def keeping() -> Keeping:
    return Keeping(solvers=0).to_placed()


def test_a_holder_that_has_the_chunk_posts_it_and_receives_the_bond(keeping: Keeping) -> None:
    holder = keeping.signed[0]
    keeping.challenge(CHALLENGER, holder)
    before = keeping.owned(holder)
    receipt = keeping.submit(holder, keeping.answer())
    assert keeping.events(ChunkPosted)[0].bond == keeping.figures["challenge_bond"]
    assert keeping.owned(holder) - before == keeping.figures["challenge_bond"] - receipt.fee > 0
    keeping.skip(5)
    assert keeping.holder(holder).bond == BOND


def test_a_holder_that_signed_without_having_the_blob_loses_its_seats_lock(keeping: Keeping) -> None:
    holder = keeping.signed[0]
    keeping.challenge(CHALLENGER, holder)
    before, kept = keeping.owned(CHALLENGER), balances.free(keeping.state, treasury.ACCOUNT)
    while not keeping.events(ChunkRefused):
        keeping.skip(1)
    [refused] = keeping.events(ChunkRefused)
    assert (refused.slashed, refused.reward) == (LOCK, LOCK // 2)
    assert keeping.owned(CHALLENGER) - before == LOCK // 2, "and the bond is free again"
    assert balances.free(keeping.state, treasury.ACCOUNT) - kept == LOCK // 2
    assert blobs.HOLDERS.get(keeping.state, account(holder)) is None, "with its only seat it is dismissed"
    assert not balances.held(keeping.state, account(holder), blobs.HOLDER_REASON)
    assert not balances.held(keeping.state, account(CHALLENGER), b"chunk:")


def test_too_few_true_receipts_and_the_data_count_as_lost_until_they_are_placed_anew(keeping: Keeping) -> None:
    keeping.challenge(CHALLENGER, keeping.signed[0])
    while not keeping.events(PlacementLost):
        keeping.skip(1)
    assert keeping.placement.status == "lost"
    assert keeping.placement.pot > 0, "the others are answerable, and to be paid"
    keeping.submit(SUBMITTER, tasks.PlaceData(keeping.task, 10_240))
    assert keeping.placement.status == "drawing"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": bytes(4096)}, "WrongChunk"),
        ({"data": bytes(4095)}, "WrongChunk"),
        ({"path": ()}, "WrongChunk"),
        ({"chunk": 0}, "UnknownChallenge"),
        ({"item": 1}, "UnknownChallenge"),
        ({"placement": bytes(32)}, "UnknownChallenge"),
    ],
)
def test_only_the_very_chunk_with_its_path_is_an_answer(keeping: Keeping, change: dict[str, object], code: str) -> None:
    holder = keeping.signed[0]
    keeping.challenge(CHALLENGER, holder)
    keeping.reject(holder, replace(keeping.answer(), **change), code)
    keeping.reject(keeping.signed[1], keeping.answer(), "UnknownChallenge")
    keeping.submit(holder, keeping.answer())


def test_an_answer_after_the_deadline_comes_too_late(keeping: Keeping) -> None:
    holder = keeping.signed[0]
    keeping.challenge(CHALLENGER, holder)
    keeping.skip(keeping.figures["challenge_blocks"])
    keeping.reject(holder, keeping.answer(), "UnknownChallenge")


def test_the_last_chunk_may_be_short(keeping: Keeping) -> None:
    keeping.challenge(CHALLENGER, keeping.signed[0], chunk=2)
    assert len(keeping.chunk(2)) == 2048
    keeping.submit(keeping.signed[0], keeping.answer(2))


def test_what_cannot_be_asked_is_refused(keeping: Keeping) -> None:
    holder, ask = account(keeping.signed[0]), blobs.ChallengeChunk
    keeping.reject(CHALLENGER, ask(bytes(32), holder, 0, 0), "UnknownPlacement")
    keeping.reject(CHALLENGER, ask(keeping.task, account(keeping.asked[0]), 0, 0), "NotHeld")
    keeping.reject(keeping.signed[0], ask(keeping.task, holder, 0, 0), "NotHeld")
    keeping.reject(CHALLENGER, ask(keeping.task, holder, 0, 3), "NoSuchChunk")
    keeping.reject(CHALLENGER, ask(keeping.task, holder, 2, 0), "NoSuchChunk")


def test_challenges_are_bounded_and_each_costs_a_bond(keeping: Keeping) -> None:
    holders = keeping.signed
    for holder in holders:
        keeping.challenge(CHALLENGER, holder)
    again = blobs.ChallengeChunk(keeping.task, account(holders[0]), 0, 0)
    keeping.reject(CHALLENGER, again, "TooManyChallenges")
    keeping.submit(holders[0], keeping.answer())
    keeping.submit(CHALLENGER, again)
    keeping.reject(CHALLENGER, replace(again, chunk=1), "TooManyChallenges")


def test_a_challenge_outlived_by_its_task_costs_nobody_anything(keeping: Keeping) -> None:
    holder = keeping.signed[0]
    keeping.challenge(CHALLENGER, holder)
    before = keeping.owned(CHALLENGER)
    keeping.submit(SUBMITTER, tasks.Cancel(keeping.task))
    keeping.skip(8)
    assert keeping.owned(CHALLENGER) == before
    assert keeping.holder(holder).bond == BOND
