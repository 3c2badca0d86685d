"""Asking peers for proofs of finality that gossip did not bring: justifications, and the votes of a later round."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from chain.effects import Ask, Punish
from chain.finality import Finality, FinalityEffect
from chain.grandpa.messages import CatchUpRequest
from chain.ledger import Ledger
from chain.messages import (
    CATCH_UP,
    FINALITY,
    MAX_VOTES_BYTES,
    FinalityRequest,
    FinalityResponse,
    MalformedMessage,
    decode_message,
)
from chain.requests import Requests
from chain.sync import PeerState

FINALITY_SECONDS = 4.0
"""How often, at most, a justification is asked for that gossip did not bring."""


class FinalityRequests:
    """Mutable. Every answer goes to `Finality`, which judges it."""

    def __init__(self, ledger: Ledger, finality: Finality, requests: Requests[Any]) -> None:
        self._ledger, self._finality, self._requests = ledger, finality, requests
        self._next = 0.0
        self._followed: dict[str, float] = {}
        """Peer -> when it may be asked again for the justification that ended this node's set."""
        self._catch_ups = 0
        """Peers asked for votes so far: each time it is another one's turn."""

    def on_gone(self, peer: str) -> None:
        """A peer left."""
        self._followed.pop(peer, None)

    def on_time(self, peers: dict[str, PeerState], now: float) -> list[Ask]:
        """Ask one of those that say more is final."""
        ahead = [
            peer
            for peer, state in peers.items()
            if self._ledger.finalized_number < state.finalized_number and self._requests.has_room(peer)
        ]
        if not ahead or self._next > now:
            return []
        self._next = now + FINALITY_SECONDS
        return self._ask_justification(ahead[int(now) % len(ahead)], now)

    def follow_later_set(self, peer: str, now: float) -> list[Ask]:
        """A peer passed on what voters of a later set say, so it should know how this set ended."""
        if self._followed.get(peer, 0.0) > now or not self._requests.has_room(peer):
            return []
        self._followed[peer] = now + FINALITY_SECONDS
        return self._ask_justification(peer, now)

    def _ask_justification(self, peer: str, now: float) -> list[Ask]:
        def take(data: bytes | None, later: float) -> list[FinalityEffect]:
            try:
                found = decode_message(FinalityResponse, data).justification if data else b""
            except MalformedMessage as error:
                return [Punish(peer, 50, f"a malformed answer: {error}")]
            return self._finality.on_justification(found, peer, later) if found else []

        request = FinalityRequest(self._ledger.finalized_number + 1)
        return [self._requests.ask(peer, FINALITY, request, MAX_VOTES_BYTES, now, take)]

    def ask_votes(self, peers: Collection[str], request: CatchUpRequest, now: float) -> list[Ask]:
        """Ask some peer for the votes of a later round."""
        able = [peer for peer in peers if self._requests.has_room(peer)]
        if not able:
            return []
        self._catch_ups += 1
        peer = able[self._catch_ups % len(able)]

        def take(data: bytes | None, later: float) -> list[FinalityEffect]:
            return self._finality.on_catch_up(data, peer, later) if data else []

        return [self._requests.ask(peer, CATCH_UP, request, MAX_VOTES_BYTES, now, take)]
