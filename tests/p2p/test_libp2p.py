"""The pinned library is the one that the containment was written for. Read docs/network.md first."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import PriorityQueue, RpcQueue
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.tcp import tcp

from p2p.containment import GuardedHost, GuardedSwarm, GuardedYamux, _GuardedMuxer, _NoDialling
from p2p.host import SocketHost
from p2p.interface import AddressInUse
from p2p.pubsub import GuardedPubsub, GuardedRouter, _OutgoingQueue

from .attacker import attacking
from .conftest import PATIENCE, QUICK, connect, hosts

OVERRIDDEN = [
    (GuardedYamux, yamux.Yamux, ("start", "_write_frame")),
    (_GuardedMuxer, muxer_multistream.MuxerMultistream, ("new_conn",)),
    (_NoDialling, AutoConnector, ("run_background_task", "maybe_connect", "record_disconnect")),
    (GuardedSwarm, Swarm, ("_handle_inbound_connection", "add_conn")),
    (GuardedHost, BasicHost, ("_schedule_identify", "_swarm_stream_handler")),
    (
        GuardedRouter,
        GossipSub,
        (
            "_check_equivocation",
            "publish",
            "on_peer_subscribed",
            "_get_peers_to_send",
            "gossip_heartbeat",
            "_emit_control_msgs",
            "_select_peers_for_pruning",
        ),
    ),
    (_OutgoingQueue, PriorityQueue, ("push", "pop")),
    (
        GuardedPubsub,
        Pubsub,
        ("continuously_read_stream", "push_msg", "_handle_new_peer", "write_msg", "handle_sending_messages"),
    ),
]


def test_the_library_is_the_pinned_one() -> None:
    assert version("libp2p") == "0.8.1", "each work-around must be tried again on another version"


@pytest.mark.parametrize(("ours", "base", "names"), OVERRIDDEN, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_overridden_is_there_with_the_same_parameters(ours: type, base: type, names: tuple[str, ...]) -> None:
    for name in names:
        assert name in vars(ours), f"{ours.__name__}.{name} is gone"
        assert name in vars(base), f"{base.__name__}.{name} is gone: its override does nothing now"
        theirs = list(inspect.signature(vars(base)[name]).parameters)
        assert list(inspect.signature(vars(ours)[name]).parameters) == theirs


@pytest.mark.parametrize(
    ("function", "text", "bug"),
    [
        (Swarm._do_handle_inbound_connection, "await self.manager.wait_finished()", "3: a place is held for ever"),
        (tcp._open_reuseport_listeners, "_set_reuse_flags", "4: two nodes may listen on one port"),
        (yamux.Yamux._write_frame, "await self.secured_conn.write(data)", "5: a cancelled write corrupts"),
        (yamux.Yamux.handle_incoming, "recv_window = 0", "6: violations of the window are only logged"),
        (muxer_multistream.MuxerMultistream.new_conn, "yamux_conn = Yamux(", "7: the class is fixed"),
        (Pubsub.validate_msg, "if not validator(msg_forwarder, msg)", "8: a validator may raise"),
        (Swarm.dial_peer, "_negative_peer_cache.mark_failed", "10: a failed dial bars the next"),
        (yamux.YamuxStream.write, "trio.move_on_after(5.0)", "12: a writer that starves is cut off"),
        (yamux.Yamux.open_stream, "stream_backlog_semaphore.acquire()", "13: leaked streams block new ones"),
        (SwarmConn._handle_muxed_stream, "await self.swarm.common_stream_handler", "1: a handler's error spreads"),
        (RpcQueue.__init__, "PriorityQueue(max_size)", "the outgoing queue is where it was"),
    ],
)
def test_each_bug_is_still_there(function: object, text: str, bug: str) -> None:
    """When one of these fails the library has changed: see whether the work-around can go."""
    assert text in inspect.getsource(function), bug  # type: ignore[arg-type]


@pytest.mark.trio
async def test_a_port_that_is_taken_is_said_so() -> None:
    """Bug 4."""
    async with hosts("socket") as make:
        first = await make(1)
        address = first.addresses()[0].split("/p2p/")[0]
        second = SocketHost(b"2" * 32, "test", ("votes",), address, parameters=QUICK)
        with pytest.RaisesGroup(AddressInUse):
            async with trio.open_nursery() as nursery:
                await nursery.start(second.run)


@pytest.mark.trio
async def test_connections_are_made_of_the_guarded_class() -> None:
    """Bug 7."""
    async with hosts("socket") as make:
        host = await make(1)
        assert isinstance(host, SocketHost)
        async with attacking(host):
            assert host._engine is not None
            connections = host._engine.host.get_network().get_connections()
            assert connections
            assert all(isinstance(connection.muxed_conn, GuardedYamux) for connection in connections)


@pytest.mark.trio
async def test_streams_give_their_places_back() -> None:
    """Bug 13."""
    async with hosts("socket") as make:
        client, server = await make(1), await make(2)
        assert isinstance(client, SocketHost)

        async def wait(peer: str, payload: bytes) -> bytes:
            if payload:
                await trio.sleep_forever()
            return b""

        server.serve("/wait/1", wait)
        await connect(client, server)
        assert client._engine is not None
        muxer = client._engine.host.get_network().get_connections()[0].muxed_conn
        for number in range(30):
            with trio.move_on_after(0.01 if number % 2 else PATIENCE):
                await client.request(server.id, "/wait/1", bytes(number % 2), limit=10, timeout=PATIENCE)
        assert muxer.stream_backlog_semaphore.value >= 256 - 4  # type: ignore[attr-defined]


def test_the_node_key_decides_the_peer_id() -> None:
    first, again = (SocketHost(b"k" * 32, "test", ()) for _ in range(2))
    assert first.id == again.id
    assert first.id.startswith("12D3KooW")
    with pytest.raises(ValueError, match="32 bytes"):
        SocketHost(b"short", "test", ())
