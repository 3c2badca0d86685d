"""Convolutions of one and two dimensions, and their gradients."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from ml.builder import Builder, Ref, Shape
from ml.lowering.base import Application, lowers, require
from ml.lowering.sums import sum_over
from ml.lowering.views import join


def pair(value: Any) -> tuple[int, int]:
    """Two numbers, for height and width; a single one counts for both."""
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[-1])


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layer's attributes for height and width."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    apart: tuple[int, int]
    groups: int

    def forward(self, builder: Builder, image: Ref, weight: Ref) -> Ref:
        top, left = self.padding
        attributes = (*self.stride, top, top, left, left, 1, 1, *self.apart, self.groups)
        return builder.emit("conv2d", [image, weight], attributes)

    def input_gradient(self, builder: Builder, gradient: Ref, weight: Ref, shape: Shape) -> Ref:
        """A convolution of the gradient, spread by the stride, with the weights turned around.

        Where the stride divides the image, it is rather one small convolution for each place within a stride: those
        skip the taps that would only meet the zeros between spread pixels.
        """
        even = all(size % step == 0 for size, step in zip(shape[2:], self.stride, strict=True))
        if self.stride != (1, 1) and self.apart == (1, 1) and even and max(self.stride) <= 4:
            return self._by_phases(builder, gradient, weight, shape)
        outputs, inner, *kernel = builder.shape(weight)
        grouped = builder.reshape(weight, (self.groups, outputs // self.groups, inner, *kernel))
        view = builder.view(grouped).permute((0, 2, 1, 3, 4)).flip((3, 4))
        turned = builder.materialise(builder.seen(grouped, view))
        turned = builder.reshape(turned, (self.groups * inner, outputs // self.groups, *kernel))
        sides = []
        for axis in (0, 1):
            reach = self.apart[axis] * (kernel[axis] - 1)
            wide = (builder.shape(gradient)[2 + axis] - 1) * self.stride[axis] + 1
            before = reach - self.padding[axis]
            sides += [before, shape[2 + axis] + reach - wide - before]
        attributes = (1, 1, *sides, *self.stride, *self.apart, self.groups)
        return builder.emit("conv2d", [gradient, turned], attributes)

    def _by_phases(self, builder: Builder, gradient: Ref, weight: Ref, shape: Shape) -> Ref:
        down, across = self.stride
        small = (*shape[:2], shape[2] // down, shape[3] // across)
        places = itertools.product(range(down), range(across))
        phases = [self._phase(builder, gradient, weight, small, place) for place in places]
        joined = join(builder, [builder.reshape(phase, (1, *small)) for phase in phases], 0)
        split = builder.permute(builder.reshape(joined, (down, across, *small)), (2, 3, 4, 0, 5, 1))
        return builder.reshape(split, shape)

    def _phase(self, builder: Builder, gradient: Ref, weight: Ref, small: Shape, phase: tuple[int, int]) -> Ref:
        """The pixels at one place within a stride: pixel t is the sum over m of grad[t + b - m] w[start + stride m]."""
        outputs, inner, *kernel = builder.shape(weight)
        grouped = builder.reshape(weight, (self.groups, outputs // self.groups, inner, *kernel))
        view, sides = builder.view(grouped), []
        for axis in (0, 1):
            step = self.stride[axis]
            start = (phase[axis] + self.padding[axis]) % step
            taps = -(-(kernel[axis] - start) // step)
            if taps < 1:
                return builder.constant(0.0, small)
            view = view.slice(3 + axis, start, taps, step)
            before = taps - 1 - (phase[axis] + self.padding[axis] - start) // step
            sides += [before, small[2 + axis] + taps - 1 - builder.shape(gradient)[2 + axis] - before]
        turned = builder.materialise(builder.seen(grouped, view.permute((0, 2, 1, 3, 4)).flip((3, 4))))
        kernels = (self.groups * inner, outputs // self.groups, *view.shape[3:])
        attributes = (1, 1, *sides, 1, 1, 1, 1, self.groups)
        return builder.emit("conv2d", [gradient, builder.reshape(turned, kernels)], attributes)

    def weight_gradient(self, builder: Builder, gradient: Ref, image: Ref, shape: Shape) -> Ref:
        """A convolution of the image with the gradient as its kernel, images taking the part of channels."""
        count, _, *size = builder.shape(image)
        outputs, inner, *kernel = shape
        groups, each = self.groups, outputs // self.groups
        lower = builder.shape(gradient)[2:]
        split = builder.reshape(image, (count, groups, inner, *size))
        left = builder.materialise(builder.permute(split, (2, 1, 0, 3, 4)))
        left = builder.reshape(left, (inner, groups * count, *size))
        split = builder.reshape(gradient, (count, groups, each, *lower))
        right = builder.materialise(builder.permute(split, (1, 2, 0, 3, 4)))
        right = builder.reshape(right, (outputs, count, *lower))
        sides = []
        for axis in (0, 1):
            before = self.padding[axis]
            reach = (lower[axis] - 1) * self.stride[axis] + 1
            sides += [before, (kernel[axis] - 1) * self.apart[axis] + reach - size[axis] - before]
        attributes = (*self.apart, *sides, 1, 1, *self.stride, groups)
        result = builder.emit("conv2d", [left, right], attributes)
        return builder.permute(result, (1, 0, 2, 3))


def _geometry(stride: Any, padding: Any, apart: Any, groups: int, flat: bool) -> Geometry:
    """``flat``: a convolution of one dimension, as one of height 1."""
    if flat:
        return Geometry((1, stride[0]), (0, padding[0]), (1, apart[0]), groups)
    return Geometry(pair(stride), pair(padding), pair(apart), groups)


def _raised(builder: Builder, ref: Ref) -> Ref:
    """[N, C, L] as [N, C, 1, L]; images stay what they are."""
    shape = builder.shape(ref)
    return builder.reshape(ref, (*shape[:2], 1, shape[2])) if len(shape) == 3 else ref


@lowers("aten.convolution.default")
def convolution(builder: Builder, node: Application) -> Ref:
    image, weight, bias, stride, padding, apart, transposed, _, groups = node.args
    rank = len(builder.shape(weight))
    require(rank in (3, 4), "convolutions of three dimensions")
    geometry = _geometry(stride, padding, apart, groups, rank == 3)
    if transposed:
        shape = (*node.shape[:2], 1, node.shape[2]) if rank == 3 else node.shape
        result = geometry.input_gradient(builder, _raised(builder, image), _raised(builder, weight), shape)
    else:
        result = geometry.forward(builder, _raised(builder, image), _raised(builder, weight))
    result = builder.reshape(result, node.shape)
    if bias is None:
        return result
    return builder.emit("add", [result, builder.reshape(bias, (*builder.shape(bias), *(1,) * (rank - 2)))])


@lowers("aten.convolution_backward.default")
def convolution_backward(builder: Builder, node: Application) -> tuple[Ref | None, Ref | None, Ref | None]:
    gradient, image, weight, _, stride, padding, apart, transposed, _, groups, wanted = node.args
    rank = len(builder.shape(weight))
    geometry = _geometry(stride, padding, apart, groups, rank == 3)
    grad, x, w = (_raised(builder, ref) for ref in (gradient, image, weight))
    result: list[Ref | None] = [None, None, None]
    if wanted[0]:
        if transposed:
            main = geometry.forward(builder, grad, w)
        else:
            main = geometry.input_gradient(builder, grad, w, builder.shape(x))
        result[0] = builder.reshape(main, builder.shape(image))
    if wanted[1]:
        given, source = (x, grad) if transposed else (grad, x)
        main = geometry.weight_gradient(builder, given, source, builder.shape(w))
        result[1] = builder.reshape(main, builder.shape(weight))
    if wanted[2]:
        result[2] = sum_over(builder, gradient, [axis for axis in range(rank) if axis != 1])
    return result[0], result[1], result[2]
