"""``pip install .`` leaves PyTorch out: a node and its tools work, and the rest says in one line what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDE = "import sys\nfor name in ('torch', 'numpy', 'safetensors'): sys.modules[name] = None\n"


def solvent_without_ml(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDE + "from cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("worker", "solver", "--suri", "//Solver"),
        ("worker", "verifier", "--suri", "//Verifier"),
        ("worker", "whistleblower", "--suri", "//Whistleblower"),
        ("task", "estimate", "examples/mnist.py"),
        ("task", "submit", "examples/mnist.py", "--suri", "//Submitter", "--yes"),
        ("task", "result", "0x" + "11" * 32),
        ("demo", "--output", "{folder}"),
        ("bench", "exact", "--quick"),
    ],
)
def test_what_needs_pytorch_says_what_to_install(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = solvent_without_ml(*(word.format(folder=tmp_path) for word in arguments))
    assert done.returncode == 1
    assert "pip install '.[ml]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("family", ["dev", "tx", "query", "key", "task", "worker", "demo"])
def test_help_needs_no_pytorch(family: str) -> None:
    assert solvent_without_ml(family, "--help").returncode == 0


def test_keys_need_no_pytorch() -> None:
    assert "5FA9nQDV" in solvent_without_ml("key", "inspect", "//Alice").stdout
