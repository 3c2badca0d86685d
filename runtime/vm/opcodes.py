"""The instruction set of the dispute machine: typed registers and one total function per opcode.

An opcode takes typed bit patterns and gives one; there are no jumps, traps or flags. `OPCODES` gives for each its
source kinds, its result kind, its gas and its function. Gas counts scalar operations; a division or a correctly
rounded function costs what it takes a kernel, in units of one addition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import cache, partial

from runtime.errors import VmHalt
from runtime.vm import softfloat as sf
from runtime.vm.approximations import cosine, erf, gelu, gelu_slope, reciprocal_root, sigmoid, sine, tanh
from runtime.vm.elementary import exponential, logarithm
from runtime.vm.philox import philox4x32
from runtime.vm.types import BITS_OF_KIND, EMPTY, Kind, Scalar, signed

REGISTER_COUNT = 32
REGISTERS_BYTES = REGISTER_COUNT * 9


@dataclass(frozen=True, slots=True)
class Registers:
    """The whole state of the machine: 32 typed cells. Building one from impossible cells is a `VmHalt`."""

    cells: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if len(self.cells) != REGISTER_COUNT:
            raise VmHalt(f"{len(self.cells)} registers where the machine has {REGISTER_COUNT}")
        for number, cell in enumerate(self.cells):
            if cell is EMPTY:
                continue
            kind, bits = cell
            if not isinstance(kind, Kind) or type(bits) is not int or bits < 0 or bits >> BITS_OF_KIND[kind]:
                raise VmHalt(f"register {number} cannot hold kind {kind!r} with bits {bits!r}")

    @classmethod
    def of(cls, cells: Mapping[int, Scalar]) -> Registers:
        """Registers with the given cells, all others empty."""
        if not cells:
            return _blank()
        filled = [EMPTY] * REGISTER_COUNT
        for number, cell in cells.items():
            filled[number] = cell
        return cls(tuple(filled))

    def __getitem__(self, number: int) -> Scalar:
        return self.cells[number]

    def to_bytes(self) -> bytes:
        """Canonical bytes: per register one byte of kind and eight of little-endian bits."""
        return b"".join(bytes([kind]) + bits.to_bytes(8, "little") for kind, bits in self.cells)

    @classmethod
    def from_bytes(cls, data: bytes) -> Registers:
        """The registers behind a party's bytes; `VmHalt` unless they are exactly what `to_bytes` gives."""
        if len(data) != REGISTERS_BYTES:
            raise VmHalt(f"{len(data)} bytes of registers where {REGISTERS_BYTES} are needed")
        cells = []
        for start in range(0, REGISTERS_BYTES, 9):
            if data[start] not in BITS_OF_KIND:
                raise VmHalt(f"register {start // 9} has unknown kind {data[start]}")
            cells.append(Scalar(Kind(data[start]), int.from_bytes(data[start + 1 : start + 9], "little")))
        return cls(tuple(cells))


@cache
def _blank() -> Registers:
    return Registers((EMPTY,) * REGISTER_COUNT)


class Opcode(IntEnum):
    """One scalar operation. SELECT picks its second source where the first (i32) is not 0, else its third.

    MOVE copies raw bits of any kind. PHILOX takes four counter words, two key words and the number of the word wanted.
    An f32 result that is NaN is canonical, except MOVE's.
    """

    MOVE = auto()
    CANONICAL_F32 = auto()
    ADD_F32 = auto()
    SUB_F32 = auto()
    MUL_F32 = auto()
    DIV_F32 = auto()
    FMA_F32 = auto()
    SQRT_F32 = auto()
    EXP_F32 = auto()
    LOG_F32 = auto()
    NEG_F32 = auto()
    ABS_F32 = auto()
    MAX_F32 = auto()
    MIN_F32 = auto()
    EQUAL_F32 = auto()
    LESS_F32 = auto()
    LESS_EQUAL_F32 = auto()
    SELECT_F32 = auto()
    ADD_F64 = auto()
    SUB_F64 = auto()
    MUL_F64 = auto()
    DIV_F64 = auto()
    FMA_F64 = auto()
    SQRT_F64 = auto()
    LESS_F64 = auto()
    F32_TO_F64 = auto()
    F64_TO_F32 = auto()
    F32_TO_I32 = auto()
    I32_TO_F32 = auto()
    U32_TO_F32 = auto()
    U32_TO_I32 = auto()
    ADD_I32 = auto()
    SUB_I32 = auto()
    MUL_I32 = auto()
    EQUAL_I32 = auto()
    LESS_I32 = auto()
    SELECT_I32 = auto()
    SHIFT_RIGHT_U32 = auto()
    PHILOX = auto()
    RSQRT_F32 = auto()
    TANH_F32 = auto()
    SIGMOID_F32 = auto()
    ERF_F32 = auto()
    GELU_F32 = auto()
    GELU_SLOPE_F32 = auto()
    SIN_F32 = auto()
    COS_F32 = auto()


@dataclass(frozen=True, slots=True)
class Operation:
    """What an opcode does. ``sources`` is None for MOVE, which keeps the kind of its one source."""

    sources: tuple[Kind, ...] | None
    result: Kind
    function: Callable[..., int]
    gas: int = 1


def _select_f32(condition: int, chosen: int, other: int) -> int:
    return sf.canonical(sf.F32, chosen if condition else other)


def _f32_to_i32(a: int) -> int:
    return sf.to_integer(sf.F32, a, -(1 << 31), (1 << 31) - 1) & 0xFFFFFFFF


def _philox_word(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int, word: int) -> int:
    return philox4x32((c0, c1, c2, c3), (k0, k1))[word & 3]


