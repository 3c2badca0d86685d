"""What ``solvent task compile`` says that a task takes, against what it takes.

Time is the processor's, of one thread, so that other work on the machine does not count. The goal is 20 % for a
perceptron, a convolutional network and a transformer.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Progress, Report, Table
from ml.bundle import Bundle
from ml.capture_file import capture_file
from ml.local_run import outline, run_locally

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TASKS = {"mnist": 1500, "cnn": 150, "gpt": 120}
"""Example, and steps that take some seconds; a tenth of them with --quick."""


def run(quick: bool, progress: Progress) -> Report:
    """Estimate and train every example."""
    figures = {}
    for name, steps in TASKS.items():
        progress(f"{name}: estimating, then training")
        figures[name] = measure(name, max(12, steps // 10) if quick else steps)
    rows = [
        (
            name, f"{found['estimated_s']:.2f}", f"{found['actual_s']:.2f}", f"{found['ratio']:.2f}",
            f"{found['gas_per_second']:,.0f}", f"{found['memory_mb']:.1f}",
        )
        for name, found in figures.items()
    ]  # fmt: skip
    columns = ("task", ">estimated s", ">actual s", ">estimated / actual", ">gas a second", ">memory MB")
    worst = max(abs(found["ratio"] - 1) for found in figures.values())
    table = Table("estimate against actual", columns, tuple(rows))
    return Report("estimates", {**figures, "worst_error": round(worst, 4)}, (table,))


def measure(name: str, steps: int) -> dict[str, Any]:
    """One example: estimated and actual seconds, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        capture_file(EXAMPLES / f"{name}.py", Path(folder), steps)
        bundle = Bundle.open(Path(folder))
        estimated = outline(bundle)
        began = time.process_time()
        run_locally(bundle, 0, 1, lambda step, metrics: None)
        actual = time.process_time() - began
    return {
        "steps": steps,
        "estimated_s": round(estimated.seconds, 3),
        "actual_s": round(actual, 3),
        "ratio": round(estimated.seconds / actual, 3),
        "gas_per_second": round(estimated.gas / actual),
        "memory_mb": round(estimated.memory / 1e6, 2),
    }
