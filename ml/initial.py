"""How the tensors of a fresh model were drawn, so that the initialisation program draws them the same way.

While a task file builds its model, `noting_draws` notes every uniform and normal draw. A model that was built before
is judged by its modules: linear, convolutional and recurrent layers and embeddings draw as PyTorch does by default.
Either way the tensor's own numbers must look like that draw, or the task would silently start from other weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ml.builder import Builder, Ref, float_bits
from runtime.commitments import element_count
from runtime.errors import SolventError

Shape = tuple[int, ...]


class UnsupportedInitialiser(SolventError):
    """It is not known how a tensor is initialised; ``initial=`` of `capture_task` says it."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform in [low, high)."""

    low: float
    high: float

    def fits(self, tensor: Tensor) -> bool:
        """Whether numbers may come from this draw; of 200 or more the largest would be near the limit."""
        centred = tensor.detach().double() - (self.low + self.high) / 2
        limit, largest = (self.high - self.low) / 2, float(centred.abs().max())
        return largest <= limit * (1 + 1e-6) + 1e-12 and (tensor.numel() < 200 or largest >= 0.9 * limit)

    def emit(self, builder: Builder, key: Ref, shape: Shape) -> Ref:
        return builder.emit("uniform", [key], (float_bits(self.low), float_bits(self.high), *shape))


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal with this mean and standard deviation."""

    mean: float
    deviation: float

    def fits(self, tensor: Tensor) -> bool:
        """Whether the numbers' mean and spread are within seven standard errors."""
        count = tensor.numel()
        if count < 20:
            return True
        numbers = (tensor.detach().double() - self.mean) / self.deviation
        spread = float(numbers.square().mean().sqrt())
        return abs(float(numbers.mean())) < 7 / math.sqrt(count) and abs(spread - 1) < 7 / math.sqrt(2 * count)

    def emit(self, builder: Builder, key: Ref, shape: Shape) -> Ref:
        """The inverse of the distribution function at a uniform x in (-1, 1): x P(-log(1 - x^2)), then scaled.

        P is a fit of degree 8 with a relative error below 2.1e-4 up to the farthest draw, at 5.4 deviations.
        """
        x = builder.emit("uniform", [key], (float_bits(-1 + 2.0**-24), float_bits(1.0), *shape))
        one = builder.constant(1.0)
        sides = builder.emit("mul", [builder.emit("sub", [one, x]), builder.emit("add", [one, x])])
        w = builder.emit("neg", [builder.emit("log", [sides])])
        series = builder.constant(_PROBIT[-1])
        for coefficient in reversed(_PROBIT[:-1]):
            series = builder.emit("add", [builder.emit("mul", [series, w]), builder.constant(coefficient)])
        standard = builder.emit("mul", [x, series])
        drawn = builder.emit("mul", [standard, builder.constant(self.deviation)])
        return drawn if self.mean == 0 else builder.emit("add", [drawn, builder.constant(self.mean)])


_PROBIT = (
    1.2535651731336075, 0.3255310710938052, 0.02069662864101415, -0.006065131874167974, 0.0006248946121666048,
    -3.2202989429565766e-05, 6.777741101810471e-07, 4.721129183649807e-09, -3.0537748170349004e-10,
)  # fmt: skip

Draw = Uniform | Normal
_NOTED: dict[int, Draw] = {}
"""Address of a tensor's memory -> its last draw. Mutable: filled by `noting_draws`."""


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes draws into tensors, and their products with numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            draw = _draw_of(str(func), args, kwargs or {})
            if draw is not None:
                _NOTED[result.data_ptr()] = draw
            elif func._schema.is_mutable or func._schema.name.startswith(("aten::zeros", "aten::ones", "aten::full")):
                _NOTED.pop(result.data_ptr(), None)
        return result


def _draw_of(name: str, args: Any, kwargs: Any) -> Draw | None:
    numbers = [float(number) for number in args[1:3] if isinstance(number, int | float)]
    if name == "aten.uniform_.default":
        low, high = (*numbers, 0.0, 1.0)[:2] if len(numbers) != 1 else (numbers[0], 1.0)
        return Uniform(low, high)
    if name == "aten.normal_.default":
        mean, deviation = (*numbers, 0.0, 1.0)[:2] if len(numbers) != 1 else (numbers[0], 1.0)
        return Normal(mean, deviation)
    if name in ("aten.randn.default", "aten.randn_like.default"):
        return Normal(0.0, 1.0)
    if name in ("aten.rand.default", "aten.rand_like.default"):
        return Uniform(0.0, 1.0)
    base = args[0].data_ptr() if args and isinstance(args[0], Tensor) else None
    known = _NOTED.get(base) if base is not None else None
    if known is None or name.split(".")[1] not in ("mul", "mul_", "detach", "alias", "clone", "view", "t"):
        return None
    if not name.startswith("aten.mul"):
        return known
    factor = args[1] if isinstance(args[1], int | float) else float(args[1]) if args[1].numel() == 1 else 0.0
    if not factor > 0:
        return None
    if isinstance(known, Normal):
        return Normal(known.mean * factor, known.deviation * factor)
    return Uniform(known.low * factor, known.high * factor)


