"""Filling the gap that a warp leaves: the bodies of older blocks, downloaded from the newest down to the oldest.

Each block is named by its child's parent hash, and its body by its header, so nothing has to be executed and nobody has
to be trusted. One request is out at a time, and none while this node has blocks to execute: the present comes first.
Receipts and events of these blocks are not known here, because only executing a block gives them.
"""

from __future__ import annotations

from typing import Any

from chain.db import Batch
from chain.effects import Commit, Effect, Punish
from chain.finality import FinalityBroken
from chain.ledger import Ledger
from chain.messages import BLOCK_RANGE, MAX_RANGE, MAX_RESPONSE_BYTES, BlockData, BlockRequest, FromHash
from chain.requests import Requests
from chain.store import Gap
from chain.sync import USELESS_POINTS, PeerState, read_blocks
from runtime.block import extrinsics_root, header_hash

PAUSE_SECONDS = 20.0
FALSE_POINTS = 100
KNOWN_AT_ONCE = 512
"""Blocks of an earlier history that are stepped over at once."""


class History:
    """Mutable. `advance` after each event."""

    def __init__(self, ledger: Ledger, requests: Requests[Any], peers: dict[str, PeerState]) -> None:
        self._ledger, self._requests, self._peers = ledger, requests, peers
        self._is_asking = False
        self._paused: dict[str, float] = {}
        self._gap = ledger.store.gap()

    @property
    def missing(self) -> int:
        """Blocks that are still to be downloaded, by what is on the disk: `on_jump` comes later than a jump."""
        gap = self._ledger.store.gap()
        return 0 if gap is None else max(gap.high + 1 - self._lowest(gap), 0)

    def on_jump(self) -> None:
        """A warp has left a gap."""
        self._gap = self._ledger.store.gap()

    def advance(self, now: float) -> list[Effect]:
        """Ask for the blocks at the upper end of the gap, or close it."""
        gap = self._gap
        if gap is None or self._is_asking:
            return []
        low = self._lowest(gap)
        if gap.high < low:
            return self._move(gap.low - 1, b"", {})
        if self._ledger.store.block(gap.hash) is not None:
            return self._step_over(gap, low)
        peer = self._choose(gap.high, now)
        if peer is None:
            return []
        self._is_asking = True
        request = BlockRequest(FromHash(gap.hash), min(gap.high - low + 1, MAX_RANGE))

        def take(data: bytes | None, later: float) -> list[Effect | FinalityBroken]:
            self._is_asking = False
            return self._take(gap, peer, data, later)

        return [self._requests.ask(peer, BLOCK_RANGE, request, MAX_RESPONSE_BYTES, now, take)]

    def _lowest(self, gap: Gap) -> int:
        """The lowest block that is worth having: the rest would be forgotten at once."""
        window = self._ledger.store.block_window
        return gap.low if window is None else max(gap.low, self._ledger.finalized_number - window)

    def _choose(self, number: int, now: float) -> str | None:
        """Who has these blocks, and owes the least."""
        able = [
            (self._requests.count(peer), peer)
            for peer, state in self._peers.items()
            if state.oldest_block <= number and self._paused.get(peer, 0.0) <= now and self._requests.has_room(peer)
        ]
        return min(able)[1] if able else None

    def _take(self, gap: Gap, peer: str, data: bytes | None, now: float) -> list[Effect | FinalityBroken]:
        blocks, fault = read_blocks(peer, data, lambda blocks: header_hash(blocks[-1].block.header) == gap.hash)
        if fault is not None:
            self._paused[peer] = now + PAUSE_SECONDS
            return [fault] if fault.points > USELESS_POINTS else []
        for item in blocks:
            if item.block.header.extrinsics_root != extrinsics_root(item.block.body):
                return [Punish(peer, FALSE_POINTS, f"the body of block {item.block.header.number} is not its header's")]
        first = blocks[0].block.header
        if first.number == gap.low and first.parent != self._ledger.store.hash_at(gap.low - 1):
            return [FinalityBroken(f"block {gap.low} follows another block than the {gap.low - 1} that was final here")]
        return [*self._store(gap, blocks)]

    def _store(self, gap: Gap, blocks: tuple[BlockData, ...]) -> list[Effect]:
        batch: Batch = {}
        store = self._ledger.store
        hash_ = gap.hash
        for item in reversed(blocks):
            header = item.block.header
            if header.number >= gap.low:
                store.stage_block(batch, hash_, item.block)
                hash_ = header.parent
        return self._move(max(blocks[0].block.header.number, gap.low) - 1, hash_, batch)

    def _step_over(self, gap: Gap, low: int) -> list[Effect]:
        """Blocks that an earlier history has left."""
        number, hash_ = gap.high, gap.hash
        for _ in range(KNOWN_AT_ONCE):
            block = self._ledger.store.block(hash_)
            if block is None or number < low:
                break
            number, hash_ = number - 1, block.header.parent
        return self._move(number, hash_, {})

    def _move(self, high: int, hash_: bytes, batch: Batch) -> list[Effect]:
        """The gap now ends at ``high``, or is closed."""
        assert self._gap is not None
        self._gap = Gap(self._gap.low, high, hash_) if high >= self._gap.low else None
        self._ledger.store.stage_gap(batch, self._gap)
        return [Commit(batch)]
