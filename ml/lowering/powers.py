"""Powers, exponentials and logarithms, made of exp, log, tanh and products."""

from __future__ import annotations

import math

from ml.builder import Builder, Ref
from ml.lowering.base import Application, first, lowers, require, tensor
from ml.lowering.elementwise import choose
from runtime.vm.opcodes import Opcode

LARGEST_POWER = 64


@lowers("aten.pow.Tensor_Scalar")
def power(builder: Builder, node: Application) -> Ref:
    """Whole powers are products, halves are roots, all others exp(p log x): NaN below 0."""
    base, exponent = node.args
    if exponent in (0.5, -0.5):
        return builder.emit("sqrt", [base]) if exponent > 0 else builder.step(Opcode.RSQRT_F32, base)
    if exponent != int(exponent) or abs(exponent) > LARGEST_POWER:
        return builder.emit(
            "exp", [builder.emit("mul", [builder.emit("log", [base]), builder.constant(float(exponent))])]
        )
    if exponent == 0:
        return builder.constant(1.0, node.shape)
    result = _whole_power(builder, base, abs(int(exponent)))
    return result if exponent > 0 else builder.emit("div", [builder.constant(1.0), result])


def _whole_power(builder: Builder, base: Ref, exponent: int) -> Ref:
    """x^n by squaring, for n of 1 or more; x^3 is (x x) x, as torch has it."""
    if exponent == 1:
        return base
    half = _whole_power(builder, base, exponent // 2)
    square = builder.emit("mul", [half, half])
    return square if exponent % 2 == 0 else builder.emit("mul", [square, base])


@lowers("aten.pow.Scalar")
def power_of_number(builder: Builder, node: Application) -> Ref:
    """b^x as exp(x log b), log b being rounded to f32."""
    base, exponent = node.args
    require(base > 0, f"powers of {base}; the base must be above 0")
    return builder.emit("exp", [builder.emit("mul", [exponent, builder.constant(math.log(base))])])


@lowers("aten.exp2.default")
def power_of_two(builder: Builder, node: Application) -> Ref:
    return builder.emit("exp", [builder.emit("mul", [first(node), builder.constant(math.log(2))])])


@lowers("aten.log2.default", "aten.log10.default")
def logarithm(builder: Builder, node: Application) -> Ref:
    base = 2 if node.name == "aten.log2.default" else 10
    return builder.emit("div", [builder.emit("log", [first(node)]), builder.constant(math.log(base))])


@lowers("aten.expm1.default")
def expm1(builder: Builder, node: Application) -> Ref:
    return exp_minus_one(builder, first(node))


def exp_minus_one(builder: Builder, source: Ref) -> Ref:
    """2 t / (1 - t) with t = tanh(x / 2), which keeps every digit near 0; above 1 exp(x) - 1, which cancels none."""
    one = builder.constant(1.0)
    bent = builder.step(Opcode.TANH_F32, builder.emit("mul", [source, builder.constant(0.5)]))
    near = builder.emit("div", [builder.emit("add", [bent, bent]), builder.emit("sub", [one, bent])])
    far = builder.emit("sub", [builder.emit("exp", [source]), one])
    return choose(builder, builder.emit("less", [one, source]), far, near)


@lowers("aten.log1p.default")
def log1p(builder: Builder, node: Application) -> Ref:
    """log(u) x / (u - 1) with u = 1 + x, which undoes the rounding of u (Higham 2002, 1.14.1); x where u is 1."""
    source, one = first(node), builder.constant(1.0)
    near = builder.emit("add", [one, source])
    quotient = builder.emit("div", [source, builder.emit("sub", [near, one])])
    result = builder.emit("mul", [builder.emit("log", [near]), quotient])
    result = choose(builder, builder.emit("equal", [near, source]), builder.emit("log", [source]), result)
    return choose(builder, builder.emit("equal", [near, one]), source, result)


def log_one_plus_exp(builder: Builder, source: Ref) -> Ref:
    """log(1 + exp(z)), as max(z, 0) + log(1 + exp(-|z|)): it neither overflows nor cancels."""
    small = builder.emit("exp", [builder.emit("neg", [builder.emit("abs", [source])])])
    tail = builder.emit("log", [builder.emit("add", [builder.constant(1.0), small])])
    return builder.emit("add", [builder.emit("maximum", [source, builder.constant(0.0)]), tail])


@lowers("aten.xlogy.Tensor", "aten.xlogy.Scalar_Self", "aten.xlogy.Scalar_Other")
def x_log_y(builder: Builder, node: Application) -> Ref:
    """x log(y), and 0 where x is 0."""
    factor, source = (tensor(builder, argument) for argument in node.args)
    term = builder.emit("mul", [factor, builder.emit("log", [source])])
    none = builder.emit("equal", [factor, builder.constant(0.0)])
    return choose(builder, none, 0.0, term)
