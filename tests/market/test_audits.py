"""Registration of proofs, the draw of verifiers, verdicts, silence and replacement."""

from __future__ import annotations

from runtime.codec import replace
from runtime.pallets import balances, proofs, tasks, workers
from tests.market.market import BOND, SOLVERS, SPEC, SUBMITTER, VERIFIERS, Market, secret_of
from tests.support.chain import account

SEALS = (bytes(32), b"s" * 32)


def verdict(market: Market, verifier: str, *failed: int) -> proofs.SubmitVerdict:
    return proofs.SubmitVerdict(market.task, secret_of(verifier), failed, () if failed else SEALS)


def test_a_proof_lists_one_root_for_every_checkpoint_and_comes_from_the_solver() -> None:
    market = Market(solvers=2).to_training()
    other = next(suri for suri in SOLVERS[:2] if suri != market.solver)
    roots, manifest = market.checkpoints(), bytes(32)
    market.reject(market.solver, proofs.RegisterProof(market.task, roots[:-1], manifest), "WrongCheckpoints")
    market.reject(market.solver, proofs.RegisterProof(market.task, (*roots, roots[0]), manifest), "WrongCheckpoints")
    market.reject(market.solver, proofs.RegisterProof(bytes(32), roots, manifest), "UnknownTask")
    market.reject(other, proofs.RegisterProof(market.task, roots, manifest), "NotTheSolver")


def test_a_proof_is_registered_once_and_only_in_training() -> None:
    market = Market().to_assigned()
    args = proofs.RegisterProof(market.task, market.checkpoints(), bytes(32))
    market.reject(market.solver, args, "WrongStatus")
    market.submit(market.solver, tasks.Accept(market.task))
    market.submit(market.solver, args)
    assert proofs.PROOFS.get(market.state, market.task) == proofs.Proof(
        market.task, 1, account(market.solver), market.checkpoints(), bytes(32), market.number
    )
    market.reject(market.solver, args, "WrongStatus")


def test_verifiers_are_drawn_after_registration_and_their_bonds_locked() -> None:
    market = Market(verifiers=5).to_auditing()
    lock = market.record.estimate.verifier_lock
    assert len(set(market.auditors("drawn"))) == 2
    for verifier in market.auditors():
        assert market.worker(verifier).locked == lock
        assert market.worker(verifier).jobs == (market.task,)
    drawn = market.events(proofs.VerifierDrawn)
    assert [(event.candidates, event.lock) for event in drawn] == [(5, lock), (5, lock)]


def test_segments_are_unknown_until_the_block_after_the_commitment() -> None:
    market = Market().to_auditing()
    verifier = market.auditors()[0]
    market.accept_audit(verifier)
    assert market.audit(verifier).beacon == b""
    market.reject(verifier, proofs.AcceptAudit(market.task, bytes(32), bytes(32)), "WrongAuditStatus")
    assert len(market.audit(verifier).beacon) == 32
    segments = market.segments(verifier)
    assert len(segments) == 3
    assert segments[0] == 0
    market.give_verdict(verifier)
    assert market.audit(verifier).segments == segments
    assert market.audit(verifier).gas == tasks.replayed_gas(market.spec, market.record.estimate, segments)


def test_a_verdict_in_the_block_of_the_commitment_is_too_early() -> None:
    market = Market().to_auditing()
    verifier = market.auditors()[0]
    commitment = proofs.draw_commitment(secret_of(verifier), account(verifier), market.task)
    receipts = market.author(
        (verifier, proofs.AcceptAudit(market.task, commitment, bytes(32))), (verifier, verdict(market, verifier))
    )
    assert [receipt.ok for receipt in receipts] == [True, False]
    assert receipts[1].error.code == "WrongAuditStatus"


def test_verdicts_that_break_a_rule_are_refused() -> None:
    market = Market(verifiers=4, verdict_blocks=20).to_opened()
    verifier, other = market.auditors()
    outsider = next(suri for suri in VERIFIERS[:4] if suri not in market.auditors())
    segments = market.segments(verifier)
    undrawn = next(k for k in range(5) if k not in segments)
    market.reject(outsider, verdict(market, outsider), "NotTheVerifier")
    market.reject(verifier, verdict(market, other), "WrongSecret")
    market.give_verdict(other)
    market.reject(verifier, verdict(market, verifier, undrawn), "BadVerdict")


def test_failed_segments_ascend_without_repetition() -> None:
    market = Market(verdict_blocks=20).to_opened()
    verifier = market.auditors()[0]
    _, second, third = market.segments(verifier)
    market.reject(verifier, verdict(market, verifier, third, second), "BadVerdict")
    market.reject(verifier, verdict(market, verifier, second, second), "BadVerdict")
    market.give_verdict(verifier, second, third)
    market.reject(verifier, verdict(market, verifier), "WrongAuditStatus")


