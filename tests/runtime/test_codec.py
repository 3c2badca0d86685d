"""Canonical MessagePack: one value, one encoding, and typed errors for everything else."""

from __future__ import annotations

import types
import typing
from contextlib import suppress
from enum import StrEnum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import registry
from runtime.block import Block, Call, Era, Extrinsic, Header, Inherent, Seal, Slot
from runtime.codec import U8, U32, U63, AccountId, Hash, Record, decode, encode
from runtime.errors import CodecError

hashes = st.binary(min_size=32, max_size=32)
small = st.integers(0, 2**63 - 1)
calls = st.builds(Call, st.text(max_size=12), st.text(max_size=12), st.binary(max_size=64))
eras = st.builds(Era, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
signatures = st.binary(min_size=64, max_size=64)
extrinsics = st.builds(Extrinsic, calls, hashes, small, eras, small, signatures)
digests = st.lists(st.builds(Slot, small, hashes) | st.builds(Seal, signatures), max_size=3).map(tuple)
headers = st.builds(Header, hashes, small, hashes, hashes, digests)
blocks = st.builds(Block, headers, st.lists(st.binary(max_size=40), max_size=4).map(tuple))
records = extrinsics | headers | blocks | st.builds(Inherent, calls)


@given(records)
def test_what_was_encoded_decodes_to_an_equal_value(record: Record) -> None:
    assert decode(encode(record), type(record)) == record


@given(st.binary(max_size=200), st.sampled_from([Extrinsic, Header, Block, Extrinsic | Inherent, tuple[U63, ...]]))
def test_any_bytes_decode_canonically_or_raise_the_typed_error(data: bytes, kind: Any) -> None:
    try:
        value: Any = decode(data, kind)
    except CodecError:
        return
    assert encode(value) == data


@given(records, st.data())
def test_a_changed_encoding_is_another_value_or_none(record: Record, data: st.DataObject) -> None:
    original = encode(record)
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= data.draw(st.integers(1, 255))
    with suppress(CodecError):
        assert decode(bytes(changed), type(record)) != record


@given(records, st.integers(1, 30))
def test_truncated_and_extended_encodings_are_refused(record: Record, count: int) -> None:
    encoded = encode(record)
    with pytest.raises(CodecError):
        decode(encoded[:-count], type(record))
    with pytest.raises(CodecError):
        decode(encoded + bytes(count), type(record))


@pytest.mark.parametrize(
    "data",
    ["cd0005", "cc05", "ce00000005", "cf0000000000000005", "d005", "d10005", "d200000005", "d30000000000000005"],
)
def test_five_has_one_encoding(data: str) -> None:
    assert decode(b"\x05", U63) == 5
    with pytest.raises(CodecError):
        decode(bytes.fromhex(data), U63)


def refuse(kind: Any, data: str) -> None:
    with pytest.raises(CodecError):
        decode(bytes.fromhex(data), kind)


@pytest.mark.parametrize("kind", [bytes, tuple[bytes, ...], tuple[U63, ...], str, Extrinsic, Block, U63])
@pytest.mark.parametrize(
    "data", ["ddffffffff", "dd7fffffff01", "dcffff", "c6ffffffff", "dbffffffff", "dfffffffff", "c9ffffffff00"]
)
def test_a_length_that_the_bytes_do_not_hold_is_refused_before_allocation(kind: Any, data: str) -> None:
    refuse(kind, data)


@pytest.mark.parametrize("kind", [bytes, tuple[bytes, ...], str, Extrinsic, U63, U8, bool, Hash, AccountId])
@pytest.mark.parametrize(
    "data",
    [
        "",
        "d401aa",  # extension type
        "d6ff00000000",  # timestamp extension
        "c70501aabbccddee",
        "ca40a00000",  # f32 5.0
        "cb4014000000000000",  # f64 5.0
        "cb7ff8000000000000",  # NaN
        "80",  # map
        "81a16101",
        "c0",  # nil
        "c1",  # never used
    ],
)
def test_maps_floats_extensions_and_nil_are_refused(kind: Any, data: str) -> None:
    refuse(kind, data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (U8, 256),
        (U32, 2**32),
        (U63, 2**63),
        (U63, -1),
        (Hash, bytes(31)),
        (AccountId, bytes(33)),
        (U63, True),
        (bool, 1),
    ],
)
def test_values_outside_their_type_are_refused(kind: Any, value: Any) -> None:
    with pytest.raises(CodecError):
        decode(encode(value), kind)


def test_bytes_and_text_are_not_interchangeable() -> None:
    with pytest.raises(CodecError):
        decode(encode("abc"), bytes)
    with pytest.raises(CodecError):
        decode(encode(b"abc"), str)
    with pytest.raises(CodecError):
        decode(b"\xa2\xff\xfe", str)


def test_longer_headers_than_needed_are_refused() -> None:
    assert decode(b"\xc4\x01a", bytes) == b"a"
    for longer in (b"\xc5\x00\x01a", b"\xc6\x00\x00\x00\x01a"):
        with pytest.raises(CodecError):
            decode(longer, bytes)
    with pytest.raises(CodecError):
        decode(b"\xd9\x01a", str)
    with pytest.raises(CodecError):
        decode(b"\xdc\x00\x02\x01\x02", tuple[U63, ...])


def test_a_record_with_another_tag_or_field_count_is_refused() -> None:
    good = encode(Era(4, 1))
    assert decode(good, Era) == Era(4, 1)
    for bad in (("era", 4, 1), ("Era", 4), ("Era", 4, 1, 0), (4, 1), ("Call", 4, 1), ("Era", 4, None)):
        with pytest.raises(CodecError):
            decode(encode(bad), Era)


def test_deep_nesting_is_refused() -> None:
    for kind in (Block, tuple[tuple[U63, ...], ...], Extrinsic):
        with pytest.raises(CodecError):
            decode(b"\x91" * 100_000 + b"\x90", kind)


def test_bytes_above_the_bound_are_refused_unread() -> None:
    data = encode(bytes(100))
    with pytest.raises(CodecError, match="at most 50"):
        decode(data, bytes, max_bytes=50)


def closed(kind: Any, above: tuple[Any, ...] = ()) -> None:
    """Fail for a type whose values could hold a float, a map, anything at all, or themselves (unbounded depth)."""
    if isinstance(kind, type) and issubclass(kind, Record):
        assert kind not in above, f"{kind.__name__} contains itself"
        for hint in get_type_hints(kind, include_extras=True).values():
            closed(hint, (*above, kind))
    elif get_origin(kind) is typing.Literal:
        assert all(isinstance(choice, str) for choice in get_args(kind)), f"{kind} in {above}"
    elif get_origin(kind) in (tuple, typing.Annotated, typing.Union, types.UnionType):
        for part in get_args(kind):
            if get_origin(kind) is not typing.Annotated or part is get_args(kind)[0]:
                closed(part, above)
    else:
        named = isinstance(kind, type) and issubclass(kind, StrEnum)
        assert named or kind in (int, bytes, str, bool, ..., None, types.NoneType), f"{kind} in {above}"


def test_every_type_that_the_chain_decodes_is_closed_and_of_bounded_depth() -> None:
    for kind in (Block, Extrinsic | Inherent):
        closed(kind)
    for pallet in registry.PALLETS:
        for definition in (*pallet.calls.values(), *pallet.inherents.values()):
            closed(definition.arguments)
        for event in pallet.events.values():
            closed(event)
        for item in pallet.storage.values():
            closed(getattr(item, "kind", None) or (item.value_kind))  # type: ignore[union-attr]
