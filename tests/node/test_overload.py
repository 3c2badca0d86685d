"""Networks whose nodes are too slow for their chain: they slow down, and do not stop."""

from __future__ import annotations

import pytest

from node.simulation_plan import SLOT_SECONDS, Plan
from node.simulator import START, Simulation
from p2p.memory import Link

STRETCH = 20
"""Slots in which finality must move, again and again."""


def overloaded(work_seconds: float) -> Simulation:
    """Four validators that take so long for each piece of work; a block takes some of these."""
    link = Link(0.05, 0.02)
    return Simulation(Plan(1, (100_000,) * 4, 5 * STRETCH, link, work_seconds=(work_seconds,) * 4))


@pytest.mark.parametrize(("work_seconds", "least"), [(1.0, 10), (2.0, 5), (4.0, 2)])
def test_finality_goes_on_where_a_block_takes_longer_than_its_slot(work_seconds: float, least: int) -> None:
    simulation = overloaded(work_seconds)
    final = 0
    for stretch in range(1, 6):
        simulation._run_until(START + stretch * STRETCH * SLOT_SECONDS)
        ledgers = [machine.ledger for machine in simulation.machines]
        lowest = min(ledger.finalized_number for ledger in ledgers)
        assert lowest >= final + least, f"{lowest - final} blocks became final in stretch {stretch}"
        assert all(ledger.head_number - ledger.finalized_number <= 4 for ledger in ledgers)
        final = lowest


def test_a_swamped_node_leaves_extrinsics_to_later_and_takes_them_then() -> None:
    simulation = overloaded(4.0)
    swamped = simulation.machines[0]
    moments = 0
    for second in range(2, 100):
        simulation._run_until(START + second)
        assert swamped.chain is not None
        moments += swamped.chain.importer.is_swamped(simulation.now)
    assert moments > 20
    simulation._run_until(START + 300)
    included = sum(
        len(block.body) - 2
        for number in range(1, swamped.ledger.finalized_number + 1)
        if (block := swamped.ledger.block(swamped.ledger.hash_at(number) or b"")) is not None
    )
    assert included >= 10
