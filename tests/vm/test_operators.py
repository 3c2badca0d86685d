"""Every operator's recipe against an independent definition, on random and special values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.vm.operators import OPERATORS
from tests.vm import numeric as ref
from tests.vm.numeric import SPECIALS_F32, F, bits_of, f32_array
from tests.vm.programs import Array
from tests.vm.programs import run_operator as run


def same(given: Array, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert given.shape == wanted.shape
    assert given.dtype == wanted.dtype
    if wanted.dtype == F:
        assert given.view(np.uint32).tolist() == bits_of(wanted).tolist()
    else:
        assert given.tolist() == wanted.tolist()


def draw(seed: int, *shape: int, scale: float = 1.0, specials: bool = False) -> Array:
    generator = np.random.default_rng(seed)
    values = (generator.standard_normal(shape) * scale).astype(F)
    if specials:
        flat = values.reshape(-1)
        places = generator.integers(0, flat.size, flat.size // 3)
        flat[places] = generator.choice(f32_array(SPECIALS_F32), places.size)
    return values


def bits(value: float) -> int:
    return int(F(value).view(np.uint32))


def elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    def apply(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            rows = zip(*(array.reshape(-1) for array in np.broadcast_arrays(*arrays)), strict=True)
            values = [function(*row) for row in rows]
        return np.array(values).reshape(np.broadcast_shapes(*(array.shape for array in arrays)))

    return apply


BINARY: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "maximum": ref.max32,
    "minimum": ref.min32,
    "equal": lambda a, b: np.int32(a == b),
    "less": lambda a, b: np.int32(a < b),
    "less_equal": lambda a, b: np.int32(a <= b),
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "abs": abs,
    "sqrt": np.sqrt,
    "exp": ref.exp32,
    "log": ref.log32,
    "relu": lambda x: ref.max32(x, F(0)),
}
BROADCASTS = [((4, 6), (4, 6)), ((5,), (3, 5)), ((3, 1, 4), (2, 1)), ((), (7,)), ((1, 1), (2, 3, 1)), ((), ())]


@pytest.mark.parametrize("op", BINARY)
def test_a_binary_operator_broadcasts_and_rounds_once(op: str) -> None:
    for seed, (left, right) in enumerate(BROADCASTS):
        a, b = draw(seed, *left, specials=True), draw(seed + 50, *right, specials=True)
        same(run(op, (), a, b)[0], elementwise(BINARY[op])(a, b))


@pytest.mark.parametrize("op", BINARY)
def test_a_binary_operator_handles_every_pair_of_special_values(op: str) -> None:
    specials = f32_array(SPECIALS_F32)
    a, b = specials.reshape(-1, 1), specials.reshape(1, -1)
    same(run(op, (), a, b)[0], elementwise(BINARY[op])(a, b))


@pytest.mark.parametrize("op", UNARY)
def test_a_unary_operator_rounds_once(op: str) -> None:
    x = np.concatenate([f32_array(SPECIALS_F32), draw(1, 60, scale=30)])
    same(run(op, (), x)[0], elementwise(UNARY[op])(x))


def test_relu_backward_passes_the_gradient_of_positive_and_nan_inputs() -> None:
    specials = f32_array(SPECIALS_F32)
    grad, x = (array.copy() for array in np.broadcast_arrays(specials.reshape(-1, 1), specials.reshape(1, -1)))
    same(run("relu_backward", (), grad, x)[0], np.where(x <= 0, F(0), grad))


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize("shape", [(2, 1, 3), (3, 255, 2), (2, 256, 2), (2, 257, 1), (1, 600, 2), (1, 768, 1)])
def test_matmul_sums_blocks_of_256_by_fma(shape: tuple[int, int, int], ta: int, tb: int) -> None:
    rows, inner, columns = shape
    a, b = draw(inner, rows, inner), draw(inner + 1, inner, columns)
    given = run("matmul", (ta, tb), np.ascontiguousarray(a.T if ta else a), np.ascontiguousarray(b.T if tb else b))
    same(given[0], ref.matmul32(a, b))


def test_matmul_propagates_special_values() -> None:
    a, b = draw(3, 4, 5, specials=True), draw(4, 5, 6, specials=True)
    same(run("matmul", (0, 0), a, b)[0], ref.matmul32(a, b))


@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 31, 33, 100])
def test_a_row_sum_uses_sixteen_lanes(columns: int) -> None:
    for specials in (False, True):
        x = draw(columns, 3, columns, specials=specials)
        same(run("row_sum", (), x)[0], np.array([ref.lane_sum32(row) for row in x]))


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 513])
def test_a_column_sum_uses_blocks_of_256_rows(rows: int) -> None:
    x = draw(rows, rows, 2, specials=rows < 10)
    same(run("col_sum", (), x)[0], ref.column_sum32(x))


@pytest.mark.parametrize("shape", [(), (5,), (4096,), (4097,), (2, 3, 700)])
def test_a_flat_sum_gives_one_element_for_each_4096(shape: tuple[int, ...]) -> None:
    x = draw(9, *shape)
    flat = x.reshape(-1)
    wanted = [ref.lane_sum32(flat[start : start + 4096]) for start in range(0, flat.size, 4096)]
    same(run("block_sum", (), x)[0], np.array(wanted))


@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (2, 16), (2, 37)])
def test_log_softmax_traces_its_statistics_before_its_output(shape: tuple[int, int]) -> None:
    for specials in (False, True):
        x = draw(shape[1], *shape, scale=5, specials=specials)
        for given, wanted in zip(run("log_softmax", (), x), ref.log_softmax32(x), strict=True):
            same(given, wanted)


def test_log_softmax_backward_rounds_every_operation() -> None:
    for specials in (False, True):
        grad, out = draw(1, 3, 21, specials=specials), draw(2, 3, 21, specials=specials)
        totals = np.array([ref.lane_sum32(row) for row in grad])
        with np.errstate(all="ignore"):
            wanted = grad - elementwise(ref.exp32)(out) * totals[:, None]
        for given, expected in zip(run("log_softmax_backward", (), grad, out), (totals, wanted), strict=True):
            same(given, expected)


def test_nll_reads_nan_for_a_label_out_of_range() -> None:
    logp = draw(5, 6, 3)
    label = np.array([0, 2, 3, -1, -(2**31), 1], np.int32)
    wanted = [-logp[r, c] if 0 <= c < 3 else F(np.nan) for r, c in enumerate(label)]
    same(run("nll", (), logp, label)[0], np.array(wanted, F))


def test_nll_backward_puts_the_negative_scale_at_the_label() -> None:
    label = np.array([0, 2, 3, -1, 1], np.int32)
    for scale in (F(0.25), F(-0.0), F(np.nan)):
        wanted = np.where(np.arange(3) == label[:, None], -scale, F(0)).astype(F)
        same(run("nll_backward", (3,), np.array(scale), label)[0], wanted)


@pytest.mark.parametrize("nesterov", [0, 1])
@pytest.mark.parametrize("decay", [0.0, 0.001, -0.0])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_rounds_every_operation(momentum: float, decay: float, nesterov: int) -> None:
    p, g, b = (draw(seed, 3, 4, specials=True) for seed in (1, 2, 3))
    rate = np.array(0.05, F)
    with np.errstate(all="ignore"):
        decayed = g if bits(decay) == 0 else g + F(decay) * p
        buffer = F(momentum) * b + decayed
        direction = decayed + F(momentum) * buffer if nesterov else buffer
        parameter = p - rate * direction
    given = run("sgd", (bits(momentum), bits(decay), nesterov), p, g, b, rate)
    same(given[0], buffer)
    same(given[1], parameter)


def test_casts_round_truncate_and_saturate() -> None:
    bytes_, words = np.arange(256, dtype=np.uint8), np.array([0, 1, 2**24 + 1, 2**32 - 1, 2**31 + 129], np.uint32)
    integers = np.array([0, -1, 2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31)], np.int32)
    for array in (bytes_, words, integers):
        same(run("cast", (0,), array)[0], array.astype(F))
    same(run("cast", (1,), bytes_)[0], bytes_.astype(np.int32))
    floats = f32_array([*SPECIALS_F32, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0xC2F6E979, 0x3FFFFFFF])
    wanted = [0 if np.isnan(x) else int(min(max(float(x), -(2.0**31)), 2.0**31 - 1)) for x in floats]
    same(run("cast", (1,), floats)[0], np.array(wanted, np.int32))


def test_fill_repeats_one_value_with_canonical_nan() -> None:
    same(run("fill", (bits(-2.5), 2, 3))[0], np.full((2, 3), -2.5, F))
    same(run("fill", (0x7F800001,))[0], np.array(np.nan, F))


@pytest.mark.parametrize("step", [0, 5])
def test_uniform_scales_the_elements_philox_word(step: int) -> None:
    low, high = F(-0.3), F(0.7)
    key = np.array([0x89ABCDEF, 0x01234567], np.uint32)
    words = [ref.philox_reference([e // 4, 0, 0, step], key.tolist())[e % 4] for e in range(15)]
    u = np.array([word >> 8 for word in words]).astype(F) * F(2.0**-24)
    given = run("uniform", (bits(low), bits(high), 3, 5), key, step=step)[0]
    same(given, (low + u * (high - low)).reshape(3, 5))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, F])
def test_views_move_elements(dtype: Any) -> None:
    x = np.arange(-6, 6).reshape(3, 4).astype(np.int64).astype(dtype)
    same(run("reshape", (2, 1, 6), x)[0], x.reshape(2, 1, 6))
    same(run("transpose", (), x)[0], x.T)
    same(run("broadcast_to", (2, 3, 4), x)[0], np.broadcast_to(x, (2, 3, 4)))
    same(run("broadcast_to", (3, 5), x[:, :1].copy())[0], np.broadcast_to(x[:, :1], (3, 5)))


@pytest.mark.parametrize(("op", "attributes"), [("reshape", (27,)), ("transpose", ()), ("broadcast_to", (1, 27))])
def test_views_make_nan_canonical(op: str, attributes: tuple[int, ...]) -> None:
    x = f32_array(SPECIALS_F32).reshape(1, -1)
    assert run(op, attributes, x)[0].reshape(-1).view(np.uint32).tolist() == bits_of(x.copy()).reshape(-1).tolist()


@pytest.mark.parametrize("dtype", [np.int32, F])
def test_select_chooses_by_the_condition(dtype: Any) -> None:
    condition = np.array([0, 1, -5, 0], np.int32)
    a, b = np.array([1, 2, 3, 4], dtype), np.array([5, 6, 7, 8], dtype)
    same(run("select", (), condition, a, b)[0], np.where(condition != 0, a, b))


def test_every_operator_of_the_table_is_tested_here_or_beside() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_operators*.py"))
    assert [name for name in OPERATORS if f'"{name}"' not in text] == []
