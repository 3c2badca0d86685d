"""Attacks on the attention of workers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ml.workers.jobs import ThreadedJobs
from ml.workers.training import Trainer
from runtime.pallets import disputes
from tests.scenarios.market import Market
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account

SECONDS = 60.0


def test_a_solver_in_a_long_training_still_answers_disputes_about_its_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market(tmp_path)
    market.verifier("//Verifier1")
    solver = market.solver("//Solver1")
    first = market.submit(tiny_task())
    market.run(lambda: market.task(first).status == "auditing")
    second = market.submit(tiny_task(1))
    market.run_until(second, "training")
    training, over = threading.Event(), threading.Event()

    def train_for_long(trainer: Trainer) -> bool:
        """As a training that is told to stop in the end."""
        training.set()
        assert over.wait(SECONDS)
        return False

    monkeypatch.setattr(Trainer, "train", train_for_long)
    runner = ThreadedJobs(1, solver.session.journal)
    object.__setattr__(solver.session, "jobs", runner)
    solver.turn()
    assert training.wait(SECONDS)
    salt, mallory = bytes(32), account("//Mallory")
    market.chain.chain.submit("//Mallory", disputes.Commit(first, disputes.commitment_of(first, 1, salt, mallory)))
    market.chain.chain.submit("//Mallory", disputes.Reveal(0, 1, salt))
    for _ in range(4):
        solver.turn()
        runner.rest(SECONDS)
        if market.dispute().moves == 2:
            break
    assert market.dispute().defender == account("//Solver1")
    assert market.task(second).status == "training"
    assert market.dispute().moves == 2, "the root, and what it reveals: then it is the challenger's turn"
    over.set()
    runner.stop()
