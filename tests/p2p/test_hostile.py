"""Hostile peers on real sockets: each loses its connection at most, and an honest peer is served as if nothing were."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed

from p2p.host import SocketHost
from p2p.interface import Limits, PeerConnected, PeerDisconnected, PeerId, RequestFailed
from tests.support.growth import measure

from .attacker import DATA, FIN, PING, SYN, WINDOW, Attacker, attacking, frame
from .conftest import PATIENCE, QUICK, connect, hosts, next_event

TIGHT = Limits(
    handshake_seconds=5.0,
    streams_per_connection=32,
    stream_rate=200.0,
    buffered_bytes=4 * 1024 * 1024,
    pending_handshakes=8,
    pending_per_address=4,
    connections_per_address=8,
    message_bytes=256 * 1024,
    request_seconds=5.0,
)
GOSSIP = "/meshsub/1.1.0"
TOPIC = "/solvent/test/blocks"


async def double(peer: PeerId, payload: bytes) -> bytes:
    return payload * 2


@asynccontextmanager
async def victim(limits: Limits = TIGHT) -> AsyncIterator[SocketHost]:
    """Start a node, and see at the end that it never had to be rebuilt and that an honest peer is served."""
    async with hosts("socket", limits) as make:
        host = await make(1)
        assert isinstance(host, SocketHost)
        host.serve("/double/1", double)
        yield host
        honest = await make(2)
        await honest.dial(host.addresses()[0])
        answer = await honest.request(host.id, "/double/1", b"ab", limit=10, timeout=PATIENCE)
        assert answer == b"abab"
        assert host.restarts == 0


async def raw(host: SocketHost, source: str = "127.0.0.1") -> trio.SocketStream:
    """Open a TCP connection from a loopback address."""
    address = host.addresses()[0].split("/")
    return await trio.open_tcp_stream(address[2], int(address[4]), local_address=source)


async def until_closed(stream: trio.SocketStream) -> None:
    """Read until the victim hangs up."""
    with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some(65536):
            pass


async def until_over(stream: Any) -> None:
    """Read one of the library's streams until the victim has reset or closed it."""
    with trio.fail_after(PATIENCE), contextlib.suppress(BaseLibp2pError):
        while True:
            await stream.read(1000)


@pytest.mark.trio
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 64,
        b"\xff" * 100_000,
        b"\x13/multistream/1.0.0\n\x05\xff\xfe\xfd\xfc\n" + bytes(1000),
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff\xff" + b"\x01" * 70_000,
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\x00\x20" + b"\x02" * 32 + b"\x00\x60" + b"\x03" * 96,
    ],
    ids=["http", "counting", "ones", "name that is not text", "long packet", "wrong handshake"],
)
async def test_garbage_instead_of_a_handshake(garbage: bytes) -> None:
    async with victim() as host, await raw(host) as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(garbage)
            await stream.send_eof()
        await until_closed(stream)


@pytest.mark.trio
async def test_idle_sockets_make_room_for_newcomers() -> None:
    async with victim() as host, contextlib.AsyncExitStack() as stack:
        for number in range(120):
            stream = await raw(host, f"127.0.0.{1 + number % 6}")
            await stack.enter_async_context(stream)
        with trio.fail_after(PATIENCE):
            while host._engine is not None and len(host._engine.guard.places) < TIGHT.pending_handshakes:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert host._engine is not None
        assert len(host._engine.guard.places) <= TIGHT.pending_handshakes


@pytest.mark.trio
async def test_a_handshake_byte_by_byte_is_cut_off() -> None:
    async with victim(Limits(handshake_seconds=1.0)) as host:
        stream = await raw(host)
        async with stream:
            with trio.fail_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                for byte in b"\x13/multistream/1.0.0\n\x07/noise\n" + bytes(1000):
                    await stream.send_all(bytes([byte]))
                    with trio.move_on_after(0.05):
                        if not await stream.receive_some(1000):
                            break
                else:
                    pytest.fail("a thousand bytes at leisure")


