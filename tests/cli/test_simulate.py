"""``solvent simulate``: how a seed that fails is told, and that harmless ones pass."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import cli.simulate
from cli.simulate import command, run_seed
from node.simulator import SimulationFailed


@pytest.mark.parametrize(
    ("harsh", "replay"),
    [
        (False, "solvent simulate --seeds 1 --first 7 --slots 40"),
        (True, "solvent simulate --seeds 1 --first 7 --harsh"),
    ],
)
def test_a_seed_that_fails_names_the_command_that_replays_it(
    harsh: bool, replay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(seed: int, slots: int, harsh: bool) -> None:
        raise SimulationFailed(f"seed {seed}: two blocks")

    monkeypatch.setattr(cli.simulate, "simulate", fail)
    assert run_seed(7, 40, harsh) == f"seed 7: two blocks\nreplay it with: {replay}"


def test_seeds_run_and_are_summed_up() -> None:
    result = CliRunner().invoke(command, ["--seeds", "2", "--slots", "20", "--jobs", "2"])
    assert result.exit_code == 0, result.output
    assert "2 of 2 seeds passed" in result.output


def test_a_run_too_short_for_any_trouble_is_refused() -> None:
    assert CliRunner().invoke(command, ["--slots", "5"]).exit_code == 2
