"""The optimizers that have an exact definition: SGD, Adam and AdamW, with gradients clipped by their norm.

Every parameter's update is one node. What changes from step to step (learning rate, bias corrections, decay) is a
column of the table of step scalars, one for all groups that share its numbers, computed here in double precision and
rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
Rates = Sequence[float | Sequence[float]]
"""A learning rate a step; where the optimizer has several groups of parameters, maybe one for each."""


class UnsupportedOptimizer(SolventError):
    """The optimizer, or one of its options, has no exact definition."""


@dataclass(frozen=True, slots=True)
class Group:
    """Options of one parameter group, as PyTorch names them, and its columns of the table of step scalars."""

    kind: str
    weight_decay: float
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    amsgrad: bool = False
    rate: str = RATE
    root: str = ROOT
    decay: str = DECAY


@dataclass(frozen=True)
class Optimizer:
    """What a step updates, and how. ``groups`` maps names of parameters to their options, ``columns`` names of step
    scalars to their values of every step."""

    groups: dict[str, Group]
    columns: dict[str, np.ndarray]
    clip_norm: float | None

    @property
    def trained(self) -> list[str]:
        return sorted(self.groups)

    def buffers(self) -> list[tuple[str, str]]:
        """(state name, parameter) of every tensor that the optimizer keeps."""
        found = []
        for name in self.trained:
            found += [(f"{prefix}.{name}", name) for prefix in _prefixes(self.groups[name])]
        return found

    def table(self) -> np.ndarray:
        """The f32 table of shape (steps, columns)."""
        return np.stack(list(self.columns.values()), axis=1).astype(np.float32)

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
    return ("mean", "square", "largest") if group.amsgrad else ("mean", "square")


def _sgd(
    builder: Builder, group: Group, parameter: Ref, gradient: Ref, kept: list[Ref], numbers: dict[str, Ref],
    factor: Ref | None,
) -> list[Ref]:  # fmt: skip
    buffer = kept[0] if kept else builder.constant(0.0, builder.shape(parameter))
    if factor is not None:
        gradient = builder.emit("mul", [gradient, factor])
    attributes = float_bits(group.momentum), float_bits(group.weight_decay), int(group.nesterov)
    outputs = builder.emit_all("sgd", [parameter, gradient, buffer, numbers[group.rate]], attributes)
    return list(outputs) if kept else [outputs[-1]]


def _adam(
    builder: Builder, group: Group, parameter: Ref, gradient: Ref, kept: list[Ref], numbers: dict[str, Ref],
    factor: Ref | None,
) -> list[Ref]:  # fmt: skip
    """PyTorch's Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019), every operation rounded; with AMSGrad
    the root is of the largest mean of squares so far (Reddi et al. 2018)."""
    if factor is not None and group.amsgrad:  # with one input more there would be nine
        gradient, factor = builder.emit("mul", [gradient, factor]), None
    line = builder.line()
    p, g, (m, v, *rest) = line.read(parameter), line.read(gradient), [line.read(ref) for ref in kept]
    beta1, beta2 = group.betas
    if factor is not None:
        g = line.step(Opcode.MUL_F32, g, line.read(factor))
    if group.weight_decay and group.kind == "adam":
        g = line.step(Opcode.ADD_F32, g, line.step(Opcode.MUL_F32, line.number(group.weight_decay), p))
    if group.weight_decay and group.kind == "adamw":
        p = line.step(Opcode.MUL_F32, p, line.read(numbers[group.decay]))
    change = line.step(Opcode.MUL_F32, line.number(1 - beta1), line.step(Opcode.SUB_F32, g, m))
    m = line.step(Opcode.ADD_F32, m, change)
    square = line.step(Opcode.MUL_F32, line.step(Opcode.MUL_F32, line.number(1 - beta2), g), g)
    v = line.step(Opcode.ADD_F32, line.step(Opcode.MUL_F32, line.number(beta2), v), square)
    largest = [line.step(Opcode.MAX_F32, before, v) for before in rest]
    root = line.step(Opcode.SQRT_F32, largest[0] if largest else v)
    root = line.step(Opcode.DIV_F32, root, line.read(numbers[group.root]))
    direction = line.step(Opcode.DIV_F32, m, line.step(Opcode.ADD_F32, root, line.number(group.epsilon)))
    p = line.step(Opcode.SUB_F32, p, line.step(Opcode.MUL_F32, line.read(numbers[group.rate]), direction))
    return line.finish(m, v, *largest, p)


def _clip_factor(builder: Builder, gradients: list[Ref], limit: float) -> Ref:
    """min(1, limit / (norm + 1e-6)), the norm being that of all gradients together."""
    parts = [builder.emit("block_square_sum", [gradient]) for gradient in gradients]
    norm = builder.emit("sqrt", [total(builder, join(builder, parts, 0))])
    ratio = builder.emit("div", [builder.constant(limit), builder.emit("add", [norm, builder.constant(1e-6)])])
    return builder.emit("minimum", [ratio, builder.constant(1.0)])


# -- Reading PyTorch's optimizers -------------------------------------------------------------------------------------

_KINDS = {torch.optim.SGD: "sgd", torch.optim.Adam: "adam", torch.optim.AdamW: "adamw"}


def read_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, clip_norm: float | None, steps: int, rates: Rates | None = None
) -> Optimizer:
    """The options of every parameter that the optimizer updates, and the table of step scalars; without ``rates`` every
    group keeps its own. Raises `UnsupportedOptimizer`."""
    kind = _KINDS.get(type(optimizer))
    if kind is None:
        known = ", ".join(f"torch.optim.{known.__name__}" for known in _KINDS)
        raise UnsupportedOptimizer(f"{type(optimizer).__name__}: only {known} have an exact definition so far")
    if clip_norm is not None and not clip_norm > 0:
        raise UnsupportedOptimizer(f"gradients clipped to norm {clip_norm}; it must be above 0")
    groups: dict[str, Group] = {}
    columns: dict[str, np.ndarray] = {}
    courses = _courses(optimizer, steps, rates)
    for options, course in zip(optimizer.param_groups, courses, strict=True):
        owned = {id(parameter) for parameter in options["params"]}
        names = [name for name, one in model.named_parameters() if id(one) in owned and one.requires_grad]
        if names:
            groups |= dict.fromkeys(names, _with_columns(_read_group(kind, options), course, columns))
    if not groups:
        raise UnsupportedOptimizer("the optimizer holds no parameter of the model")
    return Optimizer(groups, columns, clip_norm)


def _courses(optimizer: torch.optim.Optimizer, steps: int, rates: Rates | None) -> np.ndarray:
    """Every group's learning rate at every step, of shape (groups, steps)."""
    own = [float(group["lr"]) for group in optimizer.param_groups]
    rows = [own] * steps if rates is None else list(rates)
    if len(rows) != steps:
        raise UnsupportedOptimizer(f"{len(rows)} learning rates for {steps} steps")
    for step, row in enumerate(rows):
        if isinstance(row, Sequence) and len(row) != len(own):
            raise UnsupportedOptimizer(f"step {step} has {len(row)} learning rates for {len(own)} parameter groups")
    wide = [list(row) if isinstance(row, Sequence) else [row] * len(own) for row in rows]
    return np.array(wide, dtype=np.float64).reshape(steps, len(own)).T


