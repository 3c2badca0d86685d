"""Captured programs train as PyTorch does, and what cannot be captured is refused by name and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml.builder import UnsupportedOperator
from ml.capture import CapturedTask, UnsupportedInitialiser, capture_task
from ml.data import Dataset, load_mnist
from ml.executor import Executor
from ml.job import JobInputs, compute_scalars_root, run_segment
from ml.locations import noting_birthplaces
from ml.optimizers import UnsupportedOptimizer
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Field, Job

FIELDS = (Field(name="pixels", dtype="u8", shape=(12,)), Field(name="label", dtype="i32", shape=()))


def digits(samples: int) -> Dataset:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (samples, 12), dtype=np.uint8)
    return Dataset({"pixels": pixels, "label": (pixels.sum(axis=1, dtype=np.int32) % 3).astype(np.int32)})


def perceptron(inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(inplace=inplace), nn.Linear(9, 3))


def job_of(checked: CheckedProgram, task: CapturedTask, data: Dataset, batch_size: int) -> Job:
    steps = len(task.scalars)
    source = data.source(b"o" * 32, batch_size)
    return Job(
        program=checked.root, start=bytes(32), first_step=0, steps=steps, seed=5, data=source,
        scalar_names=task.scalar_names, scalars_root=compute_scalars_root(task.scalars), scalar_rows=steps,
    )  # fmt: skip


def start_state(task: CapturedTask, model: nn.Module) -> dict[str, np.ndarray]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {f"model.{name}": tensor.detach().numpy().copy() for name, tensor in tensors.items()}
    names = [entry.name for entry in task.train.state if entry.name.startswith("momentum.")]
    return state | {name: np.zeros_like(state[name.replace("momentum.", "model.", 1)]) for name in names}


def train_both(
    model: nn.Module, optimizer: torch.optim.SGD, loss: nn.Module, data: Dataset, steps: int, batch_size: int,
    rates: list[float] | None = None,
) -> tuple[dict[str, np.ndarray], list[float], list[float], CapturedTask]:  # fmt: skip
    """Train with our executor, then the same model with PyTorch: (our state, our losses, their losses, the task)."""
    task = capture_task(model, loss, optimizer, data.layout, batch_size=batch_size, steps=steps, learning_rates=rates)
    checked, _, _ = task.check()
    inputs = JobInputs(job_of(checked, task, data, batch_size), data.fields, task.scalars)
    ours: list[float] = []
    state = run_segment(
        Executor(checked), inputs, start_state(task, model), lambda step, metrics: ours.append(float(metrics["loss"]))
    )
    theirs = []
    for step in range(steps):
        batch = inputs.batch(step)
        optimizer.param_groups[0]["lr"] = float(task.scalars[step, 0])
        optimizer.zero_grad()
        pixels, label = torch.from_numpy(batch["pixels"]), torch.from_numpy(batch["label"])
        value = loss(model(pixels.to(torch.float32) * (1 / 255)), label.long())
        value.backward()
        optimizer.step()
        theirs.append(float(value.detach()))
    return state, ours, theirs, task


OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_kind_of_sgd_follows_pytorch(options: dict[str, Any], reduction: str) -> None:
    model = perceptron()
    optimizer = torch.optim.SGD(model.parameters(), **options)
    loss = nn.CrossEntropyLoss(reduction=reduction)
    rates = [0.02 / (1 + step) for step in range(12)]
    state, ours, theirs, _ = train_both(model, optimizer, loss, digits(40), 12, 8, rates)
    assert np.allclose(ours, theirs, rtol=2e-5)
    for name, parameter in model.named_parameters():
        assert np.allclose(state[f"model.{name}"], parameter.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_small_digit_classifier_reaches_pytorchs_accuracy() -> None:
    train, test = load_mnist()
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state, ours, theirs, task = train_both(model, optimizer, nn.CrossEntropyLoss(), train, 120, 64)
    assert np.abs(np.array(ours) - theirs).max() < 1e-4
    _, _, evaluation = task.check()
    pixels = test.fields["pixels"][:64]
    ours_logits = Executor(evaluation).run_step(state, job_of(evaluation, task, test, 64), 0, {"pixels": pixels}, [0.1])
    guesses = ours_logits.metrics["logits"].argmax(axis=1)
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels).float() * (1 / 255)).argmax(dim=1).numpy()
    assert (guesses == expected).all()
    assert (guesses == test.fields["label"][:64]).mean() > 0.8


def test_modules_that_write_in_place_are_captured_alike() -> None:
    programs = []
    for inplace in (False, True):
        model = perceptron(inplace)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        programs.append(capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1).train)
    assert programs[0] == programs[1]


def test_initialisation_draws_within_pytorchs_bounds_and_zeroes_momentum() -> None:
    model = perceptron()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    task = capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)
    train, init, _ = task.check()
    state = Executor(init).run_step({}, job_of(init, task, digits(4), 4), 0, {}, [0.1]).state
    assert [(name, kind) for name, _, kind in init.state] == [(name, kind) for name, _, kind in train.start_state]
    for name, inputs in (("0.weight", 12), ("0.bias", 12), ("2.weight", 9)):
        limit = 1 / np.sqrt(inputs)
        values = state[f"model.{name}"]
        assert 0.6 * limit < np.abs(values).max() <= np.float32(limit)
        assert len(np.unique(values)) == values.size
        assert not state[f"momentum.{name}"].any()
    assert not np.array_equal(state["model.0.weight"].ravel()[:9], state["model.2.weight"].ravel()[:9])


def test_an_error_in_the_users_code_is_told_with_its_line() -> None:
    model = nn.Sequential(nn.Linear(11, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UnsupportedOperator, match=r"layer 0 \(Linear\): it cannot be traced"):
        capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)


def test_capturing_changes_neither_the_model_nor_its_mode() -> None:
    model = perceptron().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


class Odd(nn.Module):
    """Uses something that has no exact definition."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        with torch.no_grad():
            ripple = torch.special.bessel_j0(hidden)
        return ripple + hidden


