"""What the outcome of a dispute means: slashes, rewards, repaid audits, the next attempt, and the window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.pallets import balances, proofs, tasks, treasury, workers
from tests.market import referee
from tests.market.market import BOND, SUBMITTER, WHISTLEBLOWERS, Market
from tests.support.chain import account

ANNA, BERT = WHISTLEBLOWERS


@pytest.fixture(autouse=True)
def _referee() -> Iterator[None]:
    with referee.registered():
        yield


def open_dispute(market: Market, challenger: str, segment: int) -> None:
    market.submit(challenger, referee.Open(market.task, segment))


def win(market: Market, challenger: str, segment: int, *others: tuple[str, int]) -> int:
    rest = tuple((number, account(suri)) for suri, number in others)
    market.submit("//Alice", referee.Win(market.task, segment, account(challenger), rest))
    (event,) = market.events(referee.Rewarded)
    return int(event.amount)


def lose(market: Market, challenger: str, segment: int) -> None:
    market.submit("//Alice", referee.Lose(market.task, segment, account(challenger)))


def test_the_claim_handed_to_the_game_is_the_solvers() -> None:
    market = Market().to_window()
    open_dispute(market, ANNA, 3)
    (event,) = market.events(referee.Claimed)
    proof = proofs.PROOFS.get(market.state, market.task)
    assert proof is not None
    assert event.claim == proofs.segment_claim(market.spec, proof, 3)
    assert (event.claim.job.first_step, event.claim.job.steps) == (600, 300)
    assert (event.claim.job.start, event.claim.end) == (proof.checkpoints[2], proof.checkpoints[3])
    assert market.record.status == "disputed"


def test_any_segment_can_be_disputed_as_soon_as_the_proof_is_there() -> None:
    market = Market().to_proved()
    for segment in range(5):
        open_dispute(market, ANNA, segment)
    assert (market.record.status, market.board.disputes) == ("disputed", 5)
    market.reject(BERT, referee.Open(market.task, 5), "UnknownSegment")
    market.reject(ANNA, referee.Open(market.task, 2), "AlreadyDisputed")
    open_dispute(market, BERT, 2)


def test_disputes_need_a_proof_that_stands() -> None:
    market = Market().to_training()
    market.reject(ANNA, referee.Open(market.task, 0), "NoProof")
    market.reject(ANNA, referee.Open(bytes(32), 0), "UnknownTask")
    market = Market().to_settled()
    market.reject(ANNA, referee.Open(market.task, 0), "NoProof")


def test_nobody_challenges_in_a_second_role() -> None:
    market = Market(challenge_blocks=20).to_window()
    for suri in (SUBMITTER, market.solver, *market.auditors()):
        market.reject(suri, referee.Open(market.task, 0), "RoleConflict")


def test_an_open_dispute_blocks_settlement_and_closes_the_window_for_others() -> None:
    market = Market().to_window()
    open_dispute(market, ANNA, 1)
    market.skip(8)
    assert market.record.status == "disputed"
    market.reject(BERT, referee.Open(market.task, 2), "WindowClosed")
    lose(market, ANNA, 1)
    assert market.record.status == "auditing"
    assert market.events(proofs.DisputeClosed) == [proofs.DisputeClosed(market.task, 1, account(ANNA), 0)]
    market.skip(1)
    market.to_exposed().skip(1)
    assert market.record.status == "settled"


def test_a_lost_challenge_clears_nothing_while_the_window_lasts() -> None:
    market = Market(challenge_blocks=20).to_window()
    open_dispute(market, ANNA, 1)
    lose(market, ANNA, 1)
    open_dispute(market, ANNA, 1)
    open_dispute(market, BERT, 1)
    assert market.board.disputes == 2


def test_a_whistleblower_wins_half_the_stake_and_the_rest_repays_the_audits() -> None:
    market = Market(solvers=2).to_window()
    solver, estimate = market.solver, market.record.estimate
    drawn = [market.segments(suri) for suri in market.auditors()]
    segment = next(k for k in range(1, 5) if k not in drawn[0])
    honest = [suri for suri in market.auditors() if segment not in market.segments(suri)]
    guilty = [suri for suri in market.auditors() if segment in market.segments(suri)]
    gas = {suri: market.audit(suri).gas for suri in honest}
    open_dispute(market, ANNA, segment)
    before = {suri: market.owned(suri) for suri in (SUBMITTER, solver, ANNA, *honest, *guilty)}
    pot, escrow = balances.free(market.state, treasury.ACCOUNT), market.record.escrow
    reward = win(market, ANNA, segment)
    stake, repaid = estimate.solver_lock, {suri: gas[suri] * market.spec.price_limit for suri in honest}
    assert reward == stake // 2
    assert market.owned(ANNA) == before[ANNA] + reward
    assert market.owned(solver) == before[solver] - stake
    for suri in honest:
        assert market.owned(suri) == before[suri] + repaid[suri]
    for suri in guilty:
        assert market.owned(suri) == before[suri] - estimate.verifier_lock
    taken = stake + len(guilty) * estimate.verifier_lock
    to_treasury = taken - reward - sum(repaid.values())
    voided = proofs.ProofVoided(
        market.task,
        account(solver),
        segment,
        account(ANNA),
        account(ANNA),
        taken,
        reward,
        sum(repaid.values()),
        to_treasury,
    )
    assert market.events(proofs.ProofVoided) == [voided]
    fees = sum(event.treasury_amount for event in market.events(treasury.FeesDistributed))
    assert balances.free(market.state, treasury.ACCOUNT) == pot + to_treasury + fees
    assert market.owned(SUBMITTER) == before[SUBMITTER]
    assert market.record.escrow == escrow == estimate.escrow


def test_after_a_refuted_proof_another_solver_is_found_and_paid_in_full() -> None:
    market = Market(solvers=2, verifiers=5).to_window()
    first = market.solver
    open_dispute(market, ANNA, 4)
    win(market, ANNA, 4)
    assert market.record.status == "pooled"
    assert account(first) in market.record.excluded
    assert market.worker(first).locked == 0
    market.to_settled()
    assert market.solver != first
    roles = [payment.role for payment in market.record.payments]
    assert roles[0] == "challenger"
    settled = [role for role in roles if role in ("solver", "verifier", "treasury")]
    assert settled == ["solver", "verifier", "verifier", "treasury"]


def test_a_reviewer_of_an_earlier_attempt_does_not_solve_the_next_one() -> None:
    market = Market(solvers=1, verifiers=3)
    market.submit(ANNA, workers.Register("solver", BOND, 1, 8))
    market.submit(ANNA, workers.SetAsk("solver", 1, 0))
    market.to_window()
    for suri in market.auditors():
        market.submit(suri, workers.Register("solver", BOND, 1, 8))
    open_dispute(market, ANNA, 1)
    win(market, ANNA, 1)
    market.submit(ANNA, workers.SetAsk("solver", 1, 8))
    market.until("expired")


def test_a_verifier_that_passed_the_losing_segment_loses_its_lock_and_the_task() -> None:
    market = Market(solvers=2, verifiers=4).to_window()
    lock = market.record.estimate.verifier_lock
    guilty = market.auditors()
    open_dispute(market, ANNA, 0)
    win(market, ANNA, 0)
    for suri in guilty:
        worker = market.worker(suri)
        assert (worker.bond, worker.locked, worker.faults) == (BOND - lock, 0, 1)
        assert account(suri) in market.record.excluded
    assert sorted(slash.role for slash in market.record.slashes) == ["solver", "verifier", "verifier"]
    market.to_auditing()
    assert not set(market.auditors()) & set(guilty)


def test_a_verifier_that_fails_a_segment_and_wins_is_rewarded_and_repaid() -> None:
    market = Market(solvers=2, verdict_blocks=20).to_opened()
    verifier, other = market.auditors()
    segment = market.segments(verifier)[1]
    market.give_verdict(verifier, segment)
    market.reject(verifier, referee.Open(market.task, 0), "RoleConflict")
    market.reject(other, referee.Open(market.task, segment), "RoleConflict")
    open_dispute(market, verifier, segment)
    assert market.audit(verifier).status == "disputing"
    before, gas = market.owned(verifier), market.audit(verifier).gas
    reward = win(market, verifier, segment)
    assert market.owned(verifier) == before + reward + gas * market.spec.price_limit
    assert market.worker(verifier).locked == market.worker(other).locked == 0
    assert market.worker(other).faults == 0
    assert market.record.status == "pooled"


def test_a_verifier_waits_for_its_dispute_without_another_deadline() -> None:
    market = Market().to_opened()
    verifier = market.auditors()[0]
    market.give_verdict(verifier, 0)
    open_dispute(market, verifier, 0)
    market.skip(12)
    assert (market.audit(verifier).status, market.worker(verifier).faults) == ("disputing", 0)


def test_a_verifier_that_fails_a_good_segment_and_loses_is_slashed_and_replaced() -> None:
    market = Market(verifiers=3, dispute_opening_blocks=8).to_opened()
    liar, honest = market.auditors()
    market.give_verdict(liar, 0)
    market.give_verdict(honest)
    open_dispute(market, liar, 0)
    lose(market, liar, 0)
    assert market.worker(liar).slashed == market.record.estimate.verifier_lock // 2
    assert market.audit(liar).status == "replaced"
    market.skip(1)
    (replacement,) = market.auditors("drawn")
    market.accept_audit(replacement)
    market.skip(1)
    market.give_verdict(replacement)
    market.until("settled")
    assert market.worker(market.solver).faults == 0


def test_a_cancelled_dispute_puts_a_verifier_back_before_its_duty() -> None:
    market = Market().to_opened()
    verifier = market.auditors()[0]
    first, second, _ = market.segments(verifier)
    market.give_verdict(verifier, first, second)
    open_dispute(market, verifier, first)
    open_dispute(market, verifier, second)
    market.submit("//Alice", referee.CancelDispute(market.task, first, account(verifier)))
    assert market.audit(verifier).status == "disputing"
    market.submit("//Alice", referee.CancelDispute(market.task, second, account(verifier)))
    assert market.audit(verifier).status == "failed"
    assert market.audit(verifier).deadline == market.number - 1 + 4
    open_dispute(market, verifier, second)
    market.skip(6)
    assert market.audit(verifier).status == "disputing"


def test_one_win_voids_the_claim_and_later_outcomes_touch_nothing() -> None:
    market = Market(solvers=2, verifiers=5).to_window()
    for challenger, segment in ((ANNA, 1), (BERT, 1), (BERT, 2)):
        open_dispute(market, challenger, segment)
    win(market, ANNA, 1, (BERT, 1), (BERT, 2))
    assert list(proofs.DISPUTES.items(market.state)) == []
    assert win(market, BERT, 1) == 0
    lose(market, BERT, 2)
    market.to_window()
    assert market.board.disputes == 0
    assert market.record.attempt == 2


def test_the_last_attempt_refuted_fails_the_task_with_its_whole_escrow() -> None:
    market = Market(solvers=2, verifiers=3, maximum_attempts=1).to_window()
    before, escrow = market.owned(SUBMITTER), market.record.escrow
    open_dispute(market, ANNA, 4)
    win(market, ANNA, 4)
    assert market.record.status == "failed"
    assert market.events(tasks.Failed) == [tasks.Failed(market.task, "proof refuted", escrow)]
    assert market.owned(SUBMITTER) == before


def test_playing_against_oneself_costs_at_least_half_the_stake() -> None:
    market = Market().to_window()
    solver, stake = market.solver, market.record.estimate.solver_lock
    together = market.owned(solver) + market.owned(ANNA)
    open_dispute(market, ANNA, 2)
    fee = together - market.owned(solver) - market.owned(ANNA)
    win(market, ANNA, 2)
    assert market.owned(solver) + market.owned(ANNA) == together - fee - (stake - stake // 2)


def test_with_a_dispute_open_an_unaudited_proof_waits_for_its_outcome() -> None:
    market = Market(verifiers=2).to_auditing()
    open_dispute(market, ANNA, 1)
    market.skip(20)
    assert market.record.status == "disputed"
    lose(market, ANNA, 1)
    assert market.record.status == "failed"


def test_the_solver_of_a_refuted_attempt_cannot_challenge_the_next() -> None:
    market = Market(solvers=2, verifiers=5).to_window()
    first = market.solver
    open_dispute(market, ANNA, 4)
    win(market, ANNA, 4)
    market.to_window()
    market.reject(first, referee.Open(market.task, 1), "RoleConflict")
