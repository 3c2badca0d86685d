"""Trains one model twice, by captured program and by PyTorch, on the same batches from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ml.capture import STATE_DTYPES, CapturedTask, capture_task, scale_bytes
from ml.data import Dataset
from ml.executor import Executor
from ml.initial import Normal
from ml.job import JobInputs, compute_scalars_root, run_segment
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Job

NUMPY = {"f32": np.float32, "i32": np.int32, "u8": np.uint8}


@dataclass
class Trained:
    """What both trainings left: our state by name, the model as PyTorch trained it, and the losses."""

    state: dict[str, np.ndarray]
    model: nn.Module
    task: CapturedTask
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def assert_close(self, relative: float = 1e-4, absolute: float = 1e-6) -> None:
        """Losses and every parameter and buffer agree within the bound."""
        assert np.allclose(self.ours, self.theirs, rtol=relative), (self.ours, self.theirs)
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        for name, tensor in tensors.items():
            wanted, found = tensor.detach().numpy(), self.state[f"model.{name}"]
            assert np.allclose(found, wanted, rtol=relative, atol=absolute), (name, np.abs(found - wanted).max())


def load_example(name: str) -> ModuleType:
    """A file of the examples folder as a module."""
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def job_of(checked: CheckedProgram, task: CapturedTask, data: Dataset, batch_size: int) -> Job:
    steps = len(task.scalars)
    return Job(
        program=checked.root, start=bytes(32), first_step=0, steps=steps, seed=5,
        data=data.source(b"o" * 32, batch_size), scalar_names=task.scalar_names,
        scalars_root=compute_scalars_root(task.scalars), scalar_rows=steps,
    )  # fmt: skip


def start_state(task: CapturedTask, model: nn.Module) -> dict[str, np.ndarray]:
    """The model's own weights, and zeros for what the optimizer keeps."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {
        f"model.{name}": tensor.detach().numpy().astype(NUMPY[STATE_DTYPES[tensor.dtype]], copy=True)
        for name, tensor in tensors.items()
    }
    for name, _, kind in task.check()[0].start_state:
        state.setdefault(name, np.zeros(kind.shape, NUMPY[kind.dtype]))
    return state


def train_both(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: Dataset,
    *,
    steps: int = 6,
    batch_size: int = 8,
    rates: Sequence[float] | None = None,
    clip_norm: float | None = None,
    prepare: Callable[[Tensor], Tensor] = scale_bytes,
    initial: Mapping[str, Any] | None = None,
) -> Trained:
    """Both trainings; initial weights are the model's, whatever draws it."""
    drawn = {name: Normal(0.0, 1.0) for name, _ in model.named_parameters()} if initial is None else initial
    task = capture_task(
        model, loss, optimizer, data.layout, batch_size=batch_size, steps=steps, learning_rates=rates,
        preprocess=prepare, initial=drawn, clip_norm=clip_norm,
    )  # fmt: skip
    checked, _, _ = task.check()
    inputs = JobInputs(job_of(checked, task, data, batch_size), data.fields, task.scalars)
    trained = Trained({}, model, task)
    trained.state = run_segment(
        Executor(checked), inputs, start_state(task, model), lambda _, found: trained.ours.append(float(found["loss"]))
    )
    names = [one.name for one in data.layout]
    model.train()
    for step in range(steps):
        given, target = (torch.from_numpy(inputs.batch(step)[name]) for name in names[:2])
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] if rates is None else rates[step]
        optimizer.zero_grad()
        value = loss(model(prepare(given)), target.long() if target.dtype == torch.int32 else target)
        value.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        trained.theirs.append(float(value.detach()))
    return trained
