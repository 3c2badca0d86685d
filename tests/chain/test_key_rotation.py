"""A validator's session keys: changed while it runs, remembered apart, and never used by two nodes for long."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.db import Database
from chain.grandpa.memory import Grounds
from chain.grandpa.messages import CatchUp, decode_gossip
from chain.keyring import KeyInUse
from chain.ledger import open_ledger
from chain.messages import BLOCKS, VOTES, Announce, Votes, decode_message, encode_message
from chain.signing_memory import MemoryRefused, export_memory, import_memory, signing_memory
from chain.slot_author import AUTHORED
from chain.slots import is_primary, slot_of_header
from chain.vote_memory import VOTE, Signed, VoteMemory, forget_before, signed_in
from node.keystore import SeedSigner
from runtime.block import IMMORTAL, Call, Header, Seal, Slot, header_hash, seal_message, sign_extrinsic, slot_of
from runtime.codec import encode, replace
from runtime.crypto import derive_seed
from runtime.pallets import session, system
from runtime.state import State
from runtime.votes import SignedVote, Vote, sign_vote
from tests.support.passive_network import PassiveNetwork, PassiveNode
from tests.support.validators import CLOCK, network_genesis, session_signer

OLD, NEW = session_signer("Alice"), SeedSigner(derive_seed("//Alice//another"))
SESSION_SLOTS = 6
SESSION = SESSION_SLOTS * CLOCK.slot_milliseconds / 1000
"""Seconds."""


class Ear:
    """Hears everything that is signed with Alice's keys, from whichever machine. Mutable."""

    def __init__(self, network: PassiveNetwork) -> None:
        self.voters: dict[int, set[bytes]] = defaultdict(set)
        self.votes: dict[tuple[object, ...], set[Vote]] = defaultdict(set)
        self.blocks: dict[int, set[tuple[bytes, bytes]]] = defaultdict(set)
        gossip = network.gossip

        def listen(source: str, topic: str, data: bytes) -> None:
            if topic == BLOCKS:
                self._hear_block(data)
            elif topic == VOTES:
                self._hear_vote(data)
            gossip(source, topic, data)

        network.gossip = listen  # type: ignore[method-assign]

    def _hear_block(self, data: bytes) -> None:
        header = decode_message(Announce, data).header
        author = slot_of(header.digest).author
        if author in (OLD.public, NEW.public):
            self.blocks[slot_of_header(header)].add((author, header_hash(header)))

    def _hear_vote(self, data: bytes) -> None:
        message = decode_gossip(decode_message(Votes, data).data)
        if isinstance(message, SignedVote) and message.voter in (OLD.public, NEW.public):
            vote = message.vote
            self.voters[vote.set_id].add(message.voter)
            self.votes[vote.set_id, vote.round, vote.stage].add(vote)

    def assert_consistent(self) -> None:
        assert all(len(voters) == 1 for voters in self.voters.values()), "two keys voted in one set"
        assert all(len(votes) == 1 for votes in self.votes.values()), "two votes in one stage"
        assert all(len(blocks) == 1 for blocks in self.blocks.values()), "two blocks in one slot"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    genesis = network_genesis()
    genesis["parameters"] = {"consensus": {"epoch_slots": SESSION_SLOTS, "era_sessions": 4}}
    with PassiveNetwork(tmp_path, genesis=genesis) as nodes:
        nodes.run(10)
        yield nodes


def announce(network: PassiveNetwork, key: SeedSigner) -> None:
    """What `solvent validator rotate-key` does, apart from the making of the key."""
    node = network.nodes["Bob"]
    ledger, seed = node.chain.ledger, derive_seed("//Alice")
    account = SeedSigner(seed).public
    genesis = ledger.genesis_hash
    args = session.SetKeys(key.public, key.sign(session.possession_message(genesis, account)))
    call = Call("session", "set_keys", encode(args))
    nonce = system.nonce(ledger.state(), account)
    raw = encode(sign_extrinsic(seed, call, nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION))
    network.carry_out(node, node.chain.submit(raw, network.now)[1])


