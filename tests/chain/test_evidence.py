"""Evidence of equivocations: kept on the disk, reported by the next own block, dropped when the punishment is final."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.effects import Commit
from chain.evidence import EVIDENCE, MEMBERS, EvidenceBook
from chain.importer import Equivocation
from chain.messages import BLOCKS, Announce, encode_message
from runtime.block import Header, Seal, Slot, seal_message
from runtime.codec import replace
from runtime.crypto import derive_seed, public_key
from runtime.pallets import offences, session
from runtime.pallets.offences import Evidence, HeaderEquivocation, VoteEquivocation
from runtime.state import State
from runtime.votes import Vote, sign_vote
from tests.support.passive_network import PassiveNetwork, PassiveNode
from tests.support.validators import CLOCK, network_genesis, session_signer

DAVE = public_key(derive_seed("//Dave"))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    with PassiveNetwork(tmp_path) as nodes:
        nodes.run(10)
        yield nodes


def headers_of_dave(network: PassiveNetwork, slot: int) -> HeaderEquivocation:
    genesis, signer = network.nodes["Alice"].chain.ledger.genesis_hash, session_signer("Dave")
    sealed = []
    for number in (3, 4):
        bare = Header(bytes(32), number, bytes(32), bytes(32), (Slot(slot, signer.public),))
        sealed.append(replace(bare, digest=(*bare.digest, Seal(signer.sign(seal_message(bare, genesis))))))
    return HeaderEquivocation(*sealed)


def votes_of_dave(network: PassiveNetwork, set_id: int = 0) -> VoteEquivocation:
    genesis, seed = network.nodes["Alice"].chain.ledger.genesis_hash, session_signer("Dave").seed
    votes = [Vote("prevote", set_id, 1, bytes([number]) * 32, number) for number in (1, 2)]
    return VoteEquivocation(*[sign_vote(seed, genesis, vote) for vote in votes])


def evidence_of(network: PassiveNetwork, kind: str) -> Evidence:
    return votes_of_dave(network) if kind == "votes" else headers_of_dave(network, CLOCK.slot_at(network.now))


def offenders(node: PassiveNode) -> set[bytes]:
    state = State(node.chain.ledger.state_at(node.chain.ledger.finalized))
    return {offender.account for _, found in offences.OFFENDERS.items(state) for offender in found}


@pytest.mark.parametrize("kind", ["votes", "headers"])
def test_what_one_node_has_seen_is_punished_by_all_and_then_forgotten(network: PassiveNetwork, kind: str) -> None:
    node = network.nodes["Alice"]
    network.carry_out(node, [*node.chain.evidence.add(evidence_of(network, kind))])
    network.disconnect("Alice")
    network.restart("Alice")
    network.connect("Alice")
    assert node.chain.evidence.offenders() == {session_signer("Dave").public}
    network.run(40)
    for other in network.nodes.values():
        assert offenders(other) == {DAVE}
        assert len(other.chain.evidence) == 0
        assert list(other.database.range(EVIDENCE)) == []


def test_two_headers_of_one_slot_are_found_out_by_whoever_hears_of_both_final_or_not(network: PassiveNetwork) -> None:
    ledger = network.nodes["Alice"].chain.ledger
    block = ledger.block(ledger.head)
    assert block is not None
    author = block.header.digest[0]
    assert isinstance(author, Slot)
    (name,) = [name for name in network.nodes if session_signer(name).public == author.author]
    bare = replace(block.header, state_root=bytes(32), digest=block.header.digest[:-1])
    seal = Seal(session_signer(name).sign(seal_message(bare, ledger.genesis_hash)))
    twin = encode_message(Announce(replace(bare, digest=(*bare.digest, seal))))
    witness = next(node for other, node in network.nodes.items() if other != name)
    effects = witness.chain.on_gossip(BLOCKS, twin, name, bytes(20), network.now)
    assert any(isinstance(effect, Equivocation) for effect in effects)
    network.carry_out(witness, effects)
    network.run(40)
    for node in network.nodes.values():
        assert offenders(node) == {public_key(derive_seed(f"//{name}"))}


def test_one_pair_is_kept_for_each_set_and_nothing_that_proves_nothing(network: PassiveNetwork) -> None:
    book = network.nodes["Alice"].chain.evidence
    votes = votes_of_dave(network)
    headers = headers_of_dave(network, CLOCK.slot_at(network.now))
    assert [type(effect) for effect in book.add(votes)] == [Commit]
    forged = replace(votes.second, signature=bytes(64))
    for useless in (
        votes,
        VoteEquivocation(votes.second, votes.first),
        VoteEquivocation(votes.first, votes.first),
        VoteEquivocation(votes.first, forged),
        HeaderEquivocation(headers.first, headers.first),
        HeaderEquivocation(headers.first, replace(headers.second, digest=())),
    ):
        assert book.add(useless) == []
    assert len(book) == 1


def test_evidence_of_a_session_that_has_not_begun_waits_and_of_a_stranger_is_dropped(network: PassiveNetwork) -> None:
    ledger = network.nodes["Alice"].chain.ledger
    book = EvidenceBook(ledger)
    book.add(votes_of_dave(network, set_id=1))
    book.add(headers_of_dave(network, CLOCK.slot_at(network.now) + 100))
    state = State(ledger.state_at(ledger.finalized))
    assert book.build_inherent(state) is None
    assert book.on_finalized() == []
    assert len(book) == 2
    session.MEMBERS.put(state, session.MEMBERS.get(state)[:3])
    book.add(votes_of_dave(network))
    assert book.build_inherent(state) is None


def test_a_vote_of_an_old_set_is_punished_though_its_state_is_pruned_and_the_node_was_restarted(tmp_path: Path) -> None:
    genesis = network_genesis()
    genesis["parameters"] = {"consensus": {"epoch_slots": 4, "era_sessions": 2}}
    with PassiveNetwork(tmp_path, genesis=genesis, windows=(16, None)) as network:
        network.run(90)
        node = network.nodes["Alice"]
        ledger = node.chain.ledger
        state = State(ledger.state_at(ledger.finalized))
        accused = session.SESSIONS.get(state, 0)
        assert accused is not None
        assert session.is_punishable(state, accused)
        assert session.current(state).set_id >= 2
        assert ledger.oldest_state() > accused.started + 16
        network.disconnect("Alice")
        network.restart("Alice")
        network.connect("Alice")
        network.carry_out(node, [*node.chain.evidence.add(votes_of_dave(network))])
        network.run(20)
        for other in network.nodes.values():
            assert offenders(other) == {DAVE}


def test_the_members_of_a_set_are_forgotten_when_nobody_in_it_can_be_slashed(tmp_path: Path) -> None:
    genesis = network_genesis()
    genesis["parameters"] = {"consensus": {"epoch_slots": 4, "era_sessions": 2, "unbonding_eras": 3}}
    with PassiveNetwork(tmp_path, genesis=genesis) as network:
        network.run(120)
        node = network.nodes["Alice"]
        state = State(node.chain.ledger.state_at(node.chain.ledger.finalized))
        oldest = session.SESSIONS.get(state, session.OLDEST.get(state))
        assert oldest is not None
        assert oldest.set_id > 0
        known = [int.from_bytes(key[1:], "big") for key, _ in node.database.range(MEMBERS)]
        assert known == list(range(oldest.set_id, session.current(state).set_id + 1))
