"""Models and data that the benchmarks share: multilayer perceptrons on bytes shaped like MNIST's.

What a step costs, and how long a dispute about it gets, does not depend on what the numbers are, so weights and samples
are random.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from ml.artifacts import Tensors, compute_state_root
from ml.capture import capture_task
from ml.data import Dataset
from ml.job import compute_scalars_root
from ml.replay import Inputs, StepRunner
from runtime.vm.check import CheckedProgram
from runtime.vm.job import DataSource, Field, Job

SAMPLES = 512


@dataclass(frozen=True)
class Shape:
    """Widths of the layers, inputs and classes included, and the rows of a batch."""

    name: str
    layers: tuple[int, ...]
    batch: int = 64

    @property
    def parameters(self) -> int:
        return sum(width * following + following for width, following in itertools.pairwise(self.layers))

    @property
    def fields(self) -> tuple[Field, ...]:
        return Field("pixels", "u8", (self.layers[0],)), Field("label", "i32", ())


def build_model(layers: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLUs between them, freshly initialised."""
    modules: list[nn.Module] = []
    for width, following in itertools.pairwise(layers):
        modules += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def random_samples(count: int, pixels: int, classes: int) -> Dataset:
    generator = np.random.default_rng(0)
    return Dataset(
        {
            "pixels": generator.integers(0, 256, (count, pixels), dtype=np.uint8),
            "label": generator.integers(0, classes, count, dtype=np.int32),
        }
    )


def capture_step(shape: Shape) -> CheckedProgram:
    """One step of momentum SGD on the model; its weights are never written, so that size costs nothing."""
    with torch.device("meta"):
        model = build_model(shape.layers)
    model = model.to_empty(device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    initial = {name: (-0.1, 0.1) for name, _ in model.named_parameters()}
    loss = nn.CrossEntropyLoss()
    task = capture_task(model, loss, optimizer, shape.fields, batch_size=shape.batch, steps=1, initial=initial)
    return task.check()[0]


def describe_job(shape: Shape, checked: CheckedProgram, steps: int) -> Job:
    """A job of that many steps whose inputs nobody holds, for what follows from sizes alone."""
    data = DataSource(bytes(32), 60_000, shape.fields, bytes(32), shape.batch)
    return Job(checked.root, bytes(32), 0, steps, 1, data, ("lr",), bytes(32), steps)


@dataclass(frozen=True)
class Segment:
    """A job with everything it reads."""

    checked: CheckedProgram
    job: Job
    inputs: Inputs
    start: Tensors

    @cached_property
    def runner(self) -> StepRunner:
        return StepRunner(self.checked, self.job, self.inputs, threads=2)


def build_segment(shape: Shape, steps: int) -> Segment:
    """A segment of ``steps`` steps from random weights."""
    checked = capture_step(shape)
    data = random_samples(SAMPLES, shape.layers[0], shape.layers[-1])
    scalars = np.full((steps, 1), 0.05, np.float32)
    generator = np.random.default_rng(1)
    start = {
        name: (generator.standard_normal(kind.shape, np.float32) * np.float32(0.03))
        if name.startswith("model.")
        else np.zeros(kind.shape, np.float32)
        for name, _, kind in checked.start_state
    }
    job = Job(
        program=checked.root,
        start=compute_state_root(start),
        first_step=0,
        steps=steps,
        seed=1,
        data=data.source(bytes(32), shape.batch),
        scalar_names=("lr",),
        scalars_root=compute_scalars_root(scalars),
        scalar_rows=steps,
    )
    return Segment(checked, job, Inputs(data.fields, scalars), start)
