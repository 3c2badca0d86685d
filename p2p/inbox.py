"""What waits for the application: events about peers, and messages that wait for their verdict.

Every bound states what happens beyond it. Events about peers are merged: at most one of each kind waits for a peer.
Messages are bounded by count and bytes for each topic, and by count for each peer; a newer one is dropped without
blame and forgotten, so that it may come again when there is room. Topics are served in the order in which they were
configured: votes before blocks before extrinsics, whatever the flood.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque

import trio

from p2p.interface import Event, Incoming, Limits, PeerConnected, PeerDisconnected, PeerId


class Inbox:
    """A queue with classes. Mutable. A message counts until it is judged, not until it is taken."""

    def __init__(self, topics: tuple[str, ...], limits: Limits) -> None:
        self._limits = limits
        self._peer_events: OrderedDict[tuple[str, PeerId], Event] = OrderedDict()
        self._waiting: dict[str, deque[Incoming]] = {topic: deque() for topic in topics}
        self._unjudged: dict[bytes, tuple[Incoming, float]] = {}
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._per_peer: Counter[PeerId] = Counter()
        self._arrived = trio.Event()
        self.dropped: Counter[str] = Counter()

    def put_peer(self, event: PeerConnected | PeerDisconnected) -> None:
        """Queue an event about a peer. A connection and its end that nobody has seen cancel each other."""
        peer = event.peer.id if isinstance(event, PeerConnected) else event.id
        if isinstance(event, PeerConnected):
            self._peer_events[("connected", peer)] = event
        elif self._peer_events.pop(("connected", peer), None) is None or ("gone", peer) in self._peer_events:
            self._peer_events[("gone", peer)] = event
        self._arrived.set()

    def put(self, message: Incoming, now: float) -> bool:
        """Queue a message; False when there is no room for it."""
        topic, size = message.topic, len(message.data)
        limits = self._limits
        if (
            self._counts[topic] >= limits.inbox_messages
            or self._sizes[topic] + size > limits.inbox_bytes
            or self._per_peer[message.source] >= limits.inbox_per_peer
        ):
            self.dropped[topic] += 1
            return False
        self._counts[topic] += 1
        self._sizes[topic] += size
        self._per_peer[message.source] += 1
        self._unjudged[message.id] = (message, now)
        self._waiting[topic].append(message)
        self._arrived.set()
        return True

    async def get(self) -> Event:
        """Wait for the next event."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._peer_events:
                return self._peer_events.popitem(last=False)[1]
            for queue in self._waiting.values():
                while queue:
                    message = queue.popleft()
                    if message.id in self._unjudged:
                        return message
            self._arrived = trio.Event()
            await self._arrived.wait()

    def judged(self, name: bytes) -> bool:
        """A message has its verdict; False when it had one before, or came too late."""
        entry = self._unjudged.pop(name, None)
        if entry is None:
            return False
        message = entry[0]
        self._counts[message.topic] -= 1
        self._sizes[message.topic] -= len(message.data)
        self._per_peer[message.source] -= 1
        if not self._per_peer[message.source]:
            del self._per_peer[message.source]
        return True

    def overdue(self, now: float) -> list[bytes]:
        """Return the messages that have waited longer than allowed; judge them."""
        names = []
        for name, (_, since) in self._unjudged.items():
            if now - since < self._limits.verdict_seconds:
                break
            names.append(name)
        return names
