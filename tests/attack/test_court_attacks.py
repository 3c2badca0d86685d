"""Attacks on the money and the bookkeeping around disputes."""

from __future__ import annotations

from runtime.pallets import disputes, proofs, workers
from tests.dispute.test_pallet import ALICE, BOB, HONEST, Court
from tests.market.market import BOND, VERIFIERS, Market
from tests.support.chain import account


def test_the_late_end_of_an_old_dispute_does_not_end_the_same_challengers_dispute_of_the_next_proof() -> None:
    court = Court(cancellations_at_once=1)
    court.open(ALICE)
    crowd = [*(f"//Verifier{number}" for number in (3, 4, 5)), *(f"//Solver{number}" for number in range(2, 8))]
    for segment in (0, 1, 2):
        for who in crowd:
            court.open(who, segment)
    old = court.open(BOB)
    court.author(*[(suri, workers.Register("verifier", BOND, 400_000, 8)) for suri in crowd[:3]])
    court.play(0)
    assert court.dispute(old).status == "open", "its bond waits for a block with room"
    court.to_proved()
    new = court.open(BOB)
    assert court.dispute(old).status == "open"
    court.skip(40)
    assert court.dispute(old).status == "cancelled"
    assert court.dispute(new).status == "open"
    assert court.board.disputes == 1
    key = proofs.DisputeKey(court.task, 2, account(BOB))
    assert proofs.DISPUTES.get(court.state, key) == court.board.attempt
    assert disputes.OPEN_DISPUTES.get(court.state, court.task) == (new,)


class EarlyCourt(Court):
    """A court whose verifiers were only just drawn."""

    __test__ = False

    def to_window(self) -> Market:
        return self.to_auditing()


def test_a_challenger_that_is_drawn_as_verifier_later_need_not_dispute_the_same_segment_twice() -> None:
    court = EarlyCourt(clock_blocks=200)
    (spare,) = set(VERIFIERS[:3]) - set(court.auditors())
    for segment in range(3):
        court.open(spare, segment)
    for _ in range(8):
        if spare not in court.auditors("drawn"):
            court.skip(1)
    assert spare in court.auditors("drawn"), "it takes the place of a silent one"
    court.accept_audit(spare)
    court.skip(1)
    court.give_verdict(spare, *court.segments(spare))
    assert court.audit(spare).status == "disputing"
    bond = court.worker(spare).bond
    court.skip(20)
    assert court.audit(spare).status == "disputing", "its disputes run; there is nothing that it has missed"
    assert court.worker(spare).bond == bond


def test_openings_about_proofs_that_are_settled_get_no_room_that_is_kept_for_disputes() -> None:
    court = Court(HONEST)
    opening = disputes.Open(court.task, 2)
    definition = disputes.PALLET.calls["open"]
    assert definition.is_operational(court.state, account(ALICE), opening)
    court.skip(court.board.window - court.number + 3)
    assert court.record.status == "settled"
    assert not definition.is_operational(court.state, account(ALICE), opening)
