"""GRANDPA in whole networks: safe under every seed, live after healing, and unsafe as soon as a rule is weakened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chain.grandpa.effects import Effect, RecordGrounds
from chain.grandpa.messages import CatchUp
from chain.grandpa.rounds import Rounds
from chain.grandpa.view import View
from runtime.codec import replace
from tests.chain.grandpa.simulation import Simulation, forget_the_lock


def survive(seeds: range, harsh: bool = False) -> tuple[int, int, int]:
    """Run seeds. Returns the restarts, equivocations seen and sets ended, to show that they test something."""
    restarts = equivocations = ended = 0
    for seed in seeds:
        simulation = Simulation(seed, harsh).run()
        simulation.check_all_precommits()
        assert simulation.is_done(), f"seed {seed}: not all honest nodes finalized the head after healing"
        restarts += simulation.restarts
        equivocations += simulation.equivocations
        ended += sum(len(node.disk.ends) for node in simulation.honest)
    return restarts, equivocations, ended


@pytest.mark.parametrize("first", range(0, 168, 24))
def test_networks_never_finalize_conflicting_blocks_and_recover_after_healing(first: int) -> None:
    restarts, equivocations, ended = survive(range(first, first + 24))
    assert restarts >= 10
    assert equivocations >= 200
    assert ended >= 10


@pytest.mark.slow
@pytest.mark.parametrize("harsh", [False, True])
@pytest.mark.parametrize("first", range(10_000, 14_000, 250))
def test_thousands_of_networks_stay_safe_and_live(first: int, harsh: bool) -> None:
    survive(range(first, first + 250), harsh)


FORGETFUL = (62, 84, 122, 175, 184)
"""Seeds in which finality stops when voters neither keep nor exchange the votes that their own votes rest on."""


@pytest.mark.parametrize("seed", [*FORGETFUL, *range(20)])
def test_what_one_node_alone_has_heard_is_not_lost_in_its_crash(seed: int) -> None:
    simulation = Simulation(seed, harsh=True).run()
    simulation.check_all_precommits()
    assert simulation.is_done()


def test_the_simulation_notices_when_voters_forget_what_their_votes_rest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Rounds._record_grounds

    def forget(rounds: Rounds) -> list[Effect]:
        nothing = CatchUp(rounds.set_id, rounds.current, (), ())
        return [
            RecordGrounds(replace(effect.grounds, current=nothing))
            for effect in record(rounds)
            if isinstance(effect, RecordGrounds)
        ]

    monkeypatch.setattr(Rounds, "_record_grounds", forget)
    assert not all(Simulation(seed, harsh=True).run().is_done() for seed in FORGETFUL)


def test_a_seed_replays_exactly() -> None:
    runs = [Simulation(4).run() for _ in range(2)]
    assert runs[0].events == runs[1].events
    assert runs[0].now == runs[1].now
    assert runs[0].finalized == runs[1].finalized


WEAKENED: list[tuple[type, str, Callable[..., Any], range]] = [
    (Rounds, "lock", forget_the_lock, range(20, 30)),
    (
        View,
        "is_possible",
        lambda view, block, tree: view.voted - view.weight_for(block, tree) + view.equivocating <= view._voters.faulty,
        range(205, 215),
    ),
    (View, "is_child_possible", lambda view, block, tree: False, range(100, 110)),
]


@pytest.mark.parametrize(("owner", "rule", "weaker", "seeds"), WEAKENED)
def test_the_simulation_notices_when_a_rule_is_weakened(
    owner: type, rule: str, weaker: Callable[..., Any], seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, rule, weaker)
    with pytest.raises(AssertionError, match=r"conflicting|finality fault"):
        run_all(seeds)


def run_all(seeds: range) -> None:
    for seed in seeds:
        Simulation(seed).run().check_all_precommits()
