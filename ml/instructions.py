"""From the operator table to kernel instructions: one instruction per node of a checked program.

The kernels know fewer layouts than programs do: broadcasts and moves become lists of (size, stride) with neighbouring
dimensions merged wherever every operand allows it, so that inner loops are long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ml.kernels import Instruction
from runtime.commitments import element_count
from runtime.vm.check import CheckedProgram
from runtime.vm.operator_base import Application
from runtime.vm.types import CANONICAL_NAN_F32

Shape = tuple[int, ...]
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "equal", "less", "less_equal", "relu_backward")
UNARY_WORK = {"neg": 0.3, "abs": 0.3, "sqrt": 0.5, "exp": 4.0, "log": 6.0, "relu": 0.3}
"""Nanoseconds per element, one core: only to decide whether a second thread is worth waking."""


def contiguous_strides(shape: Shape) -> Shape:
    """Element strides of a C-ordered tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def broadcast_strides(shape: Shape, output: Shape) -> Shape:
    """Strides of a C-ordered tensor of ``shape`` read along ``output``; 0 where it is repeated."""
    padded = (1,) * (len(output) - len(shape)) + shape
    return tuple(0 if size == 1 else stride for size, stride in zip(padded, contiguous_strides(padded), strict=True))


def merge_dimensions(sizes: Shape, strides: Sequence[Shape]) -> tuple[Shape, tuple[Shape, ...]]:
    """Drop dimensions of size 1 and join neighbours that every operand walks as one. At least one dimension stays."""
    merged: list[tuple[int, list[int]]] = []
    for axis, size in enumerate(sizes):
        steps = [operand[axis] for operand in strides]
        if size == 1:
            continue
        if merged and all(outer == inner * size for outer, inner in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * size, steps)
        else:
            merged.append((size, steps))
    if not merged:
        return (1,), tuple((0,) for _ in strides)
    return (
        tuple(size for size, _ in merged),
        tuple(tuple(steps[operand] for _, steps in merged) for operand in range(len(strides))),
    )


def build_instruction(checked: CheckedProgram, node: int) -> Instruction:
    """The kernel instruction that computes every output of one node."""
    application = checked.application(node)
    op = checked.program.nodes[node].op
    if op in BINARY:
        return _binary(op, application)
    return _BUILDERS[op](op, application)


def _outputs(node: Application) -> Shape:
    return tuple(range(node.first_output, node.first_output + len(node.outputs)))


def _make(
    op: str,
    node: Application,
    sizes: Shape,
    nanoseconds: float,
    *,
    scalars: Shape = (),
    strides: tuple[Shape, ...] = (),
    in_place: tuple[tuple[int, int], ...] = (),
) -> Instruction:
    return Instruction(op, sizes, node.input_values, _outputs(node), scalars, strides, int(nanoseconds), in_place)


def _binary(op: str, node: Application) -> Instruction:
    shape = node.outputs[0].shape
    strides = [broadcast_strides(tensor.shape, shape) for tensor in node.inputs]
    sizes, merged = merge_dimensions(shape, strides)
    return _make(op, node, sizes, 0.3 * element_count(shape), strides=merged, in_place=((0, 0), (0, 1)))


def _unary(op: str, node: Application) -> Instruction:
    count = node.outputs[0].elements
    return _make(op, node, (count,), UNARY_WORK[op] * count, in_place=((0, 0),))


def _select(op: str, node: Application) -> Instruction:
    count = node.outputs[0].elements
    kernel = "select" if node.outputs[0].dtype == "f32" else "select_word"
    return _make(kernel, node, (count,), 0.4 * count, in_place=((0, 1), (0, 2)))


def _matmul(op: str, node: Application) -> Instruction:
    rows, columns = node.outputs[0].shape
    inner = node.inputs[0].shape[0 if node.attributes[0] else 1]
    return _make(op, node, (rows, columns, inner), rows * columns * inner / 50, scalars=node.attributes)


def _rows(op: str, node: Application) -> Instruction:
    rows, columns = node.inputs[0].shape
    return _make(op, node, (rows, columns), 0.2 * rows * columns)


def _log_softmax(op: str, node: Application) -> Instruction:
    rows, columns = node.inputs[0].shape
    main = len(node.outputs) - 1
    return _make(op, node, (rows, columns), 5 * rows * columns, in_place=((main, 0),))


def _flat(op: str, node: Application) -> Instruction:
    return _make(op, node, (node.inputs[0].elements,), 0.1 * node.inputs[0].elements)


def _nll_backward(op: str, node: Application) -> Instruction:
    rows, columns = node.outputs[0].shape
    return _make(op, node, (rows, columns), 0.3 * rows * columns)


def _sgd(op: str, node: Application) -> Instruction:
    count = node.outputs[1].elements
    return _make(op, node, (count,), 0.15 * count, scalars=node.attributes, in_place=((0, 2), (1, 0)))


def _cast(op: str, node: Application) -> Instruction:
    source, target = node.inputs[0].dtype, node.outputs[0].dtype
    count = node.outputs[0].elements
    return _make(f"{source}_to_{target}", node, (count,), 0.3 * count)


def _fill(op: str, node: Application) -> Instruction:
    bits = node.attributes[0]
    if bits & 0x7FFFFFFF > 0x7F800000:
        bits = CANONICAL_NAN_F32
    return _make(op, node, (node.outputs[0].elements,), 0.1 * node.outputs[0].elements, scalars=(bits,))


def _uniform(op: str, node: Application) -> Instruction:
    low, high = node.attributes[:2]
    count = node.outputs[0].elements
    return _make(op, node, (count,), 4 * count, scalars=(low, high, node.node))


_MOVES = {"f32": "move_f32", "i32": "move_word", "u32": "move_word", "u8": "move_byte"}


def _move(node: Application, strides: Shape, shape: Shape) -> Instruction:
    sizes, merged = merge_dimensions(shape, [strides])
    return _make(_MOVES[node.outputs[0].dtype], node, sizes, 0.5 * element_count(shape), strides=merged)


def _reshape(op: str, node: Application) -> Instruction:
    count = node.outputs[0].elements
    return _move(node, (1,), (count,))


def _transpose(op: str, node: Application) -> Instruction:
    return _move(node, contiguous_strides(node.inputs[0].shape)[::-1], node.outputs[0].shape)


def _broadcast_to(op: str, node: Application) -> Instruction:
    shape = node.outputs[0].shape
    return _move(node, broadcast_strides(node.inputs[0].shape, shape), shape)


_BUILDERS: dict[str, Callable[[str, Application], Instruction]] = {
    **dict.fromkeys(UNARY_WORK, _unary),
    "select": _select,
    "matmul": _matmul,
    "row_sum": _rows,
    "col_sum": _rows,
    "block_sum": _flat,
    "log_softmax": _log_softmax,
    "log_softmax_backward": _log_softmax,
    "nll": _rows,
    "nll_backward": _nll_backward,
    "sgd": _sgd,
    "cast": _cast,
    "fill": _fill,
    "uniform": _uniform,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
}
