"""Convolution and pooling recipes against independent definitions in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vm import numeric as ref
from tests.vm.numeric import F
from tests.vm.programs import Array
from tests.vm.programs import run_operator as run
from tests.vm.test_operators import draw, same


def spread_and_pad(image: Array, spread: tuple[int, int], sides: tuple[int, int, int, int]) -> Array:
    """Zeros between and around the pixels; negative sides cut."""
    images, channels, height, width = image.shape
    wide = np.zeros((images, channels, (height - 1) * spread[0] + 1, (width - 1) * spread[1] + 1), F)
    wide[:, :, :: spread[0], :: spread[1]] = image
    padded = np.pad(wide, ((0, 0), (0, 0), *((max(0, a), max(0, b)) for a, b in (sides[:2], sides[2:]))))
    top, bottom, left, right = (max(0, -side) for side in sides)
    return padded[:, :, top : padded.shape[2] - bottom, left : padded.shape[3] - right]


def conv32(image: Array, weight: Array, attributes: tuple[int, ...]) -> Array:
    """Blocks of 256 over (channel, row, column), by fma, zeros included."""
    stride, sides, spread, apart, groups = (
        attributes[:2], attributes[2:6], attributes[6:8], attributes[8:10], attributes[10],
    )  # fmt: skip
    padded = spread_and_pad(image, spread, sides)
    outputs, inner, rows, columns = weight.shape
    height = (padded.shape[2] - (rows - 1) * apart[0] - 1) // stride[0] + 1
    width = (padded.shape[3] - (columns - 1) * apart[1] - 1) // stride[1] + 1
    out = np.zeros((image.shape[0], outputs, height, width), F)
    for n, o, y, x in np.ndindex(*out.shape):
        first = o // (outputs // groups) * inner
        top, left = y * stride[0], x * stride[1]
        patch = padded[
            n, first : first + inner, top : top + (rows - 1) * apart[0] + 1 : apart[0],
            left : left + (columns - 1) * apart[1] + 1 : apart[1],
        ]  # fmt: skip
        out[n, o, y, x] = ref.matmul32(patch.reshape(1, -1), weight[o].reshape(-1, 1))[0, 0]
    return out


CASES = [
    (1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1),
    (2, 1, 1, 1, 1, 0, 1, 1, 1, 2, 1),
    (1, 1, 2, 1, 0, 2, 2, 3, 1, 1, 1),
    (1, 2, -1, 1, 1, -1, 1, 2, 2, 1, 2),
]


@pytest.mark.parametrize("attributes", CASES)
@pytest.mark.parametrize("specials", [False, True])
def test_a_convolution_multiplies_zeros_outside_the_image(attributes: tuple[int, ...], specials: bool) -> None:
    groups = attributes[10]
    image, weight = draw(1, 2, 2, 5, 4, specials=specials), draw(2, 4, 2 // groups, 2, 2, specials=specials)
    same(run("conv2d", attributes, image, weight)[0], conv32(image, weight, attributes))


def test_a_deep_convolution_sums_blocks_of_256() -> None:
    image, weight = draw(1, 1, 70, 2, 2), draw(2, 1, 70, 2, 2)
    attributes = (1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1)
    same(run("conv2d", attributes, image, weight)[0], conv32(image, weight, attributes))


def windows(shape: tuple[int, int], attributes: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    """For every output the pixels that its taps read, in order."""
    rows, columns, taps_y, taps_x, stride_y, stride_x, before_y, before_x, apart_y, apart_x = attributes
    found = []
    for y, x in np.ndindex(rows, columns):
        places = [
            (y * stride_y - before_y + i * apart_y, x * stride_x - before_x + j * apart_x)
            for i, j in np.ndindex(taps_y, taps_x)
        ]
        found.append([(r, c) for r, c in places if 0 <= r < shape[0] and 0 <= c < shape[1]])
    return found


POOLS = [(2, 2, 2, 2, 2, 2, 0, 0, 1, 1), (3, 3, 3, 3, 2, 2, 1, 1, 1, 1), (3, 2, 2, 3, 1, 1, 0, 0, 2, 1)]


@pytest.mark.parametrize("attributes", POOLS)
def test_a_pool_takes_the_first_of_the_largest(attributes: tuple[int, ...]) -> None:
    image = np.round(draw(3, 2, 2, 5, 5), 0)
    image[0, 0, 2, 2] = np.nan
    values, places = run("max_pool", attributes, image)
    for n, c in np.ndindex(2, 2):
        for at, taps in enumerate(windows((5, 5), attributes)):
            seen = [image[n, c, y, x] for y, x in taps]
            number = 0 if np.isnan(seen).any() else int(np.argmax(seen))
            assert places[n, c].reshape(-1)[at] == taps[number][0] * 5 + taps[number][1]
            largest = F(np.nan) if np.isnan(seen).any() else seen[number]
            assert np.array_equal(values[n, c].reshape(-1)[at], largest, equal_nan=True)


@pytest.mark.parametrize("attributes", POOLS)
def test_a_pools_gradient_goes_to_the_places_inside_their_windows(attributes: tuple[int, ...]) -> None:
    out = attributes[:2]
    grad = draw(4, 1, 2, *out, scale=1e3)
    places = np.random.default_rng(1).integers(-1, 26, (1, 2, *out)).astype(np.int32)
    found = run("max_pool_backward", (*attributes, 5, 5), grad, places)[0]
    wanted = np.zeros((1, 2, 5, 5), F)
    rows, columns = (attributes[axis + 4] for axis in (0, 1))
    for c in range(2):
        for at, (y, x) in enumerate(np.ndindex(*out)):
            place = int(places[0, c].reshape(-1)[at])
            dy = place // 5 - y * rows + attributes[6]
            dx = place % 5 - x * columns + attributes[7]
            reach = [(attributes[2 + axis] - 1) * attributes[8 + axis] for axis in (0, 1)]
            if 0 <= place < 25 and 0 <= dy <= reach[0] and 0 <= dx <= reach[1]:
                wanted[0, c, place // 5, place % 5] += grad[0, c].reshape(-1)[at]
    same(found, wanted)
