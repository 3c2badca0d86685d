"""Sessions: when they begin, who is in them, and what stands in the header."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import crypto
from runtime.block import (
    Authority,
    BeaconOutput,
    NextAuthorities,
    Seal,
    Slot,
)
from runtime.codec import replace
from runtime.errors import InvalidBlock
from runtime.executive import apply_extrinsic, build_inherents, execute_block, initialize_block
from runtime.genesis import GenesisError, build_genesis, parse_genesis
from runtime.pallets import balances, randomness, session, staking, system
from runtime.parameters import TOKEN
from tests.staking.network import EPOCH, SESSIONS, STAKES, Network, key_of, output_of_slot
from tests.support.chain import GENESIS_FILE, TestChain, account


@pytest.fixture
def network() -> Network:
    return Network()


def test_a_session_begins_with_the_first_block_of_its_epoch(network: Network) -> None:
    network.skip(EPOCH - 1)
    assert (network.session.index, network.session.epoch) == (0, 0)
    network.author()
    started = network.session
    assert (started.index, started.epoch, started.started) == (1, 1, EPOCH)
    assert network.event(session.SessionStarted).index == 1


def test_skipped_epochs_carry_on_what_was_announced(network: Network) -> None:
    network.next_session()
    announced, members = randomness.NEXT.get(network.state), session.QUEUED.get(network.state)
    before = network.session
    network.skip_slots = 3 * EPOCH
    expected = randomness.epoch_at(network.state, network.slot)
    network.author()
    now = network.session
    assert (now.index, now.epoch, now.after_epoch) == (before.index + 1, before.epoch + 3, before.epoch)
    assert randomness.CURRENT.get(network.state) == announced
    assert session.MEMBERS.get(network.state) == members
    assert expected == randomness.Epoch(now.epoch, announced, session.authorities_of(members))
    assert [now.covers(epoch) for epoch in range(before.epoch, now.epoch + 2)] == [False, True, True, True, False]


def test_a_long_stop_frees_no_stake(network: Network) -> None:
    """Eras count sessions that began, so nobody escapes a slash by stopping the chain."""
    network.submit("//Charlie", staking.Unbond(STAKES["//Charlie"]))
    network.skip_slots = 1000 * EPOCH
    network.author()
    assert network.session.era <= 1
    network.reject("//Charlie", staking.Withdraw(), "NothingToWithdraw")


def test_every_era_begins_a_set_and_states_it_in_the_header(network: Network) -> None:
    network.next_era()
    weights = tuple(Authority(key_of(suri), stake) for suri, stake in STAKES.items())
    assert network.head.digest[2:] == (NextAuthorities(1, weights),)
    assert (network.session.set_id, network.session.set_first) == (1, network.session.index)
    assert system.AUTHORITIES.get(network.state) == tuple(authority.key for authority in weights)
    network.author()
    assert len(network.head.digest) == 2


def test_a_header_without_the_change_or_with_another_is_invalid(network: Network) -> None:
    while network.session.index < SESSIONS - 1 or network.slot % EPOCH:
        network.author()
    parent, state = network.head, dict(network.backend.entries)
    network.next_session()
    block = network.blocks[-1]
    change = block.header.digest[2]
    assert isinstance(change, NextAuthorities)
    stated = block.header.digest[:2]
    for digest in (
        stated,
        (*stated, change, change),
        (*stated, replace(change, set_id=9)),
        (stated[0], change, stated[1]),
    ):
        network.backend.entries = dict(state)
        with pytest.raises(InvalidBlock):
            execute_block(network.state, parent, replace(block, header=replace(block.header, digest=digest)))
    sealed = replace(block.header, digest=(*block.header.digest, Seal(bytes(64))))
    execute_block(network.state, parent, replace(block, header=sealed))


def test_the_set_changes_again_only_once_the_last_change_is_final(network: Network) -> None:
    network.next_era()
    network.lag = None
    era, members = network.session.era, network.members()
    network.stand("//Dave", 9_000 * TOKEN)
    network.next_session(6)
    assert (network.session.era, network.members()) == (era, members)
    assert session.ELECTED.get(network.state)
    network.lag = 1
    network.author()
    network.next_session(1)
    assert network.session.era == era + 1
    assert account("//Dave") not in network.members()
    network.next_era()
    assert account("//Dave") in network.members()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"slot": 0}, "after the parent"),
        ({"slot": -1}, "after the parent"),
        ({"author": account("//Alice")}, "no session key"),
        ({"author": key_of("//Dave")}, "no session key"),
        ({"output": bytes(32)}, "VRF output"),
        ({"output": None}, "VRF output"),
    ],
)
def test_a_digest_that_states_nonsense_makes_no_block(network: Network, change: dict[str, Any], reason: str) -> None:
    network.skip(2)
    author, output = change.get("author", key_of("//Alice")), change.get("output", output_of_slot(3))
    slot = Slot(network.slot - 1 + change.get("slot", 1), author)
    digest = (slot,) if output is None else (slot, BeaconOutput(output, bytes(80)))
    with pytest.raises(InvalidBlock, match=reason):
        initialize_block(network.state, network.head, digest)


def test_the_time_of_a_block_is_the_start_of_its_slot(network: Network) -> None:
    network.author()
    for milliseconds in (network.slot * 2000 - 1, network.slot * 2000 + 1, 0):
        ctx = initialize_block(network.state, network.head, network.state_digest(""))
        with pytest.raises(InvalidBlock, match="timestamp"):
            apply_extrinsic(ctx, build_inherents(milliseconds)[0])


def test_noted_finality_moves_forward_and_not_past_the_parent(network: Network) -> None:
    network.skip(4)
    assert system.FINALIZED.get(network.state) == 2
    for noted, valid in ((1, False), (2, True), (4, True), (5, False), (2**62, False)):
        ctx = initialize_block(network.state, network.head, network.state_digest(""))
        raw = build_inherents(network.slot * 2000, noted)[0]
        if not valid:
            with pytest.raises(InvalidBlock, match="note_finalized"):
                apply_extrinsic(ctx, raw)
        else:
            assert apply_extrinsic(ctx, raw).ok
            assert ctx.finalized == system.FINALIZED.get(ctx.state) == noted


def test_a_network_with_one_author_has_no_sessions_and_notes_no_finality() -> None:
    chain = TestChain()
    ctx = chain.start_block()
    with pytest.raises(InvalidBlock):
        apply_extrinsic(ctx, build_inherents(1000, 0)[0])
    key = session.SetKeys(key_of("//Bob"), bytes(64))
    for args in (key, staking.Bond(10**13)):
        chain.reject("//Bob", args, "NoSessions")
    assert not any(key[:16] == session.SESSIONS.prefix for key in chain.backend.entries)


def test_fees_go_to_the_account_behind_the_session_key(network: Network) -> None:
    digest = network.state_digest("")
    suri = next(suri for suri in STAKES if key_of(suri) == digest[0].author)  # type: ignore[union-attr]
    before = balances.free(network.state, account(suri))
    network.submit("//Eve", system.Remark(b"hello"))
    assert balances.free(network.state, account(suri)) > before
    assert not balances.ACCOUNTS.contains(network.state, key_of(suri))


# --- keys


def test_a_new_key_is_used_three_sessions_later_and_never_sooner(network: Network) -> None:
    network.next_session()
    network.submit("//Alice", network.set_keys("//Alice", "//Alice//second"))
    effective = network.event(session.KeysSet).effective
    assert effective == network.session.index + session.KEY_DELAY
    while network.session.index < effective - 1:
        assert key_of("//Alice") in system.AUTHORITIES.get(network.state)
        network.author()
    network.next_session()
    assert account("//Alice//second") in system.AUTHORITIES.get(network.state)
    assert key_of("//Alice") not in system.AUTHORITIES.get(network.state)


def test_a_changed_key_makes_a_set_but_no_era() -> None:
    network = Network(era_sessions=50)
    network.submit("//Alice", network.set_keys("//Alice", "//Alice//second"))
    network.next_session(session.KEY_DELAY)
    assert (network.session.era, network.session.set_id) == (0, 1)
    assert isinstance(network.head.digest[2], NextAuthorities)


def test_a_key_that_is_replaced_before_its_time_was_never_used(network: Network) -> None:
    network.submit("//Alice", network.set_keys("//Alice", "//Alice//second"))
    network.submit("//Alice", network.set_keys("//Alice", "//Alice//third"))
    network.next_session(5)
    assert account("//Alice//third") in system.AUTHORITIES.get(network.state)
    network.submit("//Bob", network.set_keys("//Bob", "//Alice//second"))


def test_keys_need_the_consent_of_their_holder_and_belong_to_one(network: Network) -> None:
    stolen = replace(network.set_keys("//Dave", "//Dave//session"), key=account("//Eve"))
    network.reject("//Dave", stolen, "BadPossession")
    network.reject("//Eve", network.set_keys("//Dave", "//Dave//session"), "BadPossession")
    network.reject("//Dave", network.set_keys("//Dave", "//Alice//session"), "KeyTaken")
    network.reject("//Alice", network.set_keys("//Alice", "//Alice//session"), "KeyTaken")


def test_keys_are_purged_once_nobody_needs_them(network: Network) -> None:
    network.reject("//Dave", session.PurgeKeys(), "NoKeys")
    network.reject("//Alice", session.PurgeKeys(), "StillValidating")
    network.submit("//Alice", staking.Chill())
    network.next_era(2)
    network.submit("//Alice", session.PurgeKeys())
    assert not session.KEYS.contains(network.state, account("//Alice"))
    network.submit("//Dave", network.set_keys("//Dave", "//Alice//session"))


# --- the genesis file


@pytest.mark.parametrize(
    "change",
    [
        {"stake": "5"},
        {"stake": 5_000 * TOKEN},
        {"stake": "-1"},
        {"stake": str(10**17)},
        {"account": "nobody"},
        {"session_key": ""},
        {"session_key": crypto.to_ss58(session.NO_KEY)},
        {"extra": ""},
    ],
)
def test_authorities_that_make_no_network_are_refused(change: dict[str, Any]) -> None:
    network, config = Network(), parse_genesis(GENESIS_FILE.read_text())
    network.configure(config)
    good = build_genesis(config)
    assert balances.held(good, account("//Alice"), staking.REASON) == STAKES["//Alice"]
    config["authorities"][0] = {**config["authorities"][0], **change}
    with pytest.raises(GenesisError):
        build_genesis(config)
    config["authorities"][0] = config["authorities"][1]
    with pytest.raises(GenesisError, match="twice"):
        build_genesis(config)


def test_addresses_alone_are_no_authorities_of_a_network_of_several() -> None:
    config = {**parse_genesis(GENESIS_FILE.read_text()), "preset": "testnet"}
    with pytest.raises(GenesisError, match="session"):
        build_genesis(config)
