"""A dispute about a verifier's witness, as a node tells it after the game is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.pallets import balances, disputes, treasury
from runtime.parameters import TOKEN
from tests.rpc.story import LedgerChain
from tests.rpc.view import View, ask
from tests.scenarios.market import Market
from tests.scenarios.tiny import tiny_task

POT = 1_000 * TOKEN


def test_a_witness_dispute_is_told_by_the_claim_that_it_was_about(tmp_path: Path) -> None:
    chain = LedgerChain({"market": {"forced_rarity": 2**31}, "disputes": {"clock_blocks": 40}})
    market: Any = Market(tmp_path, chain=chain)  # type: ignore[arg-type]
    assert chain.submit("//Submitter", balances.Transfer(treasury.POT, POT)).ok
    market.verifier("//Verifier1", "rubber-stamp")
    market.solver("//Solver1")
    market.whistleblower("//Whistle", extra_segments=0)
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.task(name).slashes))
    dispute = market.dispute()
    assert dispute.kind == disputes.WITNESS

    answer = ask(View(chain, tmp_path), "disputes_get", 0)

    shown = answer["result"]
    assert (shown["kind"], shown["status"]) == ("witness", disputes.CHALLENGER_WON)
    assert shown["defender"] != shown["challenger"]
    spec = market.task(name).spec
    assert 0 < shown["claim"]["steps"] < spec.checkpoint_interval, "the claim is about a state inside the segment"
    assert shown["claim"]["firstStep"] == (dispute.segment - 1) * spec.checkpoint_interval
