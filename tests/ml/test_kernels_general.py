"""The general kernels (maps, views, batched products, rows and indices) against the interpreter, on any values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.selftest import SPECIALS, ordinary_floats, wild_floats
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operators_map import CODES
from runtime.vm.types import Kind
from tests.ml.kernel_cases import BACKENDS, execute, interpret, one_operator
from tests.ml.test_kernels import assert_defined, floats, labels, seeds, small

ONE, HALF = 0x3F800000, 0x3F000000


@pytest.mark.parametrize("opcode", [code for code in CODES if OPCODES[code].sources == (Kind.F32,)])
def test_every_unary_operation_of_a_map_is_the_interpreters(opcode: Opcode) -> None:
    x = np.concatenate([wild_floats(16 * len(SPECIALS), 3), ordinary_floats(300, 4), ordinary_floats(300, 5) * 4])
    assert_defined("map", (0, 1, 1, CODES.index(opcode), 0), [x.astype(np.float32)])


@pytest.mark.parametrize("opcode", [code for code in CODES if len(OPCODES[code].sources or ()) == 2])
def test_every_binary_operation_of_a_map_broadcasts_as_the_interpreter_does(opcode: Opcode) -> None:
    integers = (OPCODES[opcode].sources or ())[0] == Kind.I32
    for left, right in (((3, 17), (3, 17)), ((2, 1, 5), (4, 1)), ((), (3, 7)), ((5, 1), (1, 300)), ((4, 3), (3,))):
        x, y = floats(left, 1, True), floats(right, 2, True)
        pair = [x.view(np.int32), y.view(np.int32)] if integers else [x, y]
        assert_defined("map", (0, 1, 2, CODES.index(opcode), 0, 1), pair)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "equal", "less"])
def test_integers_are_added_multiplied_and_compared_as_by_the_interpreter(op: str) -> None:
    for left, right in (((3, 17), (3, 17)), ((5, 1), (1, 6))):
        assert_defined(op, (), [floats(left, 1, True).view(np.int32), floats(right, 2, True).view(np.int32)])


@settings(max_examples=25, deadline=None)
@given(st.data(), seeds, st.booleans())
def test_any_line_is_the_interpreters(data: st.DataObject, seed: int, wild: bool) -> None:
    """Random lines over broadcast inputs of both kinds, with several outputs."""
    shapes = ((3, 1, 7), (2, 1), (3, 2, 7), (), (7,))
    chosen = data.draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=4))
    arrays = [floats(shape, seed + n, wild) for n, shape in enumerate(chosen)]
    integers = data.draw(st.lists(st.booleans(), min_size=len(arrays), max_size=len(arrays)))
    arrays = [array.view(np.int32) if flag else array for array, flag in zip(arrays, integers, strict=True)]
    constants = data.draw(st.lists(st.sampled_from(SPECIALS.tolist()), max_size=3))
    kinds = [Kind.I32 if flag else Kind.F32 for flag in integers] + [Kind.F32] * len(constants)
    first, line = len(kinds), []
    for _ in range(data.draw(st.integers(1, 9))):
        codes = [n for n, code in enumerate(CODES) if set(OPCODES[code].sources or ()) <= set(kinds)]
        code = data.draw(st.sampled_from(codes))
        sources = OPCODES[CODES[code]].sources or ()
        slots = [data.draw(st.sampled_from([n for n, kind in enumerate(kinds) if kind == want])) for want in sources]
        line += [code, *slots]
        kinds.append(OPCODES[CODES[code]].result)
    outputs = data.draw(st.lists(st.integers(first, len(kinds) - 1), min_size=1, max_size=4))
    assert_defined("map", (len(constants), *constants, len(outputs), *outputs, *line), arrays)


@settings(max_examples=10, deadline=None)
@given(rows=small, columns=st.integers(1, 40), seed=seeds, wild=st.booleans())
def test_normalising_rows_is_the_interpreters(rows: int, columns: int, seed: int, wild: bool) -> None:
    x, other = floats((2, rows, columns), seed, wild), floats((2, rows, columns), seed + 1, wild)
    mean, rstd = floats((2, rows, 1), seed + 2, wild), floats((2, rows, 1), seed + 3, False)
    weight, bias = floats((columns,), seed + 4, wild), floats((columns,), seed + 5, wild)
    for causal in (0, 1):
        assert_defined("softmax", (HALF, causal), [x])
    assert_defined("softmax_backward", (HALF,), [other, x])
    assert_defined("row_max", (), [np.round(x, 1) if not wild else x])
    for arrays in ([x], [x, weight], [x, weight, bias]):
        assert_defined("layer_norm", (0x3727C5AC,), arrays)
    assert_defined("layer_norm_backward", (), [other, x, mean, rstd])
    assert_defined("layer_norm_backward", (), [other, x, mean, rstd, weight])


def test_long_rows_are_the_interpreters() -> None:
    x, y = floats((2, 515), 1, False), floats((2, 515), 2, False)
    assert_defined("softmax", (ONE, 0), [x])
    assert_defined("softmax_backward", (ONE,), [x, y])
    assert_defined("layer_norm", (0x3727C5AC,), [x])
    assert_defined("layer_norm_backward", (), [x, y, floats((2, 1), 3, False), floats((2, 1), 4, False)])
    assert_defined("block_square_sum", (), [floats((4099,), 3, False)])
    assert_defined("block_square_sum", (), [floats((2, 9), 3, True)])


@settings(max_examples=15, deadline=None)
@given(st.tuples(small, small, small, small), st.integers(1, 20), st.integers(0, 3), st.integers(0, 1), seeds)
def test_batched_products_of_views_are_the_interpreters(
    sizes: tuple[int, int, int, int], inner: int, orders: int, flag: int, seed: int
) -> None:
    first, second, rows, columns = sizes
    a = view_of((first, second, rows, inner), (0, 2, 1, 3) if orders & 1 else (0, 1, 3, 2))
    b = view_of((first, second, inner, columns), (1, 0, 2, 3) if orders & 2 else (0, 1, 3, 2))
    count = first * second * inner
    arrays = [floats((count * rows,), seed, False), floats((count * columns,), 7, True)]
    assert_defined("batch_matmul", (first, second, rows, columns, inner, *a, *b, flag), arrays)


def view_of(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """Offset and strides of a tensor that lies in memory with its dimensions in another order."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return (0, *strides)


