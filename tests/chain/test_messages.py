"""Messages: what is sent is what is read, and nothing that a peer sends does worse than `MalformedMessage`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import messages
from chain.messages import (
    MAX_BYTES,
    MAX_RANGE,
    Announce,
    BlockData,
    BlockRequest,
    BlockResponse,
    Extrinsics,
    FinalityRequest,
    FinalityResponse,
    FromHash,
    FromNumber,
    MalformedMessage,
    StateEntry,
    StateRequest,
    StateResponse,
    Status,
    Votes,
    WarpRequest,
    WarpResponse,
    WarpStep,
    decode_message,
    encode_message,
)
from runtime.block import Authority, BeaconOutput, Block, Header, NextAuthorities, Seal, Slot
from runtime.codec import Record, encode, replace

hashes = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**63 - 1)
short = st.binary(max_size=80)
digests = st.lists(
    st.one_of(
        st.builds(Slot, numbers, hashes),
        st.builds(BeaconOutput, short, short),
        st.builds(NextAuthorities, numbers, st.lists(st.builds(Authority, hashes, numbers), max_size=3).map(tuple)),
        st.builds(Seal, st.binary(min_size=64, max_size=64)),
    ),
    max_size=4,
).map(tuple)
headers = st.builds(Header, hashes, numbers, hashes, hashes, digests)
blocks = st.builds(Block, headers, st.lists(short, max_size=3).map(tuple))
block_data = st.builds(BlockData, blocks, short)
starts = st.one_of(st.builds(FromHash, hashes), st.builds(FromNumber, numbers))
all_messages = st.one_of(
    st.builds(Announce, headers),
    st.builds(Extrinsics, st.lists(short, min_size=1, max_size=3).map(tuple)),
    st.builds(Votes, short, numbers),
    st.builds(Status, hashes, hashes, numbers, hashes, numbers, numbers),
    st.builds(BlockRequest, starts, st.integers(1, MAX_RANGE)),
    st.builds(BlockResponse, st.lists(block_data, max_size=3).map(tuple)),
    st.builds(FinalityRequest, numbers),
    st.builds(FinalityResponse, short),
    st.builds(WarpRequest, numbers),
    st.builds(WarpResponse, st.lists(st.builds(WarpStep, headers, short), max_size=3).map(tuple), st.booleans()),
    st.builds(StateRequest, hashes, hashes, hashes, st.integers(1, messages.MAX_STATE_ENTRIES)),
    st.builds(
        StateResponse,
        st.lists(st.builds(StateEntry, short, short), max_size=3).map(tuple),
        st.lists(short, max_size=3).map(tuple),
        st.booleans(),
    ),
)
kinds = st.sampled_from(sorted(MAX_BYTES, key=lambda kind: kind.__name__))


@given(all_messages)
def test_what_is_sent_is_what_is_read(message: Record) -> None:
    assert decode_message(type(message), encode_message(message)) == message


@settings(max_examples=300)
@given(kinds, st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(kind: type[Record], data: bytes) -> None:
    try:
        decode_message(kind, data)
    except MalformedMessage:
        return
    assert encode_message(decode_message(kind, data)) == data


@settings(max_examples=300)
@given(all_messages, st.data())
def test_a_damaged_message_is_malformed_or_another_canonical_one(message: Record, data: st.DataObject) -> None:
    raw = bytearray(encode_message(message))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    try:
        again = decode_message(type(message), bytes(raw))
    except MalformedMessage:
        return
    assert encode_message(again) == bytes(raw)


@given(all_messages, kinds)
def test_one_kind_is_never_taken_for_another(message: Record, kind: type[Record]) -> None:
    if kind is not type(message):
        with pytest.raises(MalformedMessage):
            decode_message(kind, encode_message(message))


@pytest.mark.parametrize("count", [0, MAX_RANGE + 1, -1, 2**40])
def test_nobody_asks_for_more_blocks_than_a_range(count: int) -> None:
    request = replace(BlockRequest(FromNumber(1), 1), count=count)
    with pytest.raises(MalformedMessage):
        decode_message(BlockRequest, encode(request))


def test_counts_and_lengths_are_bounded() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), ())
    data = BlockData(Block(header, ()), b"")
    beyond: list[Record] = [
        BlockResponse((data,) * (MAX_RANGE + 1)),
        Extrinsics(()),
        Extrinsics((b"",) * (messages.MAX_BATCH + 1)),
        WarpResponse((WarpStep(header, b""),) * (messages.MAX_WARP_STEPS + 1), True),
        StateRequest(bytes(32), bytes(31), bytes(32), 1),
        StateRequest(bytes(32), bytes(32), bytes(32), messages.MAX_STATE_ENTRIES + 1),
        StateResponse((StateEntry(b"", b""),) * (messages.MAX_STATE_ENTRIES + 1), (), True),
        StateResponse((), (b"",) * (messages.MAX_PROOF_ITEMS + 1), True),
        Votes(bytes(messages.MAX_VOTES_BYTES), 0),
        Announce(replace(header, digest=(BeaconOutput(bytes(messages.MAX_ANNOUNCE_BYTES), b""),))),
    ]
    for message in beyond:
        with pytest.raises(MalformedMessage):
            decode_message(type(message), encode(message))
