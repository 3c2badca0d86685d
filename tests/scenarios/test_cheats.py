"""Everyone who cheats loses, everyone who was right is paid, and the task is still trained."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from cli.dispute_report import dispute_document, read_disputes
from runtime.crypto import to_ss58
from runtime.pallets import disputes, proofs
from runtime.pallets.disputes import CHALLENGER_WON, DEFENDER_WON
from runtime.parameters import TOKEN
from solvent.client import Client
from tests.scenarios.market import BOND, Market
from tests.scenarios.test_interruptions import Mortal
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account, seed

SOLVER1, SOLVER2, MALLORY = account("//Solver1"), account("//Solver2"), account("//Mallory")
VERIFIER1, VERIFIER2, WHISTLE = account("//Verifier1"), account("//Verifier2"), account("//Whistle")


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path)


def test_one_wrong_multiplication_costs_the_solver_its_stake_and_the_task_is_trained_by_another(market: Market) -> None:
    market.verifier("//Verifier1")
    mallory = market.solver("//Mallory", "corrupt")
    name = market.submit(tiny_task())
    market.run_until(name, "training", "proved")
    market.verifier("//Verifier2")
    market.solver("//Solver1")

    task = market.run_until(name, "settled")

    dispute, verdict = market.dispute(), market.chain.read(disputes.VERDICTS, 0)
    fault = mallory.strategy.training_runner(mallory.materials(name, task)).faulty_step
    assert dispute.status == CHALLENGER_WON
    assert dispute.defender == MALLORY
    assert verdict.reason == "wrong_result"
    assert verdict.evidence.opcode == "FMA_F32"
    assert verdict.evidence.step == fault
    assert verdict.evidence.claimed != verdict.evidence.computed
    assert [descent.level for descent in verdict.trail] == ["segment", "step", "tensor", "trace"]
    assert market.slashes(name)[MALLORY] == task.estimate.solver_lock
    assert market.payments(name)[dispute.challenger, "challenger"] == dispute.reward > 0
    assert task.solver == SOLVER1
    assert market.bond("//Mallory", "solver") == BOND - task.estimate.solver_lock

    (record,) = read_disputes(cast(Client, market.chain), name)
    document = dispute_document(record, task.slashes, {})
    assert (document["status"], document["loser"]) == ("challenger_won", to_ss58(MALLORY))
    assert document["moves"][0] == {**document["moves"][0], "mover": "defender", "move": "SegmentRoot", "width": 5}
    assert document["leaf"]["op"] == "FMA_F32"


def test_a_silent_solver_loses_by_the_clock(market: Market) -> None:
    market.verifier("//Verifier1")
    market.solver("//Mallory", "silent")
    name = market.submit(tiny_task())
    market.run_until(name, "training", "proved")
    market.verifier("//Verifier2")
    market.solver("//Solver1")

    task = market.run_until(name, "settled")

    verdict = market.chain.read(disputes.VERDICTS, 0)
    assert (verdict.winner, verdict.reason) == ("challenger", "silence")
    assert MALLORY in market.slashes(name)
    assert task.solver == SOLVER1


def test_a_rubber_stamping_verifier_is_slashed_with_the_solver_it_passed(market: Market) -> None:
    market.verifier("//Verifier1", "rubber-stamp")
    market.solver("//Mallory", "corrupt")
    market.whistleblower("//Whistle", extra_segments=0)
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.task(name).slashes))
    market.solver("//Solver1")
    market.verifier("//Verifier2")

    task = market.run_until(name, "settled")

    assert market.dispute().challenger == WHISTLE
    assert market.dispute().status == CHALLENGER_WON
    assert set(market.slashes(name)) == {MALLORY, VERIFIER1}
    assert market.payments(name)[WHISTLE, "challenger"] > 0
    assert (VERIFIER1, "verifier") not in market.payments(name)
    assert task.solver == SOLVER1
    assert (VERIFIER2, "verifier") in market.payments(name)


def test_a_whistleblower_that_is_killed_after_every_turn_still_commits_reveals_and_wins(tmp_path: Path) -> None:
    market = Mortal(tmp_path)
    market.verifier("//Verifier1", "rubber-stamp")
    market.solver("//Mallory", "corrupt")
    market.whistleblower("//Whistle", extra_segments=0)
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.task(name).slashes))
    dispute = market.dispute()
    assert (dispute.status, dispute.rewarded) == (CHALLENGER_WON, WHISTLE)
    assert dispute.committed < dispute.opened
    assert market.payments(name)[WHISTLE, "challenger"] == dispute.reward == market.slashes(name)[MALLORY] // 2


def test_a_whistleblower_finds_what_no_audit_drew(market: Market) -> None:
    market.verifier("//Verifier1")
    market.solver("//Mallory", "corrupt", step=6)
    market.whistleblower("//Whistle", extra_segments=3)
    names = [market.submit(tiny_task(salt, audits=1)) for salt in range(8)]
    market.run(lambda: all(market.task(name).attempt == 1 and market.task(name).slashes for name in names))
    challengers = {dispute.challenger for _, dispute in market.chain.items(disputes.DISPUTES)}
    assert challengers == {VERIFIER1, WHISTLE}


def test_a_verifier_that_accuses_an_honest_solver_loses_its_bond(market: Market) -> None:
    market.verifier("//Verifier1", "lie")
    market.solver("//Solver1")
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.chain.items(disputes.DISPUTES)))
    bond, before = market.dispute().bond, market.wealth("//Solver1")
    assert bond >= disputes.parameters(market.chain.chain.state).bond
    market.run(lambda: market.dispute().status == DEFENDER_WON)
    won = market.wealth("//Solver1") - before
    assert bond - TOKEN // 10 < won <= bond, "the accuser's bond, less the fees of its own moves"
    market.verifier("//Verifier2")

    task = market.run_until(name, "settled")

    assert market.slashes(name)[VERIFIER1] == task.estimate.verifier_lock // 2
    assert task.solver == SOLVER1
    assert (SOLVER1, "solver") in market.payments(name)
    assert (VERIFIER2, "verifier") in market.payments(name)
    assert SOLVER1 not in market.slashes(name)


def test_a_stale_proof_of_one_task_registered_for_another_is_caught_and_punished(market: Market) -> None:
    """The chain sees as many roots as the task needs; that they are another training's only a replay can tell."""
    first, second = tiny_task(1), tiny_task(2, seed=99)
    market.verifier("//Verifier1")
    market.solver("//Mallory")
    earlier = market.submit(first)
    market.run_until(earlier, "settled")
    stale = market.chain.read(proofs.PROOFS, earlier)
    name = market.submit(second)
    market.run_until(name, "training")
    copied = proofs.RegisterProof(name, stale.checkpoints, stale.manifest)
    assert market.chain.submit(seed("//Mallory"), "proofs", copied).ok
    market.workers.pop("//Mallory")  # no training of this task ends in those roots: it has no legal move to make
    market.solver("//Solver1")
    market.verifier("//Verifier2")

    task = market.run_until(name, "settled")

    assert (market.dispute().status, market.dispute().segment) == (CHALLENGER_WON, 0)
    assert market.slashes(name)[MALLORY] == task.estimate.solver_lock
    assert task.solver == SOLVER1
    assert (MALLORY, "solver") not in market.payments(name)


def test_an_honest_market_never_disputes(market: Market) -> None:
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    market.solver("//Solver2", price=20)
    market.whistleblower("//Whistle", extra_segments=3)
    names = [market.submit(tiny_task(salt, audits=2)) for salt in range(3)]
    for name in names:
        assert not market.run_until(name, "settled").slashes
    assert not list(market.chain.items(disputes.DISPUTES))
    assert market.bond("//Solver1", "solver") == 10_000 * TOKEN
