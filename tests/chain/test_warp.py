"""Warp sync on whole nodes: proofs of the authority sets, a state in pieces, the history behind it, and liars."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.messages import (
    BLOCK_RANGE,
    STATE,
    WARP,
    BlockRequest,
    BlockResponse,
    FromHash,
    StateEntry,
    StateResponse,
    WarpRequest,
    WarpResponse,
    decode_message,
    encode_message,
)
from chain.store import changes_authorities
from chain.warp import CheckpointNeeded, WarpOptions, WarpRefused, plan_warp, slashable_seconds
from runtime import merkle
from runtime.block import Block, header_hash
from runtime.codec import encode, replace
from runtime.pallets import session
from tests.support.passive_network import PassiveNetwork, PassiveNode
from tests.support.validators import NAMES, START, network_genesis, session_signer

SLOTS = 110
"""A chain of that many blocks sees about seven authority sets."""
WARP_NOW = WarpOptions(least_gap=20)


def short_eras() -> dict[str, Any]:
    return {**network_genesis(NAMES), "parameters": {"consensus": {"epoch_slots": 8, "era_sessions": 2}}}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of a network that has run for a while."""
    folder = tmp_path_factory.mktemp("grown")
    with PassiveNetwork(folder, genesis=short_eras()) as nodes:
        nodes.run(2 * SLOTS)
    return folder


@pytest.fixture
def network(tmp_path: Path, grown: Path) -> Iterator[PassiveNetwork]:
    shutil.copytree(grown, tmp_path / "nodes")
    with PassiveNetwork(tmp_path / "nodes", genesis=short_eras(), now=START + 2 * SLOTS) as nodes:
        nodes.run(6)
        yield nodes


def punished(node: PassiveNode) -> Counter[str]:
    points: Counter[str] = Counter()
    for effect in node.punished:
        points[effect.peer] += effect.points
    return points


def asked(network: PassiveNetwork, name: str) -> list[str]:
    return [ask.protocol for asker, ask in network.asked if asker == name]


def assert_whole(network: PassiveNetwork, node: PassiveNode) -> None:
    """The node has all blocks, follows the chain, and its state and tree are those of its headers."""
    ledger, other = node.chain.ledger, network.nodes["Alice"].chain.ledger
    assert other.finalized_number - ledger.finalized_number <= 4
    for number in range(1, ledger.finalized_number + 1):
        hash_ = ledger.store.hash_at(number)
        assert hash_ is not None
        assert hash_ == other.store.hash_at(number)
        assert ledger.block(hash_) == other.block(hash_)
    header = ledger.header(ledger.finalized)
    assert header is not None
    view = ledger.state_at(ledger.finalized)
    assert merkle.root_of({key: view.get(key) or b"" for key in view.keys(b"")}) == header.state_root
    assert not list(ledger.store.database.range(b"t" if ledger.store.generation == 0 else b"s"))
    assert ledger.store.gap() is None


def test_a_newcomer_warps_then_follows_and_fills_its_history(network: PassiveNetwork) -> None:
    height = network.nodes["Alice"].chain.ledger.finalized_number
    late = network.add("Late", warp=WARP_NOW)
    while late.chain.is_warping:
        assert late.chain.ledger.finalized_number == 0
        network.run(0.5)
    ledger = late.chain.ledger
    assert ledger.finalized_number >= height
    executed = [
        hash_ for number in range(1, height) if (hash_ := ledger.store.hash_at(number)) and ledger.outcome(hash_)
    ]
    assert executed == []
    assert session.current(ledger.state()).set_id >= 5
    network.run(20)
    assert late.chain.finality.set_id == network.nodes["Alice"].chain.finality.set_id
    assert_whole(network, late)
    assert punished(late) == {}
    states = {ask.peer for asker, ask in network.asked if asker == "Late" and ask.protocol == STATE}
    assert len(states) >= 3


def test_a_node_that_has_warped_helps_the_next_one_to_warp(network: PassiveNetwork) -> None:
    network.add("Late", warp=WARP_NOW)
    network.run(20)
    later = network.add("Later", warp=WARP_NOW)
    network.cut = lambda source, target: {source, target} in [{name, "Later"} for name in NAMES]
    network.run(20)
    assert_whole(network, later)
    assert later.chain.ledger.store.next_justification(1) == network.nodes[
        "Alice"
    ].chain.ledger.store.next_justification(1)


