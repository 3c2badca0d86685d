"""Whole captured models, a LeNet, a GPT and an LSTM: one wrong operation in forward pass, backward pass or optimizer is
found, on the kernels that workers replay with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from ml.artifacts import Tensors, compute_state_root
from ml.capture import capture_task
from ml.data import Dataset
from ml.dispute import Challenger, Defender
from ml.dispute.reference import Inputs as Nothing
from ml.initial import Normal
from ml.replay import Inputs, StepRunner, replay
from ml.trace import ExecutorTracer, Fault, FaultyRunner, faulty_trace
from runtime.codec import replace as changed
from runtime.dispute.bounds import maximum_moves
from runtime.dispute.moves import Party
from runtime.dispute.records import Reason
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Claim, Job
from tests.dispute.toy import Toy, play
from tests.ml.training import job_of, load_example, start_state

STEPS, FAULTY, FLIP = 3, 1, 1 << 22
gpt = load_example("gpt")


def lenet() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], optim.Optimizer, Dataset]:
    first = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(*first, nn.Conv2d(2, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 3))
    pixels = np.random.default_rng(1).standard_normal((8, 1, 8, 8), np.float32)
    data = Dataset({"pixels": pixels, "label": (np.arange(8) % 3).astype(np.int32)})
    return model, functional.cross_entropy, optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True), data


def small_gpt() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], optim.Optimizer, Dataset]:
    model = gpt.Gpt(7, 5, 8, 2, 1)
    tokens = np.random.default_rng(2).integers(0, 7, (8, 5), dtype=np.int32)
    data = Dataset({"tokens": tokens, "next": (tokens * 3 + 1) % 7})
    return model, gpt.loss, optim.AdamW(model.parameters(), lr=0.01, amsgrad=True), data


class Reader(nn.Module):
    """An LSTM that reads numbers and names a class at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.output = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(functional.dropout(self.cell(x)[0][:, -1], 0.2, self.training))


def lstm() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], optim.Optimizer, Dataset]:
    model = Reader()
    x = np.random.default_rng(3).standard_normal((8, 4, 3), np.float32)
    data = Dataset({"x": x, "label": (np.arange(8) % 3).astype(np.int32)})
    return model, functional.cross_entropy, optim.Adam(model.parameters(), lr=0.01), data


MODELS = {"LeNet": lenet, "GPT": small_gpt, "LSTM": lstm}


@cache
def captured(name: str) -> tuple[CheckedProgram, Job, Inputs, Tensors]:
    torch.manual_seed(4)
    model, loss, optimizer, data = MODELS[name]()
    task = capture_task(
        model, loss, optimizer, data.layout, batch_size=2, steps=STEPS, preprocess=lambda x: x, clip_norm=1.0,
        initial={parameter: Normal(0.0, 1.0) for parameter, _ in model.named_parameters()},
    )  # fmt: skip
    checked, start = task.check()[0], start_state(task, model)
    job = changed(job_of(checked, task, data, 2), start=compute_state_root(start))
    return checked, job, Inputs(data.fields, task.scalars), start


def phases(checked: CheckedProgram) -> dict[str, list[int]]:
    """Values of floats by the part of a step that computes them, from the middle of each part outwards."""
    loss = next(entry.value for entry in checked.program.metrics)
    kept = [value for name, value, _ in checked.state if not name.startswith("model.")]
    first = min(value for value in kept if checked.producer(value)[0] >= 0)
    ends = {
        "forward": (len(checked.program.inputs), loss),
        "backward": (loss + 1, first),
        "optimizer": (first, len(checked.values)),
    }
    found = {}
    for phase, (low, high) in ends.items():
        values = [value for value in range(low, high) if checked.values[value].dtype == "f32"]
        found[phase] = sorted(values, key=lambda value: abs(value - (low + high) // 2))
    return found


def plant(honest: ExecutorTracer, value: int) -> Fault:
    """The last operation of the value's middle element comes out with one bit inverted."""
    element = honest.checked.values[value].elements // 2
    recipe = honest.recipe(FAULTY + 1, value, element)
    trace = faulty_trace(recipe, lambda address: honest.load(FAULTY + 1, address), recipe.length - 1, FLIP)
    return Fault(FAULTY, value, element, recipe.length - 1, FLIP, trace[-1][0].bits)


@pytest.mark.parametrize("phase", ["forward", "backward", "optimizer"])
@pytest.mark.parametrize("name", MODELS)
def test_one_wrong_operation_of_a_captured_model_ends_at_its_leaf(name: str, phase: str) -> None:
    checked, job, inputs, start = captured(name)
    runner = StepRunner(checked, job, inputs)
    honest, truth = ExecutorTracer(runner, job, start), compute_state_root(replay(runner, job, start))
    for value in phases(checked)[phase]:
        cheat = FaultyRunner(runner, FAULTY, value)
        cheat.fault = plant(honest, value)
        claim = Claim(job, compute_state_root(replay(cheat, job, start)))
        if claim.end != truth:
            break
    toy, liar = Toy(checked, job, Nothing({}, (), b"")), ExecutorTracer(cheat, job, start)
    played = play(toy, claim, Defender(liar).next_move, Challenger(honest).next_move)
    assert played.winner is Party.CHALLENGER
    assert played.verdict is not None
    assert played.verdict.reason is Reason.WRONG_RESULT
    evidence = played.verdict.evidence
    assert (evidence.step, evidence.value, evidence.element) == (FAULTY, cheat.fault.value, cheat.fault.element)
    assert evidence.operator == checked.program.nodes[checked.producer(value)[0]].op
    assert evidence.operation == cheat.fault.operation
    assert len(evidence.log) <= 64
    assert len(played.moves) <= maximum_moves(checked, job)
