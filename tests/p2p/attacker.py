"""A peer that means harm: everything up to the multiplexer is done right, what follows is up to the test."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from p2p.containment import Guard, GuardedHost, create_keys, protocol_name
from p2p.interface import Host, Limits

DATA, WINDOW, PING = 0, 1, 2
SYN, FIN, RST = 1, 4, 8


def frame(kind: int, flags: int, number: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Return a Yamux frame, with any length in its header."""
    return struct.pack("!BBHII", 0, kind, flags, number, len(body) if length is None else length) + body


@dataclass
class Attacker:
    """A connection to the victim, with the multiplexer still running on this side."""

    host: GuardedHost
    victim: Any
    muxer: Any

    async def write(self, data: bytes) -> None:
        """Put bytes where the multiplexer's frames go."""
        await self.muxer.secured_conn.write(data)

    async def stream(self, protocol: str) -> Any:
        return await self.host.new_stream(self.victim, [protocol_name(protocol)])

    async def closed(self) -> None:
        """Wait until the victim has thrown this peer out."""
        with trio.fail_after(30):
            await self.muxer.event_closed.wait()


@asynccontextmanager
async def attacking(victim: Host | str, seed: bytes = b"evil" * 8) -> AsyncIterator[Attacker]:
    """Connect a hostile peer to the victim, or to who listens at an address."""
    limits = Limits(stream_rate=1e9, streams_per_connection=10**6)
    guard = Guard(limits, lambda peer, host: True, lambda peer, reason: None)
    host = GuardedHost(create_keys(seed), guard)
    async with host.run([]):
        info = info_from_p2p_addr(Multiaddr(victim if isinstance(victim, str) else victim.addresses()[0]))
        await host.connect(info)
        connection = host.get_network().get_connections(info.peer_id)[0]
        try:
            yield Attacker(host, info.peer_id, connection.muxed_conn)
        finally:
            with trio.CancelScope(shield=True):
                await connection.muxed_conn.abort()
                await host.close()