def test_an_unknown_operator_is_refused_by_name_with_the_users_line() -> None:
    model = Odd()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fields = (Field(name="pixels", dtype="f32", shape=(12,)), FIELDS[1])
    line = next(
        number for number, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "bessel_j0(hidden)" in text
    )
    with pytest.raises(UnsupportedOperator, match="bessel_j0") as refusal:
        capture_task(model, nn.CrossEntropyLoss(), optimizer, fields, batch_size=4, steps=1)
    assert refusal.value.source.endswith(f"test_capture.py:{line}")


def test_a_layer_that_runs_without_a_line_of_the_users_is_told_with_the_line_that_made_it() -> None:
    with noting_birthplaces():
        model = nn.Sequential(nn.Linear(12, 3), nn.Softshrink(), nn.Linear(3, 3))  # the line in question
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lines = Path(__file__).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "# the line in question" in text)
    with pytest.raises(UnsupportedOperator, match="softshrink") as refusal:
        capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)
    assert refusal.value.source.endswith(f"test_capture.py:{line}, layer 1 (Softshrink)")


@pytest.mark.parametrize("initialise", [nn.init.xavier_normal_, lambda weight: nn.init.uniform_(weight, -0.01, 0.01)])
def test_weights_that_the_solver_would_not_draw_are_refused(initialise: Callable[[Tensor], Tensor]) -> None:
    model = nn.Sequential(nn.Linear(12, 40))
    initialise(model[0].weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UnsupportedInitialiser, match=r"0\.weight was not initialised as nn\.Linear does it"):
        capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)


def test_optimizers_and_options_without_a_definition_are_refused() -> None:
    model = perceptron()
    for optimizer, word in (
        (torch.optim.Adagrad(model.parameters()), "Adagrad"),
        (torch.optim.Adam(model.parameters(), maximize=True), "maximize"),
        (torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5, dampening=0.1), "dampening"),
        (torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), "no parameter of the model"),
    ):
        with pytest.raises(UnsupportedOptimizer, match=word):
            capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)


def test_an_unknown_initialisation_must_be_given() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 3)
            self.gain = nn.Parameter(torch.linspace(0.5, 1, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.gain

    model = Scale()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UnsupportedInitialiser, match=r"initial=\{'gain': \(low, high\)\}"):
        capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1)
    bounds = {"gain": (0.5, 1.0)}
    task = capture_task(model, nn.CrossEntropyLoss(), optimizer, FIELDS, batch_size=4, steps=1, initial=bounds)
    assert task.model_tensors["model.gain"] == "gain"


def test_ordinary_arithmetic_follows_pytorch() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 3)
            self.register_buffer("shift", torch.full((3,), 0.25))

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x) + self.shift
            z = (y * y).sum(dim=1, keepdim=True).sqrt() + 1.0
            clipped = torch.where(y > 0.5, y, torch.exp(-y.abs())).clamp_min(0.1)
            return torch.log(clipped) / z - y.mean() + torch.maximum(y, z) ** 2

    torch.manual_seed(11)
    model = Mixed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    _, ours, theirs, _ = train_both(model, optimizer, nn.CrossEntropyLoss(), digits(30), 6, 10)
    assert np.allclose(ours, theirs, rtol=1e-4)
