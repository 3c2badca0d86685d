"""Whistleblowers that join and leave by what they expect to earn."""

from __future__ import annotations

from pathlib import Path

from ml.workers.income import PRIOR_PROOFS, Record, estimate_income
from runtime.pallets.tasks import replayed_gas
from tests.scenarios.market import Market
from tests.scenarios.tiny import tiny_task

DEAR = 13
"""A price for a unit of gas at which checking pays where one proof in twelve is false, and not where one in twenty is:
the reward is two hundred times the gas of the replay."""


def test_the_estimate_is_chance_times_reward_against_the_cost_of_the_replay(tmp_path: Path) -> None:
    market = Market(tmp_path)
    task = market.task(market.submit(tiny_task()))
    income = estimate_income(task, (0, 2), Record(stood=10, voided=2), 7, 5)
    assert income.chance == 3 / (12 + PRIOR_PROOFS)
    assert income.reward == task.estimate.solver_lock // 2
    assert income.cost == 7 * replayed_gas(task.spec, task.estimate, (0, 2))
    assert income.pays == (income.chance * income.reward + 5 > income.cost)


def test_the_more_proofs_stand_the_less_is_expected_and_every_false_one_raises_it() -> None:
    chances = [Record(stood, 0).chance for stood in (0, 10, 100, 1000)]
    assert chances == sorted(chances, reverse=True)
    assert Record(1000, 1).chance > Record(1000, 0).chance


def test_a_whistleblower_leaves_where_nobody_cheats_and_comes_back_when_somebody_did(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    whistle = market.whistleblower("//Whistle", extra_segments=0, price=DEAR)
    first = market.submit(tiny_task(1))
    market.run_until(first, "settled")
    told = [(event, fields) for event, fields in whistle.session.journal.recent if event in ("joined", "left")]
    assert [event for event, _ in told] == ["left"]
    assert told[0][1]["expected"] < told[0][1]["cost"]  # type: ignore[operator]
    assert "recheck" not in whistle.session.journal.names()

    market.leave("//Solver1")
    market.solver("//Mallory", "corrupt")
    second = market.submit(tiny_task(2))
    market.run(lambda: bool(market.task(second).slashes))
    third = market.submit(tiny_task(3))
    market.verifier("//Verifier2")
    market.solver("//Solver2")
    market.run_until(third, "settled")
    events = [event for event in whistle.session.journal.names() if event in ("joined", "left", "recheck")]
    assert events[:3] == ["left", "joined", "recheck"]
