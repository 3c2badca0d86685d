"""Blocks: what may be in them, what a failed call leaves, and that every importer reaches the author's state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.block import (
    Block,
    Call,
    Extrinsic,
    Header,
    Inherent,
    Seal,
    Slot,
    decode_extrinsic,
    extrinsics_root,
    header_hash,
)
from runtime.codec import encode, replace
from runtime.crypto import verify
from runtime.errors import InvalidBlock, InvalidExtrinsic
from runtime.executive import (
    BlockExecution,
    apply_extrinsic,
    build_inherents,
    execute_block,
    finalize_block,
    initialize_block,
    signature_of,
    validate_extrinsic,
)
from runtime.pallet import Context
from runtime.pallets import balances, system, timestamp
from runtime.state import MemoryBackend, State
from tests.support import probe
from tests.support.chain import TestChain, account

TRANSFER = balances.Transfer(account("//Bob"), 5)


@pytest.fixture
def chain() -> TestChain:
    return TestChain()


@pytest.fixture
def probed() -> Iterator[TestChain]:
    with probe.registered():
        yield TestChain()


# --- the reserved share


def test_a_share_of_every_block_is_for_operational_calls_whatever_the_tips(probed: TestChain) -> None:
    probed.submit("//Bob", probe.Write((account("//Bob"),), ""))
    limit = system.parameters(probed.state).block.weight_limit
    ctx = probed.start_block()
    apply_extrinsic(ctx, probed.sign("//Alice", probe.Weigh(limit * 74 // 100), tip=10**12))
    with pytest.raises(InvalidExtrinsic, match="no room"):
        apply_extrinsic(ctx, probed.sign("//Charlie", probe.Weigh(limit // 10), tip=10**13))
    with pytest.raises(InvalidExtrinsic, match="no room"):
        apply_extrinsic(ctx, probed.sign("//Charlie", probe.Move(limit // 10), tip=10**13))
    assert apply_extrinsic(ctx, probed.sign("//Bob", probe.Move(limit // 10))).ok
    probed.finish_block(ctx)


def test_an_operational_call_may_use_the_whole_block_and_its_tip_buys_no_priority(probed: TestChain) -> None:
    probed.submit("//Bob", probe.Write((account("//Bob"),), ""))
    limit = system.parameters(probed.state).block.weight_limit
    heavy = probed.sign("//Bob", probe.Move(limit * 9 // 10))
    assert probed.author(heavy)[0].ok
    moves = [probed.sign("//Bob", probe.Move(1000), tip=tip) for tip in (0, 100)]
    plain, tipped = (validate_extrinsic(probed.state, probed.head, raw) for raw in moves)
    assert plain.operational
    assert tipped.priority <= plain.priority
    ordinary = [probed.sign("//Alice", probe.Weigh(1000), tip=tip) for tip in (0, 100)]
    plain, tipped = (validate_extrinsic(probed.state, probed.head, raw) for raw in ordinary)
    assert not plain.operational
    assert tipped.priority > plain.priority


def test_operational_use_does_not_drive_the_fee_multiplier(probed: TestChain) -> None:
    probed.submit("//Bob", probe.Write((account("//Bob"),), ""))
    limit = system.parameters(probed.state).block.weight_limit
    ctx = probed.start_block()
    apply_extrinsic(ctx, probed.sign("//Bob", probe.Move(limit // 2)))
    assert ctx.normal_weight == 0 < ctx.weight


# --- failed calls


@pytest.mark.parametrize(
    ("failure", "pallet", "code"),
    [
        ("refuse", "probe", "Refused"),
        ("codec", "system", "Malformed"),
        ("program", "system", "InvalidProgram"),
        ("halt", "system", "Halted"),
    ],
)
def test_a_failed_call_leaves_no_trace_but_its_fee_and_its_nonce(
    probed: TestChain, failure: str, pallet: str, code: str
) -> None:
    probed.submit("//Bob", probe.Write((b"kept",), ""))
    receipt = probed.reject("//Bob", probe.Write((b"kept", b"a", b"b"), failure), code)
    assert receipt.error.pallet == pallet
    assert probed.nonce("//Bob") == 2
    assert probed.events(probe.Probed) == []
    assert [event.code for event in probed.events(system.ExtrinsicFailed)] == [code]
    assert probe.ENTRIES.get(probed.state, b"kept") == 1


def test_a_failure_does_not_disturb_its_neighbours(probed: TestChain) -> None:
    receipts = probed.author(
        ("//Bob", probe.Write((b"a",), "")),
        ("//Bob", probe.Write((b"b",), "refuse")),
        ("//Bob", probe.Write((b"c",), "")),
    )
    assert [receipt.ok for receipt in receipts] == [True, False, True]
    assert sorted(key for key, _ in probe.ENTRIES.items(probed.state)) == [b"a", b"c"]
    events = system.EVENTS.get(probed.state)
    for index, receipt in enumerate(receipts, start=1):
        own = events[receipt.first_event : receipt.first_event + receipt.event_count]
        assert {event.extrinsic for event in own} == {index}
        assert own[0].name == "FeePaid"


def test_a_nonce_never_repeats_after_its_account_was_removed() -> None:
    chain = TestChain(balances={"//Zoe": 10**9})
    first = chain.sign("//Zoe", balances.TransferAll(account("//Bob"), False))
    chain.author(first)
    assert not balances.ACCOUNTS.contains(chain.state, account("//Zoe"))
    chain.submit("//Alice", balances.Transfer(account("//Zoe"), 10**9))
    assert chain.nonce("//Zoe") == 1
    chain.refuse(first, "stale_nonce")


# --- blocks


def block_of(chain: TestChain, *body: bytes, **changes: Any) -> Block:
    digest = (Slot(chain.number + 1, account("//Alice")),)
    header = Header(header_hash(chain.head), chain.number + 1, bytes(32), extrinsics_root(body), digest)
    return Block(replace(header, **changes), body)


def test_an_importer_pauses_between_extrinsics_and_reaches_the_same_state(chain: TestChain) -> None:
    body = (*build_inherents(1000), chain.sign("//Alice", TRANSFER), chain.sign("//Bob", TRANSFER))
    block = block_of(chain, *body)
    execution = BlockExecution(chain.state, chain.head, block)
    steps = 0
    while execution.step():
        steps += 1
    assert steps == 3
    assert not execution.step()
    state = chain.state
    assert execute_block(state, chain.head, block) == execution.receipts
    assert state.changes() == execution.context.state.changes()


def test_signatures_that_were_verified_before_are_not_verified_again(chain: TestChain) -> None:
    raw = chain.sign("//Alice", TRANSFER)
    item = decode_extrinsic(raw)
    assert isinstance(item, Extrinsic)
    public, signature, message = signature_of(chain.state, 1, header_hash(chain.head), item)
    assert verify(public, signature, message)
    forged = encode(replace(item, signature=bytes(64)))
    block = block_of(chain, *build_inherents(1000), forged)
    with pytest.raises(InvalidBlock, match="bad_signature"):
        execute_block(chain.state, chain.head, block)
    asked: list[bytes] = []

    def remembered(ctx: Context, raw: bytes) -> bool:
        asked.append(raw)
        return True

    execution = BlockExecution(chain.state, chain.head, block, remembered)
    while execution.step():
        pass
    assert asked == list(block.body)
    assert execution.receipts[1].ok


def test_a_block_with_anything_not_includable_is_invalid(chain: TestChain) -> None:
    good, inherents = chain.sign("//Alice", TRANSFER), build_inherents(1000)
    for body in (
        (),  # no time
        (good,),  # an extrinsic before the time
        (good, *inherents),
        (*inherents, *inherents),  # the time twice
        (*inherents, good, *inherents),
        (*inherents, good, good),  # a nonce twice
        (*inherents, b"junk"),
        (*inherents, encode(Inherent(Call("balances", "transfer", b"")))),
        (encode(Inherent(Call("timestamp", "set", b"\xc1"))),),
        (encode(Inherent(Call("timestamp", "set", encode(timestamp.Set(0))))),),
    ):
        with pytest.raises(InvalidBlock):
            execute_block(chain.state, chain.head, block_of(chain, *body))


def test_a_block_must_follow_its_parent_and_commit_to_its_body(chain: TestChain) -> None:
    inherents = build_inherents(1000)
    wrong: list[dict[str, Any]] = [
        {"parent": bytes(32)},
        {"number": 2},
        {"number": 0},
        {"extrinsics_root": bytes(32)},
        {"digest": ()},
        {"digest": (Seal(bytes(64)),)},
        {"digest": (Slot(1, account("//Bob")),)},  # no authority
    ]
    execute_block(chain.state, chain.head, block_of(chain, *inherents))
    for change in wrong:
        with pytest.raises(InvalidBlock):
            execute_block(chain.state, chain.head, block_of(chain, *inherents, **change))


def test_a_body_longer_than_the_limit_is_invalid() -> None:
    chain = TestChain(parameters={"block": {"length_limit": 1000}})
    with pytest.raises(InvalidBlock, match="longer"):
        execute_block(chain.state, chain.head, block_of(chain, *build_inherents(1000), bytes(1000)))


def test_time_moves_forward(chain: TestChain) -> None:
    chain.author()
    assert timestamp.now(chain.state) == 1000
    for milliseconds, valid in ((999, False), (1000, False), (1001, True)):
        ctx = initialize_block(chain.state, chain.head, (Slot(2, account("//Alice")),))
        (raw,) = build_inherents(milliseconds)
        if valid:
            assert apply_extrinsic(ctx, raw).ok
        else:
            with pytest.raises(InvalidBlock, match="earliest"):
                apply_extrinsic(ctx, raw)


@pytest.mark.parametrize(("now", "gaps"), [(3000, []), (3001, [timestamp.Gap(1000, 3001)])])
def test_more_than_a_slot_without_a_block_is_told(chain: TestChain, now: int, gaps: list[timestamp.Gap]) -> None:
    chain.author()
    ctx = initialize_block(chain.state, chain.head, (Slot(2, account("//Alice")),))
    assert apply_extrinsic(ctx, build_inherents(now)[0]).ok
    assert [timestamp.PALLET.decode_event(event) for event in ctx.events if event.name == "Gap"] == gaps


def test_rules_of_another_version_are_not_executed(chain: TestChain) -> None:
    state = chain.state
    system.RUNTIME_VERSION.put(state, 2)
    with pytest.raises(InvalidBlock, match="version 2"):
        initialize_block(state, chain.head, (Slot(1, account("//Alice")),))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["//Alice", "//Bob", "//Zoe", "//Yan"]),
                st.sampled_from(["//Alice", "//Bob", "//Zoe", "//Yan", "//Xi"]),
                st.sampled_from([0, 1, 10**6, 10**9, 5 * 10**11, 10**15]),
            ),
            max_size=4,
        ),
        max_size=4,
    )
)
def test_replaying_a_chain_reaches_the_same_root(plan: list[list[tuple[str, str, int]]]) -> None:
    chain = TestChain(balances={"//Zoe": 10**12, "//Yan": 2 * 10**6})
    for transfers in plan:
        ctx, nonces = chain.start_block(), dict[str, int]()
        for source, to, amount in transfers:
            used = nonces.get(source, chain.nonce(source))
            raw = chain.sign(source, balances.Transfer(account(to), amount), nonce=used)
            try:
                apply_extrinsic(ctx, raw)
            except InvalidExtrinsic as error:
                assert error.code == "unaffordable"  # noqa: PT017
            else:
                nonces[source] = used + 1
        chain.finish_block(ctx)
    again = TestChain(balances={"//Zoe": 10**12, "//Yan": 2 * 10**6})
    for block in chain.blocks:
        state = State(MemoryBackend(again.backend.entries))
        execute_block(state, again.head, block)
        assert again._commit(state.changes()) == block.header.state_root
        again.head = block.header
    assert again.head == chain.head


# --- the beacon, hashes and events


def test_the_beacon_waits_for_its_block_and_depends_on_all_its_inputs(chain: TestChain) -> None:
    chain.skip(3)
    ctx = chain.start_block()
    assert ctx.finalized == 3
    assert system.beacon(ctx.state, 4, b"draw", b"x") is None
    outputs = [
        system.beacon(ctx.state, number, domain, identity)
        for number, domain, identity in (
            (3, b"draw", b"x"),
            (2, b"draw", b"x"),
            (3, b"other", b"x"),
            (3, b"draw", b"y"),
        )
    ]
    assert None not in outputs
    assert len(set(outputs)) == 4


def test_old_block_hashes_are_forgotten() -> None:
    chain = TestChain(parameters={"block": {"hash_count": 4}})
    chain.skip(35)  # parents 0 to 34: of those from 31 on the hashes must be kept, and with them their whole pages
    kept = [number for number in range(40) if system.block_hash(chain.state, number) is not None]
    assert kept == list(range(16, 35))
    chain.skip(1)
    assert sorted(page for page, _ in system.LINKS.items(chain.state)) == [2]
    assert system.GENESIS_HASH.get(chain.state) == chain.genesis_hash


def test_events_are_those_of_the_last_block(chain: TestChain) -> None:
    chain.submit("//Alice", system.Remark(b"hello"))
    assert len(chain.events(system.Remarked)) == 1
    chain.reject("//Alice", system.Remark(bytes(70_000)), "RemarkTooLong")
    chain.skip(1)
    assert chain.events() == []


def test_only_typed_protocol_errors_are_caught(chain: TestChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a pallet must surface, not become a receipt; and the writes of its call do not survive."""

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(balances, "credit", broken)
    ctx = chain.start_block()
    with pytest.raises(ZeroDivisionError):
        apply_extrinsic(ctx, chain.sign("//Alice", TRANSFER))


def test_finalizing_without_the_time_is_invalid(chain: TestChain) -> None:
    ctx = initialize_block(chain.state, chain.head, (Slot(1, account("//Alice")),))
    with pytest.raises(InvalidBlock, match="timestamp"):
        finalize_block(ctx)
