"""The one operator table. To add an operator, write its shape rule and recipe and enter it in its family's tuple.

Everything else follows from the entry: what the chain accepts, what it charges, what the dispute game executes and
what the kernels are tested against.
"""

from __future__ import annotations

from runtime.vm import (
    operators_convolution,
    operators_elementwise,
    operators_indexing,
    operators_layout,
    operators_linear,
    operators_map,
    operators_normal,
    operators_training,
    operators_views,
)
from runtime.vm.operator_base import Application, Operator

__all__ = ["OPERATORS", "Application", "Operator"]

_FAMILIES = (
    operators_elementwise,
    operators_map,
    operators_linear,
    operators_convolution,
    operators_layout,
    operators_views,
    operators_indexing,
    operators_normal,
    operators_training,
)

OPERATORS: dict[str, Operator] = {operator.name: operator for family in _FAMILIES for operator in family.OPERATORS}
