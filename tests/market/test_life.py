"""The life of an honest task, with every figure."""

from __future__ import annotations

from runtime.pallets import balances, proofs, tasks, treasury
from runtime.vm.gas import job_gas
from tests.market.market import SPEC, SUBMITTER, Market, checked, init_program, training_program
from tests.support.chain import account


def test_an_honest_task_settles_and_everyone_is_paid_to_the_unit() -> None:
    market = Market().to_window()
    chain, spec = market, market.spec
    solver, verifiers = market.solver, market.auditors()
    market.to_exposed()
    before = {suri: market.owned(suri) for suri in (SUBMITTER, solver, *verifiers)}
    pot = balances.free(chain.state, treasury.ACCOUNT)
    market.until("settled")
    program, init = checked(training_program()), checked(init_program())
    solver_paid = (job_gas(init, 1) + job_gas(program, 1000)) * spec.price_limit
    gas = {
        suri: job_gas(init, 1) + sum(job_gas(program, 100 if k == 4 else 300) for k in market.segments(suri) if k)
        for suri in verifiers
    }
    paid = {suri: gas[suri] * spec.price_limit for suri in verifiers}
    share = (solver_paid + sum(paid.values())) * 20_000_000 // 10**9
    for_pot = sum(paid.values()) * 5 // 2
    refund = market.record.estimate.escrow - solver_paid - sum(paid.values()) - share - for_pot
    assert market.owned(solver) - before[solver] == solver_paid
    assert {suri: market.owned(suri) - before[suri] for suri in verifiers} == paid
    assert market.owned(SUBMITTER) - before[SUBMITTER] == -solver_paid - sum(paid.values()) - share - for_pot
    assert balances.free(chain.state, treasury.ACCOUNT) - pot == share
    (event,) = chain.events(tasks.Settled)
    assert event == tasks.Settled(
        market.task, account(solver), market.checkpoints()[-1], solver_paid, sum(paid.values()), share, for_pot, refund
    )
    roles = [(payment.role, payment.amount) for payment in market.record.payments]
    to_verifiers = [("verifier", paid[suri]) for suri in verifiers]
    refunded = [("refund", refund)] if refund else []
    assert roles == [("solver", solver_paid), *to_verifiers, ("treasury", share), ("jackpot", for_pot), *refunded]


def test_settlement_frees_every_bond_and_records_the_final_root() -> None:
    market = Market().to_settled()
    record = market.record
    assert (record.status, record.final_root, record.escrow) == ("settled", market.checkpoints()[-1], 0)
    for suri in (market.solver, *market.auditors()):
        worker = market.worker(suri)
        assert (worker.locked, worker.jobs, worker.completed, worker.faults) == (0, (), 1, 0)


def test_every_step_of_an_honest_task_has_its_status_and_its_event() -> None:
    market = Market().to_pooled()
    assert market.record.status == "pooled"
    (submitted,) = market.events(tasks.Submitted)
    estimate = market.record.estimate
    assert (
        submitted.escrow
        == estimate.escrow
        == balances.held(market.state, account(SUBMITTER), tasks.escrow_reason(market.task))
    )
    assert estimate.escrow - estimate.listing_fee == (
        estimate.solver_fee + 2 * estimate.verifier_fee + estimate.treasury_fee + estimate.jackpot_fee
    )
    market.skip(1)
    (assigned,) = market.events(tasks.Assigned)
    assert (assigned.attempt, assigned.candidates, assigned.price) == (1, 2, SPEC.price_limit)
    assert market.worker(market.solver).locked == estimate.solver_lock == assigned.lock
    market.submit(market.solver, tasks.Accept(market.task))
    assert market.record.status == "training"
    market.submit(market.solver, tasks.Heartbeat(market.task, 500, 7))
    assert tasks.PROGRESS.get(market.state, market.task) == tasks.Progress(500, 7, market.number)
    market.submit(market.solver, proofs.RegisterProof(market.task, market.checkpoints(), bytes(32)))
    assert market.record.status == "proved"
    market.skip(1)
    assert market.record.status == "auditing"
    assert len(market.events(proofs.VerifierDrawn)) == 2
    for verifier in market.auditors():
        market.accept_audit(verifier)
    market.skip(1)
    verifiers = market.auditors()
    market.author(*[(verifier, market.verdict(verifier)) for verifier in verifiers])
    market.skip(1)
    assert {market.audit(verifier).status for verifier in verifiers} == {"called"}
    market.author(*[(verifier, market.witness_to_open(verifier)) for verifier in verifiers])
    assert len(market.events(proofs.WindowOpened)) == 1
    market.skip(3)
    assert (market.record.status, market.board.phase) == ("auditing", "window")
    market.skip(1)
    assert (market.record.status, market.board.phase) == ("auditing", "revealing")
    market.expose_all()
    market.skip(1)
    assert market.record.status == "settled"


def test_one_key_never_has_two_roles_on_a_task() -> None:
    market = Market(solvers=4, verifiers=6).to_settled()
    roles = [SUBMITTER, market.solver, *market.auditors()]
    assert len(set(roles)) == 4


def test_the_price_is_the_sixth_lowest_ask() -> None:
    market = Market(solvers=8).to_assigned()
    assert market.record.price == 400_000
    assert market.record.estimate.solver_fee > market.record.estimate.gas * market.record.price
