"""Bit patterns as people read them."""

from __future__ import annotations

import math
from struct import pack, unpack

from rpc.answers.tasks import TensorJson
from rpc.answers.words import LossJson
from runtime.vm.types import BITS_OF_KIND, KIND_OF_DTYPE, Kind, signed


def f32_number(bits: int) -> LossJson:
    """An f32 as a JSON number; what JSON cannot say as ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``."""
    (value,) = unpack("<f", pack("<I", bits))
    if math.isfinite(value):
        return float(f"{value:.9g}")
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def hexadecimal(kind: Kind, bits: int) -> str:
    """All bits of a scalar of that kind."""
    return f"0x{bits:0{BITS_OF_KIND[kind] // 4}x}"


def decimal(kind: Kind, bits: int) -> str:
    """The number behind the bits; nine (f32) or seventeen (f64) digits tell every float from its neighbours."""
    if kind is Kind.F32:
        return format(unpack("<f", pack("<I", bits))[0], ".9g")
    if kind is Kind.F64:
        return format(unpack("<d", pack("<Q", bits))[0], ".17g")
    return str(signed(bits) if kind is Kind.I32 else bits)


def decimal_of_hex(dtype_or_kind: str, text: str) -> str | None:
    """The number behind ``0x...`` bits of a dtype or a kind's name; None for text that is none."""
    kind = KIND_OF_DTYPE.get(dtype_or_kind)
    if kind is None or not text.startswith("0x") or len(text) != 2 + BITS_OF_KIND[kind] // 4:
        return None
    return decimal(kind, int(text, 16))


def shape_of(dtype: str, shape: tuple[int, ...]) -> TensorJson:
    """A tensor's type in JSON."""
    return {"dtype": dtype, "shape": list(shape)}
