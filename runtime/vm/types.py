"""What the values of a program and the registers of the machine hold.

A *tensor type* is (dtype, shape) of a value in a program; dtypes are those of `runtime.commitments.ITEM_BYTES`. A
*kind* is the type of one register: f32, f64, i32, u32, or empty. Every scalar is a *bit pattern*, a non-negative
integer: i32 in two's complement, f32 and f64 as IEEE-754 interchange formats. u8 elements travel in u32 registers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from runtime.commitments import ITEM_BYTES, element_count, tensor_bytes
from runtime.errors import VmHalt

CANONICAL_NAN_F32 = 0x7FC00000
CANONICAL_NAN_F64 = 0x7FF8000000000000


class Kind(IntEnum):
    """Type of one register; the number is its byte in `Registers.to_bytes`."""

    EMPTY = 0
    F32 = 1
    F64 = 2
    I32 = 3
    U32 = 4


BITS_OF_KIND = {Kind.EMPTY: 0, Kind.F32: 32, Kind.F64: 64, Kind.I32: 32, Kind.U32: 32}
KIND_OF_DTYPE = {"f32": Kind.F32, "i32": Kind.I32, "u32": Kind.U32, "u8": Kind.U32}
"""The register kind that holds one element of each tensor dtype."""


class Scalar(NamedTuple):
    """One typed bit pattern."""

    kind: Kind
    bits: int


EMPTY = Scalar(Kind.EMPTY, 0)


def f32(bits: int) -> Scalar:
    return Scalar(Kind.F32, bits)


def i32(number: int) -> Scalar:
    """An i32 scalar from a signed integer, wrapped to 32 bits."""
    return Scalar(Kind.I32, number & 0xFFFFFFFF)


def u32(number: int) -> Scalar:
    return Scalar(Kind.U32, number & 0xFFFFFFFF)


def signed(bits: int) -> int:
    """The signed integer behind an i32 bit pattern."""
    return bits - (1 << 32) if bits >> 31 else bits


class TensorType(NamedTuple):
    """dtype and shape of one value of a program. A scalar has shape ()."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return element_count(self.shape)

    @property
    def bytes(self) -> int:
        return tensor_bytes(self.dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def scalar_of(dtype: str, bits: object) -> Scalar:
    """A register's content for one element of a tensor; `VmHalt` when the bits do not fit the dtype."""
    if dtype not in ITEM_BYTES:
        raise VmHalt(f"an operand of unknown dtype {dtype!r}")
    if type(bits) is not int or bits < 0 or bits >> (8 * ITEM_BYTES[dtype]):
        raise VmHalt(f"operand {bits!r} is not the bit pattern of a {dtype}")
    return Scalar(KIND_OF_DTYPE[dtype], bits)


def read_element(data: bytes | bytearray | memoryview, dtype: str, element: int) -> int:
    """Bits of element number ``element`` of a tensor's (or chunk's) little-endian bytes."""
    size = ITEM_BYTES[dtype]
    return int.from_bytes(data[element * size : (element + 1) * size], "little")


def write_element(bits: int, dtype: str) -> bytes:
    """The little-endian bytes of one element."""
    return bits.to_bytes(ITEM_BYTES[dtype], "little")
