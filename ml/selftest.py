"""The kernels' self-test: every kernel on fixed inputs must give the committed digest before anything is trained.

A processor, compiler or emulator that computes one other bit is found here rather than in a lost dispute. Inputs come
from a small integer generator and contain every special value.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from ml.backend import DTYPES, Backend, Instruction, KernelMismatch
from ml.placement import Placement
from runtime.vm.opcodes import OPCODES
from runtime.vm.operators_map import CODES
from runtime.vm.types import Kind, TensorType

DIGEST = "8f2a4fc8a28a25c8188a93fb50bff8e0"
"""blake2b-128 over the outputs of `CASES` in order; the same on every machine and instruction set."""

ELEMENTS = 9600
SPECIALS = np.array(
    [
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF,
        0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFC12345, 0x3F800000, 0xBF800000, 0x4F000000, 0xCF000000,
        0x42B17218, 0xC2CFF1B5, 0x33800000, 0x7EFFFFFF, 0x00FFFFFF, 0x3F317218,
    ],
    dtype=np.uint32,
)  # fmt: skip


def words(count: int, seed: int) -> np.ndarray:
    """Fixed pseudo-random u32 words (the finaliser of MurmurHash3 over a counter)."""
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x


def ordinary_floats(count: int, seed: int) -> np.ndarray:
    """Finite floats of mixed sign with exponents of -12 to 3, as activations and gradients have."""
    raw = words(count, seed)
    exponent = (raw >> np.uint32(23) & np.uint32(15)) + np.uint32(115)
    return (raw & np.uint32(0x807FFFFF) | exponent << np.uint32(23)).view(np.float32)


def wild_floats(count: int, seed: int) -> np.ndarray:
    """Any bit pattern, every eighth a special value."""
    raw = words(count, seed)
    raw[::8] = SPECIALS[np.arange(len(raw[::8])) % len(SPECIALS)]
    return raw.view(np.float32)


TAME, TAMER, WILD, WILDER, LABELS, BYTES, KEY, RATE, OUT, OUT2, OUT3 = range(11)
ONE = ((1,), (1,))


def _flat(op: str, *inputs: int, strides: tuple[tuple[int, ...], ...] = ()) -> Instruction:
    return Instruction(op, (ELEMENTS,), inputs, (OUT,), strides=strides)


def _matmul(rows: int, columns: int, inner: int, ta: int, tb: int) -> Instruction:
    return Instruction("matmul", (rows, columns, inner), (TAME, TAMER), (OUT,), (ta, tb))


def _step(code: int, *inputs: int) -> Instruction:
    """A map of one operation; a choice takes labels as its condition, an operation on integers any words."""
    count = len(OPCODES[CODES[code]].sources or ())
    given = (LABELS, *inputs)[:count] if count == 3 else inputs[:count]
    is_float = int(OPCODES[CODES[code]].result == Kind.F32)
    line = (count + 1, 0, 1, count, is_float, code, count, *range(count), *(0,) * (3 - count))
    return Instruction("map", (ELEMENTS,), given, (OUT,), strides=((1,),) * count, code=line)


CASES: tuple[Instruction, ...] = (
    *(_matmul(*case) for case in ((7, 37, 257, 0, 0), (35, 9, 259, 0, 1), (64, 33, 100, 1, 0), (1, 70, 130, 1, 1))),
    _matmul(33, 2, 280, 0, 1),
    *(
        _flat(op, WILD, WILDER, strides=ONE)
        for op in ("add", "sub", "mul", "div", "maximum", "minimum", "equal", "less", "less_equal", "relu_backward")
    ),
    Instruction("mul", (80, 120), (WILD, WILDER), (OUT,), strides=((120, 1), (1, 0))),
    Instruction("sub", (80, 120), (WILD, WILDER), (OUT,), strides=((1, 0), (120, 1))),
    *(_flat(op, WILD) for op in ("neg", "abs", "sqrt", "exp", "log", "relu", "f32_to_i32", "i32_to_f32", "u32_to_f32")),
    *(_flat(op, TAME) for op in ("exp", "log")),
    *(_flat(op, BYTES) for op in ("u8_to_f32", "u8_to_i32")),
    *(_flat(op, LABELS, WILD, WILDER) for op in ("select", "select_word")),
    Instruction("row_sum", (60, 160), (TAME,), (OUT,)),
    Instruction("row_sum", (1371, 7), (WILD,), (OUT,)),
    Instruction("col_sum", (600, 16), (TAME,), (OUT,)),
    _flat("block_sum", TAME),
    Instruction("log_softmax", (600, 16), (TAME,), (OUT2, OUT3, OUT)),
    Instruction("log_softmax", (100, 70), (WILD,), (OUT2, OUT3, OUT)),
    Instruction("log_softmax_backward", (600, 16), (TAMER, TAME), (OUT2, OUT)),
    Instruction("nll", (960, 10), (TAME, LABELS), (OUT,)),
    Instruction("nll_backward", (960, 10), (RATE, LABELS), (OUT,)),
    Instruction("sgd", (ELEMENTS,), (TAME, TAMER, WILD, RATE), (OUT2, OUT), (0x3F666666, 0x3A83126F, 1)),
    Instruction("sgd", (ELEMENTS,), (TAME, TAMER, WILD, RATE), (OUT2, OUT), (0x3F666666, 0, 0)),
    Instruction("uniform", (ELEMENTS - 1,), (KEY,), (OUT,), (0xBD124925, 0x3D124925, 5)),
    Instruction("fill", (ELEMENTS,), (), (OUT,), (0x12345678,)),
    Instruction("move_f32", (120, 80), (WILD,), (OUT,), strides=((1, 120),)),
    Instruction("move_word", (ELEMENTS,), (WILD,), (OUT,), strides=((1,),)),
    *(_step(code, WILD, WILDER, LABELS) for code in range(len(CODES))),
    *(_step(CODES.index(opcode), TAME) for opcode in CODES if OPCODES[opcode].sources == (Kind.F32,)),
    Instruction(
        "map", (80, 120), (TAME, RATE, TAMER), (OUT2, OUT), strides=((120, 1), (0, 0), (0, 1)),
        code=(7, 1, 3, 0x3F8CCCCD, 5, 1, 6, 1, 2, 4, 0, 1, 0, 0, 5, 4, 2, 0, 16, 6, 5, 0, 0),
    ),
    Instruction(
        "batch_matmul", (3, 2, 20, 17, 70), (TAME, TAMER), (OUT,), (1,), offsets=(3, 5),
        strides=((1400, 0, 70, 1), (1190, 17, 1, 70)),
    ),
    _flat("block_square_sum", TAME),
    Instruction("pad", (60, 70), (WILD,), (OUT,), (0x3F800000, 1), ((2, 3), (2, 1), (28, 60))),
    Instruction("concat", (60,), (WILD, WILDER), (OUT,), (1,), ((70,), (30,))),
    Instruction("iota", (ELEMENTS,), (), (OUT,), (0xFFFFFFF0, 3)),
    Instruction("take_rows", (900, 10, 11), (WILD, LABELS), (OUT,)),
    Instruction("scatter_rows", (900, 10, 11), (TAME, LABELS), (OUT,)),
    Instruction("row_max", (600, 16), (WILD,), (OUT2, OUT)),
    Instruction("softmax", (100, 70, 20), (TAME,), (OUT2, OUT3, OUT), (0x3F000000, 1)),
    Instruction("softmax", (100, 70, 1), (WILD,), (OUT2, OUT3, OUT), (0x3F000000, 0)),
    Instruction("softmax_backward", (100, 70), (TAME, TAMER), (OUT2, OUT), (0x3F000000,)),
    *(
        Instruction("layer_norm", (100, 70), (TAME, TAMER, WILD)[:count], (OUT2, OUT3, OUT), (0x3727C5AC, count))
        for count in (1, 2, 3)
    ),
    *(
        Instruction(
            "layer_norm_backward", (100, 70), (TAME, TAMER, WILDER, TAME, TAMER)[:count], (OUT2, OUT3, OUT), (count,)
        )
        for count in (4, 5)
    ),
    *(
        Instruction(
            "conv2d", (2, 6, 7, 9), (tensor, TAMER), (OUT,),
            strides=((2, 8, 15, 10), (4, 3, 2, 2), (2, 1, 1, 1), (1, 0, 1, 1)),
        )
        for tensor in (TAME, WILD)
    ),
    Instruction(
        "conv2d", (3, 4, 17, 5), (TAME, TAMER), (OUT,), strides=((3, 5, 8, 3), (5, 2, 2, 1), (1, 1, 2, 2), (1, 0, 2, 1))
    ),
    Instruction("max_pool", (20, 10, 11), (WILD,), (OUT2, OUT), strides=((20, 21), (), (2, 1, 3, 1), (2, 0, 2, 1))),
    Instruction(
        "max_pool_backward", (20, 3, 5), (TAME, LABELS), (OUT,), strides=((2, 3), (), (2, 1, 3, 1), (2, 1, 2, 1))
    ),
)  # fmt: skip


def buffers() -> list[np.ndarray]:
    """The arrays that `CASES` number: inputs, then three outputs."""
    rate = np.full(16, 0x3DCCCCCD, dtype=np.uint32).view(np.float32)
    inputs = [
        ordinary_floats(ELEMENTS, 1),
        ordinary_floats(ELEMENTS, 2),
        wild_floats(ELEMENTS, 3),
        wild_floats(ELEMENTS, 44),
        (words(ELEMENTS, 5) % np.uint32(12)).astype(np.int32) - np.int32(1),
        words(ELEMENTS, 6).view(np.uint8)[:ELEMENTS].copy(),
        words(2, 7),
        rate,
    ]
    return [*inputs, *(np.zeros(ELEMENTS, dtype=np.uint32) for _ in range(3))]


def compute_digests(backend: Backend) -> list[bytes]:
    """One digest per case, over all three output buffers (zeroed before each case)."""
    arrays = buffers()
    names = {dtype: name for name, dtype in DTYPES.items()}
    types = [TensorType(names[array.dtype], array.shape) for array in arrays]
    placement = Placement([], schedule=list(CASES))
    placement.offset = [placement.extend(kind.bytes) for kind in types]
    machine = backend.open(placement, types)
    for value, array in enumerate(arrays):
        machine.write(value, array)
    digests = []
    for index in range(len(CASES)):
        for value in range(OUT, len(arrays)):
            machine.write(value, arrays[value])
        machine.run(index, index + 1, 3)
        outputs = b"".join(machine.read(value).tobytes() for value in range(OUT, len(arrays)))
        digests.append(blake2b(outputs, digest_size=16).digest())
    return digests


_passed: set[str] = set()


def check(backend: Backend) -> None:
    """Raise `KernelMismatch` unless a backend gives the committed digest. Milliseconds, once a process and name."""
    if backend.name in _passed:
        return
    found = blake2b(b"".join(compute_digests(backend)), digest_size=16).hexdigest()
    if found != DIGEST:
        raise KernelMismatch(
            f"the {backend.name} kernels give self-test digest {found}, not {DIGEST}: this build or processor "
            "computes other bits than the definition"
        )
    _passed.add(backend.name)
