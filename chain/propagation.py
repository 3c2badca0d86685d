"""How extrinsics get from node to node: gossip in batches, and what gossip missed, by asking.

Each gossiped frame costs every node a fixed amount of work, whatever its size; so an extrinsic of this node's own users
that follows another within `BATCH_SECONDS` waits for company. Gossip reaches those who are connected at that moment.
A node that joins later, or missed a frame, asks: every new peer once, then one peer every `ASK_SECONDS`, in turn, for
what it has in its pool. So an extrinsic spreads for as long as it waits in any pool, and nobody need send it twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from itertools import islice
from typing import Any

from chain.effects import Effect, Publish, Punish
from chain.gossip import take_extrinsics
from chain.ledger import Ledger
from chain.messages import (
    EXTRINSICS,
    MAX_BATCH,
    MAX_EXTRINSICS_BYTES,
    MAX_KNOWN,
    POOL,
    SHORT_HASH_BYTES,
    Extrinsics,
    MalformedMessage,
    PoolRequest,
    PoolResponse,
    decode_message,
    encode_message,
)
from chain.pool import Pool
from chain.requests import Requests

BATCH_SECONDS = 0.075
BATCH_BYTES = 512 * 1024
"""A batch that would be longer leaves before; one extrinsic may be longer alone."""
ASK_SECONDS = 20.0
ANSWER_SECONDS = 2.0
"""How often the same peer is answered, unless it was given all that an answer holds."""
ANSWER_BYTES = 1024 * 1024
REFUSED_POINTS = 50
_REMEMBERED = 1024


class Propagation:
    """Sends this node's extrinsics, asks for others', and answers who asks. Mutable, bounded."""

    def __init__(self, ledger: Ledger, pool: Pool, requests: Requests[Any]) -> None:
        self._ledger, self._pool, self._requests = ledger, pool, requests
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._flush_time = 0.0
        """Until then extrinsics wait; one that comes later leaves at once."""
        self._next_ask = 0.0
        self._turn = 0
        self._answered: OrderedDict[str, float] = OrderedDict()
        """Peer -> when it is answered again."""

    def wake_at(self) -> float:
        """When the batch that waits has to leave."""
        return self._flush_time if self._waiting else float("inf")

    # --- gossip

    def send(self, raw: bytes, now: float) -> list[Effect]:
        """An extrinsic of this node's own, which is in the pool: gossip it, now or with those that follow."""
        effects: list[Effect] = []
        if self._waiting and self._waiting_bytes + len(raw) > BATCH_BYTES:
            effects += self._flush(now)
        self._waiting.append(raw)
        self._waiting_bytes += len(raw)
        if now >= self._flush_time or len(self._waiting) >= MAX_BATCH:
            effects += self._flush(now)
        return effects

    def _flush(self, now: float) -> list[Effect]:
        frame = encode_message(Extrinsics(tuple(self._waiting)))
        self._waiting, self._waiting_bytes, self._flush_time = [], 0, now + BATCH_SECONDS
        return [Publish(EXTRINSICS, frame)]

    def on_time(self, now: float, peers: Collection[str]) -> list[Effect]:
        """Let the batch go when it has waited long enough, and ask the next peer when it is time."""
        effects = self._flush(now) if self._waiting and now >= self._flush_time else []
        able = [peer for peer in peers if self._requests.has_room(peer)]
        if able and now >= self._next_ask:
            self._next_ask = now + ASK_SECONDS
            self._turn += 1
            effects += self.ask(able[self._turn % len(able)], now)
        return effects

    # --- the pools of peers

    def ask(self, peer: str, now: float) -> list[Effect]:
        """Ask a peer for extrinsics that are not in this node's pool."""
        if not self._requests.has_room(peer):
            return []
        known = b"".join(entry.hash[:SHORT_HASH_BYTES] for entry in islice(self._pool, MAX_KNOWN))

        def take(data: bytes | None, later: float) -> list[Effect]:
            return [] if data is None else self._take(peer, data, later)

        return [self._requests.ask(peer, POOL, PoolRequest(known), MAX_EXTRINSICS_BYTES, now, take)]

    def _take(self, peer: str, data: bytes, now: float) -> list[Effect]:
        try:
            items = decode_message(PoolResponse, data).items
        except MalformedMessage as error:
            return [Punish(peer, REFUSED_POINTS, f"a malformed answer: {error}")]
        verdict = take_extrinsics(self._ledger, self._pool, items, now)
        if verdict == "reject":
            return [Punish(peer, REFUSED_POINTS, "an extrinsic that is valid on no chain")]
        return self.ask(peer, now) if verdict == "accept" and len(items) == MAX_BATCH else []

    def answer(self, peer: str, data: bytes, now: float) -> bytes | None:
        """Extrinsics that the peer lacks, as many as fit; None when it asks too often. Raises `MalformedMessage`."""
        request = decode_message(PoolRequest, data)
        if now < self._answered.get(peer, 0.0):
            return None
        size = SHORT_HASH_BYTES
        known = {request.known[at : at + size] for at in range(0, len(request.known), size)}
        items: list[bytes] = []
        room = ANSWER_BYTES
        for entry in self._pool:
            if entry.hash[:size] not in known:
                room -= len(entry.raw)
                if items and (room < 0 or len(items) == MAX_BATCH):
                    break
                items.append(entry.raw)
        self._remember(peer, now if len(items) == MAX_BATCH else now + ANSWER_SECONDS)
        return encode_message(PoolResponse(tuple(items)))

    def _remember(self, peer: str, until: float) -> None:
        self._answered[peer] = until
        self._answered.move_to_end(peer)
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
