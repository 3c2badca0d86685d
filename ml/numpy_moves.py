"""Element-wise operators, and those that put elements elsewhere, in NumPy. Signatures as in ``ml/numpy_sums.py``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml import numpy_math as fn
from ml.backend import Array, Instruction
from ml.numpy_math import canonical, f32, i32, i64, u32
from ml.numpy_sums import Inputs, Operator, Outputs, scalar
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operators_map import CODES
from runtime.vm.philox import MULTIPLIERS, ROUNDS, WEYL

NAN = f32(np.nan)


def _chosen(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition != 0, a, b)


def _floats(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of float32 on words."""
    return lambda *words: np.asarray(function(*(word.view(f32) for word in words)))


def _integers(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *words: np.asarray(function(*(word.view(i32) for word in words)))


STEPS: dict[Opcode, Callable[..., Array]] = {
    Opcode.ADD_F32: _floats(np.add),
    Opcode.SUB_F32: _floats(np.subtract),
    Opcode.MUL_F32: _floats(np.multiply),
    Opcode.DIV_F32: _floats(np.divide),
    Opcode.MAX_F32: _floats(fn.maximum),
    Opcode.MIN_F32: _floats(fn.minimum),
    Opcode.EQUAL_F32: _floats(lambda x, y: (x == y).astype(i32)),
    Opcode.LESS_F32: _floats(lambda x, y: (x < y).astype(i32)),
    Opcode.LESS_EQUAL_F32: _floats(lambda x, y: (x <= y).astype(i32)),
    Opcode.NEG_F32: _floats(fn.negative),
    Opcode.ABS_F32: _floats(fn.absolute),
    Opcode.SQRT_F32: _floats(np.sqrt),
    Opcode.RSQRT_F32: _floats(fn.rsqrt),
    Opcode.EXP_F32: _floats(fn.exp),
    Opcode.LOG_F32: _floats(fn.log),
    Opcode.TANH_F32: _floats(fn.tanh),
    Opcode.SIGMOID_F32: _floats(fn.sigmoid),
    Opcode.ERF_F32: _floats(fn.erf),
    Opcode.GELU_F32: _floats(fn.gelu),
    Opcode.GELU_SLOPE_F32: _floats(fn.gelu_slope),
    Opcode.SIN_F32: _floats(fn.sine),
    Opcode.COS_F32: _floats(fn.cosine),
    Opcode.SELECT_F32: _chosen,
    Opcode.SELECT_I32: _chosen,
    Opcode.I32_TO_F32: _integers(lambda x: x.astype(f32)),
    Opcode.F32_TO_I32: _floats(fn.truncate),
    Opcode.ADD_I32: _integers(np.add),
    Opcode.SUB_I32: _integers(np.subtract),
    Opcode.MUL_I32: _integers(np.multiply),
    Opcode.EQUAL_I32: _integers(lambda x, y: (x == y).astype(i32)),
    Opcode.LESS_I32: _integers(lambda x, y: (x < y).astype(i32)),
}
"""What a step of a map does, on arrays of u32 words."""


def map_line(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    count, sizes = len(instruction.inputs), instruction.sizes
    _, constants, steps, *rest = instruction.code
    slots = [inputs.strided(n, u32, sizes, instruction.strides[n]) for n in range(count)]
    slots = [np.ascontiguousarray(slot) for slot in slots]
    slots += [np.full(sizes, bits, u32) for bits in rest[:constants]]
    outputs, line = rest[constants:], rest[constants + 2 * len(instruction.outputs) :]
    for place in range(0, 5 * steps, 5):
        code, _, *read = line[place : place + 5]
        operands = [slots[slot] for slot in read[: len(OPCODES[CODES[code]].sources or ())]]
        slots.append(STEPS[CODES[code]](*operands).view(u32))
    results = [(slots[outputs[2 * k]], outputs[2 * k + 1]) for k in range(len(instruction.outputs))]
    return tuple(canonical(words.view(f32)) if is_float else words for words, is_float in results)


_ALONE = {
    "add": Opcode.ADD_F32, "sub": Opcode.SUB_F32, "mul": Opcode.MUL_F32, "div": Opcode.DIV_F32,
    "maximum": Opcode.MAX_F32, "minimum": Opcode.MIN_F32, "equal": Opcode.EQUAL_F32, "less": Opcode.LESS_F32,
    "less_equal": Opcode.LESS_EQUAL_F32, "neg": Opcode.NEG_F32, "abs": Opcode.ABS_F32, "sqrt": Opcode.SQRT_F32,
    "exp": Opcode.EXP_F32, "log": Opcode.LOG_F32,
}  # fmt: skip
"""Operators that are one step."""


def one_step(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    strides = instruction.strides or ((1,),)
    words = [np.ascontiguousarray(inputs.strided(n, u32, instruction.sizes, s)) for n, s in enumerate(strides)]
    result = STEPS[_ALONE[instruction.op]](*words)
    return (canonical(result) if result.dtype == f32 else result,)


def relu(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    x = inputs.flat(0, f32, instruction.sizes[0])
    return (np.where(x > 0, x, np.where(x == x, f32(0), NAN)),)


def relu_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    grad, y = (inputs.strided(n, f32, instruction.sizes, instruction.strides[n]) for n in range(2))
    return (np.where(y <= 0, f32(0), canonical(grad)),)


def cast(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    source, target = ({"f32": f32, "i32": i32, "u32": u32, "u8": np.uint8}[n] for n in instruction.op.split("_to_"))
    x = inputs.flat(0, source, instruction.sizes[0])
    return (fn.truncate(x) if source is f32 else x.astype(target),)


def select(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    condition, a, b = (inputs.flat(n, u32, instruction.sizes[0]) for n in range(3))
    chosen = _chosen(condition, a, b)
    return (canonical(chosen.view(f32)) if instruction.op == "select" else chosen,)


def sgd(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    momentum, decay = scalar(instruction.scalars[0]), scalar(instruction.scalars[1])
    param, grad, buffer = (inputs.flat(n, f32, instruction.sizes[0]) for n in range(3))
    rate = inputs.flat(3, f32, 1)[0]
    g = grad + decay * param if instruction.scalars[1] else grad
    b = momentum * buffer + g
    direction = g + momentum * b if instruction.scalars[2] else b
    return canonical(b), canonical(param - rate * direction)


def fill(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    return (np.full(instruction.sizes, instruction.scalars[0], u32),)


def uniform(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    (count,), (low, high, node) = instruction.sizes, instruction.scalars
    group = np.arange(-(-count // 4), dtype=np.uint64)
    mask, word = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1 = group & mask, group >> word
    c2, c3 = np.full_like(group, node), np.full_like(group, step & 0xFFFFFFFF)
    keys = [int(key) for key in inputs.flat(0, u32, 2)]
    for _ in range(ROUNDS):
        p0, p1 = np.uint64(MULTIPLIERS[0]) * c0, np.uint64(MULTIPLIERS[1]) * c2
        k0, k1 = (np.uint64(key) for key in keys)
        c0, c1, c2, c3 = (p1 >> word) ^ c1 ^ k0, p1 & mask, (p0 >> word) ^ c3 ^ k1, p0 & mask
        keys = [key + weyl & 0xFFFFFFFF for key, weyl in zip(keys, WEYL, strict=True)]
    words = np.stack([c0, c1, c2, c3], axis=1).ravel()[:count].astype(u32)
    fraction = (words >> u32(8)).astype(f32) * f32(2.0**-24)
    return (canonical(scalar(low) + fraction * (scalar(high) - scalar(low))),)


# -- Places ------------------------------------------------------------------------------------------------------------


def move(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    dtype = {"move_f32": f32, "move_word": u32, "move_byte": np.uint8}[instruction.op]
    offset = instruction.offsets[0] if instruction.offsets else 0
    x = inputs.strided(0, dtype, instruction.sizes, instruction.strides[0], offset)
    return (canonical(x) if dtype is f32 else x,)


def pad(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    before, apart, sizes = instruction.strides
    result = np.full(instruction.sizes, instruction.scalars[0], u32)
    source = inputs.flat(0, u32, int(np.prod(sizes))).reshape(sizes)
    places = [start + np.arange(size) * gap for start, gap, size in zip(before, apart, sizes, strict=True)]
    inside = [(place >= 0) & (place < size) for place, size in zip(places, instruction.sizes, strict=True)]
    kept = [place[there] for place, there in zip(places, inside, strict=True)]
    moved = source[np.ix_(*inside)]
    result[np.ix_(*kept)] = canonical(moved.view(f32)).view(u32) if instruction.scalars[1] else moved
    return (result,)


def concat(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows = instruction.sizes[0]
    parts = [inputs.flat(n, u32, rows * width).reshape(rows, width) for n, (width,) in enumerate(instruction.strides)]
    joined = np.concatenate(parts, axis=1)
    return (canonical(joined.view(f32)) if instruction.scalars[0] else joined,)


def iota(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    start, gap = (u32(word) for word in instruction.scalars)
    return (np.arange(instruction.sizes[0], dtype=u32) * gap + start,)


def take_rows(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    places, columns, rows = instruction.sizes
    table, index = inputs.table(0, rows, columns), inputs.flat(1, i32, places)
    known = (index >= 0) & (index < rows)
    return (canonical(np.where(known[:, None], table[np.where(known, index, 0)], NAN)),)


def scatter_rows(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    places, columns, rows = instruction.sizes
    grad, index = inputs.table(0, places, columns), inputs.flat(1, i32, places)
    result = np.zeros((rows, columns), f32)
    for place in range(places):
        if 0 <= index[place] < rows:
            result[index[place]] = canonical(result[index[place]] + grad[place])
    return (result,)


def nll(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns = instruction.sizes
    logs, labels = inputs.table(0, rows, columns), inputs.flat(1, i32, rows)
    known = (labels >= 0) & (labels < columns)
    picked = np.where(known, logs[np.arange(rows), np.where(known, labels, 0)], NAN)
    return (canonical(fn.negative(picked)),)


def nll_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    rows, columns = instruction.sizes
    value = canonical(fn.negative(inputs.flat(0, f32, 1)))
    return (np.where(np.arange(columns) == inputs.flat(1, i32, rows)[:, None], value, f32(0)),)


# -- Windows -----------------------------------------------------------------------------------------------------------


def max_pool(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    planes, height, width = instruction.sizes
    (rows, columns), _, vertical, horizontal = instruction.strides
    x = inputs.table(0, planes, rows * columns)
    shape = (planes, height, width)
    best, place, first = np.zeros(shape, f32), np.zeros(shape, i64), np.full(shape, -1)
    for a in range(vertical[2]):
        for b in range(horizontal[2]):
            y = np.arange(height) * vertical[0] - vertical[1] + a * vertical[3]
            z = np.arange(width) * horizontal[0] - horizontal[1] + b * horizontal[3]
            inside = ((y >= 0) & (y < rows))[:, None] & ((z >= 0) & (z < columns))
            at = np.where(inside, y[:, None] * columns + z, 0)
            value, unseen = x[:, at], inside & (first < 0)
            place = np.where(unseen | inside & (value > best), at, place)
            best = np.where(unseen, value, np.where(inside, fn.maximum(best, value), best))
            first = np.where(unseen, at, first)
    return canonical(best), np.where(best == best, place, first).astype(i32)


def max_pool_backward(instruction: Instruction, inputs: Inputs, step: int) -> Outputs:
    planes, height, width = instruction.sizes
    (rows, columns), _, vertical, horizontal = instruction.strides
    grad = inputs.table(0, planes, rows * columns)
    places = inputs.flat(1, i32, planes * rows * columns).reshape(planes, -1).astype(i64)
    result, plane = np.zeros((planes, height * width), f32), np.arange(planes)
    for window in range(rows * columns):
        at = places[:, window]
        y = at // width + vertical[1] - window // columns * vertical[0]
        z = at % width + horizontal[1] - window % columns * horizontal[0]
        known = (at >= 0) & (at < height * width) & (y >= 0) & (y <= (vertical[2] - 1) * vertical[3])
        known &= (z >= 0) & (z <= (horizontal[2] - 1) * horizontal[3])
        chosen = plane[known], at[known]
        result[chosen] = canonical(result[chosen] + grad[known, window])
    return (result,)


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(_ALONE, one_step),
    **dict.fromkeys(("u8_to_f32", "i32_to_f32", "u32_to_f32", "f32_to_i32", "u8_to_i32"), cast),
    **dict.fromkeys(("select", "select_word"), select),
    **dict.fromkeys(("move_f32", "move_word", "move_byte"), move),
    "map": map_line,
    "relu": relu,
    "relu_backward": relu_backward,
    "sgd": sgd,
    "fill": fill,
    "uniform": uniform,
    "pad": pad,
    "concat": concat,
    "iota": iota,
    "take_rows": take_rows,
    "scatter_rows": scatter_rows,
    "nll": nll,
    "nll_backward": nll_backward,
    "max_pool": max_pool,
    "max_pool_backward": max_pool_backward,
}
