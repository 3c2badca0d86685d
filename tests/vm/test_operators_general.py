"""The general operators' recipes against independent definitions in NumPy and mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from runtime.vm.check import check_program
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operators_map import CODES
from tests.vm import numeric as ref
from tests.vm.numeric import SPECIALS_F32, F, bits_of, f32_array
from tests.vm.programs import Array
from tests.vm.programs import run_operator as run
from tests.vm.test_check import applied
from tests.vm.test_operators import bits, draw, elementwise, same

# -- Functions of one number ------------------------------------------------------------------------------------------


def normal_below(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


EXACT = {
    Opcode.RSQRT_F32: lambda x: 1 / mpmath.sqrt(x),
    Opcode.TANH_F32: mpmath.tanh,
    Opcode.SIGMOID_F32: lambda x: 1 / (1 + mpmath.exp(-x)),
    Opcode.ERF_F32: mpmath.erf,
    Opcode.GELU_F32: lambda x: x * normal_below(x),
    Opcode.GELU_SLOPE_F32: lambda x: normal_below(x) + x * mpmath.npdf(x),
    Opcode.SIN_F32: mpmath.sin,
    Opcode.COS_F32: mpmath.cos,
}


@pytest.mark.parametrize("opcode", EXACT)
def test_a_function_is_within_one_unit_in_the_last_place(opcode: Opcode) -> None:
    """The nearest f32 nearly always, else its neighbour; near the slope's zero, the nearest to 2^-40 of 1."""
    generator = np.random.default_rng(1)
    x = np.concatenate([generator.standard_normal(150) * scale for scale in (1e-6, 1e-3, 0.3, 1, 4, 12, 1e6)]).astype(F)
    x = np.concatenate([x, f32_array([0x3F800000, 0xBF800000, 0x3F7FFFFF, 0xC0800000, 0x41200000, 0x00000001])])
    x = np.abs(x[x != 0]) if opcode == Opcode.RSQRT_F32 else x
    found = run("map", (0, 1, 1, CODES.index(opcode), 0), x)[0]
    misses = 0
    with mpmath.workprec(200):
        for value, given in zip(x, found, strict=True):
            exact = EXACT[opcode](mpmath.mpf(float(value)))
            wanted = ref.nearest_f32(exact)
            misses += int(given != wanted)
            near = {wanted, np.nextafter(wanted, F(np.inf)), np.nextafter(wanted, F(-np.inf))}
            assert given in near or abs(mpmath.mpf(float(given)) - exact) < 2.0**-40, (value, given, wanted)
    assert misses <= len(x) // 200


SPECIAL = {
    Opcode.RSQRT_F32: [(0.0, np.inf), (-0.0, -np.inf), (-1.0, np.nan), (np.inf, 0.0), (-np.inf, np.nan)],
    Opcode.TANH_F32: [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (50.0, 1.0)],
    Opcode.SIGMOID_F32: [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (-np.inf, 0.0), (-200.0, 0.0)],
    Opcode.ERF_F32: [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (9.0, 1.0)],
    Opcode.GELU_F32: [(0.0, 0.0), (-0.0, -0.0), (np.inf, np.inf), (-np.inf, -0.0), (90.0, 90.0)],
    Opcode.GELU_SLOPE_F32: [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (-np.inf, -0.0), (90.0, 1.0)],
    Opcode.SIN_F32: [
        (0.0, 0.0),
        (-0.0, -0.0),
        (np.inf, np.nan),
        (-np.inf, np.nan),
        (2.0**31, np.nan),
        (-(2.0**32), np.nan),
    ],
    Opcode.COS_F32: [
        (0.0, 1.0),
        (-0.0, 1.0),
        (np.inf, np.nan),
        (-np.inf, np.nan),
        (2.0**31, np.nan),
        (-(2.0**32), np.nan),
    ],
}


@pytest.mark.parametrize("opcode", SPECIAL)
def test_a_function_takes_its_limits_and_keeps_nan(opcode: Opcode) -> None:
    given, wanted = zip(*SPECIAL[opcode], (np.nan, np.nan), strict=True)
    found = run("map", (0, 1, 1, CODES.index(opcode), 0), np.array(given, F))[0]
    same(found, np.array(wanted, F))


# -- Maps -------------------------------------------------------------------------------------------------------------


def code(opcode: Opcode) -> int:
    return CODES.index(opcode)


