"""Eras, hashes and roots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.block import (
    IMMORTAL,
    Authority,
    BeaconOutput,
    Block,
    Call,
    Era,
    Header,
    NextAuthorities,
    Seal,
    Slot,
    decode_extrinsic,
    extrinsics_root,
    genesis_header,
    header_hash,
    logs_of,
    mortal_era,
    output_of,
    seal_message,
    slot_of,
)
from runtime.codec import decode, encode
from runtime.errors import InvalidBlock, InvalidExtrinsic

numbers = st.integers(0, 2**40)


@given(st.integers(0, 100_000), numbers)
def test_a_mortal_era_lives_from_its_birth_for_its_period(period: int, number: int) -> None:
    era = mortal_era(period, number)
    assert era.is_valid()
    assert era.period >= min(period, 65_536)
    birth = era.birth(number)
    assert birth <= number < birth + era.period
    assert number - birth < max(era.period >> 12, 1)
    assert era.death(number) == birth + era.period
    for later in (birth, birth + era.period - 1):
        assert era.birth(later) == birth
    assert era.birth(birth + era.period) == birth + era.period


def test_substrates_own_examples_of_eras_hold() -> None:
    assert mortal_era(64, 42) == Era(64, 42)
    assert mortal_era(32768, 20000) == Era(32768, 20000)
    assert mortal_era(200, 513) == Era(256, 1)
    assert mortal_era(2, 1) == Era(4, 1)
    assert mortal_era(4, 5) == Era(4, 1)
    assert mortal_era(1_000_000, 65_537) == Era(65_536, 0)
    assert Era(4, 2).birth(5) == 2
    assert Era(4, 2).birth(6) == 6


@pytest.mark.parametrize(
    "era",
    [Era(0, 1), Era(1, 0), Era(2, 0), Era(3, 0), Era(6, 1), Era(4, 4), Era(131_072, 0), Era(65_536, 1), Era(8192, 1)],
)
def test_eras_that_nobody_writes_are_invalid(era: Era) -> None:
    assert not era.is_valid()


def test_the_immortal_era_has_no_end() -> None:
    assert IMMORTAL.is_valid()
    assert IMMORTAL.birth(1000) == 0
    assert IMMORTAL.death(1000) is None


def test_a_header_hash_covers_every_field_and_the_seal() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), (Slot(1, bytes(32)), Seal(bytes(64))))
    one = b"\x01" * 32
    variants = [
        header,
        Header(one, 1, bytes(32), bytes(32), header.digest),
        Header(bytes(32), 2, bytes(32), bytes(32), header.digest),
        Header(bytes(32), 1, one, bytes(32), header.digest),
        Header(bytes(32), 1, bytes(32), one, header.digest),
        Header(bytes(32), 1, bytes(32), bytes(32), header.digest[:1]),
        Header(bytes(32), 1, bytes(32), bytes(32), (Slot(2, bytes(32)), Seal(bytes(64)))),
    ]
    assert len({header_hash(variant) for variant in variants}) == len(variants)
    genesis = bytes(32)
    assert seal_message(variants[0], genesis) == seal_message(variants[5], genesis)
    assert len({seal_message(variant, genesis) for variant in variants}) == len(variants) - 1


def test_a_seal_is_worth_nothing_on_another_chain() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), (Slot(1, bytes(32)),))
    assert seal_message(header, bytes(32)) != seal_message(header, b"\x01" * 32)


def test_what_execution_added_to_a_digest_lies_between_statement_and_seal() -> None:
    slot, output, seal = Slot(3, bytes(32)), BeaconOutput(bytes(64), bytes(80)), Seal(bytes(64))
    change = NextAuthorities(1, (Authority(bytes(32), 5),))
    assert logs_of((slot, output, change, seal)) == logs_of((slot, change)) == (change,)
    assert logs_of((slot, output, seal)) == logs_of((slot,)) == logs_of(()) == ()
    assert logs_of((slot, change, output, seal)) == (change, output)
    assert output_of((slot, output)) == bytes(64)
    with pytest.raises(InvalidBlock):
        output_of((slot, output, output))


@given(st.lists(st.binary(max_size=4), max_size=6), st.lists(st.binary(max_size=4), max_size=6))
def test_two_bodies_share_a_root_only_if_they_are_equal(first: list[bytes], second: list[bytes]) -> None:
    assert (extrinsics_root(first) == extrinsics_root(second)) == (first == second)


def test_a_digest_starts_with_its_only_slot() -> None:
    slot, seal = Slot(3, bytes(32)), Seal(bytes(64))
    assert slot_of((slot, seal)) == slot
    for digest in ((), (seal,), (seal, slot), (slot, Slot(4, bytes(32)))):
        with pytest.raises(InvalidBlock):
            slot_of(digest)


def test_a_block_survives_encoding() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), (Slot(1, bytes(32)), Seal(bytes(64))))
    block = Block(header, (b"one", b"two"))
    assert decode(encode(block), Block) == block
    assert genesis_header(bytes(32)).number == 0


@given(st.binary(max_size=100))
def test_bytes_that_are_no_extrinsic_are_malformed(raw: bytes) -> None:
    with pytest.raises(InvalidExtrinsic) as caught:
        decode_extrinsic(raw)
    assert caught.value.code == "malformed"


def test_a_call_alone_is_no_extrinsic() -> None:
    with pytest.raises(InvalidExtrinsic):
        decode_extrinsic(encode(Call("balances", "transfer", b"")))