def remembered(node: PassiveNode) -> tuple[Signed, ...]:
    return tuple(signed for _, signed in signed_in(node.database))


def state_of(node: PassiveNode) -> State:
    return State(node.chain.ledger.state_at(node.chain.ledger.finalized))


def members(node: PassiveNode) -> set[bytes]:
    return {member.key for member in session.MEMBERS.get(state_of(node))}


def run_until_in_office(network: PassiveNetwork, key: SeedSigner) -> None:
    for _ in range(6 * SESSION_SLOTS):
        if key.public in members(network.nodes["Bob"]):
            return
        network.run(2)
    raise AssertionError("the new key did not come into office")


def assert_it_works_with(network: PassiveNetwork, ear: Ear, key: SeedSigner) -> None:
    """The validator makes blocks and votes with that key, finality goes on, and nobody broke a rule."""
    since = CLOCK.slot_at(network.now)
    network.run(2 * SESSION)
    authors = {author for slot, blocks in ear.blocks.items() if slot > since for author, _ in blocks}
    assert authors == {key.public}
    assert ear.voters[max(ear.voters)] == {key.public}
    ear.assert_consistent()
    for node in network.nodes.values():
        assert node.chain.ledger.head_number - node.chain.ledger.finalized_number <= 4
        assert len(node.chain.evidence) == 0


def test_a_new_key_takes_over_while_the_node_runs(network: PassiveNetwork) -> None:
    ear = Ear(network)
    network.nodes["Alice"].chain.keys.add(NEW)
    announce(network, NEW)
    network.run(SESSION)
    assert ear.voters[max(ear.voters)] == {OLD.public}
    run_until_in_office(network, NEW)
    assert OLD.public not in members(network.nodes["Bob"])
    assert_it_works_with(network, ear, NEW)
    assert {OLD.public, NEW.public} == set.union(*ear.voters.values())


def test_crashes_before_and_after_the_new_key_comes_into_office_change_nothing(network: PassiveNetwork) -> None:
    ear, alice = Ear(network), network.nodes["Alice"]
    alice.signers.append(NEW)  # it is on the disk
    announce(network, NEW)
    network.disconnect("Alice")
    network.restart("Alice")
    network.connect("Alice")
    assert alice.chain.keys.public_keys == (OLD.public, NEW.public)
    run_until_in_office(network, NEW)
    for pause in (0.3, 1.1, 2.7):
        network.run(pause)
        network.disconnect("Alice")
        network.restart("Alice")
        network.connect("Alice")
    assert_it_works_with(network, ear, NEW)


def test_a_key_that_was_never_announced_signs_nothing(network: PassiveNetwork) -> None:
    stranger = network.add("Stranger", [NEW])
    ear = Ear(network)
    network.run(SESSION)
    assert stranger.chain.ledger.finalized_number >= 5
    assert NEW.public not in set.union(*ear.voters.values())
    assert not any(author == NEW.public for blocks in ear.blocks.values() for author, _ in blocks)


def test_a_second_machine_with_the_same_key_hears_the_first_before_it_signs(network: PassiveNetwork) -> None:
    ear = Ear(network)
    twin = network.add("Twin", [OLD], quiet_slots=3)
    network.run(SESSION)
    assert any(isinstance(effect, KeyInUse) and effect.key == OLD.public for effect in twin.effects)
    assert twin.chain.keys.public_keys == ()
    assert network.nodes["Alice"].chain.keys.public_keys == (OLD.public,)
    assert_it_works_with(network, ear, OLD)
    assert twin.chain.ledger.finalized_number >= 10


