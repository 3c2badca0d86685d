"""What `p2p.host.SocketHost` and `p2p.memory_host.MemoryHost` have in common: scores, the inbox, and checks of what a
node asks for. How bytes get to a peer is the subclass's."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager

import trio

from p2p.inbox import Inbox
from p2p.interface import (
    AnswerInvalid,
    Event,
    Handler,
    Limits,
    MessageTooLarge,
    NetworkError,
    PeerId,
    StreamHandler,
    Verdict,
)
from p2p.scoring import Scores

INVALID_POINTS = -50
USEFUL_POINTS = 1

_log = logging.getLogger(__name__)


def now_milliseconds() -> int:
    """The time that scores and address books are told."""
    return int(trio.current_time() * 1000)


class BaseHost(ABC):
    """Mutable. ``topics`` are in order of precedence."""

    def __init__(self, id: PeerId, topics: tuple[str, ...], limits: Limits | None) -> None:
        self._id, self._topics, self._limits = id, topics, limits or Limits()
        self.scores = Scores()
        self.inbox = Inbox(topics, self._limits)

    @property
    def id(self) -> PeerId:
        return self._id

    @property
    def limits(self) -> Limits:
        return self._limits

    # To be had from the subclass.

    @abstractmethod
    def disconnect(self, peer: PeerId) -> None: ...

    @abstractmethod
    def serve_stream(self, protocol: str, handler: StreamHandler) -> None: ...

    @abstractmethod
    def stream(
        self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...

    def address_of(self, peer: PeerId) -> str:
        """The IP address of a connected peer, which shares the blame; empty where there is none."""
        return ""

    async def reach_out(self, count: int) -> bool:
        """Without a book of addresses there is nobody else to dial."""
        return False

    # Gossip.

    async def receive(self) -> Event:
        return await self.inbox.get()

    def _check_message(self, topic: str, data: bytes) -> None:
        if topic not in self._topics:
            raise NetworkError(f"{topic} is none of the topics {', '.join(self._topics)}")
        if len(data) > self._limits.message_bytes:
            raise MessageTooLarge(f"{len(data)} bytes on {topic} where {self._limits.message_bytes} are allowed")

    def _credit(self, source: PeerId, topic: str, verdict: Verdict) -> None:
        """Let a verdict count for or against whoever sent the message."""
        if verdict is not Verdict.IGNORE:
            points = USEFUL_POINTS if verdict is Verdict.ACCEPT else INVALID_POINTS
            self.report(source, points, f"{verdict.value} on {topic}")

    # Requests.

    def serve(self, protocol: str, handler: Handler) -> None:
        async def once(peer: PeerId, payload: bytes) -> AsyncGenerator[bytes, None]:
            yield await handler(peer, payload)

        self.serve_stream(protocol, once)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float) -> bytes:
        async with self.stream(peer, protocol, payload, limit=limit, timeout=timeout) as chunks:
            parts = [chunk async for chunk in chunks]
        if len(parts) != 1:
            raise AnswerInvalid(f"{protocol}: {len(parts)} chunks where one was expected")
        return parts[0]

    def _check_request(self, payload: bytes) -> None:
        if len(payload) > self._limits.request_bytes:
            raise MessageTooLarge(f"a request of {len(payload)} bytes where {self._limits.request_bytes} are allowed")

    # Trust.

    def report(self, peer: PeerId, points: int, reason: str) -> None:
        if self.scores.report(peer, self.address_of(peer), points, now_milliseconds()):
            _log.info("%s is banned: %s", peer, reason)
            self.disconnect(peer)

    def score(self, peer: PeerId) -> int:
        return self.scores.score(peer, now_milliseconds())

    def ban(self, peer: PeerId, seconds: float, reason: str) -> None:
        _log.info("%s is banned: %s", peer, reason)
        self.scores.ban(peer, self.address_of(peer), int(seconds * 1000), now_milliseconds())
        self.disconnect(peer)
