"""How a tensor is read from another one's memory: offset, shape and strides, as PyTorch's views are.

Transposes, slices and expansions of the traced step cost nothing here: they only change the view. An element is copied
no sooner than an operator needs its operand in C order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.commitments import element_count

Shape = tuple[int, ...]


def contiguous_strides(shape: Shape) -> Shape:
    """Element strides of a C-ordered tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class View:
    """A tensor of ``shape``; its element (i, j, ...) is another's offset + i * strides[0] + j * strides[1] + ..."""

    offset: int
    shape: Shape
    strides: Shape

    @classmethod
    def whole(cls, shape: Shape) -> View:
        """A C-ordered tensor as it is."""
        return cls(0, shape, contiguous_strides(shape))

    def permute(self, order: Sequence[int]) -> View:
        return View(self.offset, tuple(self.shape[a] for a in order), tuple(self.strides[a] for a in order))

    def expand(self, shape: Shape) -> View:
        """NumPy's broadcast to a larger shape."""
        added = len(shape) - len(self.shape)
        old = (1,) * added + self.shape
        strides = (0,) * added + self.strides
        kept = [stride if size == wide else 0 for stride, size, wide in zip(strides, old, shape, strict=True)]
        return View(self.offset, shape, tuple(kept))

    def slice(self, axis: int, start: int, count: int, step: int = 1) -> View:
        """``count`` elements along an axis from ``start``, every ``step``-th."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[axis]
        shape[axis], strides[axis] = count, strides[axis] * step
        return View(offset, tuple(shape), tuple(strides))

    def drop(self, axis: int) -> View:
        """The same without an axis of size 1."""
        return View(
            self.offset, self.shape[:axis] + self.shape[axis + 1 :], self.strides[:axis] + self.strides[axis + 1 :]
        )

    def flip(self, axes: Sequence[int]) -> View:
        offset, strides = self.offset, list(self.strides)
        for axis in axes:
            offset += (self.shape[axis] - 1) * strides[axis]
            strides[axis] = -strides[axis]
        return View(offset, self.shape, tuple(strides))

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        wanted = contiguous_strides(self.shape)
        pairs = zip(self.shape, self.strides, wanted, strict=True)
        return all(size == 1 or stride == step for size, stride, step in pairs)

    def without_repeats(self) -> View:
        """Dimensions that only repeat shrunk to 1."""
        shape = tuple(1 if stride == 0 else size for size, stride in zip(self.shape, self.strides, strict=True))
        return View(self.offset, shape, self.strides)

    def reshape(self, shape: Shape) -> View | None:
        """The same elements in another shape, or None where that needs a copy."""
        runs: list[tuple[int, int]] = []
        """(size, stride) of maximal runs of dimensions that are walked with one stride."""
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 1:
                continue
            if runs and runs[-1][1] == stride * size:
                runs[-1] = (runs[-1][0] * size, stride)
            else:
                runs.append((size, stride))
        strides: list[int] = []
        left, step = 1, 0
        for size in reversed(shape):
            if size == 1:
                strides.append(0)
                continue
            if left == 1:
                if not runs:
                    return None
                left, step = runs.pop()
            if left % size:
                return None
            strides.append(step)
            left, step = left // size, step * size
        if left != 1 or runs:
            return None
        return View(self.offset, shape, tuple(reversed(strides)))


def covers(view: View, elements: int) -> bool:
    """Whether the view is all of a tensor in C order."""
    return view.offset == 0 and view.is_contiguous() and element_count(view.shape) == elements
