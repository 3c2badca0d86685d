"""`p2p.interface.Host` on a simulated network: for tests of what stands above a host, with trio's clock or a test's
own.

`MemoryWorld` moves the packets of one `MemoryNetwork` when their time has come.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import trio

from p2p.base_host import INVALID_POINTS, BaseHost, now_milliseconds
from p2p.interface import (
    AddressInUse,
    AddressInvalid,
    AnswerInvalid,
    Incoming,
    Limits,
    Peer,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerUnreachable,
    RequestFailed,
    RequestRefused,
    RequestTimedOut,
    StreamHandler,
    Verdict,
)
from p2p.memory import Answered, Asked, MemoryNetwork, MemoryNode

_MESSAGE_QUEUE = 16


class MemoryWorld:
    """The hosts of one network, and the task that carries packets between them. Mutable."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.hosts: dict[PeerId, MemoryHost] = {}
        self._changed = trio.Event()

    def wake(self) -> None:
        """A packet was sent: the next delivery may be sooner than thought."""
        self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver packets at their times, for ever."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            time = self.network.next_time()
            with trio.move_on_at(float("inf") if time is None else time):
                await self._changed.wait()
            for delivery in self.network.pop_due(trio.current_time()):
                host = self.hosts.get(delivery.target)
                if host is not None:
                    host.on_delivery(delivery)


