"""A client that knows the genesis hash alone: proofs convince it through every change of voters, and lies do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.config import development_genesis
from rpc.errors import RpcError
from rpc.methods import TABLE
from runtime.block import Header, header_hash
from runtime.codec import decode, encode, replace
from runtime.crypto import derive_seed
from runtime.finality import Justification, TrustedSet, decode_justification
from runtime.pallets import balances, session
from runtime.votes import sign_vote
from solvent.client import Client
from solvent.errors import BadAnswer, RpcFailed, StaleHead
from solvent.light import LightClient
from tests.support.chain import account
from tests.support.ledger import DevChain
from tests.support.passive_network import PassiveNetwork
from tests.support.validators import NAMES, START, network_genesis

SLOTS = 44
"""Blocks at two seconds: about three authority sets."""
Lie = Callable[[str, tuple[Any, ...], Any], Any]


class Node:
    """A node's methods without a socket, whose answers pass through ``lie``. Mutable."""

    def __init__(self, ledger: Any, genesis: dict[str, Any]) -> None:
        self.view: Any = SimpleNamespace(ledger=ledger, genesis=genesis)
        self.lie: Lie = lambda method, params, result: result

    def call(self, method: str, *params: Any) -> Any:
        try:
            return self.lie(method, params, TABLE.call(self.view, method, list(params)))
        except RpcError as error:
            raise RpcFailed(error.code, error.message) from None

    def batch(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        return [self.call(method, *params) for method, params in calls]


def client_of(node: Node) -> Client:
    client = Client()
    client.close()
    client._transport = node  # type: ignore[assignment]
    return client


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassiveNetwork]:
    genesis = {**network_genesis(NAMES), "parameters": {"consensus": {"epoch_slots": 8, "era_sessions": 2}}}
    with PassiveNetwork(tmp_path_factory.mktemp("light"), genesis=genesis) as network:
        network.run(2 * SLOTS)
        yield network


@pytest.fixture
def node(network: PassiveNetwork) -> Node:
    return Node(network.nodes[NAMES[0]].chain.ledger, network.genesis)


def light_of(node: Node, **options: Any) -> LightClient:
    now = START + 2 * SLOTS
    return LightClient(client_of(node), node.view.ledger.genesis_hash, now=lambda: now, **options)


def test_a_chain_of_voters_leads_from_the_genesis_hash_to_the_newest_final_block(node: Node) -> None:
    light = light_of(node)
    head = light.follow()
    assert header_hash(head) == node.view.ledger.finalized
    assert light.trusted is not None
    assert light.trusted.set_id == session.current(node.view.ledger.state()).set_id >= 2
    money = light.read(balances.ACCOUNTS, account("//Bob"))
    assert money == balances.ACCOUNTS.get(node.view.ledger.state(), account("//Bob"))
    assert light.read(balances.ACCOUNTS, bytes(32)) is None
    assert light.follow() == head


def test_what_was_proved_once_and_a_trusted_block_are_as_good_beginnings(node: Node) -> None:
    first = light_of(node)
    head = first.follow()
    asked: list[int] = []
    node.lie = lambda method, params, result: (
        (asked.append(params[0]) if method == "grandpa_proveAuthorities" else None) or result
    )
    assert light_of(node, trusted=first.trusted).follow() == head
    middle = node.view.ledger.hash_at(head.number - 3)
    assert light_of(node, checkpoint=middle).follow() == head
    assert asked[0] == head.number
    assert asked[1] == head.number - 3


def steps_of(result: Any) -> list[tuple[Header, Justification]]:
    return [
        (
            decode(bytes.fromhex(step["header"][2:]), Header),
            decode_justification(bytes.fromhex(step["justification"][2:])),
        )
        for step in result["steps"]
    ]


def told(steps: list[tuple[Header, Justification]]) -> dict[str, Any]:
    shown = [
        {"header": "0x" + encode(header).hex(), "justification": "0x" + encode(proof).hex()} for header, proof in steps
    ]
    return {"steps": shown, "complete": True}


def lying(change: Callable[[list[tuple[Header, Justification]]], list[tuple[Header, Justification]]]) -> Lie:
    def lie(method: str, params: tuple[Any, ...], result: Any) -> Any:
        return told(change(steps_of(result))) if method == "grandpa_proveAuthorities" else result

    return lie