def test_a_validator_whose_key_signs_elsewhere_falls_silent(network: PassiveNetwork) -> None:
    alice = network.nodes["Alice"]
    network.add("Twin", [OLD])
    network.run(SESSION)
    assert any(isinstance(effect, KeyInUse) for node in network.nodes.values() for effect in node.effects)
    silent = [name for name in ("Alice", "Twin") if not network.nodes[name].chain.keys]
    assert silent
    network.run(SESSION)
    assert alice.chain.ledger.finalized_number >= 10


def test_a_quiet_validator_signs_when_nobody_else_was_heard(network: PassiveNetwork) -> None:
    network.disconnect("Alice")
    network.run(4)
    alice = network.nodes["Alice"]
    alice.quiet_slots = 6
    network.restart("Alice")
    signed_before = {signed.vote for signed in remembered(alice) if isinstance(signed, SignedVote)}
    ear = Ear(network)
    network.connect("Alice")
    began = network.now
    network.run(10)
    assert not ear.blocks
    assert set().union(*ear.votes.values()) <= signed_before
    network.run(SESSION)
    assert ear.votes
    assert all(slot >= CLOCK.slot_at(began) + 6 for slot in ear.blocks)
    assert not any(isinstance(effect, KeyInUse) for effect in alice.effects)


@pytest.mark.parametrize("names", [("Alice",), ("Alice", "Bob")])
def test_who_is_cut_off_hears_nobody_unless_there_is_nobody_else(tmp_path: Path, names: tuple[str, ...]) -> None:
    with PassiveNetwork(tmp_path, genesis=network_genesis(names), names=()) as network:
        alone = network.add("Alice", [OLD], quiet_slots=2)
        network.run(20)
        assert (alone.chain.ledger.finalized_number > 5) == (len(names) == 1)
        assert alone.chain.is_quiet == (len(names) > 1)


@pytest.mark.parametrize("kind", ["foreign", "forged", "past"])
def test_a_block_under_an_own_key_is_foreign_if_it_is_sealed_and_newer_than_the_last_own_one(
    network: PassiveNetwork, kind: str
) -> None:
    chain = network.nodes["Alice"].chain
    while (last := slot_of(chain.ledger.head_header().digest)).author != OLD.public:
        network.run(0.5)
    bare = Header(bytes(32), 9, bytes(32), bytes(32), (Slot(last.slot + (kind != "past"), OLD.public),))
    sealer = NEW if kind == "forged" else OLD
    seal = Seal(sealer.sign(seal_message(bare, chain.ledger.genesis_hash)))
    data = encode_message(Announce(replace(bare, digest=(*bare.digest, seal))))
    effects = chain.on_gossip(BLOCKS, data, "Bob", bytes(20), network.now)
    assert (KeyInUse(OLD.public, "block 9") in effects) == (kind == "foreign")


def test_a_node_whose_blocks_were_purged_does_not_vote_again_on_its_way_back(
    network: PassiveNetwork, tmp_path: Path
) -> None:
    network.nodes["Alice"].chain.keys.add(NEW)
    announce(network, NEW)
    run_until_in_office(network, NEW)
    ear, alice = Ear(network), network.nodes["Alice"]
    network.run(SESSION)
    reached = alice.chain.finality.set_id
    assert reached >= 1
    network.disconnect("Alice")
    memory = signing_memory(alice.database)
    alice.close()
    alice.folder, alice.signers = tmp_path / "fresh", [OLD, NEW]
    with Database(alice.folder) as fresh:
        fresh.write(memory, sync=True)
        open_ledger(fresh, alice.genesis, None, is_primary)
    alice.open()
    assert alice.chain.finality.set_id == 0
    network.cut = lambda source, target: "Alice" in (source, target)
    network.connect("Alice")
    network.run(10)  # long enough for a vote in the first set, where nobody contradicts
    network.cut = lambda source, target: False
    network.disconnect("Alice")
    network.connect("Alice")
    said = len(ear.votes)
    assert_it_works_with(network, ear, NEW)
    assert len(ear.votes) > said
    assert min(set_id for set_id, *_ in ear.votes) >= reached