def test_a_validator_that_warps_votes_and_makes_blocks_again(network: PassiveNetwork) -> None:
    network.disconnect("Dave")
    network.nodes["Dave"].close()
    del network.nodes["Dave"]
    for path in (network.folder / "Dave").iterdir():
        path.unlink()
    dave = network.add("Dave", [session_signer("Dave")], warp=WARP_NOW)
    network.run(40)
    assert_whole(network, dave)
    mine = session_signer("Dave").public
    ledger = dave.chain.ledger
    recent = [ledger.header(ledger.hash_at(number) or b"") for number in range(SLOTS + 2, ledger.head_number)]
    assert any(mine in encode(header) for header in recent if header)


def test_close_to_the_head_blocks_are_executed_instead(network: PassiveNetwork) -> None:
    late = network.add("Late", warp=WarpOptions(least_gap=1000))
    network.run(30)
    assert_whole(network, late)
    assert STATE not in asked(network, "Late")
    assert late.chain.ledger.outcome(late.chain.ledger.store.hash_at(5) or b"") is not None


Lie = Callable[[WarpResponse], WarpResponse]


def forge_signature(answer: WarpResponse) -> WarpResponse:
    step = answer.steps[-1]
    return replace(answer, steps=(*answer.steps[:-1], replace(step, justification=step.justification[:-1] + b"\0")))


def forge_header(answer: WarpResponse) -> WarpResponse:
    step = answer.steps[-1]
    forged = replace(step, header=replace(step.header, state_root=bytes(32)))
    return replace(answer, steps=(*answer.steps[:-1], forged))


def skip_a_set(answer: WarpResponse) -> WarpResponse:
    return replace(answer, steps=answer.steps[:1] + answer.steps[2:])


def reverse(answer: WarpResponse) -> WarpResponse:
    return replace(answer, steps=answer.steps[::-1])


@pytest.mark.parametrize("lie", [forge_signature, forge_header, skip_a_set, reverse])
def test_a_false_proof_gets_its_sender_banned_and_the_warp_goes_on(network: PassiveNetwork, lie: Lie) -> None:
    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        if (peer, asker, protocol) != (liar, "Late", WARP) or data is None:
            return data
        return encode_message(lie(decode_message(WarpResponse, data)))

    liar = "Alice"
    network.answer = answer
    late = network.add("Late", warp=WARP_NOW)
    for state in late.chain.sync.peers.values():
        state.finalized_number = 1
    network.run(1)
    late.chain.sync.peers[liar].finalized_number += 5  # so that it is asked first
    network.run(25)
    assert punished(late) == {liar: 100}
    assert_whole(network, late)


StateLie = Callable[[StateResponse], StateResponse]


def change_a_value(piece: StateResponse) -> StateResponse:
    first = piece.entries[0]
    return replace(piece, entries=(replace(first, value=first.value + b"x"), *piece.entries[1:]))


def leave_one_out(piece: StateResponse) -> StateResponse:
    return replace(piece, entries=piece.entries[1:])


def add_one(piece: StateResponse) -> StateResponse:
    return replace(piece, entries=(*piece.entries, StateEntry(b"key", b"value")))


