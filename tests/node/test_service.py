"""A whole node: sealing, restart, kill -9, replay, and responsiveness while it works."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest

from chain.db import Database, DatabaseLocked
from chain.effects import Commit
from chain.ledger import Execution, WrongGenesis, open_ledger
from node.config import DEVELOPMENT_ACCOUNTS, NodeConfig, development_genesis
from node.pins import find_pinned
from node.service import Node
from rpc.server import PortUnavailable
from runtime.block import Block
from runtime.codec import decode, encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from solvent.client import Client
from tests.support.node import ROOT, dev_process, running_node

ALICE, BOB = derive_seed("//Alice"), derive_seed("//Bob")
BOB_ACCOUNT = public_key(BOB)


def poll_head(client: Client, number: int) -> None:
    """Wait, through the node alone, until it has that many blocks."""
    for _ in range(10_000):
        if client.head().number >= number:
            return
    raise AssertionError(f"the node never reached block {number}")


def test_the_built_in_genesis_is_the_file() -> None:
    assert development_genesis() == json.loads((ROOT / "genesis.json").read_text())
    assert DEVELOPMENT_ACCOUNTS[0] == "Alice"


def test_empty_blocks_come_regardless(tmp_path: Path) -> None:
    with running_node(tmp_path, seal_seconds=0.01) as (_, client):
        poll_head(client, 5)


def test_a_transaction_gets_its_block_at_once(tmp_path: Path) -> None:
    """With an hour between empty blocks, only sealing on arrival can include anything."""
    with running_node(tmp_path, seal_seconds=3600.0) as (_, client):
        for number in range(1, 4):
            outcome = client.submit_and_wait(ALICE, "balances", balances.Transfer(BOB_ACCOUNT, number))
            assert (outcome.ok, outcome.block_number) == (True, number)
            assert client.finalized_number() == number


def test_a_restart_keeps_everything_and_clients_ride_it_out(tmp_path: Path) -> None:
    with running_node(tmp_path, seal_seconds=3600.0) as (node, client):
        client.submit_and_wait(ALICE, "balances", balances.Transfer(BOB_ACCOUNT, 5))
        root = client.put_blob(b"kept", ALICE)
        head, state_root = node.ledger.head, node.ledger.head_header().state_root
    with running_node(tmp_path, seal_seconds=3600.0) as (node, client):
        assert (node.ledger.head, node.ledger.head_header().state_root) == (head, state_root)
        assert client.get_blob(root) == b"kept"
        assert client.submit_and_wait(ALICE, "balances", balances.Transfer(BOB_ACCOUNT, 5)).ok


def test_replaying_a_nodes_blocks_from_genesis_gives_the_same_roots(tmp_path: Path) -> None:
    with running_node(tmp_path / "node", seal_seconds=3600.0) as (node, client):
        for amount in range(5):
            client.submit_and_wait(ALICE, "balances", balances.Transfer(BOB_ACCOUNT, amount + 1))
        hashes = [node.ledger.hash_at(number) for number in range(1, node.ledger.head_number + 1)]
        blocks = [encode(node.ledger.block(hash_ or b"")) for hash_ in hashes]
    with Database(tmp_path / "replay") as database:
        ledger = open_ledger(database, development_genesis())
        for raw, hash_ in zip(blocks, hashes, strict=True):
            execution = Execution(ledger, decode(raw, Block))
            while execution.step():
                pass
            layer = execution.finish()
            assert layer.hash == hash_
            for effect in ledger.on_executed(layer, finalize=True):
                if isinstance(effect, Commit):
                    database.write(effect.batch)


def test_kill_9_at_any_moment_loses_nothing_that_was_final(tmp_path: Path) -> None:
    """A process is killed while transfers stream in, twice. What a client saw finalized is there afterwards, and the
    money moved is exactly that of the transfers whose nonce was used."""
    sent_before, received_before = 0, 10**15
    for _ in range(2):
        with dev_process("--base-path", str(tmp_path)) as (process, url):
            with Client(url, patience=0.0) as client:
                for amount in range(1, 11):
                    client.submit(ALICE, "balances", balances.Transfer(BOB_ACCOUNT, amount))
                finalized = client.finalized_number()
                seen = client.block_hash(finalized)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with Database(tmp_path / "db") as database:
            ledger = open_ledger(database, development_genesis())
            assert ledger.finalized_number >= finalized
            assert ledger.hash_at(finalized) == seen
            state = ledger.state()
            sent = system.nonce(state, public_key(ALICE))
            included = sent - sent_before
            assert balances.free(state, BOB_ACCOUNT) == received_before + included * (included + 1) // 2
            sent_before, received_before = sent, balances.free(state, BOB_ACCOUNT)


def test_a_big_block_does_not_keep_requests_waiting(tmp_path: Path) -> None:
    """While blocks of hundreds of transfers are made, another client's requests are answered in between."""
    with running_node(tmp_path, seal_seconds=3600.0, coalesce_seconds=0.0) as (node, client):
        answered: list[int] = []
        done = threading.Event()

        def watch() -> None:
            with Client(client.url) as mine:
                while not done.is_set():
                    answered.append(int(mine.call("chain_getHeader")["number"], 16))

        thread = threading.Thread(target=watch)
        thread.start()
        args = balances.Transfer(BOB_ACCOUNT, 1)
        submitted = [client.submit(ALICE, "balances", args) for _ in range(100)]
        client.wait(submitted[-1])
        done.set()
        thread.join()
        assert len(answered) > 10
        assert answered == sorted(answered)
        assert node.ledger.head_number >= 1


def test_a_taken_port_a_held_database_and_another_chain_are_clear(tmp_path: Path) -> None:
    with running_node(tmp_path, seal_seconds=3600.0) as (node, _):
        with pytest.raises(PortUnavailable, match="--rpc-port"):
            Node(NodeConfig(tmp_path / "other", rpc_port=node.rpc_port))
        with pytest.raises(DatabaseLocked, match="process"):
            Node(NodeConfig(tmp_path, rpc_port=0))
    with pytest.raises(WrongGenesis):
        Node(NodeConfig(tmp_path, rpc_port=0, genesis={**development_genesis(), "id": "other"}))
    with running_node(tmp_path) as (_, client):
        assert client.read(system.CHAIN_ID) == "dev"


def test_nothing_is_pinned_without_an_open_task(tmp_path: Path) -> None:
    with running_node(tmp_path, seal_seconds=3600.0) as (node, _):
        assert find_pinned(node.ledger.state(), {bytes(32): "nobody"}) == set()
