"""Registration, asks, bonds, and every refusal."""

from __future__ import annotations

from runtime.codec import replace
from runtime.pallets import balances, workers
from tests.market.market import BOND, TOKEN, Market
from tests.support.chain import account

NEW = "//Solver7"


def register(**changes: object) -> workers.Register:
    return replace(workers.Register("solver", BOND, 5, 2), **changes)


def test_a_worker_registers_with_a_held_bond() -> None:
    market = Market(solvers=1)
    market.submit(NEW, register())
    worker = market.worker(NEW)
    assert (worker.bond, worker.price, worker.capacity, worker.since) == (BOND, 5, 2, market.number)
    assert balances.held(market.state, account(NEW), workers.bond_reason("solver")) == BOND
    assert account(NEW) in workers.roster(market.state, "solver")
    assert market.events(workers.Registered) == [workers.Registered(account(NEW), "solver", BOND, 5, 2)]


def test_registrations_that_break_a_rule_are_refused() -> None:
    market = Market(solvers=1, verifiers=1, maximum_workers=1)
    market.reject(NEW, register(), "RosterFull")
    market.reject(NEW, register(role="judge"), "UnknownRole")
    market.reject(NEW, register(price=0), "BadAsk")
    market.reject(NEW, register(capacity=65), "BadAsk")
    market.reject(NEW, register(bond=TOKEN), "BondTooSmall")
    market.reject(NEW, register(role="verifier"), "RosterFull")
    market.reject("//Solver0", register(), "AlreadyRegistered")


def test_a_bond_needs_the_money() -> None:
    Market(solvers=1).reject(NEW, register(bond=2_000 * TOKEN), "InsufficientBalance")


def test_an_account_may_work_in_both_roles_with_a_bond_each() -> None:
    market = Market(solvers=1)
    market.submit(NEW, register())
    market.submit(NEW, register(role="verifier", bond=2 * BOND))
    assert workers.require_worker(market.state, account(NEW), "verifier").bond == 2 * BOND
    assert balances.account(market.state, account(NEW)).held == 3 * BOND


def test_an_ask_can_be_changed_and_paused() -> None:
    market = Market(solvers=1)
    market.submit("//Solver0", workers.SetAsk("solver", 9, 0))
    assert (market.worker("//Solver0").price, market.worker("//Solver0").capacity) == (9, 0)
    assert workers.standing_asks(market.state, "solver", 10, 0, market.number, ()) == []
    market.reject("//Solver0", workers.SetAsk("solver", 0, 1), "BadAsk")
    market.reject("//Solver0", workers.SetAsk("verifier", 1, 1), "NotRegistered")


def test_more_bond_counts_from_the_next_draw_on() -> None:
    market = Market(solvers=1)
    market.submit("//Solver0", workers.BondMore("solver", BOND))
    assert market.worker("//Solver0").bond == 2 * BOND
    now = market.number
    assert workers.standing_asks(market.state, "solver", 10**9, 0, now - 1, ()) == []
    assert [ask.stake for ask in workers.standing_asks(market.state, "solver", 10**9, 0, now, ())] == [2 * BOND]
    market.reject(NEW, workers.BondMore("solver", 5), "NotRegistered")


def test_unbonding_takes_its_time_and_then_frees_the_money() -> None:
    market = Market(solvers=1)
    market.submit("//Solver0", workers.Unbond("solver", BOND))
    assert account("//Solver0") not in workers.roster(market.state, "solver")
    market.reject("//Solver0", workers.Withdraw("solver"), "NothingToWithdraw")
    market.skip(4)
    market.submit("//Solver0", workers.Withdraw("solver"))
    assert market.events(workers.Withdrawn) == [workers.Withdrawn(account("//Solver0"), "solver", BOND)]
    assert workers.WORKERS.get(market.state, (account("//Solver0"), "solver")) is None
    assert balances.account(market.state, account("//Solver0")).held == 0


def test_unbonding_stops_at_the_minimum_or_at_nothing() -> None:
    market = Market(solvers=1)
    market.reject("//Solver0", workers.Unbond("solver", BOND - TOKEN), "BondTooSmall")
    market.reject("//Solver0", workers.Unbond("solver", BOND + 1), "BondInUse")
    market.reject("//Solver0", workers.Unbond("solver", 0), "BondInUse")
    market.reject(NEW, workers.Unbond("solver", 1), "NotRegistered")
    market.submit("//Solver0", workers.Unbond("solver", BOND))
    market.reject("//Solver0", workers.BondMore("solver", TOKEN), "BondTooSmall")
    market.submit("//Solver0", register())
    assert market.worker("//Solver0").bond == BOND


def test_only_so_many_withdrawals_wait() -> None:
    market = Market(solvers=1, unbonding_blocks=1000)
    for _ in range(16):
        market.submit("//Solver0", workers.Unbond("solver", TOKEN))
    market.reject("//Solver0", workers.Unbond("solver", TOKEN), "TooManyChunks")


def test_what_a_job_locks_cannot_be_unbonded() -> None:
    market = Market(solvers=1).to_training()
    locked = market.worker("//Solver0").locked
    assert locked == market.record.estimate.solver_lock > 0
    market.reject("//Solver0", workers.Unbond("solver", BOND - locked + 1), "BondInUse")
    market.reject("//Solver0", workers.Unbond("solver", BOND), "BondInUse")


def test_a_worker_takes_no_more_jobs_than_its_capacity_and_its_bond_allow() -> None:
    market = Market(solvers=1)
    market.submit("//Solver0", workers.SetAsk("solver", 1, 1))
    market.to_training()
    assert workers.standing_asks(market.state, "solver", 10**9, 0, market.number, ()) == []
    market.submit("//Solver0", workers.SetAsk("solver", 1, 2))
    free = BOND - market.worker("//Solver0").locked
    assert len(workers.standing_asks(market.state, "solver", 10**9, free, market.number, ())) == 1
    assert workers.standing_asks(market.state, "solver", 10**9, free + 1, market.number, ()) == []
