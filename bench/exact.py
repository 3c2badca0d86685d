"""Exact training against PyTorch eager: time per step of an MLP 784-128-64-10, batch 64, momentum SGD, on this machine.

Both sides train the same model on the same batches. Measurements alternate, many steps each, and the ratio is the
median over pairs of neighbours, so that a busy machine slows both alike.

The absolute times mean little on a shared machine; the ratio is what counts.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import nn

from bench.models import build_model, random_samples
from bench.report import Progress, Report, Table, silent
from ml.capture import capture_task
from ml.data import Dataset
from ml.executor import Executor
from ml.job import JobInputs, compute_scalars_root
from runtime.vm.job import Job

BATCH = 64
LAYERS = (784, 128, 64, 10)


class ExactSide:
    """The captured step on the exact kernels."""

    def __init__(self, data: Dataset, threads: int, steps: int) -> None:
        model = build_model(LAYERS)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        task = capture_task(model, nn.CrossEntropyLoss(), optimizer, data.layout, batch_size=BATCH, steps=steps)
        train, _, _ = task.check()
        self.job = Job(
            program=train.root,
            start=bytes(32),
            first_step=0,
            steps=steps,
            seed=1,
            data=data.source(bytes(32), BATCH),
            scalar_names=task.scalar_names,
            scalars_root=compute_scalars_root(task.scalars),
            scalar_rows=steps,
        )
        self.inputs = JobInputs(self.job, data.fields, task.scalars)
        self.executor = Executor(train, threads)
        state = {f"model.{name}": tensor.detach().numpy() for name, tensor in model.named_parameters()}
        zeros = {f"momentum.{name}": np.zeros(tensor.shape, np.float32) for name, tensor in model.named_parameters()}
        self.executor.load(state | zeros)

    def step(self, number: int) -> None:
        self.executor.advance(self.job, number, self.inputs.batch(number), self.inputs.scalars(number))


class TorchSide:
    """The same step in PyTorch eager, as a user would write it."""

    def __init__(self, data: Dataset, inputs: JobInputs) -> None:
        self.model = build_model(LAYERS)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.pixels = torch.from_numpy(data.fields["pixels"])
        self.labels = torch.from_numpy(data.fields["label"]).long()
        self.inputs = inputs

    def step(self, number: int) -> None:
        rows = torch.from_numpy(self.inputs.indices(number))
        pixels = self.pixels[rows].to(torch.float32) * (1 / 255)
        self.optimizer.zero_grad()
        self.loss(self.model(pixels), self.labels[rows]).backward()
        self.optimizer.step()


def seconds_per_step(side: ExactSide | TorchSide, first: int, steps: int) -> float:
    start = time.perf_counter()
    for number in range(first, first + steps):
        side.step(number)
    return (time.perf_counter() - start) / steps


def measure(threads: int, pairs: int, steps: int) -> dict[str, float]:
    """Microseconds per step of both, and the median ratio of neighbouring measurements."""
    torch.set_num_threads(threads)
    data = random_samples(2048, LAYERS[0], LAYERS[-1])
    ours = ExactSide(data, threads, (pairs + 1) * steps)
    theirs = TorchSide(data, ours.inputs)
    exact, eager = [], []
    for pair in range(pairs + 1):
        first = pair * steps
        exact.append(seconds_per_step(ours, first, steps))
        eager.append(seconds_per_step(theirs, first, steps))
    ratios = [left / right for left, right in zip(exact[1:], eager[1:], strict=True)]
    return {
        "threads": threads,
        "exact_us": 1e6 * statistics.median(exact[1:]),
        "eager_us": 1e6 * statistics.median(eager[1:]),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def run(quick: bool = False, progress: Progress = silent, pairs: int = 0, steps: int = 0) -> Report:
    """Measure with one thread and with two. ``pairs`` and ``steps`` override how long."""
    pairs, steps = pairs or (5 if quick else 21), steps or (50 if quick else 200)
    rows = []
    for threads in (1, 2):
        progress(f"{threads} thread{'s' * (threads > 1)}: {pairs} pairs of {steps} steps")
        rows.append(measure(threads, pairs, steps))
    model = "-".join(map(str, LAYERS))
    table = Table(
        f"A training step of an MLP {model}, batch {BATCH}",
        (">threads", ">exact us", ">PyTorch eager us", ">ratio", "range"),
        tuple(
            (
                f"{row['threads']:.0f}",
                f"{row['exact_us']:.0f}",
                f"{row['eager_us']:.0f}",
                f"{row['ratio']:.2f}",
                f"{row['ratio_low']:.2f}..{row['ratio_high']:.2f}",
            )
            for row in rows
        ),
    )
    return Report("exact", {"model": model, "batch": BATCH, "rows": rows}, (table,), ("Target: a ratio of 1.0.",))
