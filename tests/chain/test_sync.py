"""Whole nodes that pass messages by hand: following, catching up, forks, restarts, and peers that lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.effects import Judge, Publish
from chain.importer import Equivocation
from chain.messages import (
    BLOCK_RANGE,
    BLOCKS,
    EXTRINSICS,
    MAX_RANGE,
    STATE,
    STATUS,
    WARP,
    Announce,
    BlockRequest,
    BlockResponse,
    FromHash,
    FromNumber,
    Status,
    WarpRequest,
    WarpResponse,
    decode_message,
    encode_message,
)
from chain.sync import RANGES_PER_PEER
from runtime.block import IMMORTAL, Block, Call, sign_extrinsic
from runtime.codec import encode, replace
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from tests.support.passive_network import PassiveNetwork, PassiveNode


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    with PassiveNetwork(tmp_path) as nodes:
        yield nodes


def agree(network: PassiveNetwork) -> bool:
    """Whether finality is close behind everybody's head, and the same for all at the lowest finalized height."""
    lowest = min(network.finalized_numbers())
    hashes = {node.chain.ledger.hash_at(lowest) for node in network.nodes.values() if node.online}
    heads = [node.chain.ledger.head_number for node in network.nodes.values() if node.online]
    return len(hashes) == 1 and max(heads) - lowest <= 3


def punished(node: PassiveNode) -> Counter[str]:
    points: Counter[str] = Counter()
    for effect in node.punished:
        points[effect.peer] += effect.points
    return points


def blamed(network: PassiveNetwork) -> list[str]:
    return [effect.reason for node in network.nodes.values() for effect in node.punished]


def test_validators_make_and_finalize_a_block_in_almost_every_slot(network: PassiveNetwork) -> None:
    network.run(60)
    assert min(network.finalized_numbers()) >= 25
    assert agree(network)
    assert blamed(network) == []
    authors = {node.chain.ledger.head_header().digest[0] for node in network.nodes.values()}
    assert authors


def test_a_transfer_given_to_one_node_is_in_the_state_of_all(network: PassiveNetwork) -> None:
    network.run(4)
    node = network.nodes["Alice"]
    ledger, bob = node.chain.ledger, public_key(derive_seed("//Bob"))
    before = balances.free(ledger.state(), bob)
    call = Call("balances", "transfer", encode(balances.Transfer(bob, 5 * 10**9)))
    seed, genesis = derive_seed("//Charlie"), ledger.genesis_hash
    raw = encode(sign_extrinsic(seed, call, 0, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION))
    _, effects = node.chain.submit(raw, network.now)
    assert [effect.topic for effect in effects if isinstance(effect, Publish)] == [EXTRINSICS]
    network.carry_out(node, effects)
    network.run(12)
    for other in network.nodes.values():
        assert balances.free(other.chain.ledger.state(), bob) >= before + 5 * 10**9
        assert len(other.chain.pool) == 0


def test_a_newcomer_downloads_history_from_several_peers_at_once(network: PassiveNetwork) -> None:
    network.run(280)
    height = network.nodes["Alice"].chain.ledger.finalized_number
    assert height > 2 * MAX_RANGE - 10
    late = network.add("Late")
    network.run(12)
    assert late.chain.ledger.finalized_number >= height
    assert agree(network)
    ranges = [ask.peer for name, ask in network.asked if name == "Late" and is_range(ask.data, ask.protocol)]
    assert len(set(ranges)) >= 2
    assert len(ranges) <= height // MAX_RANGE + 2
    assert blamed(network) == []


def is_range(data: bytes, protocol: str) -> bool:
    return protocol == BLOCK_RANGE and isinstance(decode_message(BlockRequest, data).start, FromNumber)


def test_a_newcomer_that_is_only_a_little_behind_follows_too(network: PassiveNetwork) -> None:
    network.run(30)
    late = network.add("Late")
    network.run(8)
    assert late.chain.ledger.finalized_number >= 13
    assert agree(network)


