"""Questions to peers that wait for an answer: tickets, time-outs, and how many each peer may owe at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from chain.effects import Ask
from chain.messages import encode_message
from runtime.codec import Record

E = TypeVar("E")

PER_PEER = 4
"""Questions that one peer is asked at once; the host on the other side refuses more than a few."""
TIMEOUT = 10.0
"""Seconds that an answer may take. The host gives up at the same time; whichever is first counts."""


@dataclass(frozen=True, slots=True)
class _Open(Generic[E]):
    peer: str
    deadline: float
    on_answer: Callable[[bytes | None, float], list[E]]


class Requests(Generic[E]):
    """Mutable. Whoever asks gives the function that takes the answer, or None when there is none in time."""

    def __init__(self) -> None:
        self._open: dict[int, _Open[E]] = {}
        self._next_ticket = 0

    def has_room(self, peer: str) -> bool:
        """Whether the peer may be asked one more thing."""
        return self.count(peer) < PER_PEER

    def count(self, peer: str) -> int:
        """What the peer has not answered yet."""
        return sum(1 for request in self._open.values() if request.peer == peer)

    def ask(
        self,
        peer: str,
        protocol: str,
        message: Record,
        limit: int,
        now: float,
        on_answer: Callable[[bytes | None, float], list[E]],
    ) -> Ask:
        """The effect that asks; its answer comes to `on_response` with the ticket."""
        self._next_ticket += 1
        self._open[self._next_ticket] = _Open(peer, now + TIMEOUT, on_answer)
        return Ask(self._next_ticket, peer, protocol, encode_message(message), limit, TIMEOUT)

    def on_response(self, ticket: int, data: bytes | None, now: float) -> list[E]:
        """An answer, or the news that there will be none. One that comes too late does nothing."""
        request = self._open.pop(ticket, None)
        return request.on_answer(data, now) if request else []

    def on_time(self, now: float) -> list[E]:
        """Give up on what is overdue."""
        late = [ticket for ticket, request in self._open.items() if request.deadline <= now]
        return [effect for ticket in late for effect in self.on_response(ticket, None, now)]

    def on_gone(self, peer: str, now: float) -> list[E]:
        """A peer left: nothing it owes will come."""
        owed = [ticket for ticket, request in self._open.items() if request.peer == peer]
        return [effect for ticket in owed for effect in self.on_response(ticket, None, now)]

    def wake_at(self) -> float:
        """When the next question is overdue; infinity when none is open."""
        return min((request.deadline for request in self._open.values()), default=float("inf"))
