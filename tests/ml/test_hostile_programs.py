"""Programs made to break a worker: whatever the checks accept, every backend computes as defined, within its memory.

One node of each operator, its attributes and shapes bent at random. What the checks refuse costs no memory; what they
accept and is small runs on all backends, whose every value must equal the interpreter's. (`make sanitize` runs the same
programs on kernels that stop at the first byte outside a value.)
"""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from ml.backend import DTYPES
from ml.selftest import wild_floats, words
from runtime.errors import ProgramError
from runtime.vm.check import CheckedProgram
from runtime.vm.operators import OPERATORS
from tests.ml.kernel_cases import BACKENDS, execute, interpret, one_operator

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
F4, ROWS, CELL = ("f32", (4,)), ("f32", (3, 5)), ("f32", ())
WINDOW = (2, 3, 2, 2, 2, 2, 0, 0, 1, 1)
"""Outputs, taps, strides, padding and distances of a pool, each by height and width."""
EXAMPLES: dict[str, tuple[tuple[int, ...], Shapes]] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), ((), (ROWS, ("f32", (5,))))),
    **dict.fromkeys(("equal", "less", "less_equal"), ((), (ROWS, ("f32", (3, 1))))),
    **dict.fromkeys(("neg", "abs", "sqrt", "exp", "log", "relu", "row_sum", "col_sum", "transpose"), ((), (ROWS,))),
    **dict.fromkeys(("block_sum", "block_square_sum", "row_max", "log_softmax"), ((), (ROWS,))),
    **dict.fromkeys(("relu_backward", "log_softmax_backward"), ((), (ROWS, ROWS))),
    "select": ((), (("i32", (3, 5)), ROWS, ROWS)),
    "map": ((1, 0x40000000, 2, 3, 4, 0, 0, 2, 2, 3, 1), (ROWS, ("f32", (5,)))),
    "matmul": ((0, 1), (ROWS, ("f32", (2, 5)))),
    "batch_matmul": ((2, 1, 3, 2, 2, 0, 6, 0, 2, 1, 1, 4, 0, 2, 1, 1), (("f32", (12,)), ("f32", (9,)))),
    "conv2d": ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), (("f32", (1, 2, 4, 5)), ("f32", (3, 2, 3, 3)))),
    "max_pool": (WINDOW, (("f32", (1, 2, 4, 6)),)),
    "max_pool_backward": ((*WINDOW, 4, 6), (("f32", (1, 2, 2, 3)), ("i32", (1, 2, 2, 3)))),
    "reshape": ((5, 3), (ROWS,)),
    "broadcast_to": ((2, 3, 5), (ROWS,)),
    "cast": ((1,), (ROWS,)),
    "fill": ((0x7F800001, 3, 2), ()),
    "strided": ((1, 2, 3, 1, 2), (("f32", (9,)),)),
    "pad": ((0x3F800000, 1, 1, 0, 2, 0, 1), (ROWS,)),
    "concat": ((1,), (ROWS, ("f32", (3, 2)))),
    "iota": ((3, 7, 11), ()),
    "take_rows": ((), (ROWS, ("i32", (4,)))),
    "scatter_rows": ((6,), (("f32", (4, 5)), ("i32", (4,)))),
    "softmax": ((0x3F000000, 1), (ROWS,)),
    "softmax_backward": ((0x3F000000,), (ROWS, ROWS)),
    "layer_norm": ((0x3727C5AC,), (ROWS, ("f32", (5,)), ("f32", (5,)))),
    "layer_norm_backward": ((), (ROWS, ROWS, ("f32", (3, 1)), ("f32", (3, 1)), ("f32", (5,)))),
    "nll": ((), (ROWS, ("i32", (3,)))),
    "nll_backward": ((5,), (CELL, ("i32", (3,)))),
    "sgd": ((0x3F666666, 0x3A83126F, 1), (F4, F4, F4, CELL)),
}
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    16,
    17,
    33,
    255,
    1 << 16,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    -1,
    -2,
    -(1 << 63),
)
SMALL = 1 << 14
"""Bytes of values, and scalar operations, up to which a program is run."""


def test_every_operator_has_an_example_that_runs() -> None:
    assert set(EXAMPLES) == set(OPERATORS) - {"uniform"}
    for op in EXAMPLES:
        attributes, shapes = EXAMPLES[op]
        require_defined(one_operator(op, attributes, arrays_of(shapes, 1)), arrays_of(shapes, 1))


def arrays_of(shapes: Shapes, seed: int) -> list[np.ndarray]:
    """Any floats; integers mostly within the small shapes, some far outside."""
    arrays = []
    for number, (dtype, shape) in enumerate(shapes):
        count = int(np.prod(shape, dtype=np.int64))
        raw = words(count, seed + number)
        near = np.where(raw % np.uint32(9) < 8, raw % np.uint32(7), raw).astype(np.uint32)
        data = wild_floats(count, seed + number) if dtype == "f32" else near.astype(DTYPES[dtype])
        arrays.append(data.reshape(shape))
    return arrays


def bent(generator: random.Random, op: str) -> tuple[tuple[int, ...], Shapes]:
    """An operator's example with one to three edits."""
    attributes, shapes = list(EXAMPLES[op][0]), [(dtype, list(shape)) for dtype, shape in EXAMPLES[op][1]]
    for _ in range(generator.randrange(1, 4)):
        numbers = generator.choice([attributes, *(shape for _, shape in shapes)])
        near = numbers is not attributes or generator.random() < 0.6
        new = generator.randrange(0, 7) if near else generator.choice(NUMBERS)
        place = generator.randrange(len(numbers) + 1)
        if place < len(numbers):
            numbers[place] = new
        elif generator.random() < 0.3:
            numbers.append(new)
    return tuple(attributes), tuple((dtype, tuple(shape)) for dtype, shape in shapes)


def require_defined(checked: CheckedProgram, arrays: list[np.ndarray]) -> None:
    expected = interpret(checked, arrays)
    for backend in BACKENDS:
        assert execute(checked, arrays, backend=backend) == expected, (checked.program, backend.name)


@pytest.mark.parametrize("op", EXAMPLES)
def test_what_the_checks_accept_is_computed_as_defined(op: str) -> None:
    generator, ran = random.Random(op), 0
    for seed in range(60):
        attributes, shapes = bent(generator, op)
        if any(size <= 0 or size > SMALL for _, shape in shapes for size in shape):
            continue
        arrays = arrays_of(shapes, seed)
        try:
            checked = one_operator(op, attributes, arrays)
        except ProgramError:
            continue
        if sum(value.bytes for value in checked.values) <= SMALL and checked.gas <= SMALL and ran < 8:
            require_defined(checked, arrays)
            ran += 1


@pytest.mark.parametrize("op", EXAMPLES)
def test_a_program_of_absurd_sizes_is_judged_without_memory(op: str) -> None:
    """Inputs are only spoken of here: zero bytes of them exist."""
    generator = random.Random(op + "!")
    tracemalloc.start()
    try:
        for _ in range(150):
            attributes, shapes = bent(generator, op)
            huge = [
                np.broadcast_to(DTYPES[dtype].type(0), shape) for dtype, shape in shapes if min(shape, default=1) > 0
            ]
            if len(huge) == len(shapes):
                try:
                    one_operator(op, (*attributes[:-1], *(generator.choice(NUMBERS) for _ in attributes[-1:])), huge)
                except ProgramError:
                    continue
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
