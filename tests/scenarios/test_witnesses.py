"""Verifiers' witnesses with the real workers: forced errors, jackpots, and who is caught beside an honest solver."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.pallets import balances, disputes, jackpot, proofs, tasks, treasury
from runtime.pallets.proofs.storage import REVEALING, WINDOW
from runtime.parameters import TOKEN
from tests.scenarios.market import DirectChain, Market
from tests.scenarios.test_interruptions import Mortal
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account, seed

SOLVER1, VERIFIER1, WHISTLE = account("//Solver1"), account("//Verifier1"), account("//Whistle")
POT = 1_000 * TOKEN


def rich_pot(kind: type[Market], folder: Path, rarity: int) -> Market:
    """A market whose pot is full; every ``rarity``-th audit is forced to err."""
    market = kind(folder, DirectChain({"market": {"forced_rarity": rarity}, "disputes": {"clock_blocks": 40}}))
    market.chain.chain.submit("//Submitter", balances.Transfer(treasury.POT, POT))
    return market


@pytest.mark.parametrize("kind", [Market, Mortal])
def test_a_forced_error_is_found_and_pays_the_jackpot_even_if_everybody_is_killed_all_the_time(
    tmp_path: Path, kind: type[Market]
) -> None:
    market = rich_pot(kind, tmp_path, rarity=1)
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    market.whistleblower("//Whistle", extra_segments=0)
    name = market.submit(tiny_task())
    windows: list[jackpot.WitnessStood] = []

    def settled() -> bool:
        windows.extend(market.chain.chain.events(jackpot.WitnessStood))
        return market.task(name).status == "settled"

    market.run(settled)
    task = market.task(name)
    (stood,) = windows
    prize = min(50 * task.estimate.verifier_fee, POT // 10)
    assert (stood.winners, stood.share) == ((WHISTLE,), prize)
    assert task.slashes == ()
    assert not market.chain.items(disputes.DISPUTES), "no solver is harmed, and nobody disputes"
    assert (VERIFIER1, "verifier") in market.payments(name)
    assert market.payments(name)[treasury.POT, "jackpot"] > 0
    assert not market.chain.items(jackpot.ROUNDS)


def test_a_verifier_that_replayed_nothing_is_caught_by_its_witness_though_the_solver_was_honest(tmp_path: Path) -> None:
    market = rich_pot(Market, tmp_path, rarity=2**31)
    market.verifier("//Verifier1", "rubber-stamp")
    market.solver("//Solver1")
    market.whistleblower("//Whistle", extra_segments=0)
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.task(name).slashes))
    market.verifier("//Verifier2")

    task = market.run_until(name, "settled")

    assert (market.dispute().kind, market.dispute().challenger, market.dispute().defender) == (
        disputes.WITNESS,
        WHISTLE,
        VERIFIER1,
    )
    prize = min(50 * task.estimate.verifier_fee, POT // 10)
    assert market.slashes(name) == {VERIFIER1: task.estimate.verifier_lock + prize}
    assert market.payments(name)[WHISTLE, "whistleblower"] == prize + task.estimate.verifier_lock // 2
    assert task.solver == SOLVER1
    assert (VERIFIER1, "verifier") not in market.payments(name)


def test_a_whistleblower_that_accuses_an_honest_verifier_loses_its_bond_to_it(tmp_path: Path) -> None:
    market = rich_pot(Market, tmp_path, rarity=2**31)
    market.verifier("//Verifier1")
    market.solver("//Solver1")
    name = market.submit(tiny_task())
    board = lambda: market.chain.read(proofs.AUDITS, name)  # noqa: E731
    market.run(lambda: (found := board()) is not None and found.phase == WINDOW)
    made_up, salt, mallory = bytes(32), bytes(32), account("//Mallory")
    hidden = jackpot.commitment_of(name, VERIFIER1, made_up, salt, mallory)
    assert market.chain.submit(seed("//Mallory"), "jackpot", jackpot.Commit(name, VERIFIER1, hidden)).ok
    market.run(lambda: board().phase == REVEALING and bool(market.chain.items(jackpot.ROUNDS)[0][1].exposed))
    accusation = jackpot.Reveal(name, VERIFIER1, made_up, salt, 1)
    assert market.chain.submit(seed("//Mallory"), "jackpot", accusation).ok
    before = market.wealth("//Verifier1")
    market.run(lambda: market.dispute().status == disputes.DEFENDER_WON)
    assert market.dispute().moves >= 1, "the verifier answered with the states of its replay"
    assert before < market.wealth("//Verifier1") <= before + market.dispute().bond

    task = market.run_until(name, "settled")
    assert isinstance(task, tasks.Task)
    assert task.slashes == ()
    assert (VERIFIER1, "verifier") in market.payments(name)
