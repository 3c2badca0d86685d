"""Networks of validators in virtual time: they agree under trouble, runs repeat exactly, and the checks have teeth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from chain.effects import Punish
from chain.evidence import EvidenceBook
from chain.finality import Finality
from node.simulation_disk import MemoryDatabase
from node.simulation_plan import Crash, Fault, Joiner, Partition, Plan, draw_plan
from node.simulator import Simulation, SimulationFailed, VerifiedSignatures, simulate
from runtime import crypto

EQUAL = (100_000,) * 4


@pytest.mark.parametrize("seed", range(4))
def test_a_network_survives_the_trouble_that_a_seed_draws(seed: int) -> None:
    report = simulate(seed, slots=40)
    assert report.finalized >= 20
    assert report.sets >= 1


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 10))
def test_a_hundred_networks_survive(first: int) -> None:
    for seed in range(first, first + 10):
        assert simulate(seed).finalized >= 20


def test_an_untroubled_network_finalizes_a_block_in_almost_every_slot() -> None:
    report = Simulation(Plan(1, EQUAL, 24)).run()
    assert report.blocks >= 22
    assert report.finalized >= report.blocks - 3
    assert (report.crashes, report.lies, report.offences) == (0, 0, 0)
    assert report.extrinsics > 5


@pytest.mark.parametrize("fault", list(Fault))
def test_one_liar_among_four_does_not_stop_finality(fault: Fault) -> None:
    report = Simulation(Plan(2, EQUAL, 30, liars={1: fault}, extrinsic_seconds=0.7)).run()
    assert report.lies > 0
    assert report.finalized >= 10
    if fault in (Fault.TWO_BLOCKS, Fault.TWO_VOTES):
        assert report.offences > 0
        assert report.slashed == 1


def test_an_equivocation_that_goes_unpunished_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvidenceBook, "build_inherent", lambda self, state: None)
    with pytest.raises(SimulationFailed, match="an equivocation is not punished"):
        Simulation(Plan(2, EQUAL, 30, liars={1: Fault.TWO_VOTES})).run()


def test_a_minority_catches_up_after_a_partition() -> None:
    report = Simulation(Plan(3, EQUAL, 40, partitions=(Partition(6, 30, (2,)),))).run()
    assert report.recovered_after <= 20


def test_nothing_is_final_while_the_network_is_halved_and_finality_resumes_afterwards() -> None:
    simulation = Simulation(Plan(4, EQUAL, 40, partitions=(Partition(10, 30, (0, 1)),)))
    simulation._run_until(simulation.now + 14)
    heights = [machine.finalized_number for machine in simulation.machines]
    simulation._run_until(simulation.now + 24)
    assert [machine.finalized_number for machine in simulation.machines] == heights
    assert simulation.run().finalized > max(heights)


def test_validators_that_all_crash_go_on_from_their_disks() -> None:
    crashes = tuple(Crash(node, 10 + node / 10, node, 6) for node in range(4))
    report = Simulation(Plan(5, EQUAL, 30, crashes=crashes)).run()
    assert report.crashes == 4
    assert report.finalized >= 12


@pytest.mark.parametrize("seed", [26, 107])
def test_finality_resumes_after_crashes_and_partitions_without_end(seed: int) -> None:
    assert simulate(seed, harsh=True).finalized >= 30


def test_an_honest_node_that_blames_an_honest_one_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Finality, "on_catch_up", lambda self, data, peer, now: [Punish(peer, 1, "an answer")])
    with pytest.raises(SimulationFailed, match=r"holds 1 points against the honest node\d: an answer"):
        simulate(32, harsh=True)


@pytest.mark.parametrize("warp", [False, True])
def test_a_node_that_joins_late_and_crashes_on_the_way_arrives(warp: bool) -> None:
    plan = Plan(11, EQUAL, 30, joiners=(Joiner(30, warp),), crashes=(Crash(4, 31, 3, 4), Crash(4, 36, 6, 4)))
    simulation = Simulation(plan)
    simulation.run()
    late = simulation.machines[4]
    assert late.statistics.crashes == 2
    assert late.finalized_number >= 15
    assert (late.ledger.outcome(late.ledger.store.hash_at(3) or b"") is None) == warp


def test_the_same_seed_gives_the_same_history_in_any_process() -> None:
    here = simulate(6, slots=20)
    program = "from node.simulator import simulate; print(simulate(6, slots=20))"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
        assert there.stdout.decode().strip() == str(here)
    assert simulate(7, slots=20).digest != here.digest


def test_remembered_signatures_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(6, EQUAL, 12, liars={2: Fault.TWO_VOTES})
    remembered = Simulation(plan).run()
    monkeypatch.setattr(VerifiedSignatures, "verify", lambda self, *signed: crypto.verify(*signed))
    assert Simulation(plan).run() == remembered


def test_a_disk_that_forgets_what_was_synced_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    write = MemoryDatabase.write

    def forgetful(self: MemoryDatabase, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        write(self, batch, sync=False)

    monkeypatch.setattr(MemoryDatabase, "write", forgetful)
    crashes = tuple(Crash(node, 14, 0, 6) for node in range(4))
    with pytest.raises(SimulationFailed, match=r"^seed 8, after .*(had finalized|said twice|genesis)"):
        Simulation(Plan(8, EQUAL, 30, crashes=crashes)).run()


def test_a_network_that_does_not_recover_fails_and_names_its_seed() -> None:
    simulation = Simulation(Plan(9, EQUAL, 10))
    for machine in simulation.machines[:2]:
        simulation.at(simulation.now + 1.2, machine.crash)
    with pytest.raises(SimulationFailed, match=r"^seed 9, after .*finality has not resumed: node0 down"):
        simulation.run()


def test_plans_are_drawn_from_the_seed_alone_and_their_liars_hold_less_than_a_third() -> None:
    for seed in range(200):
        plan = draw_plan(seed)
        assert plan == draw_plan(seed)
        assert 4 <= plan.count <= 7
        assert 3 * sum(plan.stakes[liar] for liar in plan.liars) < sum(plan.stakes)
        assert plan.heals_at < plan.ends_at - 30