def _with_columns(group: Group, course: np.ndarray, columns: dict[str, np.ndarray]) -> Group:
    """A group with its columns, which it shares with groups that have the same numbers.

    Adam's rate is lr / (1 - beta1^t), its root sqrt(1 - beta2^t), AdamW's decay 1 - lr * weight decay; t counts from 1.
    """
    if group.kind == "sgd":
        return replace(group, rate=_column(columns, RATE, course))
    times = np.arange(1, len(course) + 1)
    beta1, beta2 = group.betas
    group = replace(
        group,
        rate=_column(columns, RATE, course / (1 - beta1**times)),
        root=_column(columns, ROOT, np.sqrt(1 - beta2**times)),
    )
    if group.kind == "adam" or not group.weight_decay:
        return group
    return replace(group, decay=_column(columns, DECAY, 1 - course * group.weight_decay))


def _column(columns: dict[str, np.ndarray], prefix: str, numbers: np.ndarray) -> str:
    """The name of a column with these numbers, which is entered unless there is one."""
    alike = [name for name in columns if name.partition(".")[0] == prefix]
    for name in alike:
        if np.array_equal(columns[name], numbers):
            return name
    name = f"{prefix}.{len(alike)}" if alike else prefix
    columns[name] = numbers
    return name


def _read_group(kind: str, options: dict[str, Any]) -> Group:
    for option in ("dampening", "maximize"):
        if options.get(option):
            raise UnsupportedOptimizer(f"{kind} with {option}={options[option]} has no exact definition")
    decoupled = options.get("decoupled_weight_decay", kind == "adamw")
    if kind == "sgd":
        return Group(kind, float(options["weight_decay"]), float(options["momentum"]), bool(options["nesterov"]))
    return Group(
        "adamw" if decoupled else "adam",
        float(options["weight_decay"]),
        betas=(float(options["betas"][0]), float(options["betas"][1])),
        epsilon=float(options["eps"]),
        amsgrad=bool(options["amsgrad"]),
    )