@contextmanager
def noting_draws() -> Iterator[None]:
    """Note how every tensor is drawn meanwhile."""
    with _Noting():  # type: ignore[no-untyped-call]
        yield


def initialise(builder: Builder, key: Ref, model: nn.Module, name: str, tensor: Tensor, given: Draw | None) -> Ref:
    """The value that a tensor starts from. Raises `UnsupportedInitialiser` where it is not known."""
    shape = tuple(tensor.shape)
    if given is not None:
        return given.emit(builder, key, shape)
    pattern = _pattern(builder, tensor)
    if pattern is not None:
        return pattern
    noted = _NOTED.get(tensor.data_ptr())
    if noted is not None and noted.fits(tensor):
        return noted.emit(builder, key, shape)
    module = model.get_submodule(name.rpartition(".")[0])
    draw = _default_draw(module, name.rpartition(".")[2])
    hint = f"initial={{{name!r}: (low, high)}} or {{{name!r}: Normal(mean, deviation)}}"
    if draw is None:
        raise UnsupportedInitialiser(f"{name} of {type(module).__name__} has no default here: pass {hint}")
    if not draw.fits(tensor):
        raise UnsupportedInitialiser(
            f"{name} was not initialised as nn.{type(module).__name__} does it, {draw}: the solver draws the weights "
            f"anew, so pass {hint}"
        )
    return draw.emit(builder, key, shape)


def _default_draw(module: nn.Module, kind: str) -> Draw | None:
    """PyTorch's default for a layer's weight or bias.

    kaiming_uniform_(a=sqrt(5)) is uniform within sqrt(6 / ((1 + 5) fan_in)) = 1 / sqrt(fan_in), as is the bias.
    """
    limit = 0.0
    if isinstance(module, nn.Linear):
        limit = 1 / math.sqrt(module.in_features)
    elif isinstance(module, nn.Conv1d | nn.Conv2d):
        limit = 1 / math.sqrt(module.in_channels // module.groups * math.prod(module.kernel_size))
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        limit = 1 / math.sqrt(module.hidden_size)
    elif isinstance(module, nn.MultiheadAttention) and kind == "in_proj_weight":
        limit = math.sqrt(6 / (4 * module.embed_dim))
    elif isinstance(module, nn.Embedding):
        return Normal(0.0, 1.0)
    return Uniform(-limit, limit) if limit else None


def _pattern(builder: Builder, tensor: Tensor) -> Ref | None:
    """Tensors that are no draw: one number repeated, whole numbers in steps, triangles of ones."""
    shape, flat = tuple(tensor.shape), tensor.detach().reshape(-1)
    is_float = tensor.dtype == torch.float32
    if bool((flat == flat[0]).all()):
        if is_float:
            return builder.constant(float(flat[0]), shape)
        start = builder.reshape(builder.emit("iota", (), (int(flat[0]), 0, element_count(shape))), shape)
        return start if tensor.dtype != torch.uint8 else None
    if tensor.dtype in (torch.int32, torch.int64) and bool((flat.diff() == flat[1] - flat[0]).all()):
        numbers = int(flat[0]), int(flat[1] - flat[0]), len(flat)
        return builder.reshape(builder.emit("iota", (), numbers), shape)
    if len(shape) < 2 or tensor.dtype == torch.uint8:
        return None
    rows, columns = shape[-2:]
    ones = torch.ones(shape)
    for shift in (-1, 0, 1):
        for lower in (True, False):
            triangle = torch.tril(ones, shift) if lower else torch.triu(ones, shift)
            if torch.equal(tensor.detach().float(), triangle):
                row = builder.reshape(builder.emit("iota", (), (shift, 1, rows)), (rows, 1))
                pair = [row, builder.emit("iota", (), (0, 1, columns))]
                outside = builder.emit("less", pair if lower else pair[::-1])
                inside = builder.emit("equal", [outside, builder.emit("iota", (), (0, 0, 1))])
                result = builder.emit("cast", [inside], [0]) if is_float else inside
                return builder.materialise(builder.expand(result, shape))
    return None
