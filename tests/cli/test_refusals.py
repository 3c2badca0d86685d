"""What cannot be trained is refused by ``solvent task compile``: by name, with the reason and the user's line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.task import command

SOURCE = """
import numpy as np, torch
from torch import nn, optim
from torch.nn import functional
def DATA():
    x = np.arange(240, dtype="float32").reshape(40, 6) / 240
    y = (np.arange(40) % 3).astype("int32")
    return {"x": x[:30], "y": y[:30]}, {"x": x[30:], "y": y[30:]}
BATCH_SIZE, STEPS = 10, 6
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 3)
    def forward(self, x):
        h = self.first(x)
        FORWARD
        return self.second(h)
def loss(found, wanted):
    LOSS
    return functional.cross_entropy(found, wanted)
def build():
    model = Net()MORE
    return model, loss, optim.SGD(model.parameters(), lr=RATE)
"""


def write(folder: Path, forward: str = "pass", loss: str = "pass", more: str = "", rate: str = "0.1") -> Path:
    text = SOURCE.replace("FORWARD", forward).replace("LOSS", loss).replace("MORE", more).replace("RATE", rate)
    (folder / "model.py").write_text(text)
    return folder / "model.py"


def line_of(path: Path, words: str) -> int:
    return next(number for number, text in enumerate(path.read_text().splitlines(), 1) if words in text)


REFUSALS = {
    "a dynamic shape": ("h = h[h.sum(1) > 0]", "aten.index.Tensor", "no fixed shape"),
    "a branch on data": ("h = h * 2 if h.sum() > 0 else h", "a branch or shape", "depends on the data"),
    "a number read from data": ("h = h * h.mean().item()", "aten._local_scalar_dense", "depends on the data"),
    "an operator without a definition": ("h = h.sort(dim=1).values", "aten.sort.default", "no exact definition"),
    "a write into a parameter": (
        "with torch.no_grad(): self.first.weight[0].mul_(0.9)", "aten.mul_.Tensor", "the parameter first.weight",
    ),
    "another precision": ("h = h.double().float()", "aten._to_copy.default", "no tensors of torch.float64"),
    "an absurd size": ("h = h + h.repeat(10**5, 10**5).sum()", "aten.repeat.default", "1,600,000,000,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_forward_pass_may_not_do_is_refused_by_name_and_line(name: str, tmp_path: Path) -> None:
    forward, operator, reason = REFUSALS[name]
    path = write(tmp_path, forward)
    result = CliRunner().invoke(command, ["compile", str(path), "--out", str(tmp_path / "out")])
    said = str(result.exception)
    assert result.exit_code != 0
    assert f"{operator}" in said
    assert f"model.py:{line_of(path, forward)}:" in said
    assert reason in said
    assert "\n" not in said
    assert not (tmp_path / "out" / "bundle.task").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "found = torch.special.bessel_j0(found.detach()) + found"}, "aten.special_bessel_j0.default at"),
        ({"more": ".double()"}, "model.first.weight is torch.float64; state tensors are float32"),
        ({"more": "; model.extra = nn.Parameter(torch.zeros(1).expand(10**12))"}, "not enough memory on this machine"),
    ],
)
def test_losses_and_parameters_are_refused_too(options: dict[str, str], words: str, tmp_path: Path) -> None:
    path = write(tmp_path, **options)
    result = CliRunner().invoke(command, ["compile", str(path)])
    assert words in str(result.exception)
    if "loss" in options:
        assert f"model.py:{line_of(path, 'bessel')}:" in str(result.exception)


def test_memory_that_is_viewed_and_written_in_place_is_no_trouble(tmp_path: Path) -> None:
    path = write(tmp_path, "h.view(-1)[0] = 0.0")
    result = CliRunner().invoke(command, ["compile", str(path), "--json"])
    assert result.exit_code == 0, result.exception
    assert json.loads(result.output)["operators"]["concat"] >= 1


def test_training_that_diverges_ends_as_defined_and_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, rate="1e38")
    result = CliRunner().invoke(command, ["compile", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.exception
    runs = [CliRunner().invoke(command, ["run", str(tmp_path / "out"), "--json"]) for _ in range(2)]
    documents = [json.loads(run.output) for run in runs]
    assert documents[0] == documents[1], "NaN has one bit pattern, so the root is the same"
    assert (documents[0]["broken_from"], documents[0]["last_loss"]) == (1, None)
    spoken = CliRunner().invoke(command, ["run", str(tmp_path / "out")])
    assert "From step 1 on the loss is nan" in spoken.output
