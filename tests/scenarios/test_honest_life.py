"""The life of a task among honest people, and what survives a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.proof import fetch_manifest, fetch_state
from ml.workers.training import Trainer
from runtime.pallets import proofs, treasury
from tests.scenarios.market import SUBMITTER, Market
from tests.scenarios.tiny import INTERVAL, STEPS, tiny_task
from tests.support.chain import account


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path)


def test_an_honest_task_is_trained_audited_rechecked_and_paid(market: Market) -> None:
    market.verifier("//Verifier1")
    solver = market.solver("//Solver1")
    whistleblower = market.whistleblower("//Whistle")
    name = market.submit(tiny_task(audits=1))

    task = market.run_until(name, "settled")

    paid = market.payments(name)
    assert paid[account("//Solver1"), "solver"] == task.estimate.gas * task.price
    assert paid[account("//Verifier1"), "verifier"] > 0
    assert paid[treasury.ACCOUNT, "treasury"] > 0
    assert sum(paid.values()) == task.estimate.escrow
    assert (
        paid.get((account(SUBMITTER), "refund"), 0)
        + sum(amount for (_, role), amount in paid.items() if role != "refund")
        == task.estimate.escrow
    )
    assert not task.slashes
    assert "proof_registered" in solver.session.journal.names()
    assert ("finding", True) in [
        (event, fields.get("confirmed")) for event, fields in whistleblower.session.journal.recent
    ]


def test_the_final_state_can_be_fetched_and_has_the_root_on_chain(market: Market) -> None:
    market.verifier("//Verifier1")
    solver = market.solver("//Solver1")
    tiny = tiny_task()
    name = market.submit(tiny)
    task = market.run_until(name, "settled")
    proof = market.chain.read(proofs.PROOFS, name)

    manifest = fetch_manifest(market.chain, proof.manifest, name, task.spec, proof.checkpoints)
    state = fetch_state(market.chain, manifest.states[-1], solver.materials(name, task).layout)

    assert manifest.states[-1].root == task.final_root
    assert set(state) == {"m1", "m2", "w1", "w2"}


def test_a_killed_solver_resumes_from_its_last_checkpoint(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    name = market.submit(tiny_task())
    advance = Trainer.train

    class Killed(BaseException):
        """Stands for SIGKILL: nothing catches it."""

    def die_in_step(trainer: Trainer) -> bool:
        runner = trainer.runner
        honest = runner.advance

        def step(number: int) -> object:
            if number == INTERVAL + 1:
                raise Killed
            return honest(number)

        monkeypatch.setattr(runner, "advance", step)
        return advance(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", die_in_step)
        with pytest.raises(Killed):
            market.run_until(name, "settled")
    monkeypatch.undo()
    again = market.solver("//Solver1")
    assert ("resumed", INTERVAL) in [(event, fields.get("step")) for event, fields in again.session.journal.recent]

    market.run_until(name, "settled")

    steps = [fields["step"] for event, fields in again.session.journal.recent if event == "checkpoint"]
    assert steps == list(range(2 * INTERVAL, STEPS + 1, INTERVAL))


def test_a_worker_that_leaves_gets_no_new_task(market: Market) -> None:
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    market.leave("//Solver1")
    name = market.submit(tiny_task())
    market.chain.chain.skip(20)
    assert market.task(name).status == "pooled"
    market.solver("//Solver2")
    assert market.run_until(name, "settled").solver == account("//Solver2")
