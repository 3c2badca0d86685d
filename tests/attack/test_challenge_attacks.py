"""Attacks on challengers: copying and outrunning them, never revealing, and losing to a friend."""

from __future__ import annotations

from ml.dispute.reference import WrongOperand
from runtime.codec import replace
from runtime.pallets import balances, disputes, treasury
from runtime.pallets.disputes.storage import CLAIMANTS, Disputed
from tests.dispute.test_pallet import ALICE, BOB, HONEST, SALT, Court
from tests.market.market import VERIFIERS
from tests.support.chain import account

OTHER_FAULT = WrongOperand(1, 0, 1, 0, 1 << 25)
"""A replay that goes wrong elsewhere than the solver's, so that its challenger selects what is right."""


def commitments(court: Court) -> list[int]:
    return [number for number, _ in disputes.COMMITMENTS.items(court.state)]


def test_a_copied_commitment_opens_nothing_and_costs_its_bond() -> None:
    court = Court()
    court.submit(ALICE, court.commitment(ALICE))
    court.submit(BOB, court.commitment(ALICE))
    (made,) = court.events(disputes.CommitmentMade)
    court.submit(ALICE, court.revelation(before=2))
    court.reject(BOB, court.revelation(), "WrongRevelation")
    court.reject(BOB, replace(court.revelation(), number=0), "UnknownCommitment")
    pot, owned = balances.free(court.state, treasury.ACCOUNT), court.owned(BOB)
    while commitments(court):
        court.skip(1)
    assert court.events(disputes.CommitmentEnded) == [
        disputes.CommitmentEnded(1, court.task, account(BOB), "forfeited", made.bond)
    ]
    assert court.owned(BOB) == owned - made.bond
    assert balances.free(court.state, treasury.ACCOUNT) == pot + made.bond


def test_whoever_sees_a_challenge_and_plays_faster_is_not_rewarded() -> None:
    court = Court()
    court.submit(ALICE, court.commitment(ALICE))
    court.submit(ALICE, court.revelation())
    court.open(BOB)
    alice, bob = court.owned(ALICE), court.owned(BOB)
    bond = court.dispute(0).bond
    court.play(1)
    (event,) = court.events(disputes.DisputeDecided)
    assert (event.dispute, event.challenger, event.rewarded) == (1, account(BOB), account(ALICE))
    assert court.dispute(0).status == "cancelled"
    assert court.owned(ALICE) == alice + event.reward
    assert court.owned(BOB) < bob, "its own fees are all that it has of it"
    assert court.dispute(1).bond == bond
    assert account(ALICE) in court.record.reviewers


def test_a_solver_that_loses_to_a_friend_does_not_take_the_reward_from_an_earlier_challenger() -> None:
    court = Court()
    honest = court.open(ALICE)
    friend = court.open(BOB)
    court.play(honest, moves=1)
    assert (honest, friend) == (0, 1)
    court.play(friend)
    (event,) = court.events(disputes.DisputeDecided)
    assert (event.challenger, event.rewarded) == (account(BOB), account(ALICE))


def test_whoever_committed_first_and_then_lost_is_passed_over() -> None:
    court = Court(clock_blocks=200)
    for who in (ALICE, BOB):
        court.submit(who, court.commitment(who))
    court.submit(ALICE, court.revelation(before=2))
    court.submit(BOB, court.revelation())
    court.play(0, challenger=court.challenger(OTHER_FAULT))
    assert court.dispute(0).status == "defender_won"
    court.play(1)
    (event,) = court.events(disputes.DisputeDecided)
    assert (event.winner, event.rewarded) == ("challenger", account(BOB))


def test_a_commitment_is_revealed_only_when_no_fork_can_undo_it() -> None:
    court = Court()
    receipts = court.author((ALICE, court.commitment()), (ALICE, disputes.Reveal(0, 2, SALT)))
    assert [receipt.ok for receipt in receipts] == [True, False]
    assert receipts[1].error.code == "NotFinalYet"
    court.submit(ALICE, court.revelation())


def test_a_challenge_committed_to_in_the_last_block_of_the_window_still_counts() -> None:
    court = Court(clock_blocks=1_000)
    court.skip(court.board.window - court.number - 1)
    court.submit(ALICE, court.commitment())
    court.reject(BOB, court.commitment(BOB), "WindowClosed")
    court.skip(3)
    assert court.record.status == "auditing", "nothing settles before the challenge is known"
    court.submit(ALICE, court.revelation())
    court.play()
    assert court.dispute().status == "challenger_won"


def test_unrevealed_commitments_delay_a_settlement_by_a_bounded_time_and_pay_for_it() -> None:
    court = Court(HONEST, reveal_blocks=6)
    crowd = [ALICE, BOB, *VERIFIERS[3:]]
    court.skip(court.board.window - court.number - 1)
    court.author(*[(who, court.commitment(who)) for who in crowd])
    assert court.board.commitments == len(crowd)
    spent = {who: court.owned(who) for who in crowd}
    court.skip(5)
    assert court.record.status == "auditing"
    court.skip(1)
    court.to_exposed().skip(1)
    assert court.record.status == "settled"
    bond = disputes.parameters(court.state).bond
    assert all(spent[who] - court.owned(who) > bond for who in crowd)


def test_commitments_about_a_proof_that_another_challenge_voids_are_returned() -> None:
    court = Court(reveal_blocks=40)
    court.submit(BOB, court.commitment(BOB, 1))
    court.open(ALICE)
    owned = court.owned(BOB)
    court.play(0)
    assert court.dispute(0).status == "challenger_won"
    court.reject(BOB, replace(court.revelation(1), number=0), "NoProof")
    owned = court.owned(BOB)
    while commitments(court):
        court.skip(1)
    (event,) = court.events(disputes.CommitmentEnded)
    assert (event.challenger, event.how) == (account(BOB), "returned")
    assert court.owned(BOB) == owned


def test_more_challengers_than_are_listed_leave_the_reward_with_the_earliest() -> None:
    court = Court(clock_blocks=300)
    crowd = [suri for suri in court_crowd(court) if suri != ALICE][:10]
    court.submit(ALICE, court.commitment(ALICE))
    for start in range(0, len(crowd), 5):
        court.author(*[(who, court.commitment(who)) for who in crowd[start : start + 5]])
    everyone = [ALICE, *crowd]
    for place, who in reversed(list(enumerate(everyone))):
        court.submit(who, disputes.Reveal(place, 2, SALT))
    listed = CLAIMANTS.get(court.state, Disputed(court.task, 1, 2))
    assert listed is not None
    assert len(listed) == 8
    assert court.dispute(listed[0].dispute).challenger == account(ALICE)
    court.play(0)
    (event,) = court.events(disputes.DisputeDecided)
    assert event.rewarded == account(ALICE)


def court_crowd(court: Court) -> list[str]:
    roles = (court.solver, *court.auditors())
    return [
        suri for suri in (ALICE, BOB, *VERIFIERS, *(f"//Solver{number}" for number in range(8))) if suri not in roles
    ]
