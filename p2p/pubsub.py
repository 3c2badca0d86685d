"""py-libp2p's GossipSub 1.1, with the application's verdict before the relay, and hostile frames contained.

A message is known by the hash of its topic and data, so the same bytes are delivered once, whoever signed them (the
library's own memory goes by author and number, which anybody can vary). The library's validators can only say yes or
no, deliver a message again while they are slow, and kill the process when they raise [8, 9]; so none is used: a
message waits outside the library, and enters its router when it has been accepted.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from hashlib import blake2b
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import PriorityQueue
from libp2p.pubsub.validators import signature_validator

from p2p.interface import GossipParameters, Limits, PeerId
from p2p.requests import STREAM_ERRORS, Pipe

_log = logging.getLogger(__name__)
GOSSIP = TProtocol("/meshsub/1.1.0")
_FRAME_OVERHEAD = 64 * 1024
_SEEN_SECONDS = 120.0
_SEEN_COUNT = 8192
_CONTROL_RATE = 1000.0
"""IHAVE and IWANT entries a second that are looked at from one peer."""
_MOST_ENTRIES = 8192
"""Messages, ids, topics of one frame."""
_TURN = 8
"""Messages of one frame whose signatures are checked before others get their turn: 8192 would take seconds."""
_RELAYS = 4096
_GOSSIP_PEERS = 6
_MOST_NAMES = 4096


def message_id(topic: str, data: bytes) -> bytes:
    """Return the 20 bytes that name a message."""
    return blake2b(data, digest_size=20, key=blake2b(topic.encode(), digest_size=32).digest()).digest()


class Seen:
    """Names seen lately. Mutable; it stands in for the library's cache, which is not bounded by number.

    Two generations take turns: a new one begins after `_SEEN_SECONDS`, or `_SEEN_COUNT` names, and the one before the
    last is forgotten as a whole. Of a name only Python's hash is kept, 64 bits under a secret of this process: that
    takes a quarter of the memory, and a flood of names is what fills it.
    """

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._since = trio.current_time()

    def _turn_over(self) -> None:
        age = trio.current_time() - self._since
        if age > _SEEN_SECONDS or len(self._new) >= _SEEN_COUNT:
            self._old = self._new if age < 2 * _SEEN_SECONDS else set()
            self._new, self._since = set(), trio.current_time()

    def add(self, name: bytes) -> bool:
        """Remember a name; False when it was known."""
        self._turn_over()
        known = self.has(name)
        self._new.add(hash(name))
        return not known

    def has(self, name: bytes) -> bool:
        return hash(name) in self._new or hash(name) in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)


class _OutgoingQueue(PriorityQueue):
    """Frames for one peer. When it is full by number or bytes a new frame is dropped: the peer may ask for it later."""

    def __init__(self, limits: Limits, on_drop: Callable[[], None]) -> None:
        super().__init__(limits.gossip_queue_frames)
        self._limits, self._on_drop = limits, on_drop
        self._bytes = 0

    def push(self, rpc: Any, priority: bool = False) -> bool:
        size = rpc.ByteSize()
        if self._bytes + size > self._limits.gossip_queue_bytes or not super().push(rpc, priority):
            self._on_drop()
            return False
        self._bytes += size
        return True

    def pop(self) -> Any:
        rpc = super().pop()
        if rpc is not None:
            self._bytes -= rpc.ByteSize()
        return rpc


class GuardedRouter(GossipSub):
    """GossipSub with the parameters that delivered everything when it was measured."""

    def __init__(self, parameters: GossipParameters) -> None:
        super().__init__(
            [GOSSIP],
            parameters.degree,
            parameters.degree_low,
            parameters.degree_high,
            heartbeat_interval=parameters.heartbeat_seconds,  # type: ignore[arg-type]
            prune_back_off=parameters.back_off_seconds,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            max_pending_messages_per_peer=16,
        )
        self.max_iwant_requests_per_second = self.max_ihave_messages_per_second = _CONTROL_RATE
        self._senders: frozenset[ID] = frozenset()
        self._random = Random()
        self.graft_flood_threshold = float(parameters.back_off_seconds)

    def _check_equivocation(self, msg: Any) -> bool:
        """Keep no messages for a check that the application makes better."""
        return True

    async def publish(self, msg_forwarder: ID, pubsub_msg: Any) -> None:
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()  # it would grow for ever

    async def relay(self, senders: list[ID], message: Any) -> None:
        """Send a message on to the mesh, but not to those that it came from."""
        self._senders = frozenset(senders)
        try:
            await self.publish(senders[0], message)
        finally:
            self._senders = frozenset()

    def _get_peers_to_send(
        self, topic_ids: Any, msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterator[ID]:
        for peer in super()._get_peers_to_send(topic_ids, msg_forwarder, origin, msg_id):
            if peer not in self._senders:
                yield peer

    def gossip_heartbeat(self) -> Any:
        """Tell peers outside the mesh what there is. The library leaves out those that were sent away, who need it."""
        told: defaultdict[ID, dict[str, list[bytes]]] = defaultdict(dict)
        for topic, members in self.mesh.items():
            names = list(self.mcache.window(topic))
            listeners = self.pubsub.peer_topics.get(topic, set()) if self.pubsub is not None else set()
            others = sorted((peer for peer in listeners if peer not in members), key=ID.to_bytes)
            if names:
                for peer in self._random.sample(others, min(_GOSSIP_PEERS, len(others))):
                    told[peer][topic] = names[-_MOST_NAMES:]
        return told

    async def _emit_control_msgs(self, peers_to_graft: Any, peers_to_prune: Any, peers_to_gossip: Any) -> None:
        """Speak to one peer at a time: the library tells each peer also what was meant for those before it."""
        for peer in {**peers_to_graft, **peers_to_prune, **peers_to_gossip}:
            mine = (
                {peer: those[peer]} if peer in those else {}
                for those in (peers_to_graft, peers_to_prune, peers_to_gossip)
            )
            await super()._emit_control_msgs(*mine)

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:
        """Send away at random: the library always chooses the newcomer, who would never belong."""
        members = sorted(self.mesh[topic], key=ID.to_bytes)
        return self._random.sample(members, min(num_to_prune, len(members)))

    async def on_peer_subscribed(self, peer_id: ID, topic: str) -> None:
        """Take a new peer into the mesh; an exception would end the whole service."""
        try:
            await super().on_peer_subscribed(peer_id, topic)
        except Exception as error:
            _log.debug("graft of %s: %r", peer_id, error)


class GuardedPubsub(Pubsub):
    """The library's publish and subscribe. ``on_message`` says whether there was room for a new message. Mutable."""

    def __init__(
        self,
        host: Any,
        topics: tuple[str, ...],
        limits: Limits,
        parameters: GossipParameters,
        on_message: Callable[[PeerId, str, bytes, bytes], bool],
        on_violation: Callable[[PeerId, str], None],
    ) -> None:
        self.gossip = GuardedRouter(parameters)
        super().__init__(
            host,
            self.gossip,
            max_inbound_rpc_size=limits.message_bytes + _FRAME_OVERHEAD,
            max_subscriptions_per_rpc=len(topics) * 4,
            max_subscriptions_per_peer=len(topics),
            allowed_topics=set(topics),
        )
        self.seen_messages.stop()
        self.seen_messages = Seen()  # type: ignore[assignment]
        self.contents = Seen()
        self._limits, self._on_message, self._on_violation = limits, on_message, on_violation
        self._pending: dict[bytes, tuple[list[ID], Any]] = {}
        self._relays, self._to_relay = trio.open_memory_channel[tuple[list[ID], Any]](_RELAYS)
        self._writing: WeakKeyDictionary[Any, trio.Lock] = WeakKeyDictionary()
        self.dropped = 0

    # From peers.

    async def continuously_read_stream(self, stream: Any) -> None:
        """Read one peer's gossip. A frame that cannot be read ends that peer's stream, and is held against it [2]."""
        peer: ID = stream.muxed_conn.peer_id
        pipe = Pipe(stream)  # the library reads lengths byte by byte, and answers each byte with a frame
        while True:
            try:
                await self._on_frame(peer, await pipe.receive_varint_prefixed(self.max_inbound_rpc_size))
            except STREAM_ERRORS:
                raise
            except Exception as error:
                self._on_violation(peer.to_base58(), f"gossip: {type(error).__name__}: {error}")
                raise

    async def _on_frame(self, peer: ID, data: bytes) -> None:
        frame = rpc_pb2.RPC()
        frame.ParseFromString(data)
        frame.ClearField("senderRecord")
        control = frame.control
        ids = sum(len(entry.messageIDs) for entry in control.ihave)
        ids += sum(len(entry.messageIDs) for entry in control.iwant)
        entries = len(control.graft) + len(control.prune) + len(frame.publish) + len(frame.subscriptions) + ids
        if entries > _MOST_ENTRIES:
            raise ValueError(f"{entries} entries in one frame")
        for subscription in frame.subscriptions[: self.max_subscriptions_per_rpc]:
            self.handle_subscription(peer, subscription)
        for number, message in enumerate(frame.publish, 1):
            self._on_published(peer, message)
            if number % _TURN == 0:
                await trio.lowlevel.checkpoint()
        if frame.HasField("control"):
            await self.router.handle_rpc(frame, peer)

    def _on_published(self, peer: ID, message: Any) -> None:
        if len(message.topicIDs) != 1 or message.topicIDs[0] not in self.topic_ids:
            return
        if self._is_msg_seen(message):
            waiting = self._pending.get(message_id(str(message.topicIDs[0]), bytes(message.data)))
            if waiting is not None and peer not in waiting[0]:
                waiting[0].append(peer)
            return
        if not signature_validator(message):
            raise ValueError("a message whose signature does not match its author")
        topic, data = str(message.topicIDs[0]), bytes(message.data)
        name = message_id(topic, data)
        if not self.contents.has(name):
            if len(data) > self._limits.message_bytes:
                raise ValueError(f"a message of {len(data)} bytes")
            if not self._on_message(peer.to_base58(), topic, data, name):
                return
            self.contents.add(name)
            self._pending[name] = ([peer], message)
        self._mark_msg_seen(message)

    # To peers.

    def relay(self, name: bytes) -> None:
        """Send a message on that was accepted."""
        entry = self._pending.pop(name, None)
        if entry is not None:
            self._enqueue(entry)

    def drop(self, name: bytes) -> None:
        """Do not send a message on."""
        self._pending.pop(name, None)

    def post(self, topic: str, data: bytes) -> None:
        """Send this node's own message; one that was seen before is not sent again."""
        if self.contents.add(message_id(topic, data)):
            self._enqueue(([], (topic, data)))

    def _enqueue(self, entry: tuple[list[ID], Any]) -> None:
        try:
            self._relays.send_nowait(entry)
        except trio.WouldBlock:
            self.dropped += 1

    async def send_out(self) -> None:
        """Hand accepted messages to the router, for ever."""
        async for senders, message in self._to_relay:
            try:
                if senders:
                    await self.gossip.relay(senders, message)
                else:
                    await self.publish(*message)
            except Exception as error:
                _log.debug("relay: %r", error)

    async def push_msg(self, msg_forwarder: ID, msg: Any) -> None:
        """Called by `publish` alone: this node's own message needs no verdict."""
        self._mark_msg_seen(msg)
        await self.router.publish(msg_forwarder, msg)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is not None and not isinstance(queue._queue, _OutgoingQueue):
            waiting, queue._queue = queue._queue, _OutgoingQueue(self._limits, self._on_drop)
            queue.max_message_size = self.max_inbound_rpc_size
            while (frame := waiting.pop()) is not None:
                queue.push(frame, priority=True)

    async def write_msg(self, stream: Any, rpc_msg: Any) -> bool:
        """Write one frame at a time: two at once, as the library would, tear each other apart once they are large."""
        async with self._writing.setdefault(stream, trio.Lock()):
            return bool(await super().write_msg(stream, rpc_msg))

    def _on_drop(self) -> None:
        self.dropped += 1

    async def handle_sending_messages(self, peer_id: ID, stream: Any, queue: Any) -> None:
        """Write what waits for one peer; an exception would end the whole service."""
        try:
            await super().handle_sending_messages(peer_id, stream, queue)
        except Exception as error:
            _log.debug("gossip to %s: %r", peer_id, error)
