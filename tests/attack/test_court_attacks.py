"""Attacks on the money and the bookkeeping around disputes."""

from __future__ import annotations

from runtime.pallets import disputes, proofs, workers
from tests.dispute.test_pallet import ALICE, BOB, Court
from tests.market.market import BOND
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