def test_a_map_runs_its_line_on_broadcast_inputs_and_gives_several_outputs() -> None:
    x, y = draw(1, 3, 4, specials=True), draw(2, 4, specials=True)
    line = (code(Opcode.MUL_F32), 0, 2, code(Opcode.ADD_F32), 3, 1, code(Opcode.LESS_F32), 4, 0)
    product, total, below = run("map", (1, bits(1.1), 3, 3, 4, 5, *line), x, y)
    with np.errstate(all="ignore"):
        same(product, x * F(1.1))
        same(total, x * F(1.1) + y)
        same(below, (x * F(1.1) + y < x).astype(np.int32))


def test_a_map_computes_an_output_from_what_it_needs_alone() -> None:
    operations = {Opcode.EXP_F32: 16, Opcode.NEG_F32: 1}
    line = (code(Opcode.EXP_F32), 0, code(Opcode.NEG_F32), 0)
    checked = check_program(applied("map", (0, 2, 1, 2, *line), ("f32", (10,))))
    assert checked.gas == 10 * sum(operations.values())
    assert all(OPCODES[opcode].gas == gas for opcode, gas in operations.items())


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_integers_wrap(op: str) -> None:
    x = np.array([[2**31 - 1, -(2**31), 7]], np.int32)
    y = np.array([[1], [-1]], np.int32)
    with np.errstate(over="ignore"):
        wanted = {"add": x + y, "sub": x - y, "mul": x * y}[op]
    same(run(op, (), x, y)[0], wanted)


def test_integers_are_compared_with_their_sign() -> None:
    x, y = np.array([[-1], [5]], np.int32), np.array([[5, -1, 7]], np.int32)
    same(run("equal", (), x, y)[0], (x == y).astype(np.int32))
    same(run("less", (), x, y)[0], (x < y).astype(np.int32))


# -- Views and places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, F])
def test_strided_views_are_numpys(dtype: Any) -> None:
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    same(run("strided", (0, 4, 2, 3, 1, 12, 4), x)[0], x.transpose(2, 0, 1))
    same(run("strided", (23, 2, 3, 4, -12, -4, -1), x)[0], x[::-1, ::-1, ::-1])
    same(run("strided", (5, 2, 2, 3, 12, 2, 0), x)[0], np.repeat(x[:, 1, 1::2, None], 3, axis=2))


def test_padding_surrounds_and_spreads() -> None:
    x = draw(1, 2, 3, specials=True)
    wanted = np.full((2 + 3, 1 + 7), F(0.5))
    wanted[1:3, 1:8:3] = x
    same(run("pad", (bits(0.5), 1, 2, 0, 1, 0, 2), x)[0], wanted)


def test_joins_are_numpys() -> None:
    parts = [draw(n, 2, n, 3, specials=True) for n in (1, 2, 4)]
    same(run("concat", (1,), *parts)[0], np.concatenate(parts, axis=1))
    integers = np.arange(6, dtype=np.int32).reshape(2, 3)
    same(run("concat", (0,), integers, integers)[0], np.concatenate([integers, integers]))


def test_counting_wraps() -> None:
    same(run("iota", (5, -2, 4))[0], np.array([5, 3, 1, -1], np.int32))
    same(run("iota", (2**31 - 1, 1, 2))[0], np.array([2**31 - 1, -(2**31)], np.int32))


INDEX = np.array([[0, 2, 3], [-1, 2, 1]], np.int32)


def test_rows_are_taken_and_nan_where_there_is_none() -> None:
    table = draw(1, 3, 5)
    wanted = np.full((2, 3, 5), F(np.nan))
    inside = (INDEX >= 0) & (INDEX < 3)
    wanted[inside] = table[INDEX[inside]]
    same(run("take_rows", (), table, INDEX)[0], wanted)


def test_rows_are_scattered_in_order() -> None:
    grad = draw(2, 2, 3, 5, scale=1e4)
    wanted = np.zeros((3, 5), F)
    for place, row in enumerate(INDEX.reshape(-1)):
        if 0 <= row < 3:
            wanted[row] += grad.reshape(6, 5)[place]
    same(run("scatter_rows", (3,), grad, INDEX)[0], wanted)


def test_the_largest_of_a_row_is_its_first() -> None:
    x = np.array([[1, 3, 3, 2], [-5, -5, -6, -7], [0.0, -0.0, 0.0, -1], [1, np.nan, 2, np.nan]], F)
    values, places = run("row_max", (), x)
    same(values, np.array([3, -5, 0, np.nan], F))
    same(places, np.array([1, 0, 0, 0], np.int32))