def _float_operation(
    function: Callable[..., int], fmt: sf.Format, count: int, gas: int = 1, result: Kind | None = None
) -> Operation:
    kind = Kind.F32 if fmt is sf.F32 else Kind.F64
    return Operation((kind,) * count, result or kind, partial(function, fmt), gas)


def _comparison(function: Callable[[sf.Format, int, int], bool], fmt: sf.Format) -> Operation:
    return _float_operation(lambda f, a, b: int(function(f, a, b)), fmt, 2, result=Kind.I32)


_F32, _F64, _I32, _U32 = Kind.F32, Kind.F64, Kind.I32, Kind.U32
_MASK = 0xFFFFFFFF

OPCODES: dict[Opcode, Operation] = {
    Opcode.MOVE: Operation(None, Kind.EMPTY, lambda a: a),
    Opcode.CANONICAL_F32: _float_operation(sf.canonical, sf.F32, 1),
    Opcode.ADD_F32: _float_operation(sf.add, sf.F32, 2),
    Opcode.SUB_F32: _float_operation(sf.subtract, sf.F32, 2),
    Opcode.MUL_F32: _float_operation(sf.multiply, sf.F32, 2),
    Opcode.DIV_F32: _float_operation(sf.divide, sf.F32, 2, gas=4),
    Opcode.FMA_F32: _float_operation(sf.fused_multiply_add, sf.F32, 3),
    Opcode.SQRT_F32: _float_operation(sf.square_root, sf.F32, 1, gas=4),
    Opcode.EXP_F32: _float_operation(exponential, sf.F32, 1, gas=16),
    Opcode.LOG_F32: _float_operation(logarithm, sf.F32, 1, gas=16),
    Opcode.NEG_F32: _float_operation(sf.negate, sf.F32, 1),
    Opcode.ABS_F32: _float_operation(sf.absolute, sf.F32, 1),
    Opcode.MAX_F32: _float_operation(sf.maximum, sf.F32, 2),
    Opcode.MIN_F32: _float_operation(sf.minimum, sf.F32, 2),
    Opcode.EQUAL_F32: _comparison(sf.equal, sf.F32),
    Opcode.LESS_F32: _comparison(sf.less, sf.F32),
    Opcode.LESS_EQUAL_F32: _comparison(sf.less_equal, sf.F32),
    Opcode.SELECT_F32: Operation((_I32, _F32, _F32), _F32, _select_f32),
    Opcode.ADD_F64: _float_operation(sf.add, sf.F64, 2),
    Opcode.SUB_F64: _float_operation(sf.subtract, sf.F64, 2),
    Opcode.MUL_F64: _float_operation(sf.multiply, sf.F64, 2),
    Opcode.DIV_F64: _float_operation(sf.divide, sf.F64, 2, gas=4),
    Opcode.FMA_F64: _float_operation(sf.fused_multiply_add, sf.F64, 3),
    Opcode.SQRT_F64: _float_operation(sf.square_root, sf.F64, 1, gas=4),
    Opcode.LESS_F64: _comparison(sf.less, sf.F64),
    Opcode.F32_TO_F64: Operation((_F32,), _F64, partial(sf.convert, sf.F32, sf.F64)),
    Opcode.F64_TO_F32: Operation((_F64,), _F32, partial(sf.convert, sf.F64, sf.F32)),
    Opcode.F32_TO_I32: Operation((_F32,), _I32, _f32_to_i32),
    Opcode.I32_TO_F32: Operation((_I32,), _F32, lambda a: sf.from_integer(sf.F32, signed(a))),
    Opcode.U32_TO_F32: Operation((_U32,), _F32, partial(sf.from_integer, sf.F32)),
    Opcode.U32_TO_I32: Operation((_U32,), _I32, lambda a: a),
    Opcode.ADD_I32: Operation((_I32, _I32), _I32, lambda a, b: a + b & _MASK),
    Opcode.SUB_I32: Operation((_I32, _I32), _I32, lambda a, b: a - b & _MASK),
    Opcode.MUL_I32: Operation((_I32, _I32), _I32, lambda a, b: a * b & _MASK),
    Opcode.EQUAL_I32: Operation((_I32, _I32), _I32, lambda a, b: int(a == b)),
    Opcode.LESS_I32: Operation((_I32, _I32), _I32, lambda a, b: int(signed(a) < signed(b))),
    Opcode.SELECT_I32: Operation((_I32, _I32, _I32), _I32, lambda c, a, b: a if c else b),
    Opcode.SHIFT_RIGHT_U32: Operation((_U32, _U32), _U32, lambda a, count: a >> count if count < 32 else 0),
    Opcode.PHILOX: Operation((_U32,) * 7, _U32, _philox_word, gas=16),
    Opcode.RSQRT_F32: _float_operation(reciprocal_root, sf.F32, 1, gas=6),
    Opcode.TANH_F32: _float_operation(tanh, sf.F32, 1, gas=16),
    Opcode.SIGMOID_F32: _float_operation(sigmoid, sf.F32, 1, gas=16),
    Opcode.ERF_F32: _float_operation(erf, sf.F32, 1, gas=24),
    Opcode.GELU_F32: _float_operation(gelu, sf.F32, 1, gas=24),
    Opcode.GELU_SLOPE_F32: _float_operation(gelu_slope, sf.F32, 1, gas=24),
    Opcode.SIN_F32: _float_operation(sine, sf.F32, 1, gas=24),
    Opcode.COS_F32: _float_operation(cosine, sf.F32, 1, gas=24),
}
