"""Nodes on real sockets: two that have a chain, and one that takes it over by a warp."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from chain.warp import CheckpointNeeded, WarpOptions
from node import network_service
from node.config import NodeConfig
from node.network_service import NetworkNode
from node.networks import NetworkConfig
from tests.support.passive_network import PassiveNetwork
from tests.support.validators import NAMES, network_genesis

GENESIS = {**network_genesis(NAMES), "parameters": {"consensus": {"epoch_slots": 8, "era_sessions": 2}}}
SLOTS = 60


def open_node(folder: Path, bootnodes: tuple[str, ...] = (), warp: bool = False, **genesis: object) -> NetworkNode:
    node = NodeConfig(folder, {**GENESIS, **genesis}, rpc_port=0, index=False)
    return NetworkNode(NetworkConfig(node, listen="/ip4/127.0.0.1/tcp/0", bootnodes=bootnodes, warp=warp))


async def until(is_so: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not is_so():
            await trio.sleep(0.02)


def test_a_node_takes_over_the_state_of_its_peers_on_real_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassiveNetwork(tmp_path / "grown", genesis=GENESIS) as network:
        network.run(2 * SLOTS)
    for name in ("Alice", "Bob"):
        (tmp_path / name).mkdir()
        (tmp_path / "grown" / name).rename(tmp_path / name / "db")
    monkeypatch.setattr(network_service, "plan_warp", lambda *_: WarpOptions(least_gap=20))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            first = open_node(tmp_path / "Alice")
            await nursery.start(first.run)
            second = open_node(tmp_path / "Bob", first.host.addresses())
            await nursery.start(second.run)
            late = open_node(tmp_path / "Late", (*first.host.addresses(), *second.host.addresses()), warp=True)
            await nursery.start(late.run)
            assert late.sync_state().is_syncing
            height = first.ledger.finalized_number
            await until(lambda: late.ledger.finalized_number >= height - 4 and not late.chain.is_warping)
            state = late.sync_state()
            assert state.downloaded is None
            gap = late.ledger.store.gap()
            assert state.missing == (0 if gap is None else gap.high - gap.low + 1)
            assert state.highest >= height - 4
            await until(lambda: late.sync_state().missing == 0)
            for number in range(1, height - 4):
                hash_ = late.ledger.store.hash_at(number)
                assert hash_ == first.ledger.store.hash_at(number)
                assert hash_ is not None
                assert late.ledger.block(hash_) == first.ledger.block(hash_)
            for node in (late, second, first):
                node.stop()

    trio.run(main)


def test_without_the_age_of_the_network_a_warp_demands_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNeeded, match="--checkpoint"):
        open_node(tmp_path / "one", warp=True)
    with pytest.raises(CheckpointNeeded, match="hours ago"):
        open_node(tmp_path / "one", warp=True, launched=int(time.time()) - 10 * 3600)
    for genesis in ({"launched": int(time.time())}, {"checkpoint": "0x" + "11" * 32}):
        node = open_node(tmp_path / "one", warp=True, **genesis)
        assert node.chain.is_warping
        node._listener.close()
        node._database.close()
