"""Stories of withheld data and states, on a chain that checks every invariant after each block: who finds out, who pays
whom, and that the honest are whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ml.workers.registration import Offer
from ml.workers.solver import Solver
from ml.workers.strategies import SolverStrategy
from runtime.commitments import tensor_root
from runtime.pallets import balances, blobs, disputes
from runtime.pallets.proofs.storage import PLACED_STATES
from runtime.parameters import TOKEN
from tests.scenarios.market import BALANCE, BOND, HOLDERS, SUBMITTER, DirectChain, Market
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account

LOCK = 10 * TOKEN
BLOBS = {"receipts": 3, "lock": LOCK, "placement_blocks": 30, "answer_blocks": 30, "challenge_blocks": 20}
FEES = TOKEN // 10
"""More than what anybody here pays for calls."""


@dataclass(frozen=True)
class Colluding(SolverStrategy):
    """Shares nothing, and answers demands with the roots alone: its friends among the holders sign for them."""

    @property
    def shares(self) -> bool:
        return False


@pytest.fixture
def market(tmp_path: Path) -> Market:
    market = Market(tmp_path, DirectChain({"blobs": BLOBS}))
    market.verifier("//Verifier1")
    return market


def owned(market: Market, suri: str) -> int:
    money = balances.account(market.chain.chain.state, account(suri))
    return money.free + money.held


def gain(market: Market, suri: str) -> int:
    return owned(market, suri) - BALANCE


def issuance(market: Market) -> int:
    return balances.ISSUANCE.get(market.chain.chain.state)


def join_solver(market: Market, suri: str, strategy: SolverStrategy) -> Solver:
    return market._join(suri, Solver(market.session(suri, "solver"), Offer(10, BOND), strategy))  # type: ignore[no-any-return]


def test_a_solver_that_withholds_its_states_loses_and_an_honest_one_settles_the_task(market: Market) -> None:
    for suri in HOLDERS:
        market.holder(suri)
    market.solver("//Mallory", "withhold")
    units = issuance(market)
    name = market.submit(tiny_task())
    market.run_until(name, "disputed")
    lock = market.task(name).estimate.solver_lock
    market.run(lambda: market.task(name).status == "pooled")
    assert market.slashes(name) == {account("//Mallory"): lock}
    assert market.payments(name)[account("//Verifier1"), "challenger"] == lock // 2
    market.leave("//Mallory")
    market.verifier("//Verifier2")
    market.solver("//Solver1")
    task = market.run_until(name, "settled")
    assert task.solver == account("//Solver1")
    assert issuance(market) == units
    assert gain(market, "//Mallory") < -lock
    assert gain(market, "//Verifier1") >= lock // 2 - FEES
    assert all(gain(market, suri) > -FEES for suri in ("//Verifier2", "//Solver1", *HOLDERS))
    refund = sum(one.amount for one in task.payments if one.role == "refund")
    assert refund > 0
    assert market.slashes(name).keys() == {account("//Mallory")}


def test_a_state_that_comes_only_when_it_is_demanded_is_audited_and_its_solver_pays_the_holders(market: Market) -> None:
    for suri in HOLDERS:
        market.holder(suri)
    solver = join_solver(market, "//Solver1", SolverStrategy())
    name = market.submit(tiny_task())
    market.run_until(name, "proved")
    kept = {tensor_root(data) for data in (tiny_task().data_blob, tiny_task().scalars_blob)}
    for root in set(market.chain.blobs) - kept:
        del market.chain.blobs[root]
    task = market.run_until(name, "settled")
    assert not task.slashes
    assert "state_demanded" in market.workers["//Verifier1"].session.journal.names()
    assert "state_placed" in solver.session.journal.names()
    assert not list(blobs.PLACEMENTS.items(market.chain.chain.state)), "released with the task"
    assert not list(PLACED_STATES.items(market.chain.chain.state))
    assert all(holder.seats == 0 for _, holder in blobs.HOLDERS.items(market.chain.chain.state))


def test_holders_that_sign_for_a_withholding_solver_are_slashed_and_do_not_save_it(market: Market) -> None:
    """Half of the holders lie for the solver: they sign for the states, and have no chunk to post."""
    for number, suri in enumerate(HOLDERS):
        market.holder(suri, "lie" if number < 3 else "honest")
    join_solver(market, "//Mallory", Colluding())
    name = market.submit(tiny_task())
    market.run_until(name, "disputed")
    lock = market.task(name).estimate.solver_lock
    market.run(lambda: market.task(name).status == "pooled", rounds=4000)
    liars, honest = HOLDERS[:3], HOLDERS[3:]
    lost = [-gain(market, suri) // LOCK for suri in liars]
    assert sum(lost) >= 1
    assert market.slashes(name) == {account("//Mallory"): lock}
    assert gain(market, "//Verifier1") > 0
    assert all(gain(market, suri) > -FEES for suri in honest)
    assert not [demand for _, demand in disputes.DEMANDS.items(market.chain.chain.state) if demand.open]


def test_a_holder_that_refuses_a_chunk_loses_its_seats_lock_though_it_has_the_blob(market: Market) -> None:
    market.holder(HOLDERS[0], "deaf")
    for suri in HOLDERS[1:4]:
        market.holder(suri)
    name = market.submit(tiny_task())
    market.run(lambda: len([seat for seat in placement_of(market, name).seats if seat.signed]) == 4)
    for suri in HOLDERS[:4]:
        market.chain.chain.submit("//Whistle", blobs.ChallengeChunk(name, account(suri), 0, 0))
    market.run(lambda: gain(market, HOLDERS[0]) < -LOCK // 2)
    assert gain(market, HOLDERS[0]) < -LOCK + FEES
    assert gain(market, "//Whistle") > LOCK // 2 - 3 * BOND_OF_CHALLENGE - FEES
    assert all(gain(market, suri) > -FEES for suri in HOLDERS[1:4])
    assert placement_of(market, name).status == "placed", "three true receipts are left"


BOND_OF_CHALLENGE = 10**8


def placement_of(market: Market, name: bytes) -> blobs.Placement:
    found = market.chain.read(blobs.PLACEMENTS, name)
    assert isinstance(found, blobs.Placement)
    return found


def test_without_its_data_no_task_is_assigned_and_the_submitter_pays_the_listing_alone(market: Market) -> None:
    for suri in HOLDERS:
        market.holder(suri)
    market.solver("//Solver1")
    before = owned(market, SUBMITTER)
    name = market.submit(tiny_task())
    market.chain.blobs.clear()
    task = market.run_until(name, "cancelled")
    assert task.attempt == 0
    assert before - owned(market, SUBMITTER) < task.estimate.listing_fee + FEES
    assert gain(market, "//Solver1") > -FEES
