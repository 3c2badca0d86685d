"""One build of py-libp2p's objects, and what is needed to make it and take it down."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import trio
from libp2p.abc import INotifee
from libp2p.rcmgr import Direction

from p2p.addresses import Address
from p2p.containment import Guard, GuardedHost
from p2p.interface import AddressInUse, AddressInvalid, Peer, PeerId
from p2p.pubsub import GuardedPubsub

_RESOLVE_SECONDS = 5.0
_MOST_RESOLVED = 4


class Engine:
    """One build of the library's objects; the supervisor makes another when it fails."""

    def __init__(self, host: GuardedHost, pubsub: GuardedPubsub, guard: Guard, nursery: trio.Nursery) -> None:
        self.host, self.pubsub, self.guard, self.nursery = host, pubsub, guard, nursery
        self.peers: dict[PeerId, Peer] = {}
        self.cared_for: dict[PeerId, trio.CancelScope] = {}
        """Ends the task that looks after a peer, which would keep a dead connection in memory."""


class Notifee(INotifee):
    """Passes the library's news of connections on."""

    def __init__(self, on_connected: Callable[[Peer], None], on_disconnected: Callable[[PeerId], None]) -> None:
        self._on_connected, self._on_disconnected = on_connected, on_disconnected

    async def connected(self, network: Any, conn: Any) -> None:
        address, port = conn.muxed_conn.get_remote_address() or ("0.0.0.0", 0)
        peer = conn.muxed_conn.peer_id.to_base58()
        kind = "ip6" if ":" in address else "ip4"
        text = str(Address(kind, address, port, peer))
        self._on_connected(Peer(peer, text, conn.direction is Direction.INBOUND))

    async def disconnected(self, network: Any, conn: Any) -> None:
        self._on_disconnected(conn.muxed_conn.peer_id.to_base58())

    async def opened_stream(self, network: Any, stream: Any) -> None: ...

    async def closed_stream(self, network: Any, stream: Any) -> None: ...

    async def listen(self, network: Any, multiaddr: Any) -> None: ...

    async def listen_close(self, network: Any, multiaddr: Any) -> None: ...


async def probe(address: Address) -> Address:
    """Make sure that nobody listens there, and pick a port where none was given: the library does neither [4]."""
    try:
        family = trio.socket.AF_INET6 if address.kind == "ip6" else trio.socket.AF_INET
        with trio.socket.socket(family, trio.socket.SOCK_STREAM) as trial:
            trial.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            await trial.bind((address.host, address.port))
            return Address(address.kind, address.host, trial.getsockname()[1], "")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"another program listens on {address}") from None
        raise AddressInvalid(f"{address}: {error.strerror}") from None


async def resolve(address: Address) -> list[Address]:
    """Return an address as IP addresses: itself, or what its name stands for; none when nobody knows the name."""
    if address.kind != "dns":
        return [address]
    try:
        with trio.fail_after(_RESOLVE_SECONDS):
            found = await trio.socket.getaddrinfo(address.host, address.port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError, trio.TooSlowError):
        return []
    hosts = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:_MOST_RESOLVED]
    return [Address("ip6" if ":" in host else "ip4", host, address.port, address.peer) for host in hosts]


async def close_host(host: GuardedHost) -> None:
    """Close every socket at once, then let the library say goodbye to nobody."""
    async with trio.open_nursery() as nursery:
        for connections in host.get_network().get_connections_map().values():
            for connection in connections:
                nursery.start_soon(connection.muxed_conn.abort)  # type: ignore[attr-defined]
    await host.close()


def first_error(error: Exception) -> Exception:
    """Return the first error of a group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
