"""Deadlines at each stage before the proof: who loses what, where the task goes, and cancellation."""

from __future__ import annotations

from runtime.codec import replace
from runtime.pallets import balances, tasks, treasury, workers
from tests.market.market import BOND, SOLVERS, SPEC, SUBMITTER, VERIFIERS, Market, submission
from tests.support.chain import account


def held(market: Market) -> int:
    return balances.held(market.state, account(SUBMITTER), tasks.escrow_reason(market.task))


def test_a_task_that_nobody_wants_expires_with_its_escrow_less_the_listing_fee() -> None:
    market = Market(solvers=0).to_pooled()
    listing = market.record.estimate.listing_fee
    refund, before = held(market) - listing, balances.free(market.state, account(SUBMITTER))
    market.until("expired")
    assert market.events(tasks.Expired) == [tasks.Expired(market.task, refund)]
    assert balances.free(market.state, account(SUBMITTER)) == before + refund
    assert (held(market), market.record.escrow) == (0, 0)
    payments = [(payment.role, payment.amount) for payment in market.record.payments]
    assert payments == [("listing", listing), ("refund", refund)]


def test_a_solver_that_comes_later_gets_the_waiting_task() -> None:
    market = Market(solvers=0).to_pooled()
    market.skip(3)
    market.submit(SOLVERS[0], workers.Register("solver", BOND, 5, 1))
    market.until("assigned", blocks=4)
    assert market.solver == SOLVERS[0]


def test_asks_over_the_limit_get_nothing() -> None:
    market = Market(solvers=1)
    market.submit(SOLVERS[0], workers.SetAsk("solver", SPEC.price_limit + 1, 1))
    market.to_pooled()
    market.until("expired")


def test_no_solver_is_sent_to_work_that_nobody_could_audit() -> None:
    market = Market(solvers=1, verifiers=1).to_pooled()
    market.skip(4)
    assert market.record.status == "pooled"
    market.submit(VERIFIERS[1], workers.Register("verifier", BOND, 5, 1))
    market.until("assigned", blocks=4)


def test_the_submitter_is_never_its_own_solver() -> None:
    market = Market(solvers=1)
    market.submit(SOLVERS[0], submission())
    market.until("expired")


def test_a_solver_that_does_not_accept_pays_a_little_and_the_next_one_is_asked() -> None:
    market = Market(solvers=2).to_assigned()
    first, lock = market.solver, market.record.estimate.solver_lock
    pot = balances.free(market.state, treasury.ACCOUNT)
    market.until("pooled")
    penalty = lock // 100
    assert market.events(tasks.AcceptanceMissed) == [tasks.AcceptanceMissed(market.task, account(first), penalty)]
    assert balances.free(market.state, treasury.ACCOUNT) == pot + penalty
    worker = market.worker(first)
    assert (worker.bond, worker.locked, worker.jobs, worker.faults) == (BOND - penalty, 0, (), 1)
    assert [(slash.role, slash.amount) for slash in market.record.slashes] == [("solver", penalty)]
    market.until("assigned")
    assert market.solver != first
    assert market.record.attempt == 2


def test_a_slashed_solver_is_not_asked_again() -> None:
    market = Market(solvers=1).to_assigned()
    market.until("pooled")
    assert market.record.excluded == (account(SOLVERS[0]),)
    market.until("expired")


