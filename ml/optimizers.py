"""The optimizers that have an exact definition: SGD, Adam and AdamW, with gradients clipped by their norm.

Every parameter's update is one node. What changes from step to step (learning rate, bias corrections, decay) is a
column of the table of step scalars, computed here in double precision and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ml.builder import Builder, Ref, float_bits
from ml.lowering.sums import total
from ml.lowering.views import join
from runtime.errors import SolventError
from runtime.vm.opcodes import Opcode

RATE, ROOT, DECAY = "lr", "root", "decay"


class UnsupportedOptimizer(SolventError):
    """The optimizer, or one of its options, has no exact definition."""


@dataclass(frozen=True, slots=True)
class Group:
    """Options of one parameter group, as PyTorch names them."""

    kind: str
    rate: float
    weight_decay: float
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True)
class Optimizer:
    """What a step updates, and how. ``groups`` maps names of parameters to their options."""

    groups: dict[str, Group]
    clip_norm: float | None

    @property
    def trained(self) -> list[str]:
        return sorted(self.groups)

    @property
    def first(self) -> Group:
        return self.groups[self.trained[0]]

    def buffers(self) -> list[tuple[str, str]]:
        """(state name, parameter) of every tensor that the optimizer keeps."""
        found = []
        for name in self.trained:
            found += [(f"{prefix}.{name}", name) for prefix in _prefixes(self.groups[name])]
        return found

    def scalar_names(self) -> tuple[str, ...]:
        """Columns of the table."""
        if self.first.kind == "sgd":
            return (RATE,)
        return (RATE, ROOT, *(_decay_name(decay) for decay in self._decays()))

    def _decays(self) -> list[float]:
        return sorted({g.weight_decay for g in self.groups.values() if g.kind == "adamw" and g.weight_decay})

    def table(self, rates: Sequence[float]) -> np.ndarray:
        """The f32 table of shape (steps, columns) for one learning rate a step.

        Adam's rate is lr / (1 - beta1^t), its root sqrt(1 - beta2^t), AdamW's decay 1 - lr * weight decay; t counts
        from 1.
        """
        if self.first.kind == "sgd":
            return np.array(rates, dtype=np.float32).reshape(len(rates), 1)
        beta1, beta2 = self.first.betas
        rows = []
        for step, rate in enumerate(rates, 1):
            row = [rate / (1 - beta1**step), math.sqrt(1 - beta2**step)]
            rows.append(row + [1 - rate * decay for decay in self._decays()])
        return np.array(rows, dtype=np.float64).astype(np.float32).reshape(len(rates), len(self.scalar_names()))

    def emit(self, builder: Builder, numbers: dict[str, Ref], gradients: dict[str, Ref]) -> dict[str, int]:
        """Add every update to a program; returns the next state's values by name."""
        factor = None if self.clip_norm is None else _clip_factor(builder, list(gradients.values()), self.clip_norm)
        state: dict[str, int] = {}
        for name in self.trained:
            group, parameter = self.groups[name], numbers[f"model.{name}"]
            gradient = builder.materialise(gradients[name])
            kept = [numbers[f"{prefix}.{name}"] for prefix in _prefixes(group)]
            update = _sgd if group.kind == "sgd" else _adam
            *buffers, new = update(builder, group, parameter, gradient, kept, numbers, factor)
            state[f"model.{name}"] = new.value
            state |= {f"{prefix}.{name}": ref.value for prefix, ref in zip(_prefixes(group), buffers, strict=True)}
        return state


def _prefixes(group: Group) -> tuple[str, ...]:
    """State tensors of one parameter, by the prefix of their names."""
    if group.kind == "sgd":
        return ("momentum",) if group.momentum else ()
    return ("mean", "square")


def _decay_name(decay: float) -> str:
    return f"{DECAY}.{decay:g}"


def _sgd(
    builder: Builder, group: Group, parameter: Ref, gradient: Ref, kept: list[Ref], numbers: dict[str, Ref],
    factor: Ref | None,
) -> list[Ref]:  # fmt: skip
    buffer = kept[0] if kept else builder.constant(0.0, builder.shape(parameter))
    if factor is not None:
        gradient = builder.emit("mul", [gradient, factor])
    attributes = float_bits(group.momentum), float_bits(group.weight_decay), int(group.nesterov)
    outputs = builder.emit_all("sgd", [parameter, gradient, buffer, numbers[RATE]], attributes)
    return list(outputs) if kept else [outputs[-1]]


