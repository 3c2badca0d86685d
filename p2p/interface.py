"""What a node needs of a network, and nothing of how it is done.

Two hosts satisfy `Host`: `p2p.host.SocketHost` on real sockets and `p2p.memory_host.MemoryHost` on a simulated network;
one suite of tests runs on both. A *peer* is another node, known by its id (a hash or encoding of its public key). A
*topic* is flooded to everybody through gossip; a *protocol* is asked of one peer. Gossip is not relayed before the
application has judged it: `Host.receive` hands out an `Incoming`, and `Host.answer` gives the *verdict*.

Errors, by who is at fault::

    NetworkError
    |-- AddressInvalid      the text is not an address
    |-- AddressInUse        another program listens there
    |-- MessageTooLarge     this node tried to send more than the limit
    |-- PeerUnreachable     nobody answers there, or somebody else does
    |-- PeerBanned          this node refuses that peer
    `-- RequestFailed       an answer that did not come
        |-- RequestTimedOut     in time
        |-- RequestRefused      because the peer says no (busy, unknown protocol, not found)
        `-- AnswerInvalid       within the limit, or well-formed; the peer is at fault
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import trio

from runtime.errors import SolventError

PeerId = str


class NetworkError(SolventError):
    """Base of everything that this package raises."""


class AddressInvalid(NetworkError):
    """The text is not an address that can be dialled or listened on."""


class AddressInUse(NetworkError):
    """Another program listens on this port."""


class MessageTooLarge(NetworkError):
    """A message of this node's own is over the limit."""


class PeerUnreachable(NetworkError):
    """No connection to that peer, and none could be made."""


class PeerBanned(NetworkError):
    """This node has banned that peer, for now."""


class RequestFailed(NetworkError):
    """A request ended without a whole answer."""


class RequestTimedOut(RequestFailed):
    """The answer did not come in time."""


class RequestRefused(RequestFailed):
    """The peer says no."""


class AnswerInvalid(RequestFailed):
    """The peer sent more than was allowed, or not an answer at all."""


class Verdict(Enum):
    """What the application thinks of a message: relay it; drop it without blame; drop it and blame who sent it."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected peer."""

    id: PeerId
    address: str
    inbound: bool


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer can be asked and gossiped with from now on."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The last connection to a peer ended."""

    id: PeerId


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of a topic that waits for its verdict. ``id`` is the hash of topic and data."""

    id: bytes
    topic: str
    data: bytes
    source: PeerId


Event = PeerConnected | PeerDisconnected | Incoming
Handler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers one request. It may raise `RequestRefused` with a reason; any other exception is told as "failed"."""
StreamHandler = Callable[[PeerId, bytes], AsyncGenerator[bytes, None]]
"""Answers one request by chunks, best of 64 to 512 KiB; it is asked for one when the peer is ready to read it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that is bounded. Seconds, bytes or counts."""

    message_bytes: int = 6 * 1024 * 1024
    """Longest gossip message."""
    request_bytes: int = 1024 * 1024
    """Longest request. How long its answer may be, the asker says."""
    connections: int = 64
    connections_per_address: int = 16
    """Connections from one IP address, in whatever state; a newcomer over it is closed at once."""
    connections_per_subnet: int = 24
    """The same from one /24 or /48 of the public internet."""
    inbound_connections: int = 48
    """Of `connections`; the rest are left for peers that this node chose itself, against eclipse."""
    pending_handshakes: int = 32
    pending_per_address: int = 8
    handshake_seconds: float = 10.0
    streams_per_connection: int = 128
    """Streams that a peer may have open at once; one more is reset."""
    stream_rate: float = 500.0
    """Streams a second that a peer may open on average (twice that in a burst) before it is disconnected."""
    buffered_bytes: int = 32 * 1024 * 1024
    """Unread bytes of all streams of a connection. More ends the connection."""
    gossip_queue_bytes: int = 16 * 1024 * 1024
    gossip_queue_frames: int = 1024
    """Gossip waiting for one peer; beyond either, a new frame is dropped. The peer hears of it later and may ask."""
    requests_per_peer: int = 16
    """Requests of one peer that are answered at once; one more is refused."""
    request_seconds: float = 30.0
    """How long a request may take to arrive, and a chunk to be taken."""
    ping_seconds: float = 15.0
    ping_timeout_seconds: float = 15.0
    inbox_messages: int = 4096
    """Messages of a topic that wait for the application; a newer one is dropped, without blame, and may come again."""
    inbox_bytes: int = 16 * 1024 * 1024
    inbox_per_peer: int = 256
    verdict_seconds: float = 30.0
    """A message without a verdict for so long counts as ignored."""


@dataclass(frozen=True, slots=True)
class GossipParameters:
    """How wide the mesh is in which messages are flooded, and how it is mended."""

    degree: int = 3
    degree_low: int = 2
    degree_high: int = 8
    """With a lower bound the members of a small network keep sending one another away, and whoever is out waits."""
    heartbeat_seconds: float = 1.0
    back_off_seconds: int = 10
    """How long a peer that was sent away from the mesh stays away."""


class Host(Protocol):
    """One node's end of the network. All methods are called from the trio thread that runs `run`."""

    @property
    def id(self) -> PeerId: ...

    @property
    def limits(self) -> Limits: ...

    def addresses(self) -> tuple[str, ...]:
        """Where others can dial this node; empty before `run` has started."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; "started" once listening. Raises `AddressInUse` or `AddressInvalid`."""
        ...

    async def dial(self, address: str) -> PeerId:
        """Connect to an address that ends with a peer id. Raises `PeerUnreachable`, `PeerBanned`, `AddressInvalid`."""
        ...

    def peers(self) -> tuple[Peer, ...]: ...

    async def reach_out(self, count: int) -> bool:
        """Dial up to ``count`` nodes that are known and no peers yet; whether one of them is a peer now.

        For what the present peers do not have. It dials nobody when it did a moment ago, or when there are many peers.
        """
        ...

    async def receive(self) -> Event:
        """Return the next event: peers first, then messages by the order in which the topics were configured."""
        ...

    def publish(self, topic: str, data: bytes) -> None:
        """Gossip a message that this node vouches for. Raises `MessageTooLarge`. One sent before is not sent again."""
        ...

    def answer(self, message: Incoming, verdict: Verdict) -> None:
        """Judge a message. A second verdict, or a late one, changes nothing."""
        ...

    def serve(self, protocol: str, handler: Handler) -> None: ...

    def serve_stream(self, protocol: str, handler: StreamHandler) -> None: ...

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float) -> bytes:
        """Ask a peer and return its answer of at most ``limit`` bytes. Raises `RequestFailed`, `PeerUnreachable`."""
        ...

    def stream(
        self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Ask a peer and read its answer chunk by chunk: ``limit`` bytes in total, ``timeout`` seconds for each chunk.

        Reading slowly slows the sender down. Leaving the context before the end tells the peer to stop.
        """
        ...

    def report(self, peer: PeerId, points: int, reason: str) -> None:
        """Blame (negative) or praise a peer. At `p2p.scoring.BAN_SCORE` it is disconnected and banned for a while."""
        ...

    def score(self, peer: PeerId) -> int: ...

    def disconnect(self, peer: PeerId) -> None: ...

    def ban(self, peer: PeerId, seconds: float, reason: str) -> None: ...
