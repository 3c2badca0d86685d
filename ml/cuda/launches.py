"""Which kernels an instruction launches, and how many blocks of how many threads."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from ml.backend import Instruction

THREADS = 256
TILE, TILE_THREADS = 64, 256
ROWS, ROW_THREADS = 8, 128
"""As ``products.cuh`` and ``rows.cuh`` have them: rows of sixteen lanes."""
SUM_SPAN = 4096


class Launch(NamedTuple):
    """One kernel over a grid of one dimension."""

    kernel: str
    blocks: int
    threads: int = THREADS


def launches(instruction: Instruction) -> tuple[Launch, ...]:
    """The launches that compute an instruction, in order. Raises KeyError for an operator without a kernel."""
    op, sizes = instruction.op, instruction.sizes
    if op == "scatter_rows":
        clear = Launch("solvent_clear_rows", _blocks(sizes[1] * sizes[2]))
        return clear, Launch("solvent_scatter_rows", _blocks(sizes[1]))
    if op in _ROWS:
        rows = -(-sizes[0] // SUM_SPAN) if op.startswith("block_") else sizes[0]
        return (Launch(_ROWS[op], -(-rows // ROWS), ROW_THREADS),)
    if op in _TILES:
        return (Launch(f"solvent_{op}", _TILES[op](instruction), TILE_THREADS),)
    kernel, count = _ELEMENTS[op]
    return (Launch(kernel, _blocks(count(instruction))),)


def kernels() -> list[str]:
    """The name of every kernel."""
    names = {kernel for kernel, _ in _ELEMENTS.values()} | set(_ROWS.values()) | {f"solvent_{op}" for op in _TILES}
    return sorted(names | {"solvent_clear_rows", "solvent_scatter_rows"})


def operators() -> set[str]:
    """Every operator that has a kernel."""
    return set(_ELEMENTS) | set(_ROWS) | set(_TILES) | {"scatter_rows"}


def _blocks(count: int) -> int:
    return -(-count // THREADS)


def _tiles(rows: int, columns: int) -> int:
    return -(-rows // TILE) * -(-columns // TILE)


def _convolution_tiles(instruction: Instruction) -> int:
    images, channels, height, width = instruction.sizes
    groups = instruction.strides[1][3]
    return groups * _tiles(channels // groups, images * height * width)


_TILES: dict[str, Callable[[Instruction], int]] = {
    "matmul": lambda one: _tiles(*one.sizes[:2]),
    "batch_matmul": lambda one: one.sizes[0] * one.sizes[1] * _tiles(*one.sizes[2:4]),
    "conv2d": _convolution_tiles,
}
_ROWS = {
    **{
        op: f"solvent_{op}"
        for op in (
            "row_sum", "row_max", "log_softmax", "log_softmax_backward", "softmax", "softmax_backward", "layer_norm",
            "layer_norm_backward", "block_sum",
        )
    },
    "block_square_sum": "solvent_block_sum",
}  # fmt: skip


def _first(instruction: Instruction) -> int:
    return instruction.sizes[0]


def _second(instruction: Instruction) -> int:
    return instruction.sizes[1]


def _all(instruction: Instruction) -> int:
    return prod(instruction.sizes)


def _matrix(instruction: Instruction) -> int:
    return instruction.sizes[0] * instruction.sizes[1]


_ELEMENTS: dict[str, tuple[str, Callable[[Instruction], int]]] = {
    **dict.fromkeys(
        ("add", "sub", "mul", "div", "maximum", "minimum", "equal", "less", "less_equal", "relu_backward"),
        ("solvent_binary", _all),
    ),
    **dict.fromkeys(
        ("neg", "abs", "sqrt", "exp", "log", "relu", "u8_to_f32", "i32_to_f32", "u32_to_f32", "f32_to_i32",
         "u8_to_i32"),
        ("solvent_unary", _first),
    ),
    **dict.fromkeys(("select", "select_word"), ("solvent_select", _first)),
    **dict.fromkeys(("move_f32", "move_word", "move_byte"), ("solvent_move", _all)),
    **{op: (f"solvent_{op}", _all) for op in ("map", "pad", "max_pool", "max_pool_backward")},
    **{op: (f"solvent_{op}", _first) for op in ("fill", "iota", "sgd", "nll")},
    **{op: (f"solvent_{op}", _matrix) for op in ("take_rows", "nll_backward")},
    "col_sum": ("solvent_col_sum", _second),
    "uniform": ("solvent_uniform", lambda one: -(-one.sizes[0] // 4)),
    "concat": ("solvent_concat", lambda one: one.sizes[0] * sum(stride[0] for stride in one.strides)),
}  # fmt: skip