# -- Sums and rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [0, 1])
def test_batched_products_read_operands_through_views(flag: int) -> None:
    a, b = draw(1, 2, 3, 4, 5), draw(2, 3, 6, 5)
    given = run("batch_matmul", (2, 3, 4, 6, 5, 0, 60, 20, 5, 1, 0, 0, 30, 1, 5, flag), a, b)[0]
    wanted = np.array([[ref.matmul32(a[i, j], b[j].T) for j in range(3)] for i in range(2)])
    same(given, wanted.transpose(0, 2, 1, 3) if flag else wanted)


@pytest.mark.parametrize("count", [1, 100, 4097])
def test_squares_are_summed_in_blocks(count: int) -> None:
    x = draw(count, count)
    wanted = [ref.lane_sum32(x[start : start + 4096] ** 2) for start in range(0, count, 4096)]
    same(run("block_square_sum", (), x)[0], np.array(wanted))


def softmax32(row: Array, scale: float, seen: int) -> tuple[Any, Any, Array]:
    scaled = row[:seen] * F(scale)
    largest = scaled[0]
    for value in scaled[1:]:
        largest = ref.max32(largest, value)
    powers = np.array([ref.exp32(value - largest) for value in scaled], F)
    total = ref.lane_sum32(powers)
    return largest, total, np.concatenate([powers / total, np.zeros(len(row) - seen, F)])


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("specials", [False, True])
def test_softmax_scales_masks_and_divides(causal: int, specials: bool) -> None:
    x = draw(3, 2, 4, 21, scale=3, specials=specials)
    outputs = run("softmax", (bits(0.25), causal), x)
    with np.errstate(all="ignore"):
        for row in np.ndindex(2, 4):
            wanted = softmax32(x[row], 0.25, row[1] + 1 if causal else 21)
            for given, expected in zip(outputs, wanted, strict=True):
                same(given[row] if given.shape[-1] > 1 else given[row][0], expected)


def test_the_gradient_of_softmax_rounds_every_operation() -> None:
    grad, out = draw(1, 3, 21, specials=True), draw(2, 3, 21)
    with np.errstate(all="ignore"):
        dots = np.array([[ref.lane_sum32(row)] for row in grad * out])
        for given, wanted in zip(
            run("softmax_backward", (bits(0.3),), grad, out), (dots, (grad - dots) * out * F(0.3)), strict=True
        ):
            same(given, wanted)


@elementwise
def rsqrt32(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return F(1 / np.sqrt(np.float64(x)))


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_layer_norm_rounds_every_operation(inputs: int) -> None:
    x, weight, bias = draw(1, 2, 3, 21), draw(2, 21), draw(3, 21)
    count = F(21)
    mean = np.array([[[ref.lane_sum32(row) / count] for row in part] for part in x])
    squares = np.array([[[ref.lane_sum32((row - m) ** 2) / count] for row, m in zip(*pair, strict=True)]
                        for pair in zip(x, mean, strict=True)])  # fmt: skip
    rstd = rsqrt32(squares + F(1e-5)).astype(F)
    wanted = (x - mean) * rstd
    wanted = wanted * weight if inputs > 1 else wanted
    wanted = wanted + bias if inputs > 2 else wanted
    for given, expected in zip(
        run("layer_norm", (bits(1e-5),), *(x, weight, bias)[:inputs]), (mean, rstd, wanted), strict=True
    ):
        same(given, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_of_layer_norm_rounds_every_operation(weighted: bool) -> None:
    grad, x, weight = draw(1, 3, 21), draw(2, 3, 21), draw(5, 21)
    mean, rstd = draw(3, 3, 1), draw(4, 3, 1)
    g = grad * weight if weighted else grad
    normal = (x - mean) * rstd
    first = np.array([[ref.lane_sum32(row) / F(21)] for row in g])
    second = np.array([[ref.lane_sum32(row) / F(21)] for row in g * normal])
    wanted = ((g - first) - normal * second) * rstd
    given = run("layer_norm_backward", (), grad, x, mean, rstd, *([weight] if weighted else []))
    for one, expected in zip(given, (first, second, wanted), strict=True):
        same(one, expected)


def test_views_and_pads_make_nan_canonical() -> None:
    x = f32_array(SPECIALS_F32)
    wanted = bits_of(x.copy()).tolist()
    assert run("strided", (0, len(x), 1), x)[0].view(np.uint32).tolist() == wanted
    assert run("pad", (0xFFC12345, 0, 1, 0), x)[0].view(np.uint32).tolist() == [*wanted, 0x7FC00000]
