"""How extrinsics spread: in batches, to those who join late, and without trust in who hands them over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain import propagation
from chain.effects import Ask, Effect, Publish, Punish
from chain.keyring import Keyring
from chain.messages import (
    EXTRINSICS,
    MAX_BATCH,
    POOL,
    Extrinsics,
    MalformedMessage,
    PoolRequest,
    PoolResponse,
    decode_message,
    encode_message,
)
from chain.network_node import ChainNode
from chain.pool import Pool
from chain.propagation import ANSWER_SECONDS, ASK_SECONDS, BATCH_BYTES, BATCH_SECONDS, Propagation
from chain.requests import Requests
from chain.slot_author import SlotAuthor
from runtime.block import IMMORTAL, Call, extrinsic_hash, sign_extrinsic
from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from tests.support.passive_network import PassiveNetwork

PARTIES = ("Alice", "Bob")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    with PassiveNetwork(tmp_path, PARTIES) as network:
        yield network


def transfer(chain: ChainNode, nonce: int, sender: str = "Charlie") -> bytes:
    call = Call("balances", "transfer", encode(balances.Transfer(public_key(derive_seed("//Dave")), 10**9 + nonce)))
    genesis = chain.ledger.genesis_hash
    return encode(
        sign_extrinsic(derive_seed(f"//{sender}"), call, nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION)
    )


def frames(effects: list[Effect]) -> list[tuple[bytes, ...]]:
    return [decode_message(Extrinsics, effect.data).items for effect in effects if isinstance(effect, Publish)]


def asks(effects: list[Effect]) -> list[str]:
    return [effect.peer for effect in effects if isinstance(effect, Ask) and effect.protocol == POOL]


@pytest.fixture
def sender(network: PassiveNetwork) -> Propagation:
    chain = network.nodes["Alice"].chain
    return Propagation(chain.ledger, Pool(chain.ledger.validate), Requests())


def test_the_first_extrinsic_leaves_at_once_and_those_behind_it_together(sender: Propagation) -> None:
    assert frames(sender.send(b"first", 10.0)) == [(b"first",)]
    assert sender.wake_at() == float("inf")
    assert sender.send(b"second", 10.01) == []
    assert sender.send(b"third", 10.02) == []
    assert sender.wake_at() == 10.0 + BATCH_SECONDS
    assert sender.on_time(10.05, ()) == []
    assert frames(sender.on_time(10.0 + BATCH_SECONDS, ())) == [(b"second", b"third")]
    assert sender.on_time(99.0, ()) == []


def test_a_full_batch_leaves_before_its_time_and_nothing_is_lost(sender: Propagation) -> None:
    items = [bytes([number]) * (BATCH_BYTES // 3) for number in range(10)] + [b"s"] * (MAX_BATCH + 5) + [bytes(10**6)]
    sent = [frame for item in items for frame in frames(sender.send(item, 10.0))]
    sent += frames(sender.on_time(11.0, ()))
    assert [item for frame in sent for item in frame] == items
    assert all(len(frame) <= MAX_BATCH for frame in sent)
    assert all(sum(map(len, frame)) <= BATCH_BYTES or len(frame) == 1 for frame in sent)


def test_peers_are_asked_by_turns(sender: Propagation) -> None:
    asked = [asks(sender.on_time(ASK_SECONDS * turn, ["a", "b", "c"])) for turn in range(1, 5)]
    assert sorted(peer for turn in asked[:3] for peer in turn) == ["a", "b", "c"]
    assert asked[3] == asked[0]
    assert asks(sender.on_time(ASK_SECONDS * 4 + 1, ["a", "b", "c"])) == []


def stop_authoring(chain: ChainNode) -> None:
    """Make a validator's node author nothing more."""
    chain.author = SlotAuthor(chain.ledger, chain.pool, chain.clock, Keyring([]), chain.evidence)