def test_a_repeated_operand_of_long_products_is_read_in_place() -> None:
    a, b = floats((3, 5, 515), 1, False), floats((515, 9), 2, False)
    assert_defined("batch_matmul", (1, 3, 5, 9, 515, 0, 0, 2575, 515, 1, 0, 0, 0, 9, 1, 1), [a, b])


@settings(max_examples=15, deadline=None)
@given(shape=st.tuples(small, small, small), seed=seeds, data=st.data())
def test_views_pads_and_joins_are_the_interpreters(shape: tuple[int, int, int], seed: int, data: st.DataObject) -> None:
    x = floats(shape, seed, True)
    a, b, c = shape
    assert_defined("strided", (0, c, a, b, 1, b * c, c), [x])
    assert_defined("strided", (a * b * c - 1, a, b, c, -b * c, -c, -1), [x])
    assert_defined("strided", (c - 1, a, 2, b * c, 0), [x.view(np.int32)])
    amounts = data.draw(st.lists(st.integers(0, 2), min_size=9, max_size=9))
    assert_defined("pad", (0xFFC12345, *amounts), [x])
    assert_defined("pad", (7, *amounts), [x.view(np.int32)])
    others = [floats((a, data.draw(small), c), seed + n, True) for n in range(data.draw(st.integers(1, 7)))]
    assert_defined("concat", (1,), [x, *others])
    assert_defined("concat", (0,), [x.view(np.int32), x.view(np.int32)])


@settings(max_examples=10, deadline=None)
@given(rows=small, columns=st.integers(1, 20), seed=seeds, wild=st.booleans())
def test_rows_by_index_are_the_interpreters(rows: int, columns: int, seed: int, wild: bool) -> None:
    table, index = floats((rows, columns), seed, wild), labels(12, seed, rows).reshape(3, 4)
    assert_defined("take_rows", (), [table, index])
    assert_defined("scatter_rows", (rows,), [floats((3, 4, columns), seed, wild), index])


def test_counting_is_the_interpreters() -> None:
    for attributes in ((0, 1, 5), (2**31 - 2, 3, 9), (-5, -(2**31), 4)):
        checked = one_operator("iota", attributes, [])
        for backend in BACKENDS:
            assert execute(checked, [], backend=backend) == interpret(checked, [])


def test_choices_broadcast_as_by_the_interpreter() -> None:
    condition = labels(6, 1, 1).reshape(2, 1, 3)
    assert_defined("select", (), [condition, floats((), 1, True), floats((2, 4, 3), 2, True)])
    choices = floats((4, 1), 1, True).view(np.int32), floats((3,), 2, True).view(np.int32)
    assert_defined("select", (), [condition, *choices])