@pytest.mark.trio
async def test_connections_over_a_lifetime_use_up_no_places() -> None:
    """Bug 3: the library never gave a place back."""
    async with victim(Limits(connections=8, inbound_connections=3, connections_per_address=3)) as host:
        for number in range(10):
            async with attacking(host, bytes([100 + number]) * 32):
                pass
            with trio.fail_after(PATIENCE):
                while host._engine is not None and len(host._engine.guard.places) > 2:
                    await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.trio
async def test_connections_beyond_the_places_are_refused() -> None:
    stack = contextlib.AsyncExitStack()
    async with victim(Limits(connections=8, connections_per_address=3)) as host:
        for number in range(6):
            with contextlib.suppress(Exception):
                await stack.enter_async_context(attacking(host, bytes([100 + number]) * 32))
        assert len(host.peers()) <= 3
        await stack.aclose()


async def syn_flood(attacker: Attacker) -> None:
    for number in range(1, 20_001, 2):
        await attacker.write(frame(WINDOW, SYN, 100_000 + number))


async def stream_hoard(attacker: Attacker) -> None:
    for number in range(1, 100, 2):
        await attacker.write(frame(WINDOW, SYN, 100_001 + number - 1))


async def window_violation(attacker: Attacker) -> None:
    await attacker.write(frame(WINDOW, SYN, 100_001))
    for _ in range(1024):
        await attacker.write(frame(DATA, 0, 100_001, bytes(64 * 1024)))


async def oversized_frame(attacker: Attacker) -> None:
    await attacker.write(frame(DATA, SYN, 100_001, b"", length=2**32 - 1))


async def unknown_frame(attacker: Attacker) -> None:
    await attacker.write(b"\x07\x09" + bytes(1000))


async def many_full_windows(attacker: Attacker) -> None:
    for number in range(100_001, 100_061, 2):
        await attacker.write(frame(WINDOW, SYN, number))
        for _ in range(4):
            await attacker.write(frame(DATA, 0, number, bytes(60 * 1024)))


async def corrupted_packet(attacker: Attacker) -> None:
    session = attacker.muxer.secured_conn
    await session.conn.read_writer.write_msg(b"\x00" * 64)


@pytest.mark.trio
@pytest.mark.parametrize(
    "attack",
    [syn_flood, stream_hoard, window_violation, oversized_frame, unknown_frame, many_full_windows, corrupted_packet],
)
async def test_an_abuse_of_the_multiplexer_ends_the_connection(attack: Callable[[Attacker], Awaitable[None]]) -> None:
    """Bug 6: the library took 64 MB past the window, and thousands of streams."""
    async with victim() as host, attacking(host) as attacker:
        with contextlib.suppress(Exception):
            await attack(attacker)
        await attacker.closed()


def published(**fields: object) -> bytes:
    message = {"topicIDs": [TOPIC], "data": b"x", "seqno": b"1", **fields}
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(**message)]).SerializeToString()  # type: ignore[arg-type]


BAD_GOSSIP = {
    "no protobuf": encode_varint_prefixed(b"\xff" * 50),
    "cut off": encode_varint_prefixed(published()[:-3]),
    "no signature": encode_varint_prefixed(published(from_id=b"\x00\x24\x08\x01\x12\x20" + bytes(32))),
    "malformed key": encode_varint_prefixed(published(from_id=b"\x12\x20" + bytes(32), key=b"junk", signature=b"s")),
    "malformed author": encode_varint_prefixed(published(from_id=b"", signature=b"s" * 64)),
    "too long": b"\xff\xff\xff\x7f" + bytes(1000),
    "endless length": b"\xff" * 64,
    "too many ids": encode_varint_prefixed(
        rpc_pb2.RPC(
            control=rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"00"] * 10_000)])
        ).SerializeToString()
    ),
}


