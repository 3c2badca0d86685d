"""Convolution and pooling of images [N, channels, height, width].

One operator, ``conv2d``, is a layer's forward pass, and with other attributes the gradients of its input (pixels
spread apart by the stride) and of its weights (batch and channels exchanged), as in XLA's general convolution.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.vm.instructions import Instruction, Recipe, Register, blocked_sum, straight, with_constants
from runtime.vm.opcodes import Opcode, Registers
from runtime.vm.operator_base import Application, Operator, require, require_arity, require_range, require_rank
from runtime.vm.types import TensorType, f32, i32

Types = tuple[TensorType, ...]
MAX_WINDOW = 1 << 20
"""Bound on strides, paddings and distances."""


class Window(NamedTuple):
    """Along one axis: step between outputs, elements before the image, distance of its pixels, distance of taps."""

    stride: int
    before: int
    spread: int
    apart: int

    def pixel(self, output: int, tap: int, size: int) -> int | None:
        """The pixel that a tap of an output reads, or None where there is none."""
        index, between = divmod(output * self.stride + tap * self.apart - self.before, self.spread)
        return index if between == 0 and 0 <= index < size else None


def _windows(attributes: tuple[int, ...]) -> tuple[Window, Window]:
    stride, before, spread, apart = attributes[0:2], attributes[2:6:2], attributes[6:8], attributes[8:10]
    vertical, horizontal = zip(stride, before, spread, apart, strict=True)
    return Window(*vertical), Window(*horizontal)


def _conv2d_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[N, G*C, H, W] and w[G*O, C, kh, kw] give [N, G*O, ...].

    Attributes, for height and width each: stride; elements before and after (negative: cut off); distance of
    pixels, which are spread with zeros between them; distance of taps. Then G.
    """
    require_arity(attributes, inputs, 11, ("f32", "f32"))
    for tensor in inputs:
        require_rank(tensor, 4)
    (images, channels, *image), (outputs, inner, *kernel) = inputs[0].shape, inputs[1].shape
    for position, number in enumerate(attributes[:10]):
        require_range("window", number, -MAX_WINDOW if 2 <= position < 6 else 1, MAX_WINDOW)
    groups = attributes[10]
    require_range("groups", groups, 1, MAX_WINDOW)
    require(channels == groups * inner, f"{channels} channels are not {groups} groups of {inner}")
    require(outputs % groups == 0, f"{outputs} outputs are not {groups} groups")
    sizes = []
    for axis, window in enumerate(_windows(attributes)):
        after = attributes[3 + 2 * axis]
        wide = (image[axis] - 1) * window.spread + 1 + window.before + after
        reach = (kernel[axis] - 1) * window.apart + 1
        require(wide >= reach, f"a kernel that reaches over {reach} elements of {wide}")
        sizes.append((wide - reach) // window.stride + 1)
    return (TensorType("f32", (images, outputs, *sizes)),)


def _conv2d_recipe(node: Application, output: int, element: int) -> Recipe:
    """K runs over (channel, kernel row, kernel column); a tap outside the image multiplies +0 from register 3."""
    (_, channels, height, width), (_, inner, rows, columns) = node.inputs[0].shape, node.inputs[1].shape
    _, outputs, out_height, out_width = node.outputs[0].shape
    rest, x = divmod(element, out_width)
    rest, y = divmod(rest, out_height)
    image, unit = divmod(rest, outputs)
    vertical, horizontal = _windows(node.attributes)
    plane = image * channels + unit // (outputs // node.attributes[10]) * inner
    taps = inner * rows * columns

    def term(k: int, destination: int, accumulator: Register) -> Instruction:
        channel, tap = divmod(k, rows * columns)
        i, j = divmod(tap, columns)
        row, column = vertical.pixel(y, i, height), horizontal.pixel(x, j, width)
        weight = node.load(1, unit * taps + k)
        if row is None or column is None:
            return Instruction(Opcode.FMA_F32, destination, (Register(3), weight, accumulator))
        pixel = node.load(0, ((plane + channel) * height + row) * width + column)
        return Instruction(Opcode.FMA_F32, destination, (pixel, weight, accumulator))

    return with_constants(blocked_sum(taps, term), {3: 0})


# -- Pooling ----------------------------------------------------------------------------------------------------------


class Pool(NamedTuple):
    """Along one axis: the output's size, taps, step between outputs, elements before the image, distance of taps."""

    outputs: int
    taps: int
    stride: int
    before: int
    apart: int

    def seen(self, output: int, size: int) -> tuple[int, int, int]:
        """(first pixel, pixels, distance) of the taps of an output that lie in the image."""
        start = output * self.stride - self.before
        skipped = max(0, -(start // self.apart))
        first = start + skipped * self.apart
        count = min(self.taps - skipped, (size - 1 - first) // self.apart + 1)
        return first, count, self.apart

    def readers(self, pixel: int) -> range:
        """Outputs whose windows may cover a pixel."""
        reach = (self.taps - 1) * self.apart
        low = -((reach - pixel - self.before) // self.stride)
        return range(max(0, low), min(self.outputs, (pixel + self.before) // self.stride + 1))


def _pools(attributes: tuple[int, ...]) -> tuple[Pool, Pool]:
    vertical, horizontal = attributes[0:10:2], attributes[1:10:2]
    return Pool(*vertical), Pool(*horizontal)


def _check_pools(attributes: tuple[int, ...], image: tuple[int, ...]) -> None:
    for pool, size in zip(_pools(attributes), image, strict=True):
        for number in (pool.outputs, pool.taps, pool.stride, pool.apart):
            require_range("window", number, 1, MAX_WINDOW)
        require_range("padding", pool.before, 0, pool.taps - 1)
        require(pool.before == 0 or pool.apart == 1, "padding with distant taps")
        last = (pool.outputs - 1) * pool.stride - pool.before
        require(last < size, f"the last window begins at {last} of {size}")
    require(image[0] * image[1] < 1 << 31, f"an image of {image[0]} x {image[1]}")


def _max_pool_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """x[N, C, H, W] gives the largest of each window, then the i32 place y * W + x of its first occurrence.

    Attributes, for height and width each: size of the output, taps, stride, elements before, distance of taps. Taps
    outside the image are left out. Where the largest is NaN the place is that of the first tap.
    """
    require_arity(attributes, inputs, 10, ("f32",))
    require_rank(inputs[0], 4)
    _check_pools(attributes, inputs[0].shape[2:])
    shape = (*inputs[0].shape[:2], *attributes[:2])
    return TensorType("f32", shape), TensorType("i32", shape)


def _max_pool_recipe(node: Application, output: int, element: int) -> Recipe:
    height, width = node.inputs[0].shape[2:]
    vertical, horizontal = _pools(node.attributes)
    rest, x = divmod(element, horizontal.outputs)
    plane, y = divmod(rest, vertical.outputs)
    top, rows, down = vertical.seen(y, height)
    left, columns, across = horizontal.seen(x, width)

    def place(tap: int) -> int:
        row, column = divmod(tap, columns)
        return (top + row * down) * width + left + column * across

    start, taps = plane * height * width, rows * columns
    if output == 0:

        def largest(i: int) -> Instruction:
            pixel = node.load(0, start + place(i))
            if i == 0:
                return Instruction(Opcode.CANONICAL_F32, 0, (pixel,))
            return Instruction(Opcode.MAX_F32, 0, (Register(0), pixel))

        return Recipe(Registers.of({}), taps, taps, largest)

    def first(i: int) -> Instruction:
        """From the last tap to the first: register 1 counts places down, by 3 along a row and by 4 between rows."""
        back, part = divmod(i, 3)
        tap = taps - 1 - back
        if part == 0:
            turn = back > 0 and (tap + 1) % columns == 0
            step = Register(5 if back == 0 else 4 if turn else 3)
            return Instruction(Opcode.SUB_I32, 1, (Register(1), step))
        if part == 1:
            return Instruction(Opcode.EQUAL_F32, 2, (node.load(0, start + place(tap)), node.load_output(0, element)))
        return Instruction(Opcode.SELECT_I32, 0, (Register(2), Register(1), Register(0)))

    steps = {3: i32(across), 4: i32(down * width - (columns - 1) * across), 5: i32(0)}
    constants = Registers.of({0: i32(place(0)), 1: i32(place(taps - 1)), **steps})
    return Recipe(constants, 3 * taps, 3 * taps, first)


def _max_pool_price(node: Application, output: int) -> int:
    """As if every window lay inside the image."""
    return node.outputs[output].elements * _max_pool_longest(node, output)


def _max_pool_longest(node: Application, output: int) -> int:
    vertical, horizontal = _pools(node.attributes)
    return vertical.taps * horizontal.taps * (3 if output else 1)


def _max_pool_backward_shapes(attributes: tuple[int, ...], inputs: Types) -> Types:
    """grad and place [N, C, OH, OW] of ``max_pool``, with its attributes and then H and W, give [N, C, H, W]."""
    require_arity(attributes, inputs, 12, ("f32", "i32"))
    require_rank(inputs[0], 4)
    require(inputs[0].shape == inputs[1].shape, f"grad {inputs[0]} and place {inputs[1]} differ in shape")
    for size in attributes[10:]:
        require_range("image", size, 1, MAX_WINDOW)
    _check_pools(attributes, attributes[10:])
    require(inputs[0].shape[2:] == attributes[:2], f"grad {inputs[0]} is not of size {attributes[:2]}")
    return (TensorType("f32", (*inputs[0].shape[:2], *attributes[10:])),)


def _max_pool_backward_recipe(node: Application, output: int, element: int) -> Recipe:
    """From +0, over the windows around the pixel in order: where the place is the pixel's, add."""
    height, width = node.attributes[10:]
    vertical, horizontal = _pools(node.attributes)
    plane, pixel = divmod(element, height * width)
    rows, columns = vertical.readers(pixel // width), horizontal.readers(pixel % width)
    count = len(rows) * len(columns)
    if count == 0:
        return straight([Instruction(Opcode.CANONICAL_F32, 0, (Register(1),))], {1: f32(0)})

    def instruction(i: int) -> Instruction:
        window, part = divmod(i, 3)
        row, column = divmod(window, len(columns))
        place = (plane * vertical.outputs + rows[row]) * horizontal.outputs + columns[column]
        if part == 0:
            return Instruction(Opcode.EQUAL_I32, 2, (node.load(1, place), Register(1)))
        if part == 1:
            return Instruction(Opcode.ADD_F32, 3, (Register(0), node.load(0, place)))
        return Instruction(Opcode.SELECT_F32, 0, (Register(2), Register(3), Register(0)))

    return Recipe(Registers.of({0: f32(0), 1: i32(pixel)}), 3 * count, 3 * count, instruction)


def _max_pool_backward_price(node: Application, output: int) -> int:
    """A kernel looks at each window once."""
    return node.outputs[0].elements + 3 * node.inputs[0].elements


def _max_pool_backward_longest(node: Application, output: int) -> int:
    windows = [min(pool.outputs, (pool.taps - 1) * pool.apart // pool.stride + 1) for pool in _pools(node.attributes)]
    return 3 * windows[0] * windows[1]


OPERATORS = (
    Operator("conv2d", _conv2d_shapes, _conv2d_recipe),
    Operator("max_pool", _max_pool_shapes, _max_pool_recipe, _max_pool_price, _max_pool_longest),
    Operator(
        "max_pool_backward", _max_pool_backward_shapes, _max_pool_backward_recipe, _max_pool_backward_price,
        _max_pool_backward_longest,
    ),
)  # fmt: skip
