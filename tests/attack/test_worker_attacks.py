"""Attacks on the attention of workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml.workers.training import Trainer
from runtime.pallets import disputes
from tests.scenarios.market import Market
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account


def test_a_solver_in_a_long_training_still_answers_disputes_about_its_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.workers.solver.GLANCE_SECONDS", -1.0)
    market = Market(tmp_path)
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    first = market.submit(tiny_task())
    market.run(lambda: market.task(first).status == "auditing")
    second = market.submit(tiny_task(1))
    answered: list[int] = []
    train = Trainer.train

    def train_while_disputed(trainer: Trainer) -> bool:
        """The dispute comes when training has begun and the worker sees to nothing else."""
        market.chain.chain.submit("//Mallory", disputes.Open(first, 1))
        done = train(replace(trainer))
        answered.append(market.dispute().moves)
        return done

    monkeypatch.setattr(Trainer, "train", train_while_disputed)
    market.run(lambda: bool(answered))
    assert market.dispute().defender == account("//Solver1")
    assert market.task(second).status == "proved"
    assert answered == [2], "the root, and what it reveals: then it is the challenger's turn"