def test_memory_that_moves_with_the_keys_is_neither_contradicted_nor_loosened(
    network: PassiveNetwork, tmp_path: Path
) -> None:
    alice = network.nodes["Alice"]
    genesis = alice.chain.ledger.genesis_hash
    network.run(2 * SESSION)
    document = json.loads(json.dumps(export_memory(alice.database, genesis)))
    with Database(tmp_path / "new") as new:
        batch, keys = import_memory(new, document, genesis)
        assert keys == {OLD.public}
        assert batch == signing_memory(alice.database)
        new.write(batch)
        assert AUTHORED in batch
        assert AUTHORED not in import_memory(new, {**document, "lastSlot": 1}, genesis)[0]
        for broken in (
            {**document, "genesis": "0x" + "00" * 32},
            {**document, "signed": ["0x00"]},
            {**document, "signed": [document["signed"][0][:-2] + "00"]},
            {**document, "grounds": [{}]},
            {"format": "keys"},
            [],
        ):
            with pytest.raises(MemoryRefused):
                import_memory(new, broken, genesis)
    mine = next(signed for signed in remembered(alice) if isinstance(signed, SignedVote))
    other = sign_vote(OLD.seed, genesis, replace(mine.vote, target_hash=bytes(32)))
    with Database(tmp_path / "other") as contradicting:
        contradicting.write(VoteMemory(contradicting, mine.vote.set_id, OLD.public).record(other))
        with pytest.raises(MemoryRefused, match="has signed something else"):
            import_memory(contradicting, document, genesis)


# --- the memory on the disk


def vote(key: SeedSigner, set_id: int, round_: int) -> SignedVote:
    return sign_vote(key.seed, bytes(32), Vote("prevote", set_id, round_, bytes(32), 7))


def test_two_keys_in_one_database_remember_apart(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        old, new = VoteMemory(database, 3, OLD.public), VoteMemory(database, 3, NEW.public)
        for round_ in (1, 2, 3):
            database.write({**old.record(vote(OLD, 3, round_)), **new.record(vote(NEW, 3, round_))})
        grounds = Grounds(CatchUp(3, 2, (), ()), bytes(32), bytes(32), CatchUp(3, 3, (), ()))
        database.write(new.record_grounds(grounds))
        assert {signed.vote.round for signed in old.recall().signed if isinstance(signed, SignedVote)} == {1, 2, 3}
        assert {signed.vote.round for signed in new.recall().signed if isinstance(signed, SignedVote)} == {2, 3}
        assert old.recall().grounds is None
        assert new.recall().grounds == grounds


def test_what_an_earlier_release_recorded_without_the_voter_in_its_key_counts(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        mine, other = vote(OLD, 3, 1), vote(NEW, 3, 2)
        for signed in (mine, other):
            place = signed.vote.set_id.to_bytes(8, "big") + signed.vote.round.to_bytes(8, "big")
            database.write({VOTE + place + b"prevote": encode(signed)})
        assert VoteMemory(database, 3, OLD.public).recall().signed == (mine,)
        assert VoteMemory(database, 2, OLD.public).is_over
        database.write(forget_before(database, 4))
        assert not VoteMemory(database, 2, OLD.public).is_over


def test_who_signed_in_a_later_set_has_nothing_to_say_in_an_earlier_one(tmp_path: Path) -> None:
    with Database(tmp_path / "db") as database:
        database.write(VoteMemory(database, 3, OLD.public).record(vote(OLD, 3, 1)))
        assert VoteMemory(database, 2, OLD.public).is_over
        assert not VoteMemory(database, 3, OLD.public).is_over
        assert VoteMemory(database, 2, NEW.public).is_over
        assert forget_before(database, 3) == {}
        database.write(forget_before(database, 4))
        assert not VoteMemory(database, 2, OLD.public).is_over
