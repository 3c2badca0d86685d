"""From the operator table to kernel instructions: one instruction per node of a checked program.

The kernels know fewer layouts than programs do: broadcasts and moves become lists of (size, stride) with neighbouring
dimensions merged wherever every operand allows it, so that inner loops are long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ml.backend import Instruction
from ml.views import contiguous_strides
from runtime.commitments import element_count
from runtime.vm.check import CheckedProgram
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operator_base import Application
from runtime.vm.operators_map import CODES, decode_line
from runtime.vm.types import CANONICAL_NAN_F32, Kind, TensorType

Shape = tuple[int, ...]
INTEGER_OPERATIONS = {
    "add": Opcode.ADD_I32, "sub": Opcode.SUB_I32, "mul": Opcode.MUL_I32, "equal": Opcode.EQUAL_I32,
    "less": Opcode.LESS_I32,
}  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "equal", "less", "less_equal", "relu_backward")
UNARY_WORK = {"neg": 0.3, "abs": 0.3, "sqrt": 0.5, "exp": 4.0, "log": 6.0, "relu": 0.3}
"""Nanoseconds per element, one core: only to decide whether a second thread is worth waking."""


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
    if op in BINARY and application.inputs[0].dtype == "f32":
        return _binary(op, application)
    if op in BINARY:
        return _line(application, (op_code(INTEGER_OPERATIONS[op]), 0, 1))
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
    offsets: Shape = (),
    code: Shape = (),
) -> Instruction:
    outputs = _outputs(node)
    return Instruction(
        op, sizes, node.input_values, outputs, scalars, strides, int(nanoseconds), in_place, offsets, code
    )


def _binary(op: str, node: Application) -> Instruction:
    shape = node.outputs[0].shape
    strides = [broadcast_strides(tensor.shape, shape) for tensor in node.inputs]
    sizes, merged = merge_dimensions(shape, strides)
    return _make(op, node, sizes, 0.3 * element_count(shape), strides=merged, in_place=((0, 0), (0, 1)))


def _unary(op: str, node: Application) -> Instruction:
    count = node.outputs[0].elements
    return _make(op, node, (count,), UNARY_WORK[op] * count, in_place=((0, 0),))


def _select(op: str, node: Application) -> Instruction:
    if not node.inputs[0].shape == node.inputs[1].shape == node.inputs[2].shape:
        opcode = Opcode.SELECT_F32 if node.outputs[0].dtype == "f32" else Opcode.SELECT_I32
        return _line(node, (op_code(opcode), 0, 1, 2))
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


def op_code(opcode: Opcode) -> int:
    """The number of an operation in a map's line."""
    return CODES.index(opcode)


def _line(node: Application, step: Shape) -> Instruction:
    """A node of one operation as a map."""
    return _map("map", replace(node, attributes=(0, 1, len(node.inputs), *step)))


def _map(op: str, node: Application) -> Instruction:
    line = decode_line(node.attributes, node.inputs)
    shape, inputs = node.outputs[0].shape, len(node.inputs)
    sizes, merged = merge_dimensions(shape, [broadcast_strides(tensor.shape, shape) for tensor in node.inputs])
    first = inputs + len(line.constants)
    code = [len(line.kinds), len(line.constants), len(line.steps), *line.constants]
    for slot in line.outputs:
        code += [slot, int(line.kinds[slot] == Kind.F32)]
    for number, (opcode, slots) in enumerate(line.steps):
        code += [op_code(opcode), first + number, *slots, *(0,) * (3 - len(slots))]
    work = element_count(shape) * sum(0.15 * OPCODES[opcode].gas for opcode, _ in line.steps)
    whole = [number for number, tensor in enumerate(node.inputs) if tensor.shape == shape]
    in_place = tuple((output, number) for output in range(len(node.outputs)) for number in whole)
    return _make("map", node, sizes, work, strides=merged, in_place=in_place, code=tuple(code))


def _batch_matmul(op: str, node: Application) -> Instruction:
    first, second, rows, columns, inner = sizes = node.attributes[:5]
    views = node.attributes[5:10], node.attributes[10:15]
    return _make(
        op, node, sizes, first * second * rows * columns * inner / 50, scalars=node.attributes[15:],
        strides=tuple(view[1:] for view in views), offsets=tuple(view[0] for view in views),
    )  # fmt: skip


