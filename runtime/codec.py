"""Canonical MessagePack: the only encoding of anything that is hashed, signed, stored or gossiped.

A *record* is a fixed-order array whose first item is its tag (the class name). There are no maps, floats or
extension types, no optional and no defaulted fields: a change of a record is a new class, and the old one stays
decodable. `decode` accepts exactly the bytes that `encode` produces, so equal values have equal hashes and no
second encoding of a signed message exists.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, dataclass_transform

import msgspec

from runtime.errors import CodecError

Bounds = msgspec.Meta
"""Limits of a field, for ``Annotated``: ``ge``, ``le`` of a number; ``min_length``, ``max_length`` of a sequence."""

MAX_BYTES = 8 * 1024 * 1024
"""Longest message that `decode` looks at unless the caller sets another bound."""

Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
AccountId = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
U8 = Annotated[int, msgspec.Meta(ge=0, le=2**8 - 1)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Balances, gas, heights, sizes: unsigned, and below 2^63 as `node.md` demands of total issuance."""
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""Any unsigned integer that MessagePack can hold (below 2^64): seeds and raw bit patterns."""


@dataclass_transform(frozen_default=True)
class Record(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of every encoded value: immutable, ordered, tagged with its class name."""


T = TypeVar("T")
R = TypeVar("R", bound=Record)
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a record, integer, string, bytes, bool or tuple of those."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T] | Any, max_bytes: int = MAX_BYTES) -> T:
    """Return the value of type ``kind`` whose canonical encoding is exactly ``data``.

    Raises `CodecError` for bytes that are too long, of another type, or not canonical (``cd 00 05`` is not 5).
    """
    if len(data) > max_bytes:
        raise CodecError(f"{len(data)} bytes where at most {max_bytes} are allowed")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value = decoder.decode(data)
        again = _encoder.encode(value)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise CodecError(f"not a {getattr(kind, '__name__', kind)}: {error}") from None
    if again != data:
        raise CodecError(f"not the canonical encoding of a {getattr(kind, '__name__', kind)}")
    return value  # type: ignore[no-any-return]


def replace(record: R, **changes: Any) -> R:
    """Return a copy of ``record`` with some fields changed. The new values are trusted, not validated."""
    return msgspec.structs.replace(record, **changes)
