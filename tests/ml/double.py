"""One model, trained by its captured program and by PyTorch in double precision, from the same weights on the same
batches: how far the exact run is from what PyTorch means to compute."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ml.capture import CapturedTask, capture_task
from ml.data import Dataset
from ml.executor import Executor
from ml.initial import Normal
from ml.job import JobInputs
from tests.ml.training import job_of, start_state

SMALLEST = 1e-2
"""Tensors whose elements are all below it are compared with it: gradients that are zero but for rounding."""
OPTIMIZER_STATE = {
    "momentum": "momentum_buffer", "mean": "exp_avg", "square": "exp_avg_sq", "largest": "max_exp_avg_sq",
}  # fmt: skip
"""Names of what optimizers keep: ours and PyTorch's."""
Optimize = Callable[[nn.Module], torch.optim.Optimizer]


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    """After the first step its buffers are the gradients themselves."""
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


@dataclass
class Double:
    """A comparison under way. ``errors``: the largest error of every tensor, relative to its largest element."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    data: Dataset
    optimize: Optimize = momentum
    rates: Any = None
    clip_norm: float | None = None
    batch_size: int = 8
    errors: dict[str, float] = field(default_factory=dict)

    def train(self, steps: int) -> Double:
        """Forward pass, gradients (as what the optimizer keeps after one step), and the state after every step."""
        task = capture_task(
            self.model, self.loss, self.optimize(self.model), self.data.layout, batch_size=self.batch_size, steps=steps,
            learning_rates=self.rates, clip_norm=self.clip_norm,
            initial={name: Normal(0.0, 1.0) for name, _ in self.model.named_parameters()},
        )  # fmt: skip
        checked, _, evaluation = task.check()
        job = job_of(checked, task, self.data, self.batch_size)
        inputs = JobInputs(job, self.data.fields, task.scalars)
        state, executor = start_state(task, self.model), Executor(checked)
        twin = copy.deepcopy(self.model).double()
        optimizer = self.optimize(twin)
        given, target = (one.name for one in self.data.layout[:2])
        ours = Executor(evaluation).run_step(state, job, 0, {given: inputs.batch(0)[given]}, task.scalars[0])
        with torch.no_grad():
            theirs = twin.eval()(wide(torch.from_numpy(inputs.batch(0)[given])))
        self.note("evaluation", ours.metrics["logits"], theirs)
        twin.train()
        for step in range(steps):
            batch = inputs.batch(step)
            result = executor.run_step(state, job, step, batch, task.scalars[step], keep_values=True)
            assert result.values is not None
            state = result.state
            drawn = [result.values[checked.application(node).first_output] for node in uniform_nodes(task)]
            if self.rates is not None:
                for number, group in enumerate(optimizer.param_groups):
                    rate = self.rates[step]
                    group["lr"] = rate if isinstance(rate, float) else rate[number]
            optimizer.zero_grad()
            with Draws(iter(drawn)):
                value = self.loss(twin(wide(torch.from_numpy(batch[given]))), wide(torch.from_numpy(batch[target])))
            value.backward()
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(twin.parameters(), self.clip_norm)
            optimizer.step()
            self.note(f"loss {step}", result.metrics["loss"], value)
            self.note_state(state, twin, optimizer)
        return self

    def note_state(self, state: dict[str, np.ndarray], twin: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        parameters = dict(twin.named_parameters())
        for name, tensor in {**parameters, **dict(twin.named_buffers())}.items():
            self.note(f"model.{name}", state[f"model.{name}"], tensor)
        for name, found in state.items():
            prefix, _, of = name.partition(".")
            if prefix in OPTIMIZER_STATE:
                self.note(name, found, optimizer.state[parameters[of]][OPTIMIZER_STATE[prefix]])

    def note(self, name: str, found: np.ndarray, wanted: Tensor) -> None:
        exact = wanted.detach().double().numpy()
        assert found.shape == exact.shape, (name, found.shape, exact.shape)
        scale = max(SMALLEST, float(np.abs(exact).max()))
        error = float(np.abs(found.astype(np.float64) - exact).max()) / scale
        assert error == error, f"{name} is not a number"
        self.errors[name] = max(error, self.errors.get(name, 0.0))

    @property
    def worst(self) -> tuple[float, str]:
        return max((error, name) for name, error in self.errors.items())


def wide(tensor: Tensor) -> Tensor:
    """Numbers as PyTorch computes with them in double precision."""
    return tensor.double() if tensor.is_floating_point() else tensor.long()


def uniform_nodes(task: CapturedTask) -> list[int]:
    return [number for number, node in enumerate(task.train.nodes) if node.op == "uniform"]


class Draws(TorchDispatchMode):
    """Answers PyTorch's Bernoulli draws with those of the captured step, in order."""

    def __init__(self, drawn: Iterator[np.ndarray]) -> None:
        super().__init__()
        self.drawn = drawn

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].copy_(torch.from_numpy(next(self.drawn)) < np.float32(args[1]))
        return func(*args, **(kwargs or {}))
