"""Exact training against PyTorch eager: time per step of several models, on this machine, with one thread and with two.

Both sides train the same model on the same batches. Measurements alternate, some steps each, and the ratio is the
median over pairs of neighbours, so that a busy machine slows both alike. The absolute times mean little on a shared
machine; the ratio is what counts.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from bench.architectures import ARCHITECTURES, Architecture
from bench.report import Progress, Report, Table, silent
from ml.capture import capture_task, scale_bytes
from ml.data import Dataset
from ml.executor import Executor
from ml.initial import Normal
from ml.job import JobInputs, compute_scalars_root
from runtime.codec import encode
from runtime.vm.job import Job


class ExactSide:
    """The captured step on the exact kernels."""

    def __init__(self, architecture: Architecture, data: Dataset, threads: int, steps: int) -> None:
        model = architecture.build()
        task = capture_task(
            model,
            architecture.loss,
            architecture.optimizer(model),
            data.layout,
            batch_size=architecture.batch,
            steps=steps,
            initial={name: Normal(0.0, 0.02) for name, _ in model.named_parameters()},
        )
        train, _, _ = task.check()
        self.train = train
        self.size = len(encode(task.train))
        self.job = Job(
            program=train.root,
            start=bytes(32),
            first_step=0,
            steps=steps,
            seed=1,
            data=data.source(bytes(32), architecture.batch),
            scalar_names=task.scalar_names,
            scalars_root=compute_scalars_root(task.scalars),
            scalar_rows=steps,
        )
        self.inputs = JobInputs(self.job, data.fields, task.scalars)
        self.executor = Executor(train, threads)
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        state = {f"model.{name}": tensor.detach().numpy() for name, tensor in tensors.items()}
        for name, _, kind in train.start_state:
            dtype = np.int32 if kind.dtype == "i32" else np.float32
            state[name] = np.asarray(state.get(name, np.zeros(kind.shape)), dtype)
        self.executor.load(state)

    def step(self, number: int) -> None:
        self.executor.advance(self.job, number, self.inputs.batch(number), self.inputs.scalars(number))


class TorchSide:
    """The same step in PyTorch eager, as a user would write it."""

    def __init__(self, architecture: Architecture, data: Dataset, inputs: JobInputs) -> None:
        self.model = architecture.build()
        self.loss = architecture.loss
        self.optimizer = architecture.optimizer(self.model)
        given, target = (data.fields[field.name] for field in data.layout[:2])
        self.given, self.target = torch.from_numpy(given), torch.from_numpy(target).long()
        self.inputs = inputs

    def step(self, number: int) -> None:
        rows = torch.from_numpy(self.inputs.indices(number))
        self.optimizer.zero_grad()
        self.loss(self.model(scale_bytes(self.given[rows])), self.target[rows]).backward()
        self.optimizer.step()


def seconds_per_step(side: ExactSide | TorchSide, first: int, steps: int) -> float:
    start = time.perf_counter()
    for number in range(first, first + steps):
        side.step(number)
    return (time.perf_counter() - start) / steps


def measure(architecture: Architecture, threads: int, pairs: int, steps: int) -> dict[str, float]:
    """Microseconds per step of both, the median ratio of neighbouring measurements, and the program's size."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = architecture.data()
    ours = ExactSide(architecture, data, threads, (pairs + 1) * steps)
    theirs = TorchSide(architecture, data, ours.inputs)
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
        "nodes": len(ours.train.program.nodes),
        "bytes": ours.size,
        "gas": ours.train.gas,
    }


def run(quick: bool = False, progress: Progress = silent, pairs: int = 0, steps: int = 0) -> Report:
    """Measure every model with one thread and with two. ``pairs`` and ``steps`` override how long."""
    pairs = pairs or (3 if quick else 15)
    rows = []
    for architecture in ARCHITECTURES:
        for threads in (1, 2):
            count = steps or max(1, architecture.steps // (2 if quick else 1))
            progress(f"{architecture.name}, {threads} thread{'s' * (threads > 1)}: {pairs} pairs of {count} steps")
            rows.append({"model": architecture.name, **measure(architecture, threads, pairs, count)})
    table = Table(
        "A training step, exact and by PyTorch eager",
        ("model", ">threads", ">exact ms", ">eager ms", ">ratio", "range", ">nodes", ">bytes", ">gas"),
        tuple(
            (
                str(row["model"]),
                f"{row['threads']:.0f}",
                f"{row['exact_us'] / 1e3:.2f}",
                f"{row['eager_us'] / 1e3:.2f}",
                f"{row['ratio']:.2f}",
                f"{row['ratio_low']:.2f}..{row['ratio_high']:.2f}",
                f"{row['nodes']:,}",
                f"{row['bytes']:,}",
                f"{row['gas'] / 1e3:,.0f}",
            )
            for row in rows
        ),
    )
    return Report("exact", {"rows": rows}, (table,), ("Target: a ratio of 1.0. Gas is of one step, in units.",))
