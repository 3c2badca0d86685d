"""What leaves the windows is forgotten: the database stops growing, and what newcomers need stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.columns import PRUNED_AT_ONCE
from chain.ledger import StatePruned, UnknownBlock
from chain.messages import BLOCK_RANGE, WARP, BlockRequest, FromNumber, WarpRequest, WarpResponse, decode_message
from chain.messages import encode_message as encode
from chain.store import META, changes_authorities
from chain.warp import WarpOptions
from runtime import merkle
from runtime.crypto import derive_seed, public_key
from runtime.pallets import system
from tests.support.ledger import DevChain
from tests.support.passive_network import PassiveNetwork, PassiveNode
from tests.support.validators import NAMES, network_genesis

WINDOW = 20


def small_genesis() -> dict[str, Any]:
    """Short eras, and a state that has reached its size early."""
    consensus = {"epoch_slots": 8, "era_sessions": 2, "unbonding_eras": 2}
    return {**network_genesis(NAMES), "parameters": {"consensus": consensus, "block": {"hash_count": 8}}}


@pytest.fixture
def network(tmp_path: Path) -> Iterator[PassiveNetwork]:
    with PassiveNetwork(tmp_path, genesis=small_genesis(), windows=(WINDOW, WINDOW)) as nodes:
        yield nodes


def keys_of(node: PassiveNode) -> dict[str, int]:
    """How many keys of each kind are stored."""
    found: dict[str, int] = {}
    for key, _ in node.database.range(b""):
        kind = chr(key[0])
        found[kind] = found.get(kind, 0) + 1
    return found


def test_the_database_stops_growing_but_for_the_proofs_of_the_authority_sets(network: PassiveNetwork) -> None:
    node = network.nodes["Alice"]
    network.run(150)
    early = keys_of(node)
    network.run(200)
    late = keys_of(node)
    ledger = node.chain.ledger
    sets = node.chain.finality.set_id
    assert ledger.finalized_number > 150
    assert late["b"] <= WINDOW + 12
    assert late["o"] <= WINDOW + 12
    assert late["r"] <= WINDOW + 4
    for kind in "sSnNp":
        assert late[kind] <= early[kind] * 1.25, kind
    assert late["h"] <= WINDOW + 12 + sets
    assert late["k"] <= sets
    assert late["f"] <= sets + 4


def test_the_state_and_its_places_are_whole_after_pruning(network: PassiveNetwork) -> None:
    network.run(120)
    ledger = network.nodes["Alice"].chain.ledger
    view, columns = ledger.state_at(ledger.finalized), ledger.store.columns
    header = ledger.header(ledger.finalized)
    assert header is not None
    entries = {key: view.get(key) or b"" for key in view.keys(b"")}
    assert merkle.root_of(entries) == header.state_root
    for key in entries:
        assert columns.key_at(merkle.hash_place(key)) == key
    oldest = ledger.oldest_state()
    places = {key[1:] for key, _ in ledger.store.database.range(b"p")}
    past = {merkle.hash_place(key) for key in ledger.state_at(ledger.store.hash_at(oldest) or b"").keys(b"")}
    assert past <= places
    assert len(places - past - {merkle.hash_place(key) for key in entries}) <= 4 * WINDOW


def test_what_is_gone_is_called_gone(network: PassiveNetwork) -> None:
    network.run(120)
    ledger = network.nodes["Alice"].chain.ledger
    oldest = ledger.oldest_state()
    assert ledger.finalized_number - WINDOW - 4 <= oldest <= ledger.finalized_number - WINDOW + 1
    ledger.state_at(ledger.store.hash_at(oldest) or b"")
    assert ledger.store.oldest_block() > 20
    gone = [number for number in range(1, ledger.store.oldest_block()) if ledger.store.hash_at(number) is None]
    assert len(gone) > 20
    kept = [number for number in range(1, ledger.store.oldest_block()) if number not in gone]
    assert kept
    for number in kept:
        header = ledger.header(ledger.store.hash_at(number) or b"")
        assert header is not None
        assert changes_authorities(header)
        assert ledger.block(ledger.store.hash_at(number) or b"") is None
        with pytest.raises(StatePruned, match="--state-pruning"):
            ledger.state_at(ledger.store.hash_at(number) or b"")
    with pytest.raises(UnknownBlock):
        ledger.state_at(bytes(32))


def test_pruned_nodes_still_prove_every_set_and_let_newcomers_warp(network: PassiveNetwork) -> None:
    network.run(200)
    chain = network.nodes["Alice"].chain
    data, _ = chain.on_request("Bob", WARP, encode(WarpRequest(0)), network.now)
    assert data is not None
    steps = decode_message(WarpResponse, data).steps
    assert sum(changes_authorities(step.header) for step in steps) == chain.finality.set_id
    late = network.add("Late", warp=WarpOptions(least_gap=20))
    network.run(60)
    assert late.chain.ledger.finalized_number >= chain.ledger.finalized_number - 4
    assert late.chain.ledger.store.gap() is None
    assert late.chain.ledger.finalized_number - late.chain.ledger.store.oldest_block() <= WINDOW + 12
    assert late.punished == []


def test_nobody_is_blamed_for_having_pruned_and_a_newcomer_knows_why_it_cannot_go_on(network: PassiveNetwork) -> None:
    network.run(200)
    late = network.add("Late")
    network.run(30)
    assert late.chain.ledger.finalized_number == 0
    assert late.punished == []
    assert (late.chain.sync.oldest_wanted or 0) > 20
    assert late.chain.sync_state.is_syncing
    asked = [ask for name, ask in network.asked if name == "Late" and ask.protocol == BLOCK_RANGE]
    starts = [decode_message(BlockRequest, ask.data).start for ask in asked]
    assert not any(isinstance(start, FromNumber) for start in starts)


def test_a_smaller_window_takes_effect_little_by_little_and_a_larger_one_promises_nothing(tmp_path: Path) -> None:
    account = public_key(derive_seed("//Alice"))
    with DevChain(tmp_path) as chain:
        for _ in range(60):
            chain.seal()
        store, ledger = chain.ledger.store, chain.ledger
        assert ledger.oldest_state() == 0
        store.window, store.block_window = 20, 20
        for _ in range(5):
            chain.seal()
        assert ledger.oldest_state() == 5 * PRUNED_AT_ONCE
        for _ in range(25):
            chain.seal()
        assert ledger.oldest_state() == 90 - 20
        assert store.oldest_block() == 90 - 20
        store.window = store.block_window = None
        chain.seal()
        assert ledger.oldest_state() == 70
        assert store.oldest_block() == 70
        assert system.nonce(ledger.state(), account) == 0
        assert store.database.get(META + b"oldest") is not None
