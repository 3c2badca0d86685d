"""Models that come as archives: ``torch.export`` (.pt2) and ONNX (.onnx). An archive holds a forward pass; loss,
optimizer and data are said beside it.

Weights are not taken from an archive: a task's initial weights are drawn from its seed, so that anybody can check them.
Each tensor is drawn as those in the archive look: within their range, or normal with their spread.

::

    SolventError
    └── ArchiveError    the file is no archive that can be trained, or a setting does not fit it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn, optim

from ml.capture import scale_bytes
from ml.data import Dataset, load_arrays, load_mnist
from ml.initial import Draw, Normal, Uniform
from runtime.errors import SolventError

SUFFIXES = (".pt2", ".onnx")
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "cross-entropy": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
    "l1": nn.L1Loss,
    "huber": nn.HuberLoss,
    "binary-cross-entropy": nn.BCEWithLogitsLoss,
}
OPTIMIZERS = ("sgd", "adam", "adamw")
TRAINING_FLAG = {"aten.dropout.default": 2, "aten.batch_norm.default": 5, "aten.instance_norm.default": 5}
"""Exported operators that behave otherwise in training, and which argument says so."""


class ArchiveError(SolventError):
    """A model archive cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an archive does not hold."""

    loss: str = "cross-entropy"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    data: str = "mnist"


@dataclass(frozen=True, slots=True)
class Archive:
    """A model, and the shape of the one tensor it reads; the first size is None where any batch size will do."""

    model: nn.Module
    shape: tuple[int | None, ...]

    def names(self, path: Path, settings: Settings, steps: int | None, batch_size: int | None) -> dict[str, Any]:
        """What a task file with this model would define."""
        fixed = self.shape[0]
        if fixed is not None and batch_size not in (None, fixed):
            raise ArchiveError(
                f"{path} was exported for batches of {fixed}, not {batch_size}; leave --batch-size out, or export the "
                "model with a dynamic first dimension"
            )
        size, rest = fixed or batch_size or 64, [size for size in self.shape[1:] if size is not None]

        def prepare(batch: Tensor) -> Tensor:
            return (batch.long() if batch.dtype == torch.int32 else scale_bytes(batch)).reshape(len(batch), *rest)

        return {
            "build": lambda: (self.model, LOSSES[settings.loss](), build_optimizer(self.model, settings)),
            "BATCH_SIZE": size,
            "EVALUATION_BATCH": fixed,
            "STEPS": steps or 1000,
            "DATA": lambda: load_samples(settings.data),
            "PREPROCESS": prepare,
            "INITIAL": infer_draws(self.model),
        }


def open_archive(path: Path) -> Archive:
    """Read an archive. Raises `ArchiveError`."""
    if path.suffix == ".onnx":
        from ml.onnx_import import read_onnx

        return Archive(*read_onnx(path))
    try:
        program = torch.export.load(path)
    except Exception as error:  # whatever a damaged archive raises in torch
        raise ArchiveError(f"{path} is no torch.export archive: {first_line(error)}") from None
    nodes = {node.name: node for node in program.graph.nodes}
    inputs = [nodes[name].meta["val"] for name in program.graph_signature.user_inputs if name in nodes]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
        raise ArchiveError(f"{path} reads {len(inputs)} inputs; a model that is trained here reads one tensor")
    sizes = [int(size) if isinstance(size, int) else None for size in inputs[0].shape]
    if None in sizes[1:]:
        raise ArchiveError(f"{path} has dynamic shapes {tuple(inputs[0].shape)}; only the batch may be dynamic")
    model = program.module()
    for name, mode in (("train", True), ("eval", False)):
        setattr(model, name, MethodType(lambda module, flag=mode: switch_mode(module, flag), model))
    return Archive(model, tuple(sizes))


def switch_mode(module: Any, training: bool) -> Any:
    """Put an exported module into training or evaluation, which torch itself does not do."""
    module.training = training
    for node in module.graph.nodes:
        place = TRAINING_FLAG.get(str(node.target))
        if place is not None:
            node.args = (*node.args[:place], training, *node.args[place + 1 :])
    module.recompile()
    return module


def build_optimizer(model: nn.Module, settings: Settings) -> optim.Optimizer:
    """The optimizer that the settings name."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return optim.SGD(model.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(model.parameters(), lr=rate, weight_decay=decay)


def load_samples(source: str) -> tuple[Dataset, Dataset]:
    """(train, test) from "mnist", a folder with IDX files, or a file of NumPy arrays."""
    if source == "mnist":
        return load_mnist()
    return load_arrays(Path(source)) if Path(source).suffix == ".npz" else load_mnist(source)


def infer_draws(model: nn.Module) -> Mapping[str, Draw]:
    """How every parameter that is no constant is drawn, judged by its own numbers.

    Uniform numbers have a fourth moment of 1.8 squared variances, normal ones of 3.
    """
    draws: dict[str, Draw] = {}
    for name, parameter in model.named_parameters():
        numbers = parameter.detach().double().reshape(-1)
        count, mean, deviation = len(numbers), float(numbers.mean()), float(numbers.std(correction=0))
        if bool((numbers == numbers[0]).all()):
            continue
        flat = float(((numbers - mean) / deviation).pow(4).mean()) < 2.4
        if flat or count < 100:
            limit = float(numbers.abs().max()) * (count + 1) / count
            draws[name] = Uniform(-limit, limit)
        else:
            draws[name] = Normal(mean, deviation)
    return draws


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
