"""py-libp2p's connections, made to survive hostile peers. The numbers in brackets are those of docs/network.md.

Each class here derives from one of the library's and replaces as little as possible. The replaced names are private
to the library, which is therefore pinned; tests/p2p/test_libp2p.py fails when one of them changes.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader

from p2p.interface import Limits, PeerId
from p2p.places import Places

_log = logging.getLogger(__name__)
# The library logs an error, some with a traceback, for every odd thing that a peer does: a peer could fill the disk.
for _name in ("libp2p", "libp2p.network.auto_connector"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_HEADER = struct.Struct("!BBHII")
_DATA, _GO_AWAY, _SYN = 0, 3, 1
_LARGEST_WINDOW = 256 * 1024
_WRITE_SECONDS = 20.0
"""How long the socket may take nothing of a frame before the connection is given up."""
_CLEANUP_SECONDS = 2.0


class Guard:
    """What the connections of one host share: limits, places, and whom to tell. Mutable."""

    def __init__(
        self,
        limits: Limits,
        is_welcome: Callable[[PeerId, str], bool],
        on_violation: Callable[[PeerId, str], None],
    ) -> None:
        self.limits, self.is_welcome, self.on_violation = limits, is_welcome, on_violation
        self.places = Places(limits)


class _Inspector:
    """A secured connection whose incoming Yamux frames are checked before the multiplexer acts on them [6]. Mutable."""

    def __init__(self, connection: Any, limits: Limits) -> None:
        self._connection, self._limits = connection, limits
        self._header = bytearray()
        self._body_left = 0
        self._allowance = 2 * limits.stream_rate
        self._allowance_time = trio.current_time()
        self.muxer: Yamux | None = None
        self.violation = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def read(self, size: int | None = None) -> bytes:
        data: bytes = await self._connection.read(size)
        at = 0
        while at < len(data):
            if self._body_left:
                step = min(self._body_left, len(data) - at)
                self._body_left -= step
            else:
                step = min(_HEADER.size - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                if len(self._header) == _HEADER.size:
                    self._check(*_HEADER.unpack(self._header))
                    self._header.clear()
            at += step
        return data

    def _check(self, version: int, kind: int, flags: int, number: int, length: int) -> None:
        muxer = self.muxer
        assert muxer is not None, "the multiplexer is attached before it reads"
        if version != 0 or kind > _GO_AWAY:
            self._refuse(f"a frame of version {version} and kind {kind}")
        if flags & _SYN and kind < 2:
            self._check_open(muxer, number)
        if kind == _DATA and length:
            stream = muxer.streams.get(number)
            allowed = _LARGEST_WINDOW if stream is None else stream.recv_window
            if length > allowed:
                self._refuse(f"{length} bytes on stream {number} where {allowed} are allowed")
            if length + sum(map(len, muxer.stream_buffers.values())) > self._limits.buffered_bytes:
                self._refuse("too much unread")
            self._body_left = length

    def _check_open(self, muxer: Yamux, number: int) -> None:
        now, rate = trio.current_time(), self._limits.stream_rate
        self._allowance = min(2 * rate, self._allowance + (now - self._allowance_time) * rate) - 1
        self._allowance_time = now
        if self._allowance < 0:
            self._refuse("streams are opened too fast")
        if sum(other % 2 == number % 2 for other in muxer.streams) >= self._limits.streams_per_connection:
            self._refuse(f"more than {self._limits.streams_per_connection} open streams")

    def _refuse(self, reason: str) -> None:
        self.violation = reason
        raise RawConnError(reason)


class GuardedYamux(Yamux):
    """Yamux that ends, instead of starving or corrupting, a connection that misbehaves."""

    def __init__(self, connection: Any, peer: ID, guard: Guard) -> None:
        self._inspector = _Inspector(connection, guard.limits)
        super().__init__(self._inspector, peer, is_initiator=connection.is_initiator)  # type: ignore[arg-type]
        self._inspector.muxer = self
        self._guard = guard

    async def start(self) -> None:
        """Run until the connection ends. Nothing that a peer does leaves here as an exception [1]."""
        try:
            await super().start()
        except Exception as error:
            _log.debug("connection to %s: %r", self.peer_id, error)
        finally:
            if self._inspector.violation:
                self._guard.on_violation(self.peer_id.to_base58(), self._inspector.violation)
            if not self.event_closed.is_set():
                with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
                    await self._cleanup_on_error()

    async def _write_frame(self, data: bytes) -> None:
        """Write one frame whole or end the connection: half an encrypted packet would corrupt all that follows [5]."""
        async with self._write_lock:
            with trio.move_on_after(_WRITE_SECONDS, shield=True) as scope:
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            await self.abort()
            raise ConnectionClosedError("the peer takes no bytes")
        await trio.lowlevel.checkpoint()

    async def abort(self) -> None:
        """Close the socket without a word: the polite way would wait for the peer."""
        self.event_shutting_down.set()
        with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
            await self.secured_conn.close()


class _GuardedMuxer(MuxerMultistream):
    """Makes `GuardedYamux` connections; the library ignores the class that it is told to make [7]."""

    def __init__(self, guard: Guard, seconds: float) -> None:
        super().__init__({TProtocol(YAMUX): Yamux}, int(seconds))
        self._guard = guard

    async def new_conn(self, conn: Any, peer_id: ID) -> Yamux:
        await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        return GuardedYamux(conn, peer_id, self._guard)


class _NoDialling(AutoConnector):
    """The library would dial whomever it has heard of until it has half its connections; `p2p.host` decides here."""

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        return None

    async def maybe_connect(self) -> None:
        return None

    def record_disconnect(self, peer_id: ID) -> None:
        """It would remember everybody who ever left, because only its dialling forgets."""


class GuardedSwarm(Swarm):
    """The library's connection manager with places for inbound connections, and without its own dialling."""

    def __init__(self, keys: KeyPair, guard: Guard) -> None:
        peer, store, limits = ID.from_pubkey(keys.public_key), PeerStore(), guard.limits
        store.add_key_pair(peer, keys)
        noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
        upgrader = TransportUpgrader({NOISE: noise}, {TProtocol(YAMUX): Yamux}, int(limits.handshake_seconds))
        upgrader.muxer_multistream = _GuardedMuxer(guard, limits.handshake_seconds)
        most = limits.connections
        config = ConnectionConfig(
            max_connections=most,
            min_connections=0,
            low_watermark=0,
            high_watermark=most,
            max_connections_per_peer=2,
            inbound_upgrade_timeout=limits.handshake_seconds,
            outbound_upgrade_timeout=limits.handshake_seconds,
            inbound_stream_protocol_negotiation_timeout=limits.handshake_seconds,
            outbound_stream_protocol_negotiation_timeout=limits.handshake_seconds,
        )
        super().__init__(peer, store, upgrader, [TCP()], RetryConfig(max_retries=0), config)
        self.auto_connector = _NoDialling(self)
        self._guard = guard

    async def _handle_inbound_connection(self, read_write_closer: Any, maddr: Any) -> None:
        """Serve a connection for as long as it lasts, and give its place back then [3, 11]."""
        connection = RawConnection(read_write_closer, False)
        place = None
        try:
            host = str(read_write_closer.stream.socket.getpeername()[0])
            place = self._guard.places.admit(host) if self._guard.is_welcome("", host) else None
            if place is None:
                return
            with place.scope:
                muxed = await self.upgrade_inbound_raw_conn(connection, maddr)
                if self._guard.places.on_connected(place):
                    await muxed.event_closed.wait()  # type: ignore[attr-defined]
                else:
                    await muxed.abort()  # type: ignore[attr-defined]
        except Exception as error:
            _log.debug("inbound connection: %r", error)
        finally:
            if place is not None:
                self._guard.places.release(place)
            with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
                await connection.close()

    async def add_conn(self, muxed_conn: Any, direction: str = "unknown") -> Any:
        """Let a connection in, unless its peer is banned."""
        remote = muxed_conn.get_remote_address()
        if not self._guard.is_welcome(muxed_conn.peer_id.to_base58(), remote[0] if remote else ""):
            await muxed_conn.abort()
            raise SwarmException(f"{muxed_conn.peer_id} is banned")
        return await super().add_conn(muxed_conn, direction)


class GuardedHost(BasicHost):
    """The library's host without its background identification, which reads without a bound in a task of trio's own."""

    def __init__(self, keys: KeyPair, guard: Guard) -> None:
        self.swarm = GuardedSwarm(keys, guard)
        super().__init__(self.swarm, disable_identify_address_discovery=True)
        self.remove_stream_handler(ID_PUSH)

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        return None

    async def _swarm_stream_handler(self, net_stream: Any) -> None:
        """Serve one stream. Its failure is the stream's alone: in the library it is everybody's [1, 2]."""
        try:
            await super()._swarm_stream_handler(net_stream)
        except Exception as error:
            _log.debug("stream of %s: %r", net_stream.muxed_conn.peer_id, error)
            with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
                await net_stream.reset()


def create_keys(seed: bytes) -> KeyPair:
    """Return the node's key pair from its seed of 32 bytes."""
    if len(seed) != 32:
        raise ValueError(f"a node key has 32 bytes, not {len(seed)}")
    return create_new_key_pair(seed)


def protocol_name(name: str) -> TProtocol:
    """Return a protocol's name in the library's type."""
    return TProtocol(name)