def test_a_solver_without_a_proof_in_time_loses_the_task_and_part_of_its_lock() -> None:
    market = Market(solvers=2).to_training()
    first, lock = market.solver, market.record.estimate.solver_lock
    market.submit(first, tasks.Heartbeat(market.task, 10, 1))
    escrow = held(market)
    market.until("pooled")
    assert market.events(tasks.TrainingMissed) == [tasks.TrainingMissed(market.task, account(first), lock // 10)]
    assert market.worker(first).bond == BOND - lock // 10
    assert held(market) == escrow
    assert tasks.PROGRESS.get(market.state, market.task) is None
    market.to_training()
    assert market.solver != first


def test_after_the_last_attempt_the_task_fails_with_its_whole_escrow() -> None:
    market = Market(solvers=4).to_assigned()
    escrow = held(market)
    before = market.owned(SUBMITTER)
    market.until("failed")
    assert market.events(tasks.Failed) == [tasks.Failed(market.task, "acceptance missed", escrow)]
    assert market.record.attempt == 3
    assert market.owned(SUBMITTER) == before
    assert held(market) == 0
    assert len({slash.account for slash in market.record.slashes}) == 3


def test_a_pooled_task_can_be_cancelled_for_the_listing_fee() -> None:
    market = Market(solvers=0).to_pooled()
    refund = held(market) - market.record.estimate.listing_fee
    market.reject(SOLVERS[0], tasks.Cancel(market.task), "NotTheSubmitter")
    market.submit(SUBMITTER, tasks.Cancel(market.task))
    assert market.events(tasks.Cancelled) == [tasks.Cancelled(market.task, refund)]
    assert (market.record.status, held(market)) == ("cancelled", 0)
    market.reject(SUBMITTER, tasks.Cancel(market.task), "WrongStatus")
    market.skip(20)
    assert market.record.status == "cancelled"


def test_an_assigned_task_can_be_cancelled_and_its_solver_is_free() -> None:
    market = Market(solvers=1).to_assigned()
    market.submit(SUBMITTER, tasks.Cancel(market.task))
    worker = market.worker(SOLVERS[0])
    assert (worker.locked, worker.faults, worker.completed) == (0, 0, 0)
    market.reject(SOLVERS[0], tasks.Accept(market.task), "WrongStatus")


def test_once_a_solver_trains_it_is_too_late_to_cancel() -> None:
    market = Market(solvers=1).to_training()
    market.reject(SUBMITTER, tasks.Cancel(market.task), "WrongStatus")


def test_only_the_solver_accepts_and_only_once() -> None:
    market = Market(solvers=2).to_assigned()
    other = next(suri for suri in SOLVERS[:2] if suri != market.solver)
    market.reject(other, tasks.Accept(market.task), "NotTheSolver")
    market.submit(market.solver, tasks.Accept(market.task))
    market.reject(market.solver, tasks.Accept(market.task), "WrongStatus")
    market.reject(market.solver, tasks.Accept(bytes(32)), "UnknownTask")


def test_heartbeats_come_from_the_solver_and_never_go_back() -> None:
    market = Market(solvers=1, minimum_training_blocks=10, spec=replace(SPEC, training_blocks=40)).to_assigned()
    solver = market.solver
    market.reject(solver, tasks.Heartbeat(market.task, 1, 0), "WrongStatus")
    market.submit(solver, tasks.Accept(market.task))
    market.submit(solver, tasks.Heartbeat(market.task, 0, 0))
    market.submit(solver, tasks.Heartbeat(market.task, 600, 0))
    market.reject(solver, tasks.Heartbeat(market.task, 599, 0), "BadProgress")
    market.reject(solver, tasks.Heartbeat(market.task, 1001, 0), "BadProgress")
    market.reject(SUBMITTER, tasks.Heartbeat(market.task, 700, 0), "NotTheSolver")
    market.submit(solver, tasks.Heartbeat(market.task, 1000, 0))


def test_a_block_handles_a_bounded_number_of_deadlines_and_the_rest_follow() -> None:
    market = Market(solvers=0, deadlines_per_block=2)
    specs = [replace(SPEC, salt=bytes([number]) * 32) for number in range(7)]
    market.author(*[(SUBMITTER, submission(spec)) for spec in specs])
    statuses = []
    for _ in range(80):
        market.skip(1)
        assert len(market.events(tasks.Expired)) <= 2
        found = [tasks.require_task(market.state, tasks.task_id(spec)).status for spec in specs]
        statuses.append(found.count("expired"))
    assert statuses == sorted(statuses)
    assert statuses[-1] == 7
    assert tasks.TURNS.pending(market.state) == []


def test_hooks_stop_when_a_block_weighs_enough_and_go_on_in_the_next() -> None:
    market = Market(solvers=0, deadline_weight=1)
    specs = [replace(SPEC, salt=bytes([number]) * 32) for number in range(4)]
    market.author(*[(SUBMITTER, submission(spec)) for spec in specs])
    market.skip(120)
    found = [tasks.require_task(market.state, tasks.task_id(spec)).status for spec in specs]
    assert found == ["expired"] * 4


def test_a_crowd_of_tasks_that_nobody_wants_does_not_hold_up_the_others() -> None:
    market = Market(deadline_weight=1, pool_blocks=60, acceptance_blocks=30)
    crowd = [replace(SPEC, salt=bytes([number + 1]) * 32, price_limit=1) for number in range(8)]
    market.author(*[(SUBMITTER, submission(spec)) for spec in crowd])
    market.skip(10)
    market.to_settled()
    assert {tasks.require_task(market.state, tasks.task_id(spec)).status for spec in crowd} == {"pooled"}
