"""Malformed applications of the general operators: each a `ProgramError` that names node and rule, and cheap."""

from __future__ import annotations

import pytest

from runtime.vm.check import check_program
from runtime.vm.operators_map import CODES, MAX_CELLS
from runtime.vm.program import Named, Node, Program
from tests.vm.test_check import applied, refuse

X, V, INDEX = ("f32", (3, 4)), ("f32", (4,)), ("i32", (3,))
PRODUCT = (1, 1, 3, 4, 2, 0, 0, 0, 2, 1, 0, 0, 0, 4, 1, 0)
OPERANDS = ("f32", (3, 2)), ("f32", (2, 4))


def alone(op: str, *attributes: int) -> Program:
    return Program(1, (), (Node(op, attributes, ()),), (), (Named("out", 0),))


IMAGE, KERNEL = ("f32", (2, 4, 5, 6)), ("f32", (6, 2, 3, 3))
PLAIN = (1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 2)
WINDOW = (2, 3, 2, 2, 2, 2, 0, 0, 1, 1)

MALFORMED = {
    "node 0 ('conv2d'): takes 11 attributes, not 10": applied("conv2d", PLAIN[:10], IMAGE, KERNEL),
    "node 0 ('conv2d'): needs a tensor of rank 4": applied("conv2d", PLAIN, ("f32", (3,)), KERNEL),
    "window 0 is outside 1..": applied("conv2d", (0, *PLAIN[1:]), IMAGE, KERNEL),
    "window 1048577 is outside": applied("conv2d", (1, 1, (1 << 20) + 1, *PLAIN[3:]), IMAGE, KERNEL),
    "groups 0": applied("conv2d", (*PLAIN[:10], 0), IMAGE, KERNEL),
    "4 channels are not 1 groups of 2": applied("conv2d", (*PLAIN[:10], 1), IMAGE, KERNEL),
    "5 outputs are not 2 groups": applied("conv2d", PLAIN, IMAGE, ("f32", (5, 2, 3, 3))),
    "a kernel that reaches over 9 elements of 5": applied("conv2d", (*PLAIN[:8], 4, 1, 2), IMAGE, KERNEL),
    "node 0 ('max_pool'): takes 10 attributes": applied("max_pool", WINDOW[:9], IMAGE),
    "the last window begins at 6 of 5": applied("max_pool", (4, *WINDOW[1:]), IMAGE),
    "padding 2 is outside 0..1": applied("max_pool", (*WINDOW[:6], 2, 0, 1, 1), IMAGE),
    "padding with distant taps": applied("max_pool", (*WINDOW[:6], 1, 0, 2, 1), IMAGE),
    "grad f32[2, 4, 5, 6] is not of size (2, 3)": applied(
        "max_pool_backward", (*WINDOW, 5, 6), IMAGE, ("i32", (2, 4, 5, 6))
    ),
    "and place i32[2, 4, 2, 2] differ": applied("max_pool_backward", (*WINDOW, 5, 6), IMAGE, ("i32", (2, 4, 2, 2))),
    "image 0 is outside": applied("max_pool_backward", (*WINDOW, 0, 6), IMAGE, ("i32", (2, 4, 5, 6))),
    "node 0 ('map'): number of inputs 0 is outside 1..8": alone("map", 0, 1, 0, 9, 0),
    "number of inputs 9": applied("map", (0, 1, 9, 9, 0), *[V] * 9),
    "input 0 must be f32 or i32, not u8[4]": applied("map", (0, 1, 1, 9, 0), ("u8", (4,))),
    "shapes (3, 4) and (3,) do not broadcast": applied("map", (0, 1, 2, 0, 0, 1), X, ("f32", (3,))),
    "node 0 ('map'): the line ends too early": applied("map", (), V),
    "constants 31 is outside 0..30": applied("map", (31,), V),
    "constants -1": applied("map", (-1,), V),
    "outputs 0 is outside 1..4": applied("map", (0, 0), V),
    "outputs 5": applied("map", (0, 5, 1, 1, 1, 1, 1, 9, 0), V),
    "attribute 4294967296 is not an f32": applied("map", (1, 1 << 32, 1, 2, 9, 0), V),
    f"code {len(CODES)} is outside": applied("map", (0, 1, 1, len(CODES), 0), V),
    "slot 1 is outside 0..0": applied("map", (0, 1, 1, 9, 1), V),
    "slot -1 is outside": applied("map", (0, 1, 1, 9, -1), V),
    "ADD_F32 reads I32 in slot 0, not F32": applied("map", (0, 1, 1, 0, 0, 0), INDEX),
    "output slot 0 is outside 1..1": applied("map", (0, 1, 0, 9, 0), V),
    "output slot 1 is outside 1..0": applied("map", (0, 1, 1), V),
    "more than 30 constants and operations": applied("map", (0, 1, 1, *(9, 0) * (MAX_CELLS + 1)), V),
    "takes 16 attributes, not 15": applied("batch_matmul", PRODUCT[:15], *OPERANDS),
    "node 0 ('batch_matmul'): flag 2": applied("batch_matmul", (*PRODUCT[:15], 2), *OPERANDS),
    "node 0 ('batch_matmul'): dimension 0": applied("batch_matmul", (0, *PRODUCT[1:]), *OPERANDS),
    "reads element 6 of f32[3, 2]": applied("batch_matmul", (*PRODUCT[:5], 1, *PRODUCT[6:]), *OPERANDS),
    "reads element 8 of f32[2, 4]": applied("batch_matmul", (*PRODUCT[:10], 1, *PRODUCT[11:]), *OPERANDS),
    "offset or stride -1": applied("batch_matmul", (*PRODUCT[:5], -1, *PRODUCT[6:]), *OPERANDS),
    "offset or stride 4611686018427387904": applied("batch_matmul", (*PRODUCT[:5], 1 << 62, *PRODUCT[6:]), *OPERANDS),
    "takes an offset, a shape, and as many strides": applied("strided", (0, 3), V),
    "reaches elements 0..4 of f32[4]": applied("strided", (0, 5, 1), V),
    "reaches elements -1..0 of f32[4]": applied("strided", (0, 2, -1), V),
    "node 0 ('strided'): rank 20000": applied("strided", (0,) * 40001, V),
    "node 0 ('strided'): stride": applied("strided", (0, 2, 1 << 62), V),
    "takes 7 attributes, not 4": applied("pad", (0, 1, 1, 0), X),
    "padding -1": applied("pad", (0, -1, 0, 0), V),
    "takes one f32 or i32 input": applied("pad", (0, 1, 0, 0), ("u8", (4,))),
    "node 0 ('pad'): dimension 8589934596": applied("pad", (0, 1 << 32, 1 << 32, 0), V),
    "number of inputs 1 is outside 2..8": applied("concat", (0,), V),
    "axis 1 of f32[4]": applied("concat", (1,), V, V),
    "f32[3, 4] does not join f32[4] along axis 0": applied("concat", (0,), V, X),
    "i32[3] does not join f32[4]": applied("concat", (0,), V, INDEX),
    "takes no inputs, and a start, a step and a count": alone("iota", 1, 2),
    "number 2147483648 is outside": alone("iota", 1 << 31, 0, 1),
    "count 0 is outside": alone("iota", 0, 1, 0),
    "node 0 ('take_rows'): needs a tensor of rank 2": applied("take_rows", (), V, INDEX),
    "node 0 ('take_rows'): input 1 must be i32": applied("take_rows", (), X, V),
    "index i32[3] does not match grad f32[4]": applied("scatter_rows", (5,), V, INDEX),
    "row count 0": applied("scatter_rows", (0,), X, INDEX),
    "node 0 ('row_max'): needs at least one dimension": applied("row_max", (), ("f32", ())),
    "a causal softmax needs a matrix": applied("softmax", (0, 1), V),
    "node 0 ('softmax'): flag 3": applied("softmax", (0, 3), X),
    "grad f32[3, 4] and out f32[4] differ": applied("softmax_backward", (0,), X, V),
    "takes 1 to 3 inputs, not 4": applied("layer_norm", (0,), X, V, V, V),
    "f32[3, 4] does not match rows": applied("layer_norm", (0,), X, X),
    "takes 4 or 5 inputs, not 2": applied("layer_norm_backward", (), X, X),
    "statistics f32[4] and f32[4] do not match": applied("layer_norm_backward", (), X, X, V, V),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_a_malformed_general_node_is_refused_by_name_and_rule(message: str) -> None:
    refuse(MALFORMED[message], message)


def test_sparse_operators_cost_what_a_kernel_does() -> None:
    """Not what all elements' recipes together would: those read every position for every row of the table."""
    checked = check_program(applied("scatter_rows", (50_000,), ("f32", (3, 4)), INDEX))
    assert checked.gas == 50_000 * 4 + 3 * 12


def test_a_causal_softmax_costs_as_if_every_row_saw_as_many_columns_as_the_last() -> None:
    causal, whole = (check_program(applied("softmax", (0x3F800000, flag), ("f32", (2, 5, 5)))).gas for flag in (1, 0))
    assert causal == pytest.approx(whole, rel=0.01)
    narrow = check_program(applied("softmax", (0x3F800000, 1), ("f32", (2, 5, 40)))).gas
    assert narrow < check_program(applied("softmax", (0x3F800000, 0), ("f32", (2, 5, 40)))).gas
