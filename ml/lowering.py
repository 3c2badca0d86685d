"""Lowering rules: how each aten operator of a traced step is said in Solvent's operators.

A rule is one function in `RULES`, keyed by the overload's full name. It gets the builder and the traced node's
arguments, in which every tensor is already a `Ref`, and returns the `Ref` (or tuple of them) of its result. What has
no rule is refused by name, with the line of the user's code that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ml.builder import Builder, Ref, Refused, Shape
from runtime.commitments import element_count


@dataclass(frozen=True, slots=True)
class Application:
    """What a rule sees of a traced node: its arguments, tensors as `Ref`, and its result's shape and torch dtype."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Shape
    dtype: torch.dtype | None


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


def tensor(builder: Builder, argument: Any) -> Ref:
    """An operand that may be a Python number."""
    if isinstance(argument, Ref):
        return argument
    require(isinstance(argument, int | float), f"operand {argument!r} is neither a tensor nor a number")
    return builder.constant(float(argument))


# -- Views and copies -------------------------------------------------------------------------------------------------


@lowers(
    "aten.detach.default",
    "aten.alias.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.lift_fresh_copy.default",
)
def identity(builder: Builder, node: Application) -> Ref:
    return _first(node)


def _first(node: Application) -> Ref:
    """The node's first argument, a tensor."""
    ref: Ref = node.args[0]
    return ref


@lowers("aten.t.default", "aten.numpy_T.default")
def transpose(builder: Builder, node: Application) -> Ref:
    return _flip(node) if len(node.shape) == 2 else _first(node)


def _flip(node: Application) -> Ref:
    source = _first(node)
    return replace(source, transposed=not source.transposed)


@lowers("aten.transpose.int", "aten.permute.default")
def permute(builder: Builder, node: Application) -> Ref:
    rank = len(node.shape)
    order = list(range(rank))
    if len(node.args) == 3:
        first, second = node.args[1] % rank, node.args[2] % rank
        order[first], order[second] = second, first
    else:
        order = [axis % rank for axis in node.args[1]]
    if order == sorted(order):
        return _first(node)
    require(rank == 2, f"only matrices can be transposed, not a tensor of shape {node.shape}")
    return _flip(node)


@lowers(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.squeeze.dim", "aten.squeeze.dims",
    "aten.squeeze.default", "aten.unsqueeze.default", "aten.flatten.using_ints",
)  # fmt: skip
def reshape(builder: Builder, node: Application) -> Ref:
    return builder.reshape(node.args[0], node.shape)


@lowers("aten.expand.default")
def expand(builder: Builder, node: Application) -> Ref:
    if builder.shape(node.args[0]) == node.shape:
        return _first(node)
    return builder.emit("broadcast_to", [node.args[0]], node.shape)


_TO_CODE = {torch.float32: 0, torch.int32: 1, torch.int64: 1, torch.bool: 1}
_OF_DTYPE = {torch.float32: "f32", torch.int32: "i32", torch.int64: "i32", torch.bool: "i32", torch.uint8: "u8"}
"""Index tensors are int64 in torch and i32 here: labels and positions fit."""


@lowers("aten._to_copy.default")
def convert(builder: Builder, node: Application) -> Ref:
    source: Ref = node.args[0]
    target = node.dtype
    require(target in _OF_DTYPE, f"no tensors of {target}")
    assert target is not None
    if _OF_DTYPE[target] == builder.dtype(source):
        require(target != torch.bool, "no conversion to bool; compare instead")
        return source
    require(target in _TO_CODE, f"no conversion to {target}")
    return builder.emit("cast", [source], [_TO_CODE[target]])


# -- Constants --------------------------------------------------------------------------------------------------------


@lowers("aten.ones_like.default", "aten.ones.default")
def ones(builder: Builder, node: Application) -> Ref:
    return _constant(builder, node, 1.0)


@lowers("aten.zeros_like.default", "aten.zeros.default")
def zeros(builder: Builder, node: Application) -> Ref:
    return _constant(builder, node, 0.0)


@lowers("aten.full_like.default", "aten.full.default", "aten.scalar_tensor.default")
def full(builder: Builder, node: Application) -> Ref:
    number = node.args[1] if len(node.args) > 1 else node.args[0]
    require(isinstance(number, int | float), "the value must be a number")
    return _constant(builder, node, float(number))


def _constant(builder: Builder, node: Application, number: float) -> Ref:
    require(node.dtype == torch.float32, f"constants are float32, not {node.dtype}")
    return builder.constant(number, node.shape)


# -- Element-wise -----------------------------------------------------------------------------------------------------


