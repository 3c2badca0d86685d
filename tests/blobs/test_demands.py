"""States that a solver withholds: demanded, placed or lost, and who pays for what."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.commitments import state_tree, tensor_root
from runtime.pallets import balances, blobs, disputes, proofs, tasks, workers
from runtime.pallets.disputes.storage import StateDelivered, StateWithheld
from tests.blobs.keeping import Keeping
from tests.market.market import NAMES, secret_of
from tests.support.chain import account

OUTSIDER = "//Verifier5"


def tensor(number: int) -> bytes:
    """The only tensor of the state after ``number`` segments: four f32."""
    return bytes([number + 1]) * 16


class Withholding(Keeping):
    """A market whose solver registers roots of real states, and places none of its own will. Mutable."""

    __test__ = False

    def __init__(self, **changes: Any) -> None:
        super().__init__(holders=6, **changes)

    def checkpoints(self, mark: int = 0) -> tuple[bytes, ...]:
        roots = (tensor_root(tensor(number)) for number in range(tasks.segment_count(self.spec)))
        return tuple(state_tree([("w", "f32", (4,), root)]).root for root in roots)

    def to_drawn(self) -> str:
        """Every verifier knows its segments; returns one that drew segment 1 or later."""
        self.to_placed()
        self.to_opened()
        return self.auditors("opened")[0]

    def drawn(self, verifier: str) -> int:
        return next(segment for segment in self.segments(verifier) if segment)

    def demand(self, verifier: str) -> disputes.DemandState:
        return disputes.DemandState(self.task, self.drawn(verifier), secret_of(verifier))

    def answer_demand(self, segment: int, root: bytes | None = None) -> disputes.PlaceState:
        return disputes.PlaceState(self.task, segment, (root or tensor_root(tensor(segment - 1)),))

    def record_of(self, segment: int) -> disputes.Demand:
        found = disputes.DEMANDS.get(self.state, disputes.DemandKey(self.task, segment))
        assert found is not None
        return found

    def sign_state(self, segment: int, receipts: int = 3) -> None:
        """Let so many of the committee sign for the state."""
        name = self.record_of(segment).placement
        while blobs.status(self.state, name) == "drawing":
            self.skip(1)
        placement = blobs.PLACEMENTS.get(self.state, name)
        assert placement is not None
        for seat in placement.seats[:receipts]:
            self.submit(NAMES[seat.holder], blobs.SignReceipt(name))

    def until_event(self, kind: type[Any], blocks: int = 200) -> Any:
        for _ in range(blocks):
            if self.events(kind):
                return self.events(kind)[0]
            self.skip(1)
        raise AssertionError(f"no {kind.__name__}")


@pytest.fixture
def market() -> Withholding:
    return Withholding()


def test_a_solver_that_withholds_a_drawn_state_loses_its_lock_and_the_task_finds_another_one(
    market: Withholding,
) -> None:
    verifier = market.to_drawn()
    solver, others = market.solver, [suri for suri in market.auditors("opened") if suri != verifier]
    lock = workers.locked(market.state, account(solver), market.task)
    before = {suri: market.owned(suri) for suri in (solver, verifier, *others)}
    receipt = market.submit(verifier, market.demand(verifier))
    assert market.record.status == "disputed"
    withheld = market.until_event(StateWithheld)
    assert (withheld.solver, withheld.reward) == (account(solver), lock // 2)
    assert market.owned(solver) == before[solver] - lock
    assert market.owned(verifier) == before[verifier] - receipt.fee + lock // 2
    assert all(market.owned(suri) >= before[suri] for suri in others)
    assert market.record.status == "pooled"
    assert account(solver) in market.record.excluded
    assert all(workers.locked(market.state, account(suri), market.task) == 0 for suri in before)


def test_a_demanded_state_that_is_placed_lets_the_verifier_replay_and_the_solver_pays_the_holders(
    market: Withholding,
) -> None:
    verifier = market.to_drawn()
    segment = market.drawn(verifier)
    deadline = market.audit(verifier).deadline
    market.submit(verifier, market.demand(verifier))
    assert market.audit(verifier).deadline > deadline, "the time until the state is there is not the verifier's"
    market.submit(market.solver, market.answer_demand(segment))
    name = market.record_of(segment).placement
    pot = balances.held(market.state, account(market.solver), blobs.pot_reason(name))
    assert pot > 0
    market.sign_state(segment)
    market.until_event(StateDelivered)
    assert market.record.status == "auditing"
    for one in market.auditors("opened"):
        market.give_verdict(one)
    solver = market.solver
    market.until("settled")
    assert not balances.held(market.state, account(solver), blobs.pot_reason(name))
    assert blobs.PLACEMENTS.get(market.state, name) is None


def test_a_state_that_no_committee_could_get_is_withheld_too(market: Withholding) -> None:
    verifier = market.to_drawn()
    solver, segment = market.solver, market.drawn(verifier)
    market.submit(verifier, market.demand(verifier))
    market.submit(solver, market.answer_demand(segment))
    market.sign_state(segment, receipts=2)
    withheld = market.until_event(StateWithheld)
    assert withheld.solver == account(solver)
    assert not balances.held(market.state, account(solver), blobs.pot_reason(market.record_of(segment).placement))


def test_nothing_but_the_registered_state_can_be_placed(market: Withholding) -> None:
    verifier = market.to_drawn()
    segment = market.drawn(verifier)
    market.reject(market.solver, market.answer_demand(segment), "NotDemanded")
    market.submit(verifier, market.demand(verifier))
    market.reject(market.solver, market.answer_demand(segment, tensor_root(b"another")), "WrongState")
    market.reject(market.solver, disputes.PlaceState(market.task, segment, ()), "WrongState")
    market.reject(verifier, market.answer_demand(segment), "NotTheSolver")
    market.submit(market.solver, market.answer_demand(segment))
    market.reject(market.solver, market.answer_demand(segment), "NotDemanded")


def test_who_did_not_draw_a_segment_pays_its_holders_if_the_solver_delivers(market: Withholding) -> None:
    market.to_drawn()
    before = market.owned(OUTSIDER)
    fee = market.submit(OUTSIDER, disputes.DemandState(market.task, 2, b"")).fee
    name = market.record_of(2).placement
    pot = balances.held(market.state, account(OUTSIDER), blobs.pot_reason(name))
    market.submit(market.solver, market.answer_demand(2))
    placement = blobs.PLACEMENTS.get(market.state, name)
    assert placement is not None
    assert (placement.payer, placement.pot) == (account(OUTSIDER), pot)
    market.sign_state(2)
    market.until_event(StateDelivered)
    for verifier in market.auditors("opened"):
        market.give_verdict(verifier)
    market.until("settled")
    assert market.owned(OUTSIDER) == before - fee - 3 * placement.pay


def test_an_outsiders_pot_comes_back_when_the_solver_is_silent(market: Withholding) -> None:
    market.to_drawn()
    lock = workers.locked(market.state, account(market.solver), market.task)
    before = market.owned(OUTSIDER)
    fee = market.submit(OUTSIDER, disputes.DemandState(market.task, 2, b"")).fee
    market.until_event(StateWithheld)
    assert market.owned(OUTSIDER) == before - fee + lock // 2


def test_demands_that_make_no_sense_are_refused(market: Withholding) -> None:
    verifier = market.to_drawn()
    ask = disputes.DemandState
    market.reject(OUTSIDER, ask(market.task, 0, b""), "UnknownSegment")
    market.reject(OUTSIDER, ask(market.task, 5, b""), "UnknownSegment")
    market.reject(market.solver, ask(market.task, 1, b""), "RoleConflict")
    market.reject(verifier, ask(market.task, 1, bytes(32)), "WrongSecret")
    undrawn = next(segment for segment in range(1, 5) if segment not in market.segments(verifier))
    market.reject(verifier, ask(market.task, undrawn, secret_of(verifier)), "RoleConflict")
    market.submit(verifier, market.demand(verifier))
    market.reject(OUTSIDER, ask(market.task, market.drawn(verifier), b""), "AlreadyDemanded")
    market.reject(OUTSIDER, ask(bytes(32), 1, b""), "UnknownTask")


def test_a_demand_about_a_proof_that_is_void_for_another_reason_returns_its_pot(market: Withholding) -> None:
    verifier = market.to_drawn()
    segment = market.drawn(verifier)
    other = next(one for one in range(1, 5) if one != segment)
    market.submit(verifier, market.demand(verifier))
    market.submit(OUTSIDER, disputes.DemandState(market.task, other, b""))
    name = market.record_of(other).placement
    market.until_event(StateWithheld)
    market.skip(4)
    assert not balances.held(market.state, account(OUTSIDER), blobs.pot_reason(name))
    assert not list(proofs.DISPUTES.items(market.state))


def test_where_nobody_holds_blobs_no_state_can_be_demanded() -> None:
    market = Withholding(receipts=0)
    market.to_opened()
    verifier = market.auditors("opened")[0]
    market.reject(verifier, market.demand(verifier), "AvailabilityOff")