def _adam(
    builder: Builder, group: Group, parameter: Ref, gradient: Ref, kept: list[Ref], numbers: dict[str, Ref],
    factor: Ref | None,
) -> list[Ref]:  # fmt: skip
    """PyTorch's Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019), every operation rounded."""
    line = builder.line()
    p, g, (m, v) = line.read(parameter), line.read(gradient), (line.read(ref) for ref in kept)
    beta1, beta2 = group.betas
    if factor is not None:
        g = line.step(Opcode.MUL_F32, g, line.read(factor))
    if group.weight_decay and group.kind == "adam":
        g = line.step(Opcode.ADD_F32, g, line.step(Opcode.MUL_F32, line.number(group.weight_decay), p))
    if group.weight_decay and group.kind == "adamw":
        p = line.step(Opcode.MUL_F32, p, line.read(numbers[_decay_name(group.weight_decay)]))
    change = line.step(Opcode.MUL_F32, line.number(1 - beta1), line.step(Opcode.SUB_F32, g, m))
    m = line.step(Opcode.ADD_F32, m, change)
    square = line.step(Opcode.MUL_F32, line.step(Opcode.MUL_F32, line.number(1 - beta2), g), g)
    v = line.step(Opcode.ADD_F32, line.step(Opcode.MUL_F32, line.number(beta2), v), square)
    root = line.step(Opcode.DIV_F32, line.step(Opcode.SQRT_F32, v), line.read(numbers[ROOT]))
    direction = line.step(Opcode.DIV_F32, m, line.step(Opcode.ADD_F32, root, line.number(group.epsilon)))
    p = line.step(Opcode.SUB_F32, p, line.step(Opcode.MUL_F32, line.read(numbers[RATE]), direction))
    return line.finish(m, v, p)


def _clip_factor(builder: Builder, gradients: list[Ref], limit: float) -> Ref:
    """min(1, limit / (norm + 1e-6)), the norm being that of all gradients together."""
    parts = [builder.emit("block_square_sum", [gradient]) for gradient in gradients]
    norm = builder.emit("sqrt", [total(builder, join(builder, parts, 0))])
    ratio = builder.emit("div", [builder.constant(limit), builder.emit("add", [norm, builder.constant(1e-6)])])
    return builder.emit("minimum", [ratio, builder.constant(1.0)])


# -- Reading PyTorch's optimizers -------------------------------------------------------------------------------------

_KINDS = {torch.optim.SGD: "sgd", torch.optim.Adam: "adam", torch.optim.AdamW: "adamw"}


def read_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, clip_norm: float | None) -> Optimizer:
    """The options of every parameter that the optimizer updates. Raises `UnsupportedOptimizer`."""
    kind = _KINDS.get(type(optimizer))
    if kind is None:
        known = ", ".join(f"torch.optim.{known.__name__}" for known in _KINDS)
        raise UnsupportedOptimizer(f"{type(optimizer).__name__}: only {known} have an exact definition so far")
    if clip_norm is not None and not clip_norm > 0:
        raise UnsupportedOptimizer(f"gradients clipped to norm {clip_norm}; it must be above 0")
    groups: dict[str, Group] = {}
    for options in optimizer.param_groups:
        owned = {id(parameter) for parameter in options["params"]}
        group = _read_group(kind, options)
        for name, parameter in model.named_parameters():
            if id(parameter) in owned and parameter.requires_grad:
                groups[name] = group
    if not groups:
        raise UnsupportedOptimizer("the optimizer holds no parameter of the model")
    for what, values in (
        ("learning rates", {group.rate for group in groups.values()}),
        ("betas", {group.betas for group in groups.values()}),
    ):
        if len(values) > 1:
            raise UnsupportedOptimizer(f"parameter groups with different {what}: {sorted(values)}; use one")
    return Optimizer(groups, clip_norm)


def _read_group(kind: str, options: dict[str, Any]) -> Group:
    for option in ("dampening", "maximize", "amsgrad"):
        if options.get(option):
            raise UnsupportedOptimizer(f"{kind} with {option}={options[option]} has no exact definition")
    decoupled = options.get("decoupled_weight_decay", kind == "adamw")
    if kind == "sgd":
        return Group(
            kind, float(options["lr"]), float(options["weight_decay"]), float(options["momentum"]),
            bool(options["nesterov"]),
        )  # fmt: skip
    return Group(
        "adamw" if decoupled else "adam",
        float(options["lr"]),
        float(options["weight_decay"]),
        betas=(float(options["betas"][0]), float(options["betas"][1])),
        epsilon=float(options["eps"]),
    )
