"""Committees, receipts and deadlines: how data become available, and what a task does while they are not."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.pallets import balances, blobs, tasks
from runtime.pallets.blobs.storage import CommitteeDrawn, Placed, PlacementFailed
from tests.blobs.keeping import BOND, DATA, HOLDERS, LOCK, Keeping
from tests.market.market import SUBMITTER, Market, submission
from tests.support.chain import account


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


def test_no_solver_is_drawn_before_three_holders_signed_for_the_data(keeping: Keeping) -> None:
    keeping.to_asked()
    assert len(keeping.asked) == 5
    keeping.confirm(*keeping.asked[:2])
    keeping.skip(1)
    assert (keeping.record.status, keeping.placement.status) == ("pooled", "placing")
    keeping.confirm(keeping.asked[0])
    assert keeping.events(Placed) == [Placed(keeping.task)]
    keeping.until("assigned")


def test_where_nothing_has_to_be_placed_tasks_go_on_without() -> None:
    market = Market()
    _, placed = market.author((SUBMITTER, submission()), (SUBMITTER, tasks.PlaceData(market.task, 100)))
    assert placed.error.code == "AvailabilityOff"
    market.until("assigned")


def test_a_committee_is_as_many_as_there_are_but_no_fewer_than_receipts_are_needed() -> None:
    few = Keeping(holders=4).to_asked()
    assert len(few.asked) == 4
    none = Keeping(holders=2).to_pooled()
    none.reject(SUBMITTER, tasks.PlaceData(none.task, len(DATA)), "NotEnoughHolders")


def test_a_second_committee_is_drawn_of_others_and_receipts_add_up() -> None:
    keeping = Keeping(holders=7)
    keeping.to_asked()
    first = keeping.asked
    keeping.confirm(first[0], first[1])
    while keeping.placement.committees == 1:
        keeping.skip(1)
    assert keeping.signed == first[:2]
    assert not set(keeping.asked) & set(first[:2])
    assert all(keeping.holder(suri).seats == 0 for suri in first[2:] if suri not in keeping.asked)
    keeping.confirm(keeping.asked[0])
    assert keeping.placement.status == "placed"


def test_data_that_nobody_could_get_cancel_the_task_and_the_escrow_comes_back_less_the_listing_fee(
    keeping: Keeping,
) -> None:
    before = keeping.owned(SUBMITTER)
    keeping.to_asked()
    keeping.confirm(*keeping.asked[:2])
    for _ in range(40):
        if keeping.record.status == "cancelled":
            break
        keeping.skip(1)
    fees = before - keeping.owned(SUBMITTER) - keeping.record.estimate.listing_fee
    assert 0 < fees < 10**8, "two extrinsics"
    assert all((keeping.holder(suri).seats, keeping.holder(suri).bond) == (0, BOND) for suri in keeping.holders)
    assert blobs.PLACEMENTS.get(keeping.state, keeping.task) is None


def test_holders_are_paid_when_the_task_is_over_and_the_rest_of_the_pot_goes_back(keeping: Keeping) -> None:
    keeping.to_placed()
    pot, pay, signed = keeping.placement.pot, keeping.placement.pay, keeping.signed
    assert balances.held(keeping.state, account(SUBMITTER), blobs.pot_reason(keeping.task)) == pot == 10 * pay
    owned = {suri: keeping.owned(suri) for suri in keeping.holders}
    keeping.to_settled()
    for suri in keeping.holders:
        assert keeping.owned(suri) - owned[suri] == (pay if suri in signed else 0)
    assert not balances.held(keeping.state, account(SUBMITTER), blobs.pot_reason(keeping.task))


def test_whoever_does_not_sign_in_time_is_free_again() -> None:
    keeping = Keeping(solvers=0).to_placed()
    late = keeping.asked
    assert len(late) == 2
    keeping.skip(10)
    assert (len(keeping.signed), keeping.asked) == (3, [])
    assert all(keeping.holder(suri).locked == 0 for suri in late)


def test_a_task_that_is_taken_back_lets_its_holders_go(keeping: Keeping) -> None:
    keeping.to_asked()
    keeping.submit(SUBMITTER, tasks.Cancel(keeping.task))
    assert all(keeping.holder(suri).locked == 0 for suri in keeping.holders)


def test_only_the_submitter_places_and_only_once(keeping: Keeping) -> None:
    keeping.to_pooled()
    keeping.reject("//Solver0", tasks.PlaceData(keeping.task, len(DATA)), "NotTheSubmitter")
    keeping.reject(SUBMITTER, tasks.PlaceData(keeping.task, 2**50), "PlacementTooLarge")
    keeping.submit(SUBMITTER, tasks.PlaceData(keeping.task, len(DATA)))
    keeping.reject(SUBMITTER, tasks.PlaceData(keeping.task, len(DATA)), "AlreadyPlaced")


def test_a_receipt_is_taken_from_a_seat_once_and_in_time(keeping: Keeping) -> None:
    keeping.to_asked()
    outsider = next(suri for suri in keeping.holders if suri not in keeping.asked)
    for suri in (outsider, SUBMITTER):
        keeping.reject(suri, blobs.SignReceipt(keeping.task), "NotAsked")
    first, second = keeping.asked[:2]
    keeping.confirm(first)
    keeping.reject(first, blobs.SignReceipt(keeping.task), "NotAsked")
    keeping.skip(keeping.placement.deadline - keeping.number)
    keeping.reject(second, blobs.SignReceipt(keeping.task), "NotAsked")


def test_the_payer_never_sits_in_its_own_committee() -> None:
    keeping = Keeping(holders=5)
    keeping.author((SUBMITTER, blobs.RegisterHolder(BOND)))
    keeping.to_asked()
    assert SUBMITTER not in keeping.asked


def test_a_seat_locks_its_share_of_a_bond_and_a_holder_without_room_is_not_drawn() -> None:
    keeping = Keeping(minimum_bond=LOCK, lock=BOND).to_asked()
    assert all(keeping.holder(suri).locked == BOND for suri in keeping.asked)
    assert blobs.HOLDERS.get(keeping.state, account(keeping.asked[0])) is not None
    able = [suri for suri in keeping.holders if suri not in keeping.asked]
    assert len(able) == 1


def test_a_bond_that_is_younger_than_the_randomness_is_not_drawn() -> None:
    keeping = Keeping(holders=4).to_pooled()
    keeping.author((SUBMITTER, tasks.PlaceData(keeping.task, len(DATA))))
    keeping.author((HOLDERS[5], blobs.RegisterHolder(BOND)))
    while keeping.placement.status == "drawing":
        keeping.skip(1)
    assert HOLDERS[5] not in keeping.asked


def test_a_holder_leaves_at_once_or_with_its_last_seat(keeping: Keeping) -> None:
    keeping.to_asked()
    idle = next(suri for suri in keeping.holders if suri not in keeping.asked)
    keeping.submit(idle, blobs.LeaveHolder())
    assert balances.held(keeping.state, account(idle), blobs.HOLDER_REASON) == 0
    busy = keeping.asked[0]
    keeping.submit(busy, blobs.LeaveHolder())
    assert keeping.holder(busy).bond == BOND
    keeping.submit(SUBMITTER, tasks.Cancel(keeping.task))
    assert balances.held(keeping.state, account(busy), blobs.HOLDER_REASON) == 0
    keeping.reject(busy, blobs.LeaveHolder(), "NotAHolder")


def test_bonds_below_the_minimum_and_holders_beyond_the_bound_are_refused() -> None:
    keeping = Keeping(holders=2, maximum_holders=2)
    keeping.reject(HOLDERS[3], blobs.RegisterHolder(BOND), "HolderRosterFull")
    keeping.submit(HOLDERS[0], blobs.RegisterHolder(1))
    assert keeping.holder(HOLDERS[0]).bond == BOND + 1
    other = Keeping(holders=0)
    other.reject(HOLDERS[0], blobs.RegisterHolder(BOND - 1), "HolderBondTooSmall")


def test_committees_follow_the_bond_however_it_is_split() -> None:
    drawn: list[Any] = []
    for salt in range(3):
        keeping = Keeping(committee=3)
        keeping.skip(salt)
        drawn.append(frozenset(keeping.to_asked().asked))
        assert len(drawn[-1]) == 3
    assert len(set(drawn)) > 1, "another beacon, another committee"


def test_everything_that_happens_is_told(keeping: Keeping) -> None:
    keeping.to_asked()
    [drawn] = keeping.events(CommitteeDrawn)
    assert len(drawn.committee) == 5
    while keeping.record.status == "pooled" and not keeping.events(PlacementFailed):
        keeping.skip(1)
    assert keeping.events(PlacementFailed)[0].receipts == 0