@pytest.mark.trio
@pytest.mark.parametrize("name", BAD_GOSSIP)
async def test_a_bad_gossip_frame_is_contained(name: str) -> None:
    """Bug 2: some of these killed the node."""
    async with victim() as host, attacking(host) as attacker:
        stream = await attacker.stream(GOSSIP)
        with contextlib.suppress(Exception):
            await stream.write(BAD_GOSSIP[name])
            with trio.fail_after(PATIENCE):
                while await stream.read(1000):
                    pass


@pytest.mark.trio
async def test_bad_gossip_is_held_against_its_sender() -> None:
    async with victim() as host:
        for _ in range(2):
            with contextlib.suppress(Exception):
                async with attacking(host) as attacker:
                    stream = await attacker.stream(GOSSIP)
                    await stream.write(BAD_GOSSIP["no protobuf"])
                    await attacker.closed()
        banned = [peer for peer in host.scores._peers if host.scores.is_banned(peer, 0)]
        assert len(banned) == 1


@pytest.mark.trio
async def test_strange_but_readable_gossip_costs_nothing() -> None:
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID="unknown", messageIDs=[b"zz", b"00", b"\xe2\x82"])],
        iwant=[rpc_pb2.ControlIWant(messageIDs=[b"zz", b"00" * 20])],
        graft=[rpc_pb2.ControlGraft(topicID="unknown"), rpc_pb2.ControlGraft(topicID=TOPIC)] * 20,
        prune=[rpc_pb2.ControlPrune(topicID="unknown", backoff=2**63)],
    )
    subscriptions = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"topic {number}") for number in range(500)]
    async with victim() as host, attacking(host) as attacker:
        stream = await attacker.stream(GOSSIP)
        odd = rpc_pb2.RPC(control=control, subscriptions=subscriptions, senderRecord=b"junk").SerializeToString()
        for _ in range(20):
            await stream.write(encode_varint_prefixed(odd))
        assert host._engine is not None
        assert len(host._engine.pubsub.peer_topics) <= 3


@pytest.mark.trio
async def test_names_of_protocols_that_are_not_text_are_contained() -> None:
    async with victim() as host, attacking(host) as attacker:
        for number in range(100_001, 100_011, 2):
            await attacker.write(frame(DATA, SYN, number, b"\x13/multistream/1.0.0\n\x05\xff\xfe\xfd\xfc\n"))


@pytest.mark.trio
async def test_requests_that_never_end_are_cut_off_and_limited() -> None:
    limits = Limits(request_seconds=1.0, requests_per_peer=4)
    async with victim(limits) as host, attacking(host) as attacker:
        streams = [await attacker.stream("/solvent/test/double/1") for _ in range(8)]
        for stream in streams:
            await stream.write((1000).to_bytes(4, "big") + b"slowly")
        for stream in streams:
            await until_over(stream)


@pytest.mark.trio
async def test_a_request_longer_than_allowed_is_not_read() -> None:
    async with victim() as host, attacking(host) as attacker:
        stream = await attacker.stream("/solvent/test/double/1")
        await stream.write((2**32 - 1).to_bytes(4, "big") + bytes(1000))
        await until_over(stream)


@pytest.mark.trio
async def test_a_peer_that_sends_pings_and_reads_nothing_is_not_waited_for() -> None:
    async with victim() as host, attacking(host) as attacker:
        with trio.move_on_after(2.0), contextlib.suppress(Exception):
            while True:
                await attacker.write(frame(PING, SYN, 0, b"", length=7) * 1000)


@pytest.mark.trio
async def test_a_peer_without_signs_of_life_is_dropped() -> None:
    """Bug 12: the library's own pings never drop a dead peer."""
    async with victim(Limits(ping_seconds=0.1, ping_timeout_seconds=0.3)) as host, attacking(host) as attacker:
        attacker.host.remove_stream_handler("/ipfs/ping/1.0.0")  # type: ignore[arg-type]
        await attacker.closed()


