"""``solvent task compile`` and ``solvent task run`` on a small model, without a node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.task import command

SOURCE = """
import numpy as np
from torch import nn, optim
def DATA():
    x = np.arange(240, dtype="float32").reshape(40, 6) / 240
    y = (np.arange(40) % 3).astype("int32")
    return {"x": x[:30], "y": y[:30]}, {"x": x[30:], "y": y[30:]}
BATCH_SIZE, STEPS, CLIP_NORM = 10, 6, 1.0
def LEARNING_RATES(step):
    return 0.01 / (1 + step)
def build():
    model = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 3))
    return model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=0.01)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A compiled task's folder, and what `compile` said about it."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "model.py").write_text(SOURCE)
    result = CliRunner().invoke(command, ["compile", str(folder / "model.py"), "--out", str(folder / "out"), "--json"])
    assert result.exit_code == 0, result.output
    return folder / "out", json.loads(result.output)


def test_compiling_tells_operators_memory_gas_and_time(compiled: tuple[Path, dict[str, object]]) -> None:
    folder, found = compiled
    assert (folder / "bundle.task").stat().st_size > int(str(found["program_bytes"])) > 500
    operators = found["operators"]
    assert isinstance(operators, dict)
    assert operators["matmul"] == 5
    assert sum(operators.values()) == found["nodes"]
    assert (found["steps"], found["batch_size"], found["samples"]) == (6, 10, 30)
    for name in ("memory", "state", "gas", "gas_of_step", "seconds"):
        assert float(str(found[name])) > 0


def test_running_twice_ends_in_one_state_root_and_another_seed_in_another(
    compiled: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    roots = []
    for seed, threads in ((0, 1), (0, 2), (1, 1)):
        arguments = ["run", str(compiled[0]), "--seed", str(seed), "--threads", str(threads), "--json"]
        result = CliRunner().invoke(command, [*arguments, "--model", str(tmp_path / "model.safetensors")])
        assert result.exit_code == 0, result.output
        document = json.loads(result.output)
        assert document["steps"] == 6
        roots.append(document["root"])
    assert roots[0] == roots[1] != roots[2]
    assert (tmp_path / "model.safetensors").stat().st_size > 100
    spoken = CliRunner().invoke(command, ["run", str(compiled[0]), "--device", "cpu"])
    assert f"State root {roots[0]}" in spoken.output
    assert "6 steps" in spoken.output


def test_what_cannot_be_lowered_is_refused_by_name_and_line(tmp_path: Path) -> None:
    source = SOURCE.replace("nn.GELU()", "nn.Softshrink()")
    (tmp_path / "model.py").write_text(source)
    line = next(number for number, text in enumerate(source.splitlines(), 1) if "Softshrink" in text)
    result = CliRunner().invoke(command, ["compile", str(tmp_path / "model.py")])
    assert result.exit_code != 0
    said = result.output + str(result.exception)
    assert "aten.softshrink.default" in said
    assert f"model.py:{line}" in said


def test_a_card_that_is_not_there_is_named(
    compiled: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.cuda.driver.LIBRARY", "libcuda-that-is-not-there.so.1")
    spoken = CliRunner().invoke(command, ["run", str(compiled[0]), "--device", "cuda"])
    assert spoken.exit_code == 1
    assert "no CUDA device" in spoken.output
