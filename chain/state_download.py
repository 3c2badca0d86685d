"""Downloading the state of one final block in pieces, from several peers at once, each piece proved by itself.

The places of the state's tree are cut into equal *parts*; of each part one piece after the other is asked for, of
whoever has time. A piece comes with a proof that it is all there is between two places (`runtime.merkle_range`), so a
peer that changes, adds or leaves out an entry is known at once, and nothing that it sent is kept. A proved piece goes
into the store's spare generation together with the *record* of how far the parts are: a node that stops goes on there.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.db import Batch, DatabaseCorrupt
from chain.effects import Ask, Commit, Effect, Punish
from chain.ledger import Ledger
from chain.messages import (
    MAX_RESPONSE_BYTES,
    MAX_STATE_ENTRIES,
    STATE,
    MalformedMessage,
    StateRequest,
    StateResponse,
    decode_message,
)
from chain.requests import Requests
from chain.store import META
from runtime import merkle
from runtime.block import Header, header_hash
from runtime.codec import Record, decode, encode
from runtime.merkle_range import LAST_PLACE, RangeProof, verify_range

DOWNLOAD = META + b"download"
PARTS = 16
PIECES_PER_PEER = 2
REFUSED_SECONDS = 15.0
"""How long a peer is left alone that does not give a piece; it may lack that state, or have too much to do."""
FALSE_POINTS, MALFORMED_POINTS = 100, 50
WIPED_AT_ONCE = 2048
DONE = b""
"""In place of the next place: the part is complete."""


class DownloadRecord(Record):
    """A download as far as it got: the block, why it is final, and for each part the next place to ask for."""

    target: Header
    justification: bytes
    parts: tuple[bytes, ...]


@dataclass(slots=True)
class Part:
    """The places from ``next`` to ``last`` are missing. ``peer`` is who is being asked."""

    next: int
    last: int
    peer: str = ""

    @property
    def is_complete(self) -> bool:
        return self.next > self.last


def cut_places(count: int = PARTS) -> list[Part]:
    """All places in parts of one size."""
    size = (LAST_PLACE + 1) // count
    return [Part(number * size, (number + 1) * size - 1) for number in range(count)]


class StateDownload:
    """Mutable. `advance` asks; the answers come as effects of the requests. It ends with `is_complete`."""

    def __init__(
        self, ledger: Ledger, requests: Requests[Effect], target: Header, justification: bytes, is_new: bool = True
    ) -> None:
        self.target, self.justification, self.hash = target, justification, header_hash(target)
        self._ledger, self._requests = ledger, requests
        self._spare = ledger.store.spare_columns
        self._parts = cut_places()
        self._is_wiped = not is_new
        self._refused: dict[str, float] = {}

    @classmethod
    def resume(cls, ledger: Ledger, requests: Requests[Effect]) -> StateDownload | None:
        """The download that the database holds the beginning of; None when there is none."""
        data = ledger.store.database.get(DOWNLOAD)
        if data is None:
            return None
        record: DownloadRecord = decode(data, DownloadRecord)
        download = cls(ledger, requests, record.target, record.justification, is_new=False)
        for part, place in zip(download._parts, record.parts, strict=True):
            part.next = part.last + 1 if place == DONE else int.from_bytes(place, "big")
        return download

    # --- reading

    @property
    def has_work(self) -> bool:
        """Whether what an earlier download left behind is still to be deleted."""
        return not self._is_wiped

    @property
    def is_complete(self) -> bool:
        """Whether the whole state is there."""
        return self._is_wiped and all(part.is_complete for part in self._parts)

    @property
    def share(self) -> float:
        """How much of the state is there, from 0 to 1: places are hashes, so entries spread evenly."""
        return 1 - sum(part.last + 1 - part.next for part in self._parts) / (LAST_PLACE + 1)

    def is_stuck(self, peers: list[str], now: float) -> bool:
        """Whether none of the peers that should have this state gives it."""
        is_asking = any(part.peer for part in self._parts)
        return not is_asking and all(self._refused.get(peer, 0.0) > now for peer in peers)

    # --- events

    def work(self) -> list[Effect]:
        """Delete some of what an earlier download left behind, then record the new one."""
        batch: Batch = {}
        self._is_wiped = not self._spare.stage_wipe(batch, WIPED_AT_ONCE)
        batch[DOWNLOAD] = encode(self._record()) if self._is_wiped else None
        return [Commit(batch)]

    def advance(self, peers: list[str], now: float) -> list[Effect]:
        """Ask ``peers``, who say that they have this state, for pieces."""
        effects: list[Effect] = []
        if not self._is_wiped:
            return effects
        for part in self._parts:
            peer = None if part.peer or part.is_complete else self._choose(peers, now)
            if peer is not None:
                effects.append(self._ask(part, peer, now))
        return effects

    def finish(self) -> Batch:
        """The part of the last batch that forgets the record. Raises `DatabaseCorrupt` for another root."""
        root_node = self._spare.nodes.get(merkle.node_path(0, 0))
        root = merkle.EMPTY_ROOT if root_node is None else merkle.root_of_node(root_node)
        if root != self.target.state_root:
            raise DatabaseCorrupt(
                f"the downloaded state of block {self.target.number} has the root {root.hex()}, not "
                f"{self.target.state_root.hex()}: the disk does not keep what is written to it"
            )
        return {DOWNLOAD: None}

    # --- pieces

    def _record(self) -> DownloadRecord:
        places = (DONE if part.is_complete else part.next.to_bytes(32, "big") for part in self._parts)
        return DownloadRecord(self.target, self.justification, tuple(places))

    def _choose(self, peers: list[str], now: float) -> str | None:
        busy = {peer: sum(1 for part in self._parts if part.peer == peer) for peer in peers}
        free = [
            (busy[peer], peer)
            for peer in peers
            if busy[peer] < PIECES_PER_PEER and self._refused.get(peer, 0.0) <= now and self._requests.has_room(peer)
        ]
        return min(free)[1] if free else None

    def _ask(self, part: Part, peer: str, now: float) -> Ask:
        part.peer = peer
        first = part.next.to_bytes(32, "big")
        request = StateRequest(self.hash, first, part.last.to_bytes(32, "big"), MAX_STATE_ENTRIES)

        def take(data: bytes | None, later: float) -> list[Effect]:
            part.peer = ""
            if data is None:
                self._refused[peer] = later + REFUSED_SECONDS
                return []
            return self._take(part, peer, data)

        return self._requests.ask(peer, STATE, request, MAX_RESPONSE_BYTES, now, take)

    def _take(self, part: Part, peer: str, data: bytes) -> list[Effect]:
        try:
            piece = decode_message(StateResponse, data)
        except MalformedMessage as error:
            return [Punish(peer, MALFORMED_POINTS, f"a malformed piece of a state: {error}")]
        entries = {entry.key: entry.value for entry in piece.entries}
        leaves = [
            (int.from_bytes(merkle.hash_place(entry.key), "big"), merkle.hash_value(entry.value))
            for entry in piece.entries
        ]
        last = part.last if piece.complete or not leaves else leaves[-1][0]
        is_true = verify_range(self.target.state_root, part.next, last, leaves, RangeProof(piece.proof))
        if not is_true or not (piece.complete or leaves):
            return [Punish(peer, FALSE_POINTS, f"a false piece of the state of block {self.target.number}")]
        batch: Batch = {}
        update = merkle.update(self._spare.nodes.get, dict(entries))
        self._spare.stage_entries(batch, entries, update.nodes)
        part.next = last + 1
        batch[DOWNLOAD] = encode(self._record())
        return [Commit(batch)]
