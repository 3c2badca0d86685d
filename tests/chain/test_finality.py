"""Finality in a node: what is recorded before it is said, what is relayed, and what malformed proofs cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.effects import Ask, Judge, Publish, Punish
from chain.finality import Finality
from chain.grandpa.messages import SignedProposal, decode_gossip
from chain.messages import FINALITY, VOTES, Votes, decode_message, encode_message
from chain.vote_memory import GROUNDS, VOTE
from runtime.codec import decode, encode, replace
from runtime.finality import decode_justification
from runtime.votes import SignedVote, Vote, verify_vote
from tests.support.passive_network import PassiveNetwork
from tests.support.validators import CLOCK, session_signer


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    with PassiveNetwork(tmp_path) as nodes:
        yield nodes


def test_every_vote_of_a_node_is_on_its_disk_before_it_is_heard(network: PassiveNetwork) -> None:
    heard: list[SignedVote] = []
    gossip = network.gossip

    def listen(source: str, topic: str, data: bytes) -> None:
        if topic == VOTES:
            message = decode_gossip(decode_message(Votes, data).data)
            if isinstance(message, SignedVote) and message.voter == session_signer(source).public:
                stored = [
                    decode(value, SignedVote | SignedProposal)
                    for _, value in network.nodes[source].database.range(VOTE)
                ]
                assert message in stored
                heard.append(message)
        gossip(source, topic, data)

    network.gossip = listen  # type: ignore[method-assign]
    network.run(20)
    assert len(heard) > 20
    genesis = network.nodes["Alice"].chain.ledger.genesis_hash
    assert all(verify_vote(genesis, signed) for signed in heard)


def test_a_restarted_voter_remembers_its_votes_and_its_round(network: PassiveNetwork) -> None:
    network.run(20)
    node = network.nodes["Bob"]
    before = node.chain.finality.voter.round
    assert before > 3
    assert len(list(node.database.range(GROUNDS))) == 1
    network.disconnect("Bob")
    network.restart("Bob")
    again = node.chain.finality.voter
    assert before - 1 <= again.round <= before
    assert again.finalized == node.chain.ledger.finalized


def test_votes_of_rounds_long_past_are_forgotten(network: PassiveNetwork) -> None:
    network.run(60)
    for node in network.nodes.values():
        assert len(list(node.database.range(VOTE))) <= 9


def test_each_finalized_head_has_its_justification(network: PassiveNetwork) -> None:
    network.run(20)
    for node in network.nodes.values():
        ledger = node.chain.ledger
        stored = ledger.store.justification(ledger.finalized_number)
        assert stored is not None
        assert decode_justification(stored).target_hash == ledger.finalized


def test_a_malformed_or_forged_justification_costs_points(network: PassiveNetwork) -> None:
    network.run(20)
    ledger = network.nodes["Alice"].chain.ledger
    data = ledger.store.justification(ledger.finalized_number)
    assert data is not None
    network.cut = lambda source, target: True
    late = network.add("Late").chain.finality
    forged = replace(decode_justification(data), precommits=())
    for bad in (b"\xc1", encode(forged)):
        [effect] = late.on_justification(bad, "Mallory", network.now)
        assert isinstance(effect, Punish)
        assert effect.peer == "Mallory"
    [effect] = late.on_catch_up(b"\xc1", "Mallory", network.now)
    assert isinstance(effect, Punish)


def test_a_repeated_vote_is_relayed_once_for_each_slot(network: PassiveNetwork) -> None:
    said: list[Votes] = []
    gossip = network.gossip

    def listen(source: str, topic: str, data: bytes) -> None:
        if topic == VOTES:
            said.append(decode_message(Votes, data))
        gossip(source, topic, data)

    network.run(20)
    network.gossip = listen  # type: ignore[method-assign]
    while not any(isinstance(decode_gossip(message.data), SignedVote) for message in said):
        network.run(0.02)
    vote = next(message for message in said if isinstance(decode_gossip(message.data), SignedVote))
    voter = decode_gossip(vote.data)
    assert isinstance(voter, SignedVote)
    author = next(name for name in network.nodes if session_signer(name).public == voter.voter)
    finality: Finality = next(node.chain.finality for name, node in network.nodes.items() if name != author)
    slot = CLOCK.slot_at(network.now)
    verdicts = [
        finality.on_gossip(replace(vote, slot=at), network.now)[0] for at in (slot, slot, slot + 1, slot + 1, slot + 9)
    ]
    assert verdicts == [True, False, True, False, False]
    assert finality.on_gossip(Votes(b"\xc1", slot), network.now)[0] is None


def test_a_node_that_hears_voters_of_a_later_set_asks_how_its_own_ended(network: PassiveNetwork) -> None:
    network.run(20)
    chain = network.nodes["Alice"].chain
    vote = Vote("prevote", chain.finality.set_id + 1, 1, bytes(32), 40)
    later = SignedVote(vote, session_signer("Bob").public, bytes(64))
    data = encode_message(Votes(encode(later), CLOCK.slot_at(network.now)))
    asked = []
    for peer, seconds in (("Bob", 0.0), ("Bob", 0.1), ("Charlie", 0.2), ("Mallory", 0.3), ("Bob", 4.5)):
        effects = chain.on_gossip(VOTES, data, peer, bytes(20), network.now + seconds)
        assert Judge(bytes(20), "ignore") in effects
        asked += [effect.peer for effect in effects if isinstance(effect, Ask) and effect.protocol == FINALITY]
    assert asked == ["Bob", "Charlie", "Bob"]


def test_a_node_without_a_key_follows_without_a_vote(network: PassiveNetwork) -> None:
    network.add("Observer")
    network.run(20)
    observer = network.nodes["Observer"]
    assert observer.chain.ledger.finalized_number >= 5
    assert list(observer.database.range(VOTE)) == []
    effects = observer.chain.finality.on_time(network.now)
    assert not any(
        isinstance(decode_gossip(decode_message(Votes, effect.data).data), SignedVote)
        for effect in effects
        if isinstance(effect, Publish)
    )
