"""Getting the blocks that this node lacks from its peers: all of them at once, each trusted no further than it proves.

Far behind, it downloads *ranges* of heights above its own head, from several peers at once, and hands them to the
importer in order and only as fast as that has room (back-pressure). Near the head it fetches *wanted* blocks by hash:
announced ones, missing parents, what voters voted for. A range that does not attach to a known block is asked of
another peer; when none has one that does, this node's own branch is what is wrong, and it steps back, twice as far
each time, down to the finalized block, which every honest chain contains. Late, empty, unlinked and invalid answers
cost their sender points, and are asked of somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from chain.effects import Ask, Punish
from chain.importer import ImportEffect, Importer
from chain.ledger import Ledger
from chain.messages import (
    BLOCK_RANGE,
    MAX_RANGE,
    MAX_RESPONSE_BYTES,
    BlockData,
    BlockRequest,
    BlockResponse,
    FromHash,
    FromNumber,
    MalformedMessage,
    Status,
    decode_message,
)
from chain.requests import Requests
from runtime.block import header_hash

FOLLOW_GAP = 32
"""Announced blocks that are no higher than this above the head are fetched one by one."""
MAX_RANGES = 8
"""Ranges that are asked for or wait for the importer: 512 blocks."""
RANGES_PER_PEER = 2
MAX_WANTED = 64
MAX_ATTEMPTS = 8
RETRY_SECONDS = 0.3
"""An announcement may come before its sender has the block: it is asked again after so long."""
MALFORMED_POINTS, UNLINKED_POINTS, USELESS_POINTS = 50, 50, 0
"""What answers cost: bytes without meaning, blocks that do not follow each other or were not asked for. An answer that
is late, empty or of another chain may come from an honest peer: others are asked, and nobody is blamed."""
PAUSE_SECONDS = 30.0
"""How long a peer whose chain lacks our finalized block is left alone."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far a node is: the block it started from, its best one, and the best one that peers tell of.

    ``downloaded`` is the share of a state that a warp has got so far, None when the node does not warp. ``missing`` are
    older blocks that are still to come.
    """

    starting: int
    current: int
    highest: int
    is_syncing: bool
    downloaded: float | None
    missing: int


@dataclass(slots=True)
class PeerState:
    """What a peer says it has."""

    best_number: int
    best_hash: bytes
    finalized_number: int
    oldest_block: int = 1
    """From this height on it has all blocks."""
    paused_until: float = 0.0
    ranges: int = 0


@dataclass(slots=True, eq=False)
class Range:
    """Consecutive heights that one peer is asked for. ``blocks`` are there once it has answered."""

    start: int
    count: int
    peer: str = ""
    blocks: tuple[BlockData, ...] = ()
    refused: set[str] = field(default_factory=set)
    """Peers that had no use for this range."""


@dataclass(slots=True, eq=False)
class Wanted:
    """A block to fetch by its hash, with the ancestors that are missing too."""

    number: int
    count: int
    peers: list[str]
    attempts: int = 0
    is_asked: bool = False
    not_before: float = 0.0


class Sync:
    """Mutable. After every event call `advance`, which delivers what has arrived and asks for what is missing."""

    def __init__(self, ledger: Ledger, importer: Importer, requests: Requests[Any]) -> None:
        self._ledger, self._importer, self._requests = ledger, importer, requests
        self.peers: dict[str, PeerState] = {}
        self._ranges: list[Range] = []
        """By ascending height."""
        self._next: int | None = None
        """The height after the last range; None while following."""
        self._step_back = 1
        self._wanted: dict[bytes, Wanted] = {}

    # --- reading

    @property
    def target(self) -> int:
        """The height that the peers have."""
        return max((peer.best_number for peer in self.peers.values()), default=0)

    @property
    def credible_target(self) -> int:
        """The height that at least half of the peers say they have: one liar cannot move it far."""
        heights = sorted(peer.best_number for peer in self.peers.values())
        return heights[(len(heights) - 1) // 2] if heights else 0

    @property
    def is_behind(self) -> bool:
        """Whether most peers are far ahead; this node makes no blocks meanwhile."""
        return self.credible_target > self._ledger.head_number + FOLLOW_GAP

    @property
    def oldest_wanted(self) -> int | None:
        """The lowest block that any peer ahead has, when it is not low enough to go on from: only a warp helps then."""
        oldest = [peer.oldest_block for peer in self.peers.values() if peer.best_number > self._ledger.head_number]
        return min(oldest) if oldest and min(oldest) > self._ledger.head_number + 1 else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being downloaded or waits to be imported."""
        return not self._ranges and not self._wanted and not self._importer.has_work

    def wake_at(self, now: float) -> float:
        """When a block is to be asked for again; infinity when none is."""
        moments = (wanted.not_before for wanted in self._wanted.values() if not wanted.is_asked)
        return min((moment for moment in moments if moment > now), default=float("inf"))

    # --- events

    def on_status(self, peer: str, status: Status, now: float) -> None:
        """A peer told what it has."""
        known = self.peers.get(peer)
        if known is None:
            numbers = (status.finalized_number, status.oldest_block)
            self.peers[peer] = PeerState(status.best_number, status.best_hash, *numbers)
        elif known.paused_until <= now:
            known.oldest_block = status.oldest_block
            known.best_number, known.best_hash = status.best_number, status.best_hash
            known.finalized_number = max(known.finalized_number, status.finalized_number)
        if status.best_number > self._ledger.finalized_number:
            self.want(status.best_hash, status.best_number, peer)

    def on_announced(self, peer: str, hash_: bytes, number: int) -> None:
        """A peer announced a block that it has."""
        known = self.peers.get(peer)
        if known is not None and number >= known.best_number:
            known.best_number, known.best_hash = number, hash_
        self.want(hash_, number, peer)

    def on_gone(self, peer: str) -> None:
        """A peer left, or was caught lying: what it sent and is not imported is not used."""
        self.peers.pop(peer, None)
        if any(range_.peer == peer for range_ in self._ranges):
            self._restart()

    def want(self, hash_: bytes, number: int, peer: str = "") -> None:
        """Fetch a block, from that peer if possible, unless downloading history will bring it anyway."""
        is_known = self._ledger.header(hash_) is not None or self._importer.is_pending(hash_)
        distance = number - self._ledger.head_number
        if is_known or self._importer.is_bad(hash_) or number <= self._ledger.finalized_number or distance > FOLLOW_GAP:
            return
        wanted = self._wanted.get(hash_)
        if wanted is None:
            if len(self._wanted) >= MAX_WANTED:
                del self._wanted[next(iter(self._wanted))]
            count = min(max(distance, 1), MAX_RANGE)
            wanted = self._wanted[hash_] = Wanted(number, count, [])
        if peer and peer not in wanted.peers and len(wanted.peers) < MAX_ATTEMPTS:
            wanted.peers.append(peer)

    def want_ancestors(self, hash_: bytes, number: int, peer: str) -> None:
        """A block's parent is missing: fetch it with what lies between it and the finalized block."""
        self.want(hash_, number, peer)
        wanted = self._wanted.get(hash_)
        if wanted is not None:
            wanted.count = min(max(number - self._ledger.finalized_number, 1), MAX_RANGE)

    def advance(self, now: float) -> list[ImportEffect]:
        """Deliver and ask."""
        effects = self._deliver(now)
        effects += self._ask_ranges(now)
        effects += self._ask_wanted(now)
        return effects

    # --- ranges

    def _deliver(self, now: float) -> list[ImportEffect]:
        """Hand ranges to the importer in order, as long as it has room for a whole one."""
        effects: list[ImportEffect] = []
        while self._ranges and self._ranges[0].blocks and self._importer.room >= MAX_RANGE:
            first = self._ranges[0]
            if not self._attaches(first.blocks[0]):
                return [*effects, *self._detach(first, now)]
            del self._ranges[0]
            self._step_back = 1
            for data in first.blocks:
                effects += self._importer.submit(data.block, first.peer, now, data.justification)
        if not self._ranges and self.target < (self._next or 0) and not self._importer.has_work:
            self._next = None
        return effects

    def _attaches(self, data: BlockData) -> bool:
        parent = data.block.header.parent
        return self._ledger.header(parent) is not None or self._importer.is_pending(parent)

    def _detach(self, range_: Range, now: float) -> list[ImportEffect]:
        """A range follows no block that is known here: ask another peer, else step back, else leave its peer alone."""
        range_.refused.add(range_.peer)
        culprit, range_.blocks, range_.peer = range_.peer, (), ""
        if self._able(range_.start, range_.refused, now):
            return []
        lowest = self._ledger.finalized_number + 1
        self._restart()
        if range_.start > lowest:
            self._next = max(range_.start - self._step_back * 2, lowest)
            self._step_back *= 2
            return []
        self._step_back = 1
        if culprit in self.peers:
            self.peers[culprit].paused_until = now + PAUSE_SECONDS
            self.peers[culprit].best_number = self._ledger.finalized_number
        return []

    def _restart(self) -> None:
        """Forget what was downloaded and not imported."""
        self._ranges, self._next = [], None
        for peer in self.peers.values():
            peer.ranges = 0

    def _ask_ranges(self, now: float) -> list[ImportEffect]:
        effects: list[ImportEffect] = []
        for range_ in self._ranges:
            if not range_.peer:
                effects += self._ask_range(range_, now)
        while len(self._ranges) < MAX_RANGES and self._wants_range():
            start = self._ledger.head_number + 1 if self._next is None else self._next
            range_ = Range(start, min(MAX_RANGE, self.target - start + 1))
            asked = self._ask_range(range_, now)
            if not asked:
                break
            self._ranges.append(range_)
            self._next = start + range_.count
            effects += asked
        return effects

    def _wants_range(self) -> bool:
        if self._next is None:
            return self.target > self._ledger.head_number + FOLLOW_GAP
        return self._next <= self.target

    def _ask_range(self, range_: Range, now: float) -> list[Ask]:
        peer = self._choose_peer(range_.start, range_.refused, now)
        if peer is None:
            return []
        range_.peer = peer
        self.peers[peer].ranges += 1
        request = BlockRequest(FromNumber(range_.start), range_.count)

        def take(data: bytes | None, later: float) -> list[ImportEffect]:
            return self._on_range(range_, peer, data, later)

        return [self._requests.ask(peer, BLOCK_RANGE, request, MAX_RESPONSE_BYTES, now, take)]

    def _able(self, number: int, refused: set[str], now: float) -> list[str]:
        """Who says it has the block of that height, and was not found wanting."""
        return [
            peer
            for peer, state in self.peers.items()
            if state.oldest_block <= number <= state.best_number and peer not in refused and state.paused_until <= now
        ]

    def _choose_peer(self, number: int, refused: set[str], now: float) -> str | None:
        """The least busy of those that may be asked now."""
        free = [
            (self.peers[peer].ranges, peer)
            for peer in self._able(number, refused, now)
            if self.peers[peer].ranges < RANGES_PER_PEER and self._requests.has_room(peer)
        ]
        return min(free)[1] if free else None

    def _on_range(self, range_: Range, peer: str, data: bytes | None, now: float) -> list[ImportEffect]:
        if peer in self.peers:
            self.peers[peer].ranges = max(self.peers[peer].ranges - 1, 0)
        if range_ not in self._ranges:
            return []
        blocks, fault = read_blocks(peer, data, lambda blocks: blocks[0].block.header.number == range_.start)
        if fault is None and len(blocks) > range_.count:
            fault = Punish(peer, UNLINKED_POINTS, "more blocks than were asked for")
        if fault is not None:
            if peer in self.peers:
                self.peers[peer].best_number = range_.start - 1
            range_.refused.add(peer)
            range_.peer = ""
            if not self._able(range_.start, range_.refused, now):
                self._restart()
            return [fault] if fault.points else []
        range_.blocks = blocks
        missing = range_.count - len(blocks)
        if missing:
            range_.count = len(blocks)
            self._ranges.insert(self._ranges.index(range_) + 1, Range(range_.start + len(blocks), missing))
        return []

    # --- wanted blocks

    def _ask_wanted(self, now: float) -> list[ImportEffect]:
        effects: list[ImportEffect] = []
        for hash_, wanted in list(self._wanted.items()):
            gone = self._ledger.header(hash_) is not None or self._importer.is_pending(hash_)
            if gone or wanted.number <= self._ledger.finalized_number or wanted.attempts >= MAX_ATTEMPTS:
                del self._wanted[hash_]
            elif not wanted.is_asked and wanted.not_before <= now:
                effects += self._ask_block(hash_, wanted, now)
        return effects

    def _ask_block(self, hash_: bytes, wanted: Wanted, now: float) -> list[Ask]:
        candidates = [peer for peer in wanted.peers if peer in self.peers and self._requests.has_room(peer)]
        if not candidates and not wanted.peers:
            ranked = sorted((-state.best_number, peer) for peer, state in self.peers.items())
            able = [peer for _, peer in ranked if self._requests.has_room(peer)]
            candidates = able[wanted.attempts % len(able) :] if able else []
        if not candidates:
            wanted.attempts += not any(peer in self.peers for peer in wanted.peers)
            wanted.peers = [peer for peer in wanted.peers if peer in self.peers]
            return []
        peer = candidates[0]
        wanted.is_asked = True
        wanted.attempts += 1

        def take(data: bytes | None, later: float) -> list[ImportEffect]:
            return self._on_wanted(hash_, wanted, peer, data, later)

        request = BlockRequest(FromHash(hash_), wanted.count)
        return [self._requests.ask(peer, BLOCK_RANGE, request, MAX_RESPONSE_BYTES, now, take)]

    def _on_wanted(self, hash_: bytes, wanted: Wanted, peer: str, data: bytes | None, now: float) -> list[ImportEffect]:
        wanted.is_asked = False
        blocks, fault = read_blocks(peer, data, lambda blocks: header_hash(blocks[-1].block.header) == hash_)
        if fault is not None:
            wanted.not_before = now + RETRY_SECONDS
            wanted.peers = [*(other for other in wanted.peers if other != peer), peer]
            return [fault] if fault.points else []
        self._wanted.pop(hash_, None)
        return [
            effect for item in blocks for effect in self._importer.submit(item.block, peer, now, item.justification)
        ]


def read_blocks(
    peer: str, data: bytes | None, is_what_was_asked: Callable[[tuple[BlockData, ...]], bool]
) -> tuple[tuple[BlockData, ...], Punish | None]:
    """The blocks of an answer, each the parent of the next; or what is wrong with it."""
    if data is None:
        return (), Punish(peer, USELESS_POINTS, "no blocks in time")
    try:
        blocks = decode_message(BlockResponse, data).blocks
    except MalformedMessage as error:
        return (), Punish(peer, MALFORMED_POINTS, f"a malformed answer: {error}")
    if not blocks:
        return (), Punish(peer, USELESS_POINTS, "blocks that it said it has are missing")
    headers = [item.block.header for item in blocks]
    linked = all(
        later.number == earlier.number + 1 and later.parent == header_hash(earlier)
        for earlier, later in pairwise(headers)
    )
    if not linked or not is_what_was_asked(blocks):
        return (), Punish(peer, UNLINKED_POINTS, "blocks that were not asked for, or do not follow each other")
    return blocks, None
