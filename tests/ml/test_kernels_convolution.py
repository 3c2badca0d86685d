"""Convolution and pooling kernels against the interpreter, over all attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.kernels import INSTRUCTION_SETS, CpuBackend
from runtime.errors import ProgramError
from tests.ml.kernel_cases import execute, one_operator
from tests.ml.test_kernels import assert_defined, floats, labels, seeds

few = st.integers(1, 3)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=seeds, wild=st.booleans())
def test_convolutions_are_the_interpreters(data: st.DataObject, seed: int, wild: bool) -> None:
    images, groups, inner, outputs = (data.draw(few) for _ in range(4))
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 11)))
    kernel = data.draw(st.tuples(few, few))
    stride, spread, apart = (data.draw(st.tuples(few, few)) for _ in range(3))
    sides = data.draw(st.lists(st.integers(-1, 3), min_size=4, max_size=4))
    image, weight = (
        floats((images, groups * inner, *size), seed, wild),
        floats((groups * outputs, inner, *kernel), 7, wild),
    )
    attributes = (*stride, *sides, *spread, *apart, groups)
    try:
        one_operator("conv2d", attributes, [image, weight])
    except ProgramError:
        return  # the window is larger than the image
    assert_defined("conv2d", attributes, [image, weight])


def test_a_deep_convolution_sums_in_blocks() -> None:
    image, weight = floats((1, 40, 3, 3), 1, False), floats((2, 40, 3, 3), 2, False)
    assert_defined("conv2d", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), [image, weight])


@pytest.mark.parametrize("shape", [(9, 300, 4, 9), (40, 300, 5, 3), (16, 70, 33, 3), (33, 30, 3, 35)])
def test_a_deep_convolution_is_the_same_with_every_instruction_set_and_thread_count(
    shape: tuple[int, int, int, int],
) -> None:
    """Lines, outputs or packed panels may lie on the lanes: by the shape and by the instruction set."""
    outputs, inner, height, width = shape
    image, weight = floats((2, inner, height, width), 1, False), floats((outputs, inner, 3, 3), 2, False)
    arrays = [image, weight]
    checked = one_operator("conv2d", (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), arrays)
    results = {tuple(execute(checked, arrays, backend=CpuBackend(n, s))) for s in INSTRUCTION_SETS for n in (1, 3)}
    assert len(results) == 1
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    exact = np.einsum("nchwij,ocij->nohw", patches, weight.astype(np.float64))
    found = np.frombuffer(results.pop()[-1], np.float32).reshape(exact.shape)
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=seeds, wild=st.booleans())
def test_pools_are_the_interpreters(data: st.DataObject, seed: int, wild: bool) -> None:
    size = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    taps, stride = data.draw(st.tuples(few, few)), data.draw(st.tuples(few, few))
    before = tuple(data.draw(st.integers(0, tap - 1)) for tap in taps)
    apart = tuple(1 if pad else data.draw(few) for pad in before)
    out = tuple(
        data.draw(st.integers(1, 1 + (n - 1 + pad) // step)) for n, pad, step in zip(size, before, stride, strict=True)
    )
    attributes = (*out, *taps, *stride, *before, *apart)
    image = floats((2, 1, *size), seed, wild)
    assert_defined("max_pool", attributes, [image if wild else np.round(image)])
    places = labels(2 * out[0] * out[1], seed, size[0] * size[1]).reshape(2, 1, *out)
    assert_defined("max_pool_backward", (*attributes, *size), [floats((2, 1, *out), seed + 1, wild), places])


def test_a_place_outside_its_window_gets_nothing() -> None:
    """Places are data: a program may feed any, so kernel and definition must agree on all of them."""
    attributes = (2, 2, 2, 2, 2, 2, 0, 0, 1, 1, 4, 4)
    for place in range(-1, 17):
        places = np.full((1, 1, 2, 2), place, np.int32)
        assert_defined("max_pool_backward", attributes, [floats((1, 1, 2, 2), 1, False), places])