def test_a_node_that_joins_late_learns_what_waits(network: PassiveNetwork) -> None:
    network.run(4)
    alice = network.nodes["Alice"].chain
    network.cut = lambda source, target: "Bob" in (source, target)  # alone, Alice makes blocks that hold few
    stop_authoring(alice)
    raws = [transfer(alice, nonce) for nonce in range(2 * MAX_BATCH + 10)]
    for raw in raws:
        alice.pool.submit(raw, alice.ledger.head_number, network.now)
    late = network.add("Late")
    network.run(4)
    assert len(late.chain.pool) == len(raws)
    assert late.punished == []


def test_what_gossip_lost_arrives_by_asking(network: PassiveNetwork) -> None:
    network.run(4)
    alice, bob = network.nodes["Alice"].chain, network.nodes["Bob"].chain
    stop_authoring(alice)
    stop_authoring(bob)
    raw = transfer(alice, 0)
    _, effects = alice.submit(raw, network.now)
    assert [effect.topic for effect in effects if isinstance(effect, Publish)] == [EXTRINSICS]
    network.run(ASK_SECONDS + 3)  # the effects were not carried out
    assert extrinsic_hash(raw) in bob.pool


def test_an_answer_holds_what_the_asker_lacks_and_no_more_than_allowed(network: PassiveNetwork) -> None:
    chain = network.nodes["Alice"].chain
    raws = [transfer(chain, nonce) for nonce in range(MAX_BATCH + 3)]
    for raw in raws:
        chain.pool.submit(raw, 0, network.now)
    known = b"".join(extrinsic_hash(raw)[:8] for raw in raws[:2])

    def ask(known: bytes, now: float) -> tuple[bytes, ...] | None:
        answer, effects = chain.on_request("Bob", POOL, encode_message(PoolRequest(known)), now)
        assert effects == []
        return None if answer is None else decode_message(PoolResponse, answer).items

    assert ask(known, 1.0) == tuple(raws[2 : 2 + MAX_BATCH])
    known += b"".join(extrinsic_hash(raw)[:8] for raw in raws[2:-1])
    assert ask(known, 1.0) == (raws[-1],)
    assert ask(known, 1.5) is None
    assert ask(known, 1.0 + ANSWER_SECONDS) == (raws[-1],)


def test_an_answer_stops_at_its_bound_in_bytes(network: PassiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = network.nodes["Alice"].chain
    raws = [transfer(chain, nonce) for nonce in range(3)]
    for raw in raws:
        chain.pool.submit(raw, 0, network.now)
    monkeypatch.setattr(propagation, "ANSWER_BYTES", len(raws[0]) - 1)
    answer, _ = chain.on_request("Bob", POOL, encode_message(PoolRequest(b"")), 1.0)
    assert answer is not None
    assert decode_message(PoolResponse, answer).items == (raws[0],)


@pytest.mark.parametrize("lie", ["junk", "forged", "too many"])
def test_who_hands_over_what_is_never_valid_is_punished_and_nothing_is_taken(network: PassiveNetwork, lie: str) -> None:
    network.run(2)
    chain = network.nodes["Alice"].chain
    stop_authoring(chain)
    raw = transfer(chain, 0)
    answers = {
        "junk": b"junk",
        "forged": encode_message(PoolResponse((raw[:-1] + bytes([raw[-1] ^ 1]),))),
        "too many": encode_message(PoolResponse((raw,) * (MAX_BATCH + 1))),
    }
    [ask] = [effect for effect in chain.propagation.ask("Bob", network.now) if isinstance(effect, Ask)]
    effects = chain.on_response(ask.ticket, answers[lie], network.now)
    assert [effect.points for effect in effects if isinstance(effect, Punish)] == [50]
    assert len(chain.pool) == 0


def test_a_malformed_question_is_refused_and_punished(network: PassiveNetwork) -> None:
    chain = network.nodes["Alice"].chain
    for question in (b"junk", encode_message(PoolRequest(bytes(8 * 9000)))):
        answer, effects = chain.on_request("Bob", POOL, question, 1.0)
        assert answer is None
        assert [type(effect) for effect in effects] == [Punish]
        with pytest.raises(MalformedMessage):
            chain.propagation.answer("Bob", question, 1.0)