def _row_shape(tensor: TensorType) -> tuple[int, int]:
    return element_count(tensor.shape[:-1]), tensor.shape[-1]


def _row_kernel(op: str, node: Application) -> Instruction:
    """Operators over rows of the last dimension; the main output may replace the first input."""
    rows, columns = _row_shape(node.inputs[0])
    scalars: Shape = (*node.attributes[:1], len(node.inputs))
    if op == "layer_norm_backward":
        scalars = (len(node.inputs),)
    if op == "softmax":
        matrix = node.inputs[0].shape[-2] if node.attributes[1] else 1
        return _make(op, node, (rows, columns, matrix), 4 * rows * columns, scalars=node.attributes, in_place=((2, 0),))
    return _make(op, node, (rows, columns), rows * columns, scalars=scalars)


def _strided(op: str, node: Application) -> Instruction:
    rank = len(node.attributes) // 2
    instruction = _move(node, node.attributes[1 + rank :], node.outputs[0].shape)
    return replace(instruction, offsets=(node.attributes[0],))


def _pad(op: str, node: Application) -> Instruction:
    before, apart = node.attributes[1::3], tuple(between + 1 for between in node.attributes[3::3])
    is_float = node.outputs[0].dtype == "f32"
    bits = node.attributes[0]
    if is_float and bits & 0x7FFFFFFF > 0x7F800000:
        bits = CANONICAL_NAN_F32
    strides, shape = (before, apart, node.inputs[0].shape), node.outputs[0].shape
    if not shape:
        strides, shape = ((0,), (1,), (1,)), (1,)
    return _make(op, node, shape, 0.5 * element_count(shape), scalars=(bits, int(is_float)), strides=strides)


def _concat(op: str, node: Application) -> Instruction:
    axis = node.attributes[0]
    rows = element_count(node.outputs[0].shape[:axis])
    widths = tuple((element_count(tensor.shape[axis:]),) for tensor in node.inputs)
    count = node.outputs[0].elements
    return _make(op, node, (rows,), 0.5 * count, scalars=(int(node.outputs[0].dtype == "f32"),), strides=widths)


def _iota(op: str, node: Application) -> Instruction:
    start, step, count = node.attributes
    return _make(op, node, (count,), 0.3 * count, scalars=(start & 0xFFFFFFFF, step & 0xFFFFFFFF))


def _conv2d(op: str, node: Application) -> Instruction:
    a, (_, inner, rows, columns) = node.attributes, node.inputs[1].shape
    work = node.outputs[0].elements * inner * rows * columns / 40
    windows = (a[0], a[2], a[6], a[8]), (a[1], a[4], a[7], a[9])
    strides = (node.inputs[0].shape, (inner, rows, columns, a[10]), *windows)
    return _make(op, node, node.outputs[0].shape, work, strides=strides)


def _max_pool(op: str, node: Application) -> Instruction:
    """Sizes are those of the main tensor that is written, with images and channels joined."""
    (_, taps, stride, before, apart), (_, taps_x, stride_x, before_x, apart_x) = (
        node.attributes[axis:10:2] for axis in (0, 1)
    )
    windows = (stride, before, taps, apart), (stride_x, before_x, taps_x, apart_x)
    images, channels, *size = node.outputs[0].shape
    work = 2 * node.outputs[0].elements * taps * taps_x
    other = node.inputs[0].shape[2:]
    return _make(op, node, (images * channels, *size), work, strides=(other, (), *windows))


def _rows_by_index(op: str, node: Application) -> Instruction:
    table = node.inputs[0].shape[0] if op == "take_rows" else node.outputs[0].shape[0]
    columns, places = node.outputs[0].shape[-1], node.inputs[1].elements
    return _make(op, node, (places, columns, table), 0.5 * columns * (places + table))


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
    "map": _map,
    "batch_matmul": _batch_matmul,
    "block_square_sum": _flat,
    "strided": _strided,
    "pad": _pad,
    "concat": _concat,
    "iota": _iota,
    "conv2d": _conv2d,
    "max_pool": _max_pool,
    "max_pool_backward": _max_pool,
    "take_rows": _rows_by_index,
    "scatter_rows": _rows_by_index,
    **dict.fromkeys(("row_max", "softmax", "softmax_backward", "layer_norm", "layer_norm_backward"), _row_kernel),
}
