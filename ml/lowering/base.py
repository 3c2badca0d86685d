"""What every rule shares: the table of rules, what a rule sees of a node, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ml.builder import Builder, Ref, Refused, Shape


@dataclass(frozen=True, slots=True)
class Application:
    """What a rule sees of a traced node: its overload's name, its arguments, tensors as `Ref`, and its
    result's shape and torch dtype."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Shape
    dtype: torch.dtype | None
    shapes: tuple[Shape, ...] = ()
    """The results' shapes, where there are several."""

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument given by position or by name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)


Rule = Callable[[Builder, Application], Any]
RULES: dict[str, Rule] = {}


def lowers(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule for these overloads."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return enter


def require(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def first(node: Application) -> Ref:
    """The node's first argument, a tensor."""
    ref: Ref = node.args[0]
    return ref


def tensor(builder: Builder, argument: Any, dtype: str = "f32") -> Ref:
    """An operand that may be a Python number."""
    if isinstance(argument, Ref):
        return argument
    require(isinstance(argument, int | float), f"operand {argument!r} is neither a tensor nor a number")
    if dtype == "i32":
        return integer(builder, int(argument))
    return builder.constant(float(argument))


def integer(builder: Builder, number: int) -> Ref:
    """An i32 of shape ()."""
    require(-(1 << 31) <= number < 1 << 31, f"integer {number} does not fit 32 bits")
    return builder.reshape(builder.emit("iota", (), (number, 0, 1)), ())


def spread(builder: Builder, ref: Ref, shape: Shape) -> Ref:
    """A result repeated to the shape that PyTorch gives it, where its operands only repeated too."""
    return ref if builder.shape(ref) == shape else builder.expand(ref, shape)