class MemoryHost(BaseHost):
    """One node's end. Mutable."""

    def __init__(
        self, world: MemoryWorld, name: PeerId, topics: tuple[str, ...], *, limits: Limits | None = None
    ) -> None:
        super().__init__(name, topics, limits)
        self._world = world
        self._node = MemoryNode(world.network, name, topics)
        self._peers: dict[PeerId, Peer] = {}
        self._arrivals: dict[PeerId, trio.Event] = {}
        self._handlers: dict[str, StreamHandler] = {}
        self._answers: dict[int, tuple[PeerId, trio.MemorySendChannel[tuple[str, bytes]]]] = {}
        self._credits: dict[tuple[PeerId, int], tuple[trio.Semaphore, trio.CancelScope]] = {}
        self._nursery: trio.Nursery | None = None

    def addresses(self) -> tuple[str, ...]:
        return () if self._nursery is None else (f"/memory/{self._id}",)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        if self._id in self._world.hosts:
            raise AddressInUse(f"another host runs as {self._id}")
        self._world.hosts[self._id] = self
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                while True:
                    await trio.sleep(1.0)
                    for name in self.inbox.overdue(trio.current_time()):
                        self._judge(name, Verdict.IGNORE)
        finally:
            self._nursery = None
            del self._world.hosts[self._id]
            for peer in self._world.network.neighbours(self._id):
                self._world.network.disconnect(self._id, peer, trio.current_time())
            self._world.wake()

    # What arrives.

    def on_delivery(self, delivery: object) -> None:
        """A packet has come."""
        for event in self._node.on_delivery(delivery):  # type: ignore[arg-type]
            match event:
                case PeerConnected():
                    self._on_connected(event)
                case PeerDisconnected():
                    self._on_disconnected(event)
                case Incoming():
                    if not self.inbox.put(event, trio.current_time()):
                        self._node.forget(event.id)
                case Asked() if self._nursery is not None and (event.peer, event.ticket) not in self._credits:
                    credit, scope = trio.Semaphore(0), trio.CancelScope()
                    self._credits[event.peer, event.ticket] = credit, scope
                    self._nursery.start_soon(self._respond, event, credit, scope)
                case Answered():
                    self._on_answered(event)

    def _on_connected(self, event: PeerConnected) -> None:
        peer = event.peer
        if self._is_banned(peer.id):
            self.disconnect(peer.id)
        elif peer.id not in self._peers:
            self._peers[peer.id] = peer
            self.inbox.put_peer(event)
            self._arrivals.pop(peer.id, trio.Event()).set()

    def _on_disconnected(self, event: PeerDisconnected) -> None:
        if self._peers.pop(event.id, None) is not None:
            self.inbox.put_peer(event)
        for peer, sender in self._answers.values():
            if peer == event.id:
                sender.close()

    def _on_answered(self, event: Answered) -> None:
        answering = self._credits.get((event.peer, event.ticket))
        if event.kind in ("more", "stop"):
            if answering is not None and event.kind == "more":
                answering[0].release()
            elif answering is not None:
                answering[1].cancel()
        elif event.ticket in self._answers:
            with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError):  # more than was asked for
                self._answers[event.ticket][1].send_nowait((event.kind, event.data))

    async def _respond(self, question: Asked, credit: trio.Semaphore, scope: trio.CancelScope) -> None:
        """Answer until the end, or until whoever asks has heard enough."""
        try:
            with scope:
                await self._answer(question, credit)
        finally:
            del self._credits[question.peer, question.ticket]

    async def _answer(self, question: Asked, credit: trio.Semaphore) -> None:
        handler = self._handlers.get(question.protocol)
        try:
            if handler is None:
                raise RequestRefused(f"the peer does not speak {question.protocol}")
            async with aclosing(handler(question.peer, question.data)) as chunks:
                async for chunk in chunks:
                    await self._send(question, credit, "chunk", chunk)
            await self._send(question, credit, "end", b"")
        except RequestRefused as refusal:
            await self._send(question, credit, "refused", str(refusal).encode())
        except trio.TooSlowError:
            return
        except Exception:
            await self._send(question, credit, "refused", b"failed")

    async def _send(self, question: Asked, credit: trio.Semaphore, kind: str, data: bytes) -> None:
        with trio.fail_after(self._limits.request_seconds):
            await credit.acquire()
        self._node.respond(question.peer, question.ticket, kind, data, trio.current_time())
        self._world.wake()

    # What the node asks for.

    async def dial(self, address: str) -> PeerId:
        empty, kind, peer = [*address.split("/"), "", ""][:3]
        if empty or kind != "memory" or not peer:
            raise AddressInvalid(f"{address!r} is not like /memory/NAME")
        if self._is_banned(peer) or peer == self._id:
            raise PeerBanned(f"{peer} is banned, or this node itself")
        if peer in self._peers:
            return peer
        other = self._world.hosts.get(peer)
        if other is None or other._is_banned(self._id) or self._nursery is None:
            raise PeerUnreachable(f"nobody answers at {address}")
        arrival = self._arrivals.setdefault(peer, trio.Event())
        self._world.network.connect(self._id, peer, trio.current_time())
        self._world.wake()
        with trio.move_on_after(2 * self._limits.handshake_seconds):
            await arrival.wait()
            return peer
        raise PeerUnreachable(f"nobody answers at {address}")

    def peers(self) -> tuple[Peer, ...]:
        return tuple(self._peers.values())

    def publish(self, topic: str, data: bytes) -> None:
        self._check_message(topic, data)
        self._node.publish(topic, data, trio.current_time())
        self._world.wake()

    def answer(self, message: Incoming, verdict: Verdict) -> None:
        if self._judge(message.id, verdict):
            self._credit(message.source, message.topic, verdict)

    def _judge(self, name: bytes, verdict: Verdict) -> bool:
        if not self.inbox.judged(name):
            return False
        self._node.answer(name, verdict, trio.current_time())
        self._world.wake()
        return True

    def serve_stream(self, protocol: str, handler: StreamHandler) -> None:
        self._handlers[protocol] = handler

    @asynccontextmanager
    async def stream(
        self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if peer not in self._peers:
            raise PeerUnreachable(f"{peer} is not connected")
        self._check_request(payload)
        ticket = self._node.ask(peer, protocol, payload, trio.current_time())
        sender, receiver = trio.open_memory_channel[tuple[str, bytes]](_MESSAGE_QUEUE)
        self._answers[ticket] = (peer, sender)
        try:
            async with aclosing(self._chunks(peer, ticket, receiver, limit, timeout)) as chunks:
                yield chunks
        finally:
            self._node.respond(peer, ticket, "stop", b"", trio.current_time())
            self._world.wake()
            del self._answers[ticket]
            sender.close()
            receiver.close()

    async def _chunks(
        self,
        peer: PeerId,
        ticket: int,
        receiver: trio.MemoryReceiveChannel[tuple[str, bytes]],
        limit: int,
        timeout: float,
    ) -> AsyncGenerator[bytes, None]:
        left = limit
        while True:
            self._node.respond(peer, ticket, "more", b"", trio.current_time())
            self._world.wake()
            kind, data = "", b""
            with trio.move_on_after(timeout) as scope:
                try:
                    kind, data = await receiver.receive()
                except trio.EndOfChannel:
                    raise RequestFailed(f"{peer} has gone") from None
            if scope.cancelled_caught:
                raise RequestTimedOut(f"{peer} does not answer in time")
            if kind == "end":
                return
            if kind == "refused":
                raise RequestRefused(data.decode(errors="replace"))
            left -= len(data)
            if left < 0:
                self.report(peer, INVALID_POINTS, "too long an answer")
                raise AnswerInvalid(f"more than the {limit} bytes that are allowed")
            yield data

    def disconnect(self, peer: PeerId) -> None:
        self._world.network.disconnect(self._id, peer, trio.current_time())
        self._world.wake()

    def _is_banned(self, peer: PeerId) -> bool:
        return self.scores.is_banned(peer, now_milliseconds())
