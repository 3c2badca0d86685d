"""Hosts for the tests of p2p: the same tests run on real sockets and on the simulated network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from p2p.host import SocketHost
from p2p.interface import Event, GossipParameters, Host, Incoming, Limits, PeerConnected, PeerDisconnected
from p2p.memory import Link, MemoryNetwork
from p2p.memory_host import MemoryHost, MemoryWorld

TOPICS = ("votes", "blocks", "extrinsics")
PATIENCE = 30.0
"""Seconds after which a test that waits for an event has failed; none takes nearly as long."""
QUICK = GossipParameters(heartbeat_seconds=0.2)
MakeHost = Callable[[int], Awaitable[Host]]


@asynccontextmanager
async def hosts(kind: str, limits: Limits | None = None, topics: tuple[str, ...] = TOPICS) -> AsyncIterator[MakeHost]:
    """Yield a function that starts the host of a number; all end with the context."""
    async with trio.open_nursery() as nursery:
        world = MemoryWorld(MemoryNetwork(1, Link(latency=0.002, jitter=0.001)))

        async def make(number: int) -> Host:
            host: Host
            if kind == "memory":
                host = MemoryHost(world, f"node{number}", topics, limits=limits)
            else:
                seed = bytes([number]) * 32
                host = SocketHost(seed, "test", topics, target_peers=0, limits=limits, parameters=QUICK)
            await nursery.start(host.run)
            return host

        if kind == "memory":
            await nursery.start(world.run)
        with trio.fail_after(4 * PATIENCE):
            yield make
        nursery.cancel_scope.cancel()


async def next_event(host: Host, *kinds: type[Event]) -> Event:
    """Return the next event of one of these kinds, leaving out others."""
    with trio.fail_after(PATIENCE):
        while True:
            event = await host.receive()
            if isinstance(event, kinds):
                return event
    raise AssertionError("unreachable")


async def next_message(host: Host) -> Incoming:
    event = await next_event(host, Incoming)
    assert isinstance(event, Incoming)
    return event


async def connect(first: Host, second: Host) -> None:
    """Let ``first`` dial ``second``, and wait until both know."""
    await first.dial(second.addresses()[0])
    for host in (first, second):
        await next_event(host, PeerConnected)


async def gone(host: Host) -> None:
    await next_event(host, PeerDisconnected)