def test_a_forged_justification_convinces_nobody(node: Node) -> None:
    genesis_hash = node.view.ledger.genesis_hash

    def with_forged_head(steps: list[tuple[Header, Justification]]) -> list[tuple[Header, Justification]]:
        """Another state, for which the node has a header hash and copies of the votes, but no signatures."""
        header, proof = steps[-1]
        forged = replace(header, state_root=bytes(32))
        hash_ = header_hash(forged)
        votes = tuple(replace(one, vote=replace(one.vote, target_hash=hash_)) for one in proof.precommits)
        return [*steps[:-1], (forged, replace(proof, target_hash=hash_, precommits=votes))]

    def with_one_voter(steps: list[tuple[Header, Justification]]) -> list[tuple[Header, Justification]]:
        """Properly signed, by too few: one voter that the node has bought."""
        header, proof = steps[-1]
        forged = replace(header, state_root=bytes(32))
        vote = replace(proof.precommits[0].vote, target_hash=header_hash(forged))
        signed = sign_vote(derive_seed(f"//{NAMES[0]}//session"), genesis_hash, vote)
        return [*steps[:-1], (forged, replace(proof, target_hash=header_hash(forged), precommits=(signed,)))]

    def with_another_header(steps: list[tuple[Header, Justification]]) -> list[tuple[Header, Justification]]:
        header, proof = steps[-1]
        return [*steps[:-1], (replace(header, state_root=bytes(32)), proof)]

    for change, words in (
        (with_forged_head, "signature"),
        (with_one_voter, "quorum"),
        (with_another_header, "not of block"),
    ):
        light = light_of(node)
        node.lie = lying(change)
        with pytest.raises(BadAnswer, match=words):
            light.follow()
        assert light.trusted is None


def test_a_change_of_voters_can_neither_be_left_out_nor_made_up(node: Node) -> None:
    node.lie = lying(lambda steps: steps[1:])
    with pytest.raises(BadAnswer, match="set"):
        light_of(node).follow()
    light = light_of(node, trusted=TrustedSet(0, node.view.ledger.genesis_hash, 5, ()))
    node.lie = lambda method, params, result: result
    with pytest.raises(BadAnswer):
        light.follow()


def test_a_node_of_another_network_is_found_out(node: Node) -> None:
    light = LightClient(client_of(node), b"\x01" * 32)
    with pytest.raises(BadAnswer, match="another network"):
        light.follow()
    node.lie = lambda method, params, result: {} if method == "chain_getGenesis" else result
    with pytest.raises(BadAnswer):
        light_of(node).follow()


def test_a_node_that_hides_the_newest_blocks_is_stale(node: Node) -> None:
    node.lie = lying(lambda steps: steps[:1])
    with pytest.raises(StaleHead, match="seconds old"):
        light_of(node, max_age_seconds=20.0).follow()
    light = light_of(node)
    node.lie = lambda method, params, result: result
    head = light.follow()
    node.lie = lying(lambda steps: [])
    assert light.follow() == head


def test_a_proof_against_another_header_shows_nothing(node: Node) -> None:
    light = light_of(node)
    before = "0x" + node.view.ledger.hash_at(node.view.ledger.finalized_number - 5).hex()

    def lie(method: str, params: tuple[Any, ...], result: Any) -> Any:
        if method not in ("state_getStorage", "state_getReadProof"):
            return result
        return TABLE.call(node.view, method, [params[0], before])

    light.follow()
    node.lie = lie
    with pytest.raises(BadAnswer, match="does not show"):
        light.read(balances.ACCOUNTS, account("//Bob"))


def test_on_a_chain_of_one_author_its_seal_is_the_proof(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        chain.seal()
        chain.seal()
        node = Node(chain.ledger, development_genesis())
        now = chain.ledger.head_number + 1_000
        light = LightClient(client_of(node), chain.ledger.genesis_hash, now=lambda: now, max_age_seconds=10**9)
        assert header_hash(light.follow()) == chain.ledger.head
        old = TABLE.call(node.view, "chain_getHeader", ["0x" + chain.ledger.hash_at(1).hex()])
        node.lie = lambda method, params, result: (
            old["hash"] if method == "chain_getFinalizedHead" else old if method == "chain_getHeader" else result
        )
        with pytest.raises(StaleHead):
            light.follow()
        forged = replace(chain.ledger.head_header(), state_root=bytes(32))
        shown = {"hash": "0x" + header_hash(forged).hex(), "encoded": "0x" + encode(forged).hex()}
        node.lie = lambda method, params, result: (
            shown["hash"] if method == "chain_getFinalizedHead" else shown if method == "chain_getHeader" else result
        )
        with pytest.raises(BadAnswer, match="seal"):
            light.follow()
