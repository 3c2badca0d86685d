"""Every reason for which an extrinsic cannot be included, found alike by blocks and by the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.block import IMMORTAL, Call, Era, decode_extrinsic, mortal_era, sign_extrinsic
from runtime.codec import encode, replace
from runtime.crypto import sign
from runtime.errors import InvalidBlock, InvalidExtrinsic
from runtime.executive import apply_extrinsic, build_inherents, validate_extrinsic
from runtime.pallets import balances, system
from tests.support import probe
from tests.support.chain import TestChain, account, build_call, seed

TRANSFER = balances.Transfer(account("//Bob"), 5)


@pytest.fixture
def chain() -> TestChain:
    return TestChain()


@pytest.fixture
def probed() -> Iterator[TestChain]:
    with probe.registered():
        yield TestChain()


def test_junk_is_malformed(chain: TestChain) -> None:
    for raw in (
        b"",
        b"\x00",
        bytes(200),
        chain.sign("//Alice", TRANSFER)[:-1],
        chain.sign("//Alice", TRANSFER) + b"\0",
    ):
        chain.refuse(raw, "malformed")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_mutation_of_an_extrinsic_is_includable_or_raises_an_untyped_error(data: st.DataObject) -> None:
    chain = CHAIN
    raw = bytearray(data.draw(st.sampled_from(SIGNED)))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if bytes(raw) in SIGNED:
        return
    ctx = chain.start_block()
    with pytest.raises((InvalidExtrinsic, InvalidBlock)):
        apply_extrinsic(ctx, bytes(raw))
    with pytest.raises(InvalidExtrinsic):
        validate_extrinsic(chain.state, chain.head, bytes(raw))


CHAIN = TestChain()
SIGNED = [
    CHAIN.sign("//Alice", TRANSFER),
    CHAIN.sign("//Bob", system.Remark(b"x" * 40), tip=3),
    build_inherents(5_000)[0],
]


def test_malformed_arguments_are_malformed(chain: TestChain) -> None:
    for arguments in (b"", b"\xc1", encode(system.Remark(b"")), encode(TRANSFER) + b"\0", encode(("Transfer", b"", 1))):
        chain.refuse(chain.sign("//Alice", Call("balances", "transfer", arguments)), "malformed")


def test_unknown_calls_are_refused(chain: TestChain) -> None:
    for pallet, name in (
        ("balances", "mint"),
        ("nothing", "transfer"),
        ("", ""),
        ("timestamp", "set"),
        ("é" * 500, ""),
    ):
        chain.refuse(chain.sign("//Alice", Call(pallet, name, encode(TRANSFER))), "unknown_call")


def test_a_signature_of_anything_else_is_refused(chain: TestChain) -> None:
    good = decode_extrinsic(chain.sign("//Alice", TRANSFER))
    changes: list[dict[str, Any]] = [
        {"signer": account("//Bob")},
        {"tip": 1},
        {"call": build_call(balances.Transfer(account("//Bob"), 6))},
        {"era": mortal_era(8, 0)},
        {"signature": bytes(64)},
        {"signature": sign(seed("//Bob"), b"")},
    ]
    for change in changes:
        chain.refuse(encode(replace(good, **change)), "bad_signature")


def test_a_signature_for_another_chain_or_version_is_refused(chain: TestChain) -> None:
    other = TestChain(balances={"//Zoe": 10**12})
    chain.refuse(other.sign("//Alice", TRANSFER), "bad_signature")
    newer = sign_extrinsic(
        seed("//Alice"), build_call(TRANSFER), 0, 0, IMMORTAL, chain.genesis_hash, chain.genesis_hash, 2
    )
    chain.refuse(encode(newer), "bad_signature")


def test_a_used_nonce_is_stale_and_a_later_one_is_in_the_future(chain: TestChain) -> None:
    raw = chain.sign("//Alice", TRANSFER)
    chain.author(raw)
    chain.refuse(raw, "stale_nonce")
    chain.refuse(chain.sign("//Alice", TRANSFER, nonce=2), "future_nonce", in_pool=False)
    validity = validate_extrinsic(chain.state, chain.head, chain.sign("//Alice", TRANSFER, nonce=2))
    assert validity.requires
    assert not validate_extrinsic(chain.state, chain.head, chain.sign("//Alice", TRANSFER)).requires


def test_a_mortal_extrinsic_dies_with_its_era(chain: TestChain) -> None:
    chain.skip(5)
    raw = chain.sign("//Alice", TRANSFER, era=mortal_era(4, 5))
    assert validate_extrinsic(chain.state, chain.head, raw).longevity == 3
    chain.skip(2)
    assert validate_extrinsic(chain.state, chain.head, raw).longevity == 1
    late = TestChain()
    late.skip(7)
    late.author(raw)  # block 8 is the last of the era born at 5
    chain.skip(1)
    chain.refuse(raw, "expired")  # block 9 is the birth of the next era, and no ancestor of itself
    chain.skip(1)
    chain.refuse(raw, "bad_signature")  # from block 10 on, the signature would have to cover block 9


def test_an_era_whose_birth_block_is_unknown_has_expired() -> None:
    chain = TestChain(parameters={"block": {"hash_count": 8}})
    chain.skip(30)
    chain.refuse(chain.sign("//Alice", TRANSFER, era=mortal_era(64, 3)), "expired")
    chain.refuse(chain.sign("//Alice", TRANSFER, era=mortal_era(64, 31)), "expired")  # born in the block being made
    chain.author(chain.sign("//Alice", TRANSFER, era=mortal_era(64, 30)))


def test_an_era_that_nobody_writes_is_malformed(chain: TestChain) -> None:
    for era in (Era(3, 0), Era(8, 8), Era(0, 5), Era(2**32 - 1, 0)):
        extrinsic = replace(decode_extrinsic(chain.sign("//Alice", TRANSFER)), era=era)
        chain.refuse(encode(extrinsic), "malformed")


def test_an_extrinsic_of_another_fork_is_refused() -> None:
    ours, theirs = TestChain(), TestChain()
    ours.submit("//Bob", system.Remark(b"ours"))
    theirs.submit("//Bob", system.Remark(b"theirs"))
    raw = theirs.sign("//Alice", TRANSFER, era=mortal_era(64, 1))
    ours.refuse(raw, "bad_signature")
    theirs.author(raw)


def test_fees_that_cannot_be_paid_are_refused(chain: TestChain) -> None:
    chain.refuse(chain.sign("//Zoe", TRANSFER), "unaffordable")
    chain.refuse(chain.sign("//Alice", TRANSFER, tip=10**15), "unaffordable")
    chain.refuse(chain.sign("//Alice", TRANSFER, tip=2**63 - 1), "unaffordable")


def test_a_fee_never_closes_an_account() -> None:
    minimum = TestChain().state
    deposit = balances.existential_deposit(minimum)
    chain = TestChain(balances={"//Zoe": deposit + 700_000})
    chain.refuse(chain.sign("//Zoe", TRANSFER), "unaffordable")


def test_what_no_block_holds_is_too_long_or_too_heavy(probed: TestChain) -> None:
    limits = system.parameters(probed.state).block
    probed.refuse(bytes(limits.length_limit + 1), "too_long")
    long = Call("system", "remark", encode(system.Remark(bytes(limits.length_limit * 4 // 5))))
    probed.refuse(probed.sign("//Alice", long), "too_long")
    probed.refuse(probed.sign("//Alice", probe.Weigh(limits.weight_limit * 4 // 5)), "too_heavy")
    probed.refuse(probed.sign("//Alice", probe.Weigh(2**63 - 1)), "too_heavy")


def test_a_full_block_leaves_the_extrinsic_for_a_later_one(probed: TestChain) -> None:
    half = system.parameters(probed.state).block.weight_limit * 2 // 5
    ctx = probed.start_block()
    apply_extrinsic(ctx, probed.sign("//Alice", probe.Weigh(half)))
    waiting = probed.sign("//Bob", probe.Weigh(half))
    before = ctx.state.changes()
    with pytest.raises(InvalidExtrinsic) as caught:
        apply_extrinsic(ctx, waiting)
    assert caught.value.code == "block_full"
    assert ctx.state.changes() == before
    probed.finish_block(ctx)
    (receipt,) = probed.author(waiting)
    assert receipt.ok


def test_arguments_whose_weight_cannot_be_computed_are_malformed(probed: TestChain) -> None:
    probed.refuse(probed.sign("//Alice", probe.Picky(b"\xc1")), "malformed")
    (receipt,) = probed.author(("//Alice", probe.Picky(encode(5))))
    assert receipt.ok


def test_an_inherent_cannot_be_submitted(chain: TestChain) -> None:
    (inherent,) = build_inherents(10_000)
    with pytest.raises(InvalidExtrinsic) as caught:
        validate_extrinsic(chain.state, chain.head, inherent)
    assert caught.value.code == "inherent"