@pytest.mark.trio
async def test_streams_ended_in_every_odd_way_are_contained() -> None:
    async with victim() as host, attacking(host) as attacker:
        for number, flags in enumerate((FIN, 8, FIN | 8, 0)):
            await attacker.write(frame(DATA, SYN | flags, 100_001 + 2 * number, b"\x13/multi"))
            await attacker.write(frame(WINDOW, flags, 100_001 + 2 * number))
            await attacker.write(frame(DATA, flags, 100_001 + 2 * number))
        stream = await attacker.stream("/solvent/test/double/1")
        await stream.close()
        await (await attacker.stream(GOSSIP)).reset()
        await attacker.muxer.secured_conn.close()


@pytest.mark.trio
async def test_a_cancelled_request_leaves_the_connection_whole() -> None:
    """Bug 5: cancelling a write corrupted the encrypted session."""
    async with hosts("socket") as make:
        client, server = await make(1), await make(2)
        server.serve("/double/1", double)
        await connect(client, server)
        for attempt in range(20):
            with trio.move_on_after(0.001 * attempt), contextlib.suppress(RequestFailed):
                await client.request(server.id, "/double/1", bytes(900_000), limit=2_000_000, timeout=PATIENCE)
        answer = await client.request(server.id, "/double/1", b"ab", limit=10, timeout=PATIENCE)
        assert answer == b"abab"
        assert len(client.peers()) == 1


@pytest.mark.trio
async def test_a_host_that_fails_as_a_whole_is_built_anew() -> None:
    async with hosts("socket") as make:
        client, server = await make(1), await make(2)
        assert isinstance(server, SocketHost)
        server.serve("/double/1", double)
        await connect(client, server)
        engine = server._engine
        assert engine is not None

        async def fail() -> None:
            raise RuntimeError("as if the library had a bug")

        engine.nursery.start_soon(fail)
        address = f"/ip4/127.0.0.1/tcp/{server._listen.port}/p2p/{server.id}"
        with trio.fail_after(PATIENCE):
            while server._engine in (engine, None):
                await trio.testing.wait_all_tasks_blocked(0.05)
        assert server.restarts == 1
        with trio.fail_after(PATIENCE):
            while client.peers():
                await trio.testing.wait_all_tasks_blocked(0.05)
        await client.dial(address)
        assert await client.request(server.id, "/double/1", b"ab", limit=10, timeout=PATIENCE) == b"abab"


@pytest.mark.trio
async def test_nodes_find_their_boot_node_and_come_back_to_it() -> None:
    async with hosts("socket") as make, trio.open_nursery() as nursery:
        boot = await make(1)
        saved: list[bytes] = []
        node = SocketHost(
            b"n" * 32, "test", ("votes",), bootnodes=boot.addresses(), parameters=QUICK, save=saved.append
        )
        await nursery.start(node.run)
        with trio.fail_after(PATIENCE):
            while not node.peers() or not saved:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert boot.addresses()[0].encode() in saved[-1]
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_of_peers_that_came_and_went_nothing_stays_but_what_is_bounded() -> None:
    """By count of all containers, the library's included. What is remembered of misdeeds has bounds of its own."""
    async with victim() as host:
        sizes = []
        for first, last in ((0, 4), (4, 16)):
            for number in range(first, last):
                async with attacking(host, bytes([99, number]) * 16) as attacker:
                    await attacker.stream(GOSSIP)
                    await next_event(host, PeerConnected)
                await next_event(host, PeerDisconnected)
            sizes.append(measure(host, "host"))
        grown = {name: (sizes[0][name], size) for name, size in sizes[1].items() if size >= sizes[0][name] + 10}
        assert grown.keys() <= {"host.scores._peers", "host.scores._addresses", "host.scores._addresses[].ids"}, grown
