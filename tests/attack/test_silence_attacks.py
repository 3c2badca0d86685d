"""Solvers that fall silent in a dispute to ruin the verifiers that passed their claim, or to spare them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.pallets import disputes, proofs
from tests.dispute.test_pallet import ALICE, CHEAT, HONEST, Court
from tests.market import referee
from tests.market.market import WHISTLEBLOWERS, Market
from tests.support.chain import account


def fall_silent(court: Court) -> None:
    """The solver says nothing until its clock is empty."""
    court.skip(court.dispute().deadline - court.number + 2)
    assert court.dispute().status == "challenger_won"


def statuses(court: Market) -> set[str]:
    return {audit.status for audit in court.board.audits}


def test_a_solver_that_falls_silent_about_a_true_claim_ruins_no_verifier() -> None:
    court = Court(HONEST)
    verifiers, lock = court.auditors(), court.record.estimate.solver_lock
    before = {suri: court.owned(suri) for suri in verifiers}
    court.open(ALICE)
    fall_silent(court)
    assert statuses(court) == {"voided"}
    for suri in verifiers:
        assert court.owned(suri) == before[suri], "neither slashed nor paid"
        assert (court.worker(suri).locked, court.worker(suri).faults) == (0, 0)
        assert account(suri) not in court.record.excluded, "it may audit the next proof"
    assert court.owned(court.accused) < court.rich[court.accused] - lock + 10**9
    assert [(one.role, one.amount) for one in court.record.slashes] == [("solver", lock)]
    assert {one.role for one in court.record.payments} == {"challenger"}
    court.to_window()
    assert statuses(court) == {"passed"}


def test_silence_costs_a_cheat_its_whole_lock_and_more_than_the_task_could_have_paid_to_it_and_a_helper() -> None:
    court = Court(CHEAT)
    estimate = court.record.estimate
    court.open(ALICE)
    fall_silent(court)
    loss = estimate.solver_lock - court.dispute().reward
    everything = estimate.solver_fee + court.spec.verifiers * estimate.verifier_fee
    assert estimate.solver_lock >= 2 * everything
    assert loss >= everything, "even if the challenger is the solver's own sock puppet"


def test_a_computed_verdict_still_slashes_the_verifiers_that_passed_the_lie() -> None:
    court = Court(CHEAT)
    lock = court.record.estimate.verifier_lock
    verifiers = court.auditors()
    court.open(ALICE)
    court.play()
    verdict = disputes.VERDICTS.get(court.state, 0)
    assert verdict is not None
    assert verdict.reason != "silence"
    slashed = {one.account: one.amount for one in court.record.slashes if one.role == "verifier"}
    assert slashed == {account(suri): lock for suri in verifiers}


@pytest.fixture
def _referee() -> Iterator[None]:
    with referee.registered():
        yield


@pytest.mark.usefixtures("_referee")
def test_verifiers_that_did_not_replay_the_segment_are_repaid_after_silence_too() -> None:
    market = Market(solvers=2).to_window()
    drawn = [market.segments(suri) for suri in market.auditors()]
    segment = next(k for k in range(1, 5) if k not in drawn[0])
    passed = [suri for suri in market.auditors() if segment in market.segments(suri)]
    others = [suri for suri in market.auditors() if segment not in market.segments(suri)]
    wage = {suri: market.audit(suri).gas * market.spec.price_limit for suri in others}
    before = {suri: market.owned(suri) for suri in (*passed, *others)}
    anna = WHISTLEBLOWERS[0]
    market.submit(anna, referee.Open(market.task, segment))
    market.submit("//Alice", referee.Win(market.task, segment, account(anna), (), by_silence=True))
    (voided,) = market.events(proofs.ProofVoided)
    assert voided.slashed == market.record.estimate.solver_lock
    for suri in others:
        assert market.owned(suri) == before[suri] + wage[suri]
        assert market.audit(suri).status == "passed"
    for suri in passed:
        assert market.owned(suri) == before[suri]
        assert market.audit(suri).status == "voided"
