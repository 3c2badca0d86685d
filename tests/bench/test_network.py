"""The benchmarks of whole networks: what they plan and what they conclude, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench import recovery
from bench.cluster import NODES, Sight
from bench.network import (
    SLOT_SECONDS,
    Landed,
    Load,
    Measured,
    Usage,
    block_capacity,
    make_accounts,
    sign_all,
    verify_batch,
)
from bench.recovery import Fault, Observer, Outcome

GENESIS = bytes(32)


class ScriptedCluster:
    """Nodes that say what a test wrote down, look after look; the last answer stays."""

    kind, can_cut = "script", True

    def __init__(self, sights: dict[str, list[Sight | None]]) -> None:
        self.sights = sights
        self.done: list[tuple[str, str]] = []

    def look(self, node: str, heights: Sequence[int]) -> Sight | None:
        script = self.sights[node]
        return script.pop(0) if len(script) > 1 else script[0]

    def note(self, what: str, node: str) -> None:
        self.done.append((what, node))

    def stop(self, node: str) -> None:
        self.note("stop", node)

    def kill(self, node: str) -> None:
        self.note("kill", node)

    def start(self, node: str) -> None:
        self.note("start", node)

    def pause(self, node: str) -> None:
        self.note("pause", node)

    def resume(self, node: str) -> None:
        self.note("resume", node)

    def cut(self, node: str) -> None:
        self.note("cut", node)

    def mend(self, node: str) -> None:
        self.note("mend", node)


def observe(sights: dict[str, list[Sight | None]]) -> Observer:
    return Observer(ScriptedCluster(sights), ThreadPoolExecutor(1))


@pytest.mark.parametrize(
    ("kind", "hurt", "healed"),
    [("stop", "stop", "start"), ("restart", "stop", "start"), ("kill", "kill", "start"), ("pause", "pause", "resume"),
     ("disconnect", "cut", "mend")],
)  # fmt: skip
def test_every_fault_is_healed_by_its_opposite(kind: str, hurt: str, healed: str) -> None:
    cluster = ScriptedCluster({})
    fault = Fault(kind, ("validator-1", "validator-2"), 0.0)
    recovery.hurt(cluster, fault)
    recovery.heal(cluster, fault)
    assert cluster.done == [(act, node) for act in (hurt, healed) for node in fault.nodes]


def test_recovery_means_that_the_slowest_node_is_past_what_the_fastest_had() -> None:
    slow: list[Sight | None] = [Sight(3, {}), None, Sight(5, {}), Sight(6, {})]
    observer = observe({node: slow if node == "rpc" else [Sight(5, {}), Sight(6, {})] for node in NODES})
    assert None not in observer.until_advanced()
    assert slow == [Sight(6, {})]
    assert not observer.contradictions


def test_a_finalized_block_that_another_node_lacks_counts_as_lost() -> None:
    first = observe({node: [Sight(7, {7: "aa"})] for node in NODES})
    first.look()
    first.remember()
    first.cluster = ScriptedCluster({node: [Sight(9, {7: "bb" if node == "rpc" else "aa"})] for node in NODES})
    first.look()
    assert first.contradictions == {("rpc", 7)}


def test_a_finalized_height_that_falls_counts_as_lost() -> None:
    observer = observe({node: [Sight(7, {}), Sight(6 if node == "rpc" else 8, {})] for node in NODES})
    observer.look()
    observer.look()
    assert observer.contradictions == {("rpc", 6)}


def test_without_a_network_of_its_own_no_node_is_disconnected() -> None:
    for quick in (True, False):
        assert {fault.kind for fault in recovery.plan(quick, True)} >= {"kill", "pause", "disconnect"}
        assert "disconnect" not in {fault.kind for fault in recovery.plan(quick, False)}


def test_a_recovery_that_never_came_has_no_figure() -> None:
    outcomes = [Outcome(Fault("kill", ("rpc",), 5.0), 1.0, 2.0, 0), Outcome(Fault("kill", NODES, 5.0), 1.5, None, 1)]
    report = recovery._report("script", outcomes, ())
    assert report.figures["worst_recovery_seconds"] is None
    assert report.figures["finalized_lost"] == 1
    assert report.tables[0].rows[1] == ("kill", "all nodes", "5", "1.5", "> 120", "1")


def measured(final: int, slots: int, largest: int, generator_seconds: float) -> Measured:
    idle, busy = Usage(10.0, dict.fromkeys(NODES, 0.5), {}), Usage(20.0, dict.fromkeys(NODES, 3.0), {})
    return Measured(
        100,
        1_000,
        200,
        15_000.0,
        idle,
        Load(generator_seconds, 1.0, 0, (1,)),
        Landed(final, slots, largest, final * (slots - 2) // slots if slots else 0),
        busy,
    )


def test_what_limits_a_network_is_named() -> None:
    full = block_capacity(200)
    assert measured(1_000, 5, 200, 10.0).bottleneck.startswith("none")
    assert "weight limit" in measured(900, 5, full, 10.0).bottleneck
    assert "CPU time" in measured(900, 5, 200, 20.0).bottleneck
    assert measured(1_000, 5, 200, 10.0).per_second == 100
    assert measured(0, 0, 0, 10.0).per_second == 0


def test_a_transfer_costs_what_a_node_spent_above_idling() -> None:
    assert measured(1_000, 5, 200, 10.0).cost("rpc") == pytest.approx(2_000)


def test_growth_counts_from_a_third_of_the_time() -> None:
    assert Load(90.0, 1.0, 0, (1,), (50.0, 100.0, 103.0)).growth == 3.0
    assert Load(5.0, 1.0, 0, (1,), (50.0,)).growth is None
    assert Load(5.0, 1.0, 0, (1, 1, 2, 1)).lag_shares == {1: 75.0, 2: 25.0}


def test_blocks_have_room_for_six_hundred_transfers_a_second() -> None:
    assert block_capacity(200) / SLOT_SECONDS >= 600


def test_presigned_transfers_verify_and_count_each_accounts_nonces() -> None:
    transfers = sign_all(make_accounts(3), 7, GENESIS)
    assert all(verify_batch(GENESIS, transfers))
    assert len(set(transfers)) == 7
