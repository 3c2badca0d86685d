"""Lowering rules: how each aten operator of a traced step is said in Solvent's operators.

A rule is one function in `RULES`, keyed by the overload's full name. It gets the builder and the traced node's
arguments, in which every tensor is already a `Ref`, and returns the `Ref` (or tuple of them) of its result. What has
no rule is refused by name, with the line of the user's code that asked for it.
"""

from ml.lowering import (
    activations,
    attention,
    convolution,
    elementwise,
    indexing,
    losses,
    norms,
    pooling,
    powers,
    sums,
    views,
)
from ml.lowering.base import RULES, Application, spread

__all__ = [
    "RULES", "Application", "activations", "attention", "convolution", "elementwise", "indexing", "losses", "norms",
    "pooling", "powers", "spread", "sums", "views",
]  # fmt: skip