def truncate(piece: StateResponse) -> StateResponse:
    return replace(piece, entries=piece.entries[: len(piece.entries) // 2], complete=True)


def give_nothing(piece: StateResponse) -> StateResponse:
    return StateResponse((), (), True)


def never_end(piece: StateResponse) -> StateResponse:
    return StateResponse((), piece.proof, False)


STATE_LIES: list[StateLie] = [change_a_value, leave_one_out, add_one, truncate, give_nothing, never_end]


@pytest.mark.parametrize("lie", STATE_LIES)
def test_a_false_piece_of_the_state_gets_its_sender_banned(network: PassiveNetwork, lie: StateLie) -> None:
    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        if (peer, asker, protocol) != ("Bob", "Late", STATE) or data is None:
            return data
        return encode_message(lie(decode_message(StateResponse, data)))

    network.answer = answer
    late = network.add("Late", warp=WARP_NOW)
    network.run(25)
    assert set(punished(late)) == {"Bob"}
    assert min(effect.points for effect in late.punished) == 100
    assert_whole(network, late)


def test_the_proof_of_another_chain_is_not_taken(network: PassiveNetwork, tmp_path: Path) -> None:
    with PassiveNetwork(tmp_path / "other", genesis={**short_eras(), "id": "other"}) as other:
        other.run(2 * SLOTS)
        foreign, _ = other.nodes["Alice"].chain.on_request("Late", WARP, encode_message(WarpRequest(0)), 0.0)
    assert foreign is not None
    network.answer = lambda peer, asker, protocol, data: foreign if (peer, protocol) == ("Alice", WARP) else data
    late = network.add("Late", warp=WARP_NOW)
    network.run(1)
    late.chain.sync.peers["Alice"].finalized_number += 5  # so that it is asked first
    network.run(25)
    assert punished(late) == {"Alice": 100}
    assert_whole(network, late)


def test_peers_that_give_no_state_delay_and_do_not_stop_it(network: PassiveNetwork) -> None:
    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        return None if asker == "Late" and protocol == STATE and peer != "Dave" else data

    network.answer = answer
    late = network.add("Late", warp=WARP_NOW)
    network.run(40)
    assert punished(late) == {}
    assert_whole(network, late)


def test_a_crash_at_any_moment_of_a_warp_loses_nothing_that_was_proved(network: PassiveNetwork) -> None:
    late = network.add("Late", warp=WARP_NOW)
    pieces = 0
    shares: list[float] = []
    for _ in range(60):
        network.run(0.15)
        download = late.chain.warp.download if late.chain.warp else None
        shares.append(1.0 if not late.chain.is_warping else download.share if download else 0.0)
        if late.chain.is_warping and download is not None and 0 < download.share < 1 and pieces < 5:
            pieces += 1
            network.disconnect("Late")
            network.restart("Late")
            resumed = late.chain.warp
            assert resumed is not None
            assert resumed.download is not None
            assert resumed.download.share == download.share
            network.connect("Late")
            network.run(3.2)
    assert pieces >= 1
    assert shares == sorted(shares)
    network.run(20)
    assert_whole(network, late)


def test_a_new_target_is_chosen_when_nobody_keeps_the_old_one(tmp_path: Path) -> None:
    with PassiveNetwork(tmp_path, genesis=short_eras(), windows=(24, None)) as network:
        network.run(2 * SLOTS)
        network.answer = lambda peer, asker, protocol, data: None if protocol == STATE else data
        late = network.add("Late", warp=WARP_NOW)
        network.run(120)
        assert late.chain.is_warping
        network.answer = lambda peer, asker, protocol, data: data
        network.run(60)
        assert not late.chain.is_warping
        assert late.chain.ledger.oldest_state() > SLOTS + 24
        assert_whole(network, late)


# --- the history behind


@pytest.mark.parametrize("lie", ["body", "other blocks", "silence"])
def test_a_false_history_is_not_kept(network: PassiveNetwork, lie: str) -> None:
    late = network.add("Late", warp=WARP_NOW)
    told = 0

    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        nonlocal told
        if (asker, protocol) != ("Late", BLOCK_RANGE) or data is None or told == 2:
            return data
        blocks = decode_message(BlockResponse, data).blocks
        if len(blocks) < 20 or peer != "Charlie":
            return data if len(blocks) < 20 else None  # nobody else gives any history
        told += 1
        match lie:
            case "body":
                forged = replace(blocks[0], block=Block(blocks[0].block.header, (b"forged",)))
                return encode_message(BlockResponse((forged, *blocks[1:])))
            case "other blocks":
                return encode_message(BlockResponse(blocks[:-1]))
            case _:
                return None

    network.answer = answer
    network.run(100)
    assert told == 2
    assert set(punished(late)) == (set() if lie == "silence" else {"Charlie"})
    assert_whole(network, late)


def test_a_restart_in_the_middle_of_the_history_goes_on_there(network: PassiveNetwork) -> None:
    late = network.add("Late", warp=WARP_NOW)
    network.cut = lambda source, target: "Late" in (source, target) and not late.chain.is_warping
    network.run(10)
    assert late.chain.history.missing > SLOTS - 20
    network.disconnect("Late")
    late.warp = None
    network.restart("Late")
    network.cut = lambda source, target: False
    network.connect("Late")
    network.run(20)
    assert_whole(network, late)


# --- where a warp may start


def test_genesis_is_no_start_once_its_set_may_have_withdrawn_its_stake(network: PassiveNetwork) -> None:
    ledger = network.add("Late").chain.ledger
    began = network.now - 200
    limit = slashable_seconds(ledger.state())
    assert limit == 8 * 2 * 27 * 2.0
    assert plan_warp(ledger, began, None, began + limit - 1) == WarpOptions()
    with pytest.raises(CheckpointNeeded, match="--checkpoint"):
        plan_warp(ledger, began, None, began + limit)
    with pytest.raises(CheckpointNeeded, match="does not say when"):
        plan_warp(ledger, None, None, began)
    assert plan_warp(ledger, None, bytes(32), began + limit) == WarpOptions(bytes(32))


def test_what_a_node_has_made_final_itself_is_a_start_for_as_long(network: PassiveNetwork) -> None:
    ledger = network.nodes["Alice"].chain.ledger
    limit = slashable_seconds(ledger.state())
    assert plan_warp(ledger, None, None, network.now + 500) is None
    with pytest.raises(CheckpointNeeded, match="hours ago"):
        plan_warp(ledger, None, None, network.now + 2 * 512 + limit)
    assert plan_warp(ledger, None, bytes(32), network.now + 2 * 512 + limit) == WarpOptions(bytes(32))


def some_block(network: PassiveNetwork, number: int) -> bytes:
    hash_ = network.nodes["Alice"].chain.ledger.store.hash_at(number)
    assert hash_ is not None
    return hash_


@pytest.mark.parametrize("number", [3, 40, SLOTS - 12])
def test_a_checkpoint_that_is_on_the_chain_is_passed(network: PassiveNetwork, number: int) -> None:
    late = network.add("Late", warp=WarpOptions(some_block(network, number), 20))
    network.run(25)
    assert punished(late) == {}
    assert_whole(network, late)


def test_a_chain_without_the_checkpoint_is_never_taken(network: PassiveNetwork, tmp_path: Path) -> None:
    with PassiveNetwork(tmp_path / "other", genesis=short_eras()) as other:
        other.disconnect("Dave")  # another history of the same genesis
        other.run(2 * SLOTS)
        checkpoint = some_block(other, 60)
        assert checkpoint != some_block(network, 60)
        request = encode_message(BlockRequest(FromHash(checkpoint), 64))
        trusted, _ = other.nodes["Alice"].chain.on_request("Late", BLOCK_RANGE, request, 0.0)
    is_first = True

    def answer(peer: str, asker: str, protocol: str, data: bytes | None) -> bytes | None:
        nonlocal is_first
        if (asker, protocol) != ("Late", BLOCK_RANGE) or not is_first:
            return data
        is_first = False
        return trusted

    network.answer = answer
    late = network.add("Late", warp=WarpOptions(checkpoint, 20))
    network.run(40)
    assert not is_first
    assert late.chain.is_warping
    assert late.chain.ledger.finalized_number == 0
    assert STATE not in asked(network, "Late")
    assert set(punished(late)) == set(NAMES)


def test_a_checkpoint_that_is_too_old_is_refused(network: PassiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.warp.slashable_seconds", lambda state: 100.0)
    late = network.add("Late", warp=WarpOptions(some_block(network, 3), 20))
    network.run(5)
    refused = [effect for effect in late.effects if isinstance(effect, WarpRefused)]
    assert len(refused) == 1
    assert "hours old" in refused[0].reason
    assert late.chain.is_warping


def test_every_change_of_the_set_is_kept_with_its_proof(network: PassiveNetwork) -> None:
    ledger = network.nodes["Alice"].chain.ledger
    for number in range(1, ledger.finalized_number + 1):
        header = ledger.header(ledger.store.hash_at(number) or b"")
        assert header is not None
        if changes_authorities(header):
            assert ledger.store.justification(number) is not None
            assert header_hash(header) == ledger.store.hash_at(number)