def test_a_node_that_was_away_catches_up_after_a_restart(network: PassiveNetwork) -> None:
    network.run(20)
    network.disconnect("Dave")
    network.run(100)
    network.restart("Dave")
    assert network.nodes["Dave"].chain.ledger.head_number < 15
    network.connect("Dave")
    network.run(14)
    assert agree(network)
    assert blamed(network) == []


def test_without_a_quorum_nothing_is_final_and_when_it_returns_everything_is(network: PassiveNetwork) -> None:
    network.run(20)
    final = max(network.finalized_numbers())
    halves = ({"Alice", "Bob"}, {"Charlie", "Dave"})
    network.cut = lambda source, target: not any({source, target} <= half for half in halves)
    network.run(40)
    assert max(network.finalized_numbers()) <= final + 3
    assert len(network.heads()) >= 2
    network.cut = lambda source, target: False
    network.run(40)
    assert agree(network)
    assert min(network.finalized_numbers()) > final + 20


def test_a_long_partition_with_deep_forks_heals(network: PassiveNetwork) -> None:
    network.run(10)
    network.cut = lambda source, target: "Dave" in (source, target)
    network.run(150)
    network.cut = lambda source, target: False
    network.run(30)
    assert agree(network)


def test_a_restarted_author_never_seals_a_second_block_for_a_slot(network: PassiveNetwork) -> None:
    for _ in range(12):
        network.run(2)
        for name in list(network.nodes):
            network.disconnect(name)
            network.restart(name)
            network.connect(name)
    network.run(20)
    assert agree(network)
    seen = [effect for node in network.nodes.values() for effect in node.effects]
    assert not any(isinstance(effect, Equivocation) for effect in seen)


@pytest.mark.parametrize("lie", ["garbage", "nothing", "shuffled", "forged", "silence", "other blocks"])
def test_a_lying_peer_is_punished_a_useless_one_is_not_and_a_newcomer_syncs_all_the_same(
    network: PassiveNetwork, lie: str
) -> None:
    network.run(100)

    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        if (peer, asker, protocol) != ("Alice", "Late", BLOCK_RANGE) or data is None:
            return data
        return distort(data, lie)

    network.answer = answer
    late = network.add("Late")
    network.run(30)
    assert agree(network)
    if lie in ("nothing", "silence"):
        assert blamed(network) == [], "an honest peer may have nothing, or be slow"
    else:
        assert punished(late)["Alice"] >= 50
        assert set(punished(late)) == {"Alice"}


def distort(data: bytes, lie: str) -> bytes | None:
    blocks = decode_message(BlockResponse, data).blocks
    match lie:
        case "garbage":
            return b"\xc1" + data
        case "nothing":
            return encode_message(BlockResponse(()))
        case "shuffled":
            return encode_message(BlockResponse((*blocks[1:], *blocks[:1])))
        case "forged":
            last = blocks[-1]
            forged = Block(replace(last.block.header, state_root=bytes(32)), last.block.body)
            return encode_message(BlockResponse((*blocks[:-1], replace(last, block=forged))))
        case "other blocks":
            return encode_message(BlockResponse(blocks[1:])) if len(blocks) > 1 else b""
        case _:
            return None


def test_a_peer_that_boasts_does_not_stop_authors(network: PassiveNetwork) -> None:
    network.run(10)
    genesis = network.nodes["Alice"].chain.ledger.genesis_hash
    boast = encode_message(Status(genesis, bytes(32), 10**9, bytes(32), 10**9, 1))
    network.answer = lambda peer, asker, protocol, data: boast if (peer, protocol) == ("Dave", STATUS) else data
    before = min(network.finalized_numbers())
    network.run(60)
    assert min(network.finalized_numbers()) >= before + 20


def test_a_peer_of_another_chain_is_banned_at_once(network: PassiveNetwork) -> None:
    node = network.nodes["Alice"]
    stranger = encode_message(Status(bytes(32), bytes(32), 0, bytes(32), 0, 1))
    _, effects = node.chain.on_request("Mallory", STATUS, stranger, network.now)
    network.carry_out(node, effects)
    assert punished(node)["Mallory"] == 100