def _float_operands(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    pair = tensor(builder, node.args[0]), tensor(builder, node.args[1])
    for ref in pair:
        require(builder.dtype(ref) == "f32", f"operands must be float32, one is {builder.dtype(ref)}")
    return pair


def _enter_binary(name: str, op: str, *, swap: bool = False) -> None:
    def rule(builder: Builder, node: Application) -> Ref:
        require(not node.kwargs.get("rounding_mode"), "division with a rounding mode")
        left, right = _float_operands(builder, node)
        alpha = node.kwargs.get("alpha", node.args[2] if len(node.args) > 2 else 1)
        if alpha != 1:
            right = builder.emit("mul", [builder.constant(float(alpha)), right])
        return builder.emit(op, [right, left] if swap else [left, right])

    RULES[name] = rule


for _op in ("add", "sub", "mul", "div"):
    _enter_binary(f"aten.{_op}.Tensor", _op)
    _enter_binary(f"aten.{_op}.Scalar", _op)
_enter_binary("aten.rsub.Scalar", "sub", swap=True)
_enter_binary("aten.rsub.Tensor", "sub", swap=True)
_enter_binary("aten.maximum.default", "maximum")
_enter_binary("aten.minimum.default", "minimum")
_enter_binary("aten.clamp_min.default", "maximum")
_enter_binary("aten.clamp_max.default", "minimum")
for _kind in ("Tensor", "Scalar"):
    _enter_binary(f"aten.eq.{_kind}", "equal")
    _enter_binary(f"aten.lt.{_kind}", "less")
    _enter_binary(f"aten.le.{_kind}", "less_equal")
    _enter_binary(f"aten.gt.{_kind}", "less", swap=True)
    _enter_binary(f"aten.ge.{_kind}", "less_equal", swap=True)


def _enter_unary(op: str) -> None:
    RULES[f"aten.{op}.default"] = lambda builder, node: builder.emit(op, [_first(node)])


for _op in ("neg", "abs", "sqrt", "exp", "log", "relu"):
    _enter_unary(_op)


@lowers("aten.reciprocal.default")
def reciprocal(builder: Builder, node: Application) -> Ref:
    return builder.emit("div", [builder.constant(1.0), node.args[0]])


@lowers("aten.pow.Tensor_Scalar")
def power(builder: Builder, node: Application) -> Ref:
    base, exponent = node.args
    require(exponent in (0.5, 1, 2, 3), f"no exact power {exponent}; powers are 0.5, 1, 2 and 3")
    if exponent == 0.5:
        return builder.emit("sqrt", [base])
    result: Ref = base
    for _ in range(int(exponent) - 1):
        result = builder.emit("mul", [result, base])
    return result


@lowers("aten.threshold_backward.default")
def threshold_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, threshold = node.args
    require(threshold == 0, f"threshold {threshold}; only 0 (relu) has a definition")
    return builder.emit("relu_backward", [gradient, source])


@lowers("aten.sgn.default", "aten.sign.default")
def sign(builder: Builder, node: Application) -> Ref:
    """(0 < x) - (x < 0), as torch computes it."""
    zero, source = builder.constant(0.0), _first(node)
    sides = [builder.emit("less", pair) for pair in ([zero, source], [source, zero])]
    return builder.emit("sub", [builder.emit("cast", [side], [0]) for side in sides])


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(builder: Builder, node: Application) -> Ref:
    source, mask, value = node.args
    return _choose(builder, node, [mask, tensor(builder, value), source])


@lowers("aten.where.self")
def where(builder: Builder, node: Application) -> Ref:
    return _choose(builder, node, [node.args[0], tensor(builder, node.args[1]), tensor(builder, node.args[2])])


def _choose(builder: Builder, node: Application, operands: list[Ref]) -> Ref:
    """select with its three operands spread to the result's shape."""
    spread = []
    for ref in operands:
        same = builder.shape(ref) == node.shape
        spread.append(ref if same else builder.emit("broadcast_to", [ref], node.shape))
    return builder.emit("select", spread)


# -- Products and sums ------------------------------------------------------------------------------------------------


@lowers("aten.mm.default")
def mm(builder: Builder, node: Application) -> Ref:
    return builder.matmul(node.args[0], node.args[1])


@lowers("aten.addmm.default")
def addmm(builder: Builder, node: Application) -> Ref:
    require(node.kwargs.get("beta", 1) == 1 and node.kwargs.get("alpha", 1) == 1, "beta and alpha must be 1")
    return builder.emit("add", [builder.matmul(node.args[1], node.args[2]), node.args[0]])


def total(builder: Builder, source: Ref) -> Ref:
    """Sum of all elements as a scalar: block sums of block sums."""
    while element_count(builder.shape(source)) > 1:
        source = builder.emit("block_sum", [source])
    return builder.reshape(source, ())


@lowers("aten.sum.default")
def sum_all(builder: Builder, node: Application) -> Ref:
    return total(builder, node.args[0])


@lowers("aten.sum.dim_IntList")
def sum_dimensions(builder: Builder, node: Application) -> Ref:
    source: Ref = node.args[0]
    shape = builder.shape(source)
    rank = len(shape)
    dimensions = sorted(axis % rank for axis in node.args[1] or range(rank)) if rank else []
    if len(dimensions) == rank:
        result = total(builder, source)
    elif dimensions == list(range(len(dimensions))):
        split = element_count(shape[: len(dimensions)])
        result = builder.emit("col_sum", [_matrix(builder, source, split)])
    else:
        require(dimensions == list(range(rank - len(dimensions), rank)), f"sum over dimensions {dimensions} of {shape}")
        split = element_count(shape[: rank - len(dimensions)])
        result = builder.emit("row_sum", [_matrix(builder, source, split)])
    return builder.reshape(result, node.shape)


def _matrix(builder: Builder, source: Ref, rows: int) -> Ref:
    return builder.reshape(source, (rows, element_count(builder.shape(source)) // rows))


@lowers("aten.mean.default", "aten.mean.dim")
def mean(builder: Builder, node: Application) -> Ref:
    count = element_count(builder.shape(node.args[0])) // element_count(node.shape)
    summed = sum_all(builder, node) if len(node.args) == 1 else sum_dimensions(builder, node)
    return builder.emit("div", [summed, builder.constant(float(count))])


# -- Losses -----------------------------------------------------------------------------------------------------------


@lowers("aten._log_softmax.default")
def log_softmax(builder: Builder, node: Application) -> Ref:
    source, dimension, _ = node.args
    return _over_rows(builder, "log_softmax", [source], dimension)


@lowers("aten._log_softmax_backward_data.default")
def log_softmax_backward(builder: Builder, node: Application) -> Ref:
    gradient, output, dimension, _ = node.args
    return _over_rows(builder, "log_softmax_backward", [gradient, output], dimension)


def _over_rows(builder: Builder, op: str, operands: list[Ref], dimension: int) -> Ref:
    shape = builder.shape(operands[0])
    require(
        len(shape) >= 1 and dimension % len(shape) == len(shape) - 1,
        f"dimension {dimension} of {shape} is not the last",
    )
    result = builder.emit(op, [_matrix(builder, ref, element_count(shape[:-1])) for ref in operands])
    return builder.reshape(result, shape)


MEAN, SUM = 1, 2
"""torch's numbers for loss reductions; 0 is none."""


@lowers("aten.nll_loss_forward.default")
def nll_loss(builder: Builder, node: Application) -> tuple[Ref, Ref]:
    source, target, weight, reduction, _ = node.args
    require(weight is None, "class weights")
    rows = builder.constant(float(builder.shape(source)[0]))
    losses = builder.emit("nll", [source, target])
    if reduction == 0:
        return losses, builder.constant(0.0)
    summed = total(builder, losses)
    return (builder.emit("div", [summed, rows]) if reduction == MEAN else summed), rows


@lowers("aten.nll_loss_backward.default")
def nll_loss_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, target, weight, reduction, _, rows = node.args
    require(weight is None, "class weights")
    classes = builder.shape(source)[1]
    if reduction == 0:
        picked = builder.emit("nll_backward", [builder.constant(1.0), target], [classes])
        column = builder.reshape(gradient, (*builder.shape(gradient), 1))
        return builder.emit("mul", [picked, column])
    scale = builder.emit("div", [gradient, rows]) if reduction == MEAN else gradient
    return builder.emit("nll_backward", [scale, target], [classes])


@lowers("aten.mse_loss.default")
def mse_loss(builder: Builder, node: Application) -> Ref:
    reduction = node.args[2] if len(node.args) > 2 else MEAN
    difference = builder.emit("sub", [node.args[0], node.args[1]])
    squares = builder.emit("mul", [difference, difference])
    if reduction == 0:
        return squares
    count = element_count(builder.shape(squares))
    summed = total(builder, squares)
    return builder.emit("div", [summed, builder.constant(float(count))]) if reduction == MEAN else summed


@lowers("aten.mse_loss_backward.default")
def mse_loss_backward(builder: Builder, node: Application) -> Ref:
    gradient, source, target, reduction = node.args
    difference = builder.emit("sub", [source, target])
    norm = 2.0 / element_count(builder.shape(difference)) if reduction == MEAN else 2.0
    return builder.emit("mul", [builder.emit("mul", [builder.constant(norm), difference]), gradient])
