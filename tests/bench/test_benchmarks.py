"""Every benchmark gives figures, in a mode so small that the figures mean nothing. Nothing here asserts a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench.disputes
import bench.estimates
import bench.exact
import bench.fat_task
import bench.rpc
import bench.sync
import bench.transfers
import bench.weights
from bench.exact_sides import SideError, SideProcess
from bench.report import Report, percentile, silent
from cli.bench import command
from runtime import weights


def require_document(report: Report, name: str) -> dict[str, object]:
    """The report as programs read it; it must survive JSON, and every table row must have its columns."""
    document = json.loads(json.dumps(report.to_document()))
    assert document["name"] == name
    assert document["machine"]["cores"] >= 1
    for table in report.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
    figures = document["figures"]
    assert isinstance(figures, dict)
    return figures


def test_exact_training_is_measured_with_one_thread_and_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.exact, "ARCHITECTURES", bench.exact.ARCHITECTURES[:2])
    monkeypatch.setattr("bench.exact_proof.SHAPES", bench.disputes.SHAPES[:1])
    figures = require_document(bench.exact.run(quick=True, pairs=1, steps=1), "exact")
    models = figures["models"]
    assert isinstance(models, list)
    assert [row["threads"] for model in models for row in model["times"]] == [1, 2, 1, 2]
    assert all(row["exact_us"] > 0 and row["eager_ratio"] > 0 for model in models for row in model["times"])
    assert all(model["peak_bytes"]["exact"] > 0 and model["operators"]["eager"] for model in models)
    assert all(model["proof"]["trace_us"] > model["proof"]["hash_us"] > 0 for model in models)


def test_what_a_side_cannot_do_is_said_in_its_own_words() -> None:
    with SideProcess("eager", "no such model") as side, pytest.raises(SideError, match="StopIteration"):
        side.ask("use", 1)


def test_every_transfer_is_authored_and_imported_three_ways() -> None:
    figures = require_document(bench.transfers.run(count=24, rounds=1), "transfers")
    for way in bench.transfers.LABELS:
        assert figures[f"{way}_per_second"] > 0  # type: ignore[operator]


def test_a_chain_is_imported_and_warped_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.sync, "STEADY", 10)
    figures = require_document(bench.sync.run(quick=True, blocks=40), "sync")
    for name in ("low", "high", "wall"):
        assert figures[f"{name}_blocks_per_second"] > 0  # type: ignore[operator]
    assert figures["warp_entries"] > 50  # type: ignore[operator]
    assert figures["merkle_updates_per_second"] > 0  # type: ignore[operator]


def test_dispute_games_have_exactly_the_length_that_the_widths_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.disputes, "SHAPES", bench.disputes.SHAPES[:1])
    monkeypatch.setattr(bench.disputes, "SEGMENT_STEPS", 3)
    figures = require_document(bench.disputes.run(played=1, places=5), "disputes")
    assert figures["games_played"] >= 4  # type: ignore[operator]
    assert figures["longest_moves"] <= bench.disputes.TARGET_MOVES  # type: ignore[operator]


def test_the_longest_game_of_every_model_is_within_the_target() -> None:
    large = [shape for shape in bench.disputes.SHAPES if shape.parameters > 50_000_000]
    assert large
    for shape in large[-1:]:
        assert bench.disputes.count_model(shape)["moves"] <= bench.disputes.TARGET_MOVES


def test_every_weight_is_measured_or_marked_as_set_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.weights, "LARGE_NODES", 120)
    monkeypatch.setattr("bench.weight_cases.LARGE_NODES", 120)
    monkeypatch.setattr("bench.weight_disputes.PADDING", 20)
    monkeypatch.setattr("bench.weighing.MINIMUM_SAMPLES", 1)
    monkeypatch.setattr("bench.weighing.TREE_SAMPLES", 2)
    monkeypatch.setattr("bench.weighing.MANY_RUNS", 1)
    monkeypatch.setattr("bench.weighing.FEW_RUNS", 1)
    target = tmp_path / "weights.py"
    source = Path(weights.__file__).read_text(encoding="utf-8")
    target.write_text(source, encoding="utf-8")
    figures = require_document(bench.weights.run(target=target, samples=1, accounts=1200), "weights")
    entries, by_hand = figures["entries"], figures["set_by_hand"]
    assert isinstance(entries, dict)
    assert isinstance(by_hand, list)
    assert entries.keys() | set(by_hand) == weights.CALLS.keys() | {"EXTRINSIC", "PER_BYTE"}
    assert not entries.keys() & set(by_hand)
    written = dict[str, object]()
    exec(compile(target.read_text(encoding="utf-8"), "weights.py", "exec"), written)
    calls = written["CALLS"]
    assert isinstance(calls, dict)
    for name, entry in entries.items():
        assert (calls[name] if name in calls else written[name]) == entry["proposed"]
    assert target.read_text(encoding="utf-8").count(bench.weights.BY_HAND) == len(by_hand)


def test_rounding_up_keeps_two_digits() -> None:
    assert [bench.weights.round_up(number) for number in (0, 7, 99, 101, 1_234_567)] == [0, 7, 99, 110, 1_300_000]


def test_a_percentile_of_few_samples_is_the_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert percentile(list(range(100)), 50) == 50


def test_the_command_lists_every_benchmark() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    for name in ("exact", "disputes", "transfers", "weights"):
        assert name in result.output


def test_the_command_prints_one_json_document(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("exact", {"rows": [1]}, ())
    monkeypatch.setattr(bench.exact, "run", lambda quick, progress, device: report)
    result = CliRunner().invoke(command, ["exact", "--json"])
    assert json.loads(result.output) == report.to_document()


def test_calls_are_measured_over_every_transport() -> None:
    figures = require_document(bench.rpc.run(quick=True, seconds=0.01), "rpc")
    rows = figures["rows"]
    assert isinstance(rows, list)
    assert [row["method"] for row in rows] == list(bench.rpc.METHODS)
    for transport, batch in bench.rpc.WAYS:
        assert all(row[f"{transport}_{batch}"]["per_second"] > 0 for row in rows)
    assert figures["heads"]["blocks"] > 0
    assert figures["heads"]["told_share"] > 0


def test_estimates_are_compared_with_whole_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.estimates, "TASKS", {"mnist": 20})
    figures = require_document(bench.estimates.run(True, silent), "estimates")
    found = figures["mnist"]
    assert isinstance(found, dict)
    assert found["steps"] == 12
    assert found["estimated_s"] > 0 < found["actual_s"]