@pytest.mark.parametrize("protocol", [STATUS, BLOCK_RANGE, STATE, WARP, "finality/1", "catch-up/1"])
def test_a_malformed_request_is_refused_and_costs_points(network: PassiveNetwork, protocol: str) -> None:
    node = network.nodes["Alice"]
    answer, effects = node.chain.on_request("Mallory", protocol, b"\xc1", network.now)
    network.carry_out(node, effects)
    assert punished(node)["Mallory"] == 50
    assert protocol == STATUS or answer is None


def test_an_unknown_protocol_is_refused(network: PassiveNetwork) -> None:
    assert network.nodes["Alice"].chain.on_request("Bob", "gold/1", b"", network.now) == (None, [])


@pytest.mark.parametrize("topic", [BLOCKS, EXTRINSICS, "votes"])
def test_garbage_in_gossip_is_rejected(network: PassiveNetwork, topic: str) -> None:
    node = network.nodes["Alice"]
    effects = node.chain.on_gossip(topic, b"\xc1", "Mallory", b"id", network.now)
    assert Judge(b"id", "reject") in effects


def test_announcements_are_relayed_only_when_they_are_verified(network: PassiveNetwork) -> None:
    network.run(20)
    node = network.nodes["Alice"]
    head = node.chain.ledger.head_header()

    def verdict(data: bytes) -> Judge:
        effects = node.chain.on_gossip(BLOCKS, data, "Bob", b"id", network.now)
        return next(effect for effect in effects if isinstance(effect, Judge))

    assert verdict(encode_message(Announce(head))).verdict == "accept"
    forged = replace(head, state_root=bytes(32))
    assert verdict(encode_message(Announce(forged))).verdict == "reject"
    genesis = node.chain.ledger.header(node.chain.ledger.genesis_hash)
    assert genesis is not None
    assert verdict(encode_message(Announce(genesis))).verdict == "ignore"


def test_answers_hold_what_was_asked_for_in_order(network: PassiveNetwork) -> None:
    network.run(60)
    chain = network.nodes["Alice"].chain
    ledger = chain.ledger

    def blocks(request: BlockRequest) -> list[int]:
        answer, _ = chain.on_request("Bob", BLOCK_RANGE, encode_message(request), network.now)
        assert answer is not None
        return [item.block.header.number for item in decode_message(BlockResponse, answer).blocks]

    assert blocks(BlockRequest(FromNumber(3), 4)) == [3, 4, 5, 6]
    assert blocks(BlockRequest(FromNumber(ledger.head_number), 4)) == [ledger.head_number]
    assert blocks(BlockRequest(FromNumber(10**6), 4)) == []
    fifth = ledger.hash_at(5)
    assert fifth is not None
    assert blocks(BlockRequest(FromHash(fifth), 3)) == [3, 4, 5]
    assert blocks(BlockRequest(FromHash(fifth), 64)) == [1, 2, 3, 4, 5]
    assert blocks(BlockRequest(FromHash(bytes(32)), 3)) == []


def test_a_warp_answer_ends_with_the_latest_justification(network: PassiveNetwork) -> None:
    network.run(30)
    chain = network.nodes["Alice"].chain
    answer, _ = chain.on_request("Bob", WARP, encode_message(WarpRequest(0)), network.now)
    assert answer is not None
    proof = decode_message(WarpResponse, answer)
    assert proof.complete
    assert proof.steps[-1].header.number == chain.ledger.finalized_number


def test_a_newcomer_never_owes_one_peer_more_than_its_share(network: PassiveNetwork) -> None:
    network.run(200)
    late = network.add("Late")
    most = 0
    for _ in range(200):
        network.run(0.02)
        owed = Counter(state.ranges for state in late.chain.sync.peers.values())
        most = max(most, *owed, 0)
    assert 0 < most <= RANGES_PER_PEER
    network.run(10)
    assert agree(network)