def test_a_verifier_that_does_not_accept_is_slashed_and_replaced() -> None:
    market = Market(verifiers=3).to_auditing()
    silent, awake = market.auditors()
    lock = market.record.estimate.verifier_lock
    market.accept_audit(awake)
    market.skip(4)
    audit = market.audit(silent)
    assert (audit.status, audit.deadline) == ("replaced", 0)
    worker = market.worker(silent)
    assert (worker.bond, worker.locked, worker.faults) == (BOND - lock * 5 // 100, 0, 1)
    (replacement,) = market.auditors("drawn")
    assert replacement not in (silent, awake)
    market.reject(silent, proofs.AcceptAudit(market.task, bytes(32), bytes(32)), "WrongAuditStatus")


def test_a_verifier_without_a_verdict_is_slashed_replaced_and_unpaid() -> None:
    market = Market(verifiers=3).to_opened()
    silent, awake = market.auditors()
    market.give_verdict(awake)
    market.skip(2)
    (replacement,) = market.auditors("drawn")
    market.accept_audit(replacement)
    market.skip(1)
    market.give_verdict(replacement)
    market.until("settled")
    paid = {payment.account for payment in market.record.payments if payment.role == "verifier"}
    assert paid == {account(awake), account(replacement)}
    assert market.worker(silent).slashed == market.record.estimate.verifier_lock * 5 // 100


def test_a_fail_that_is_not_followed_by_a_dispute_costs_half_the_lock() -> None:
    market = Market(verifiers=3).to_opened()
    liar = market.auditors()[0]
    market.give_verdict(liar, 0)
    assert market.audit(liar).status == "failed"
    market.skip(4)
    assert market.worker(liar).slashed == market.record.estimate.verifier_lock // 2
    assert market.audit(liar).status == "replaced"
    market.skip(1)
    assert len(market.auditors("drawn")) == 1


def test_with_one_audit_passed_and_nobody_left_the_task_goes_on() -> None:
    market = Market(verifiers=2).to_opened()
    silent, awake = market.auditors()
    market.give_verdict(awake)
    for _ in range(30):
        market.skip(1)
        if ended := market.events(proofs.SearchEnded):
            break
    assert ended == [proofs.SearchEnded(market.task, 1, 2)]
    market.until("settled")
    verifiers = [payment.account for payment in market.record.payments if payment.role == "verifier"]
    assert verifiers == [account(awake)]
    assert account(silent) not in verifiers


def test_a_proof_that_nobody_audits_fails_without_fault_or_payment() -> None:
    market = Market(verifiers=2).to_auditing()
    escrow, before = market.record.escrow, market.owned(SUBMITTER)
    market.until("failed")
    assert market.events(tasks.Failed) == [tasks.Failed(market.task, "no verifier audited the proof", escrow)]
    assert market.owned(SUBMITTER) == before
    worker = market.worker(SOLVERS[0])
    assert (worker.locked, worker.faults, worker.completed) == (0, 0, 0)
    assert market.board.phase == "done"


def test_a_search_goes_on_until_a_verifier_comes() -> None:
    market = Market(verifiers=2, verifier_search_blocks=20).to_training()
    market.author(*[(suri, workers.SetAsk("verifier", 1, 0)) for suri in VERIFIERS[:2]])
    market.submit(market.solver, proofs.RegisterProof(market.task, market.checkpoints(), bytes(32)))
    market.skip(5)
    assert (market.record.status, market.board.phase) == ("proved", "searching")
    market.submit(VERIFIERS[3], workers.Register("verifier", BOND, 5, 1))
    market.until("auditing", blocks=5)
    assert market.auditors() == [VERIFIERS[3]]
    assert market.board.phase == "searching"


def test_a_verifier_that_asks_too_much_or_solves_the_task_is_not_drawn() -> None:
    market = Market(solvers=1, verifiers=3)
    market.submit(VERIFIERS[0], workers.SetAsk("verifier", SPEC.price_limit + 1, 8))
    market.submit(SOLVERS[0], workers.Register("verifier", 5 * BOND, 1, 8))
    market.submit(SUBMITTER, workers.Register("verifier", 5 * BOND, 1, 8))
    market.to_auditing()
    assert sorted(market.auditors()) == VERIFIERS[1:3]


def test_payments_count_the_gas_of_the_segments_drawn() -> None:
    market = Market(spec=replace(SPEC, audits=1)).to_settled()
    for verifier in market.auditors():
        (segment,) = [k for k in market.audit(verifier).segments if k]
        gas = tasks.replayed_gas(market.spec, market.record.estimate, (0, segment))
        assert tasks.Payment(account(verifier), "verifier", gas * SPEC.price_limit) in market.record.payments
    assert balances.held(market.state, account(SUBMITTER), tasks.escrow_reason(market.task)) == 0
