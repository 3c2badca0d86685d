"""A network in memory whose time, losses and delays come from a seed: the same seed, the same history.

Passive: nothing here waits, and time (seconds) comes from outside, so a simulator can run an hour of it in a moment.
A `MemoryNetwork` carries packets between named nodes: a heap of deliveries, each with its time. A *link* says how a
packet between two nodes fares; a *partition* lets none pass between its groups. A `MemoryNode` is one node's end: it
floods accepted messages to its neighbours, and matches answers to requests. Both are driven by
`MemoryNetwork.pop_due`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from p2p.interface import Incoming, Peer, PeerConnected, PeerDisconnected, PeerId, Verdict

_SEEN_COUNT = 65_536


@dataclass(frozen=True, slots=True)
class Link:
    """How packets fare between two nodes. Seconds, and shares of one.

    Packets keep their order unless ``reordering`` picks one out, which then overtakes or is overtaken by its jitter.
    """

    latency: float = 0.05
    jitter: float = 0.02
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0


@dataclass(frozen=True, slots=True)
class Connected:
    """Two nodes are neighbours from now on."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Two nodes are not neighbours any more."""


@dataclass(frozen=True, slots=True)
class Gossip:
    """A message of a topic, on its way to one neighbour."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A question; ``ticket`` is its number among the asker's."""

    ticket: int
    protocol: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A part of an answer: a chunk, the end, or a refusal with its reason; or, the other way, leave for one more."""

    ticket: int
    kind: str
    data: bytes = b""


Packet = Connected | Disconnected | Gossip | Request | Response


@dataclass(frozen=True, slots=True)
class Delivery:
    """A packet that has arrived."""

    time: float
    source: PeerId
    target: PeerId
    packet: Packet


class MemoryNetwork:
    """All links of a simulated network. Mutable; it holds what is on its way."""

    def __init__(self, seed: int, link: Link | None = None) -> None:
        self._random = Random(seed)
        self._default = link or Link()
        self._links: dict[tuple[PeerId, PeerId], Link] = {}
        self._heap: list[tuple[float, int, Delivery]] = []
        self._sequence = 0
        self._last: dict[tuple[PeerId, PeerId], float] = {}
        self._neighbours: dict[PeerId, list[PeerId]] = {}
        self._groups: dict[PeerId, int] = {}
        self.sent = self.lost = 0

    def set_link(self, source: PeerId, target: PeerId, link: Link) -> None:
        """Let one direction differ from the rest."""
        self._links[source, target] = link

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Lose every packet between nodes of different groups; those of no group form one together."""
        self._groups = {node: number for number, group in enumerate(groups, 1) for node in group}

    def heal(self) -> None:
        """End the partition. What was lost stays lost."""
        self._groups = {}

    def neighbours(self, node: PeerId) -> tuple[PeerId, ...]:
        return tuple(self._neighbours.get(node, ()))

    def connect(self, first: PeerId, second: PeerId, now: float) -> None:
        """Make two nodes neighbours. Both are told after the time that a packet takes."""
        if first == second or second in self._neighbours.get(first, ()):
            return
        for source, target in ((first, second), (second, first)):
            self._neighbours.setdefault(source, []).append(target)
            self._schedule(source, target, Connected(), now + self._link(source, target).latency)

    def disconnect(self, first: PeerId, second: PeerId, now: float) -> None:
        """Part two nodes. Both are told, after what is on its way."""
        if second not in self._neighbours.get(first, ()):
            return
        for source, target in ((first, second), (second, first)):
            self._neighbours[source].remove(target)
            last = self._last.get((source, target), now)
            self._schedule(source, target, Disconnected(), max(now, last))

    def send(self, source: PeerId, target: PeerId, packet: Packet, now: float) -> None:
        """Put a packet on its way; it may be lost, doubled or delayed as the link says."""
        self.sent += 1
        link = self._link(source, target)
        apart = self._groups.get(source, 0) != self._groups.get(target, 0)
        if apart or target not in self._neighbours.get(source, ()) or self._random.random() < link.loss:
            self.lost += 1
            return
        for _ in range(2 if self._random.random() < link.duplication else 1):
            time = now + link.latency + link.jitter * self._random.random()
            if self._random.random() >= link.reordering:
                time = self._last[source, target] = max(time, self._last.get((source, target), 0.0))
            self._schedule(source, target, packet, time)

    def next_time(self) -> float | None:
        """Return when the next packet arrives; None when none is on its way."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[Delivery]:
        """Return what has arrived by ``now``, in order."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def _link(self, source: PeerId, target: PeerId) -> Link:
        return self._links.get((source, target), self._default)

    def _schedule(self, source: PeerId, target: PeerId, packet: Packet, time: float) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (time, self._sequence, Delivery(time, source, target, packet)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A neighbour asks something; answer with `MemoryNode.respond`."""

    peer: PeerId
    ticket: int
    protocol: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A part of the answer to this node's request: "chunk", "end" or "refused". "more" and "stop" are for its own."""

    peer: PeerId
    ticket: int
    kind: str
    data: bytes


NodeEvent = PeerConnected | PeerDisconnected | Incoming | Asked | Answered


class MemoryNode:
    """One node's end of a `MemoryNetwork`. Mutable; what it remembers is bounded like on real sockets."""

    def __init__(self, network: MemoryNetwork, name: PeerId, topics: tuple[str, ...]) -> None:
        self.network, self.id, self.topics = network, name, topics
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._pending: dict[bytes, tuple[Incoming, list[PeerId]]] = {}
        self._ticket = 0

    def on_delivery(self, delivery: Delivery) -> list[NodeEvent]:
        """Take in a packet; return what the application should know."""
        packet, source = delivery.packet, delivery.source
        match packet:
            case Connected():
                return [PeerConnected(Peer(source, f"/memory/{source}", False))]
            case Disconnected():
                return [PeerDisconnected(source)]
            case Gossip():
                return self._on_gossip(source, packet)
            case Request():
                return [Asked(source, packet.ticket, packet.protocol, packet.data)]
            case Response():
                return [Answered(source, packet.ticket, packet.kind, packet.data)]

    def _on_gossip(self, source: PeerId, packet: Gossip) -> list[NodeEvent]:
        name = message_id(packet.topic, packet.data)
        if name in self._pending:
            self._pending[name][1].append(source)
        if packet.topic not in self.topics or not self._remember(name):
            return []
        message = Incoming(name, packet.topic, packet.data, source)
        self._pending[name] = (message, [source])
        return [message]

    def publish(self, topic: str, data: bytes, now: float) -> None:
        """Send this node's own message to every neighbour, once."""
        if self._remember(message_id(topic, data)):
            self._flood(Gossip(topic, data), (), now)

    def answer(self, name: bytes, verdict: Verdict, now: float) -> None:
        """Judge a message: only an accepted one goes on, to those who have not sent it."""
        message, senders = self._pending.pop(name, (None, []))
        if message is not None and verdict is Verdict.ACCEPT:
            self._flood(Gossip(message.topic, message.data), senders, now)

    def forget(self, name: bytes) -> None:
        """There was no room for a message: let it come again."""
        self._pending.pop(name, None)
        self._seen.pop(name, None)

    def ask(self, peer: PeerId, protocol: str, data: bytes, now: float) -> int:
        """Send a question; return its ticket, by which the answers are known."""
        self._ticket += 1
        self.network.send(self.id, peer, Request(self._ticket, protocol, data), now)
        return self._ticket

    def respond(self, peer: PeerId, ticket: int, kind: str, data: bytes, now: float) -> None:
        """Send a part of an answer, "more" to get one, or "stop" to get no more."""
        self.network.send(self.id, peer, Response(ticket, kind, data), now)

    def _flood(self, packet: Gossip, except_for: Iterable[PeerId], now: float) -> None:
        for peer in self.network.neighbours(self.id):
            if peer not in except_for:
                self.network.send(self.id, peer, packet, now)

    def _remember(self, name: bytes) -> bool:
        if name in self._seen:
            return False
        self._seen[name] = None
        while len(self._seen) > _SEEN_COUNT:
            self._seen.popitem(last=False)
        return True


def message_id(topic: str, data: bytes) -> bytes:
    """Return the 20 bytes that name a message, as on real sockets."""
    return blake2b(data, digest_size=20, key=blake2b(topic.encode(), digest_size=32).digest()).digest()
