"""The pump of a development node: one trio nursery that carries effects of the passive objects to disk and sockets.

One task, `_seal`, owns the chain: it alone executes blocks, a few milliseconds at a time, so that requests are answered
in between and always see the last committed block. A block is made as soon as an extrinsic is ready, and every
``seal_seconds`` regardless, because deadlines count blocks; it is final at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import trio

from chain.author import BlockBuilder
from chain.effects import Commit, Effect, NewBest, NewFinalized
from chain.views import Layer
from node.base import BaseNode, run_node, slice_is_over
from node.config import NodeConfig
from runtime.block import Extrinsic, decode_extrinsic
from runtime.pallets import system

__all__ = ["BlockReport", "Node", "run_node"]

logger = logging.getLogger("solvent.node")


@dataclass(frozen=True, slots=True)
class BlockReport:
    """What a person wants to know of a block that was just made."""

    number: int
    hash: bytes
    extrinsics: int
    failed: int
    events: int
    pool: int
    seconds: float


class Node(BaseNode):
    """One development node. Mutable; `run` serves until it is told to stop."""

    is_development = True

    def __init__(self, config: NodeConfig, on_block: Callable[[BlockReport], None] = lambda report: None) -> None:
        """As `BaseNode`; ``on_block`` hears of every block."""
        super().__init__(config)
        self._on_block = on_block

    def submit(self, raw: bytes) -> bytes:
        """Hand an extrinsic to the pool and wake the block maker."""
        hash_ = self.pool.submit(raw, self.ledger.head_number, trio.current_time())
        self._wake.set()
        self.bell.ring()
        return hash_

    def session_keys(self) -> Collection[bytes]:
        return (self.config.author.public,)

    async def _start(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._seal)

    async def _seal(self) -> None:
        """Make blocks. A block that could include none of the ready extrinsics does not call for another at once."""
        fruitless = False
        while not self._stop.is_set():
            await self._wait_for_work(fruitless)
            if self._stop.is_set():
                return
            started = time.perf_counter()
            layer = await self._build()
            self._dispatch(self.ledger.on_executed(layer, finalize=True))
            included = len(layer.block.body) - len(self._unsigned(layer))
            fruitless = included == 0 and self.pool.has_ready
            self._report(layer, included, time.perf_counter() - started)

    async def _wait_for_work(self, fruitless: bool) -> None:
        """Return when an extrinsic is ready (after letting its neighbours arrive), or when a block is due anyway."""
        with trio.move_on_after(self.config.seal_seconds):
            while fruitless or not self.pool.has_ready:
                self._wake = trio.Event()
                await self._wake.wait()
                fruitless = False
                if self._stop.is_set():
                    return
            await trio.sleep(self.config.coalesce_seconds)

    async def _build(self) -> Layer:
        milliseconds = time.time_ns() // 1_000_000
        author = self.config.author
        slot = milliseconds // system.parameters(self.ledger.state()).block.slot_milliseconds
        builder = BlockBuilder(self.ledger, self.pool, author.public, slot, milliseconds, trio.current_time())
        await trio.lowlevel.checkpoint()
        is_over = slice_is_over()
        while builder.step():
            if is_over():
                await trio.lowlevel.checkpoint()
                is_over = slice_is_over()
        return builder.finish(author)

    def _dispatch(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit(batch):
                    self._commit(batch)
                case NewBest(_, number, enacted, retracted):
                    self._on_new_best(number, enacted, retracted)
                case NewFinalized(hash_, number):
                    self.bell.ring()
                    logger.debug("finalized block %d 0x%s", number, hash_.hex())

    def _on_new_best(self, number: int, enacted: tuple[bytes, ...], retracted: tuple[bytes, ...]) -> None:
        for hash_ in enacted:
            block = self.ledger.block(hash_)
            if block is not None:
                self.pool.on_block(block.body, number)
        if retracted:
            blocks = [self.ledger.block(hash_) for hash_ in retracted]
            bodies = [raw for block in blocks if block is not None for raw in block.body]
            self.pool.on_reorganisation(bodies, number, trio.current_time())

    def _unsigned(self, layer: Layer) -> list[bytes]:
        return [raw for raw in layer.block.body if not isinstance(decode_extrinsic(raw), Extrinsic)]

    def _report(self, layer: Layer, included: int, seconds: float) -> None:
        failed = sum(1 for receipt in layer.outcome.receipts if not receipt.ok)
        events = len(layer.outcome.events)
        number = layer.header.number
        self._on_block(BlockReport(number, layer.hash, included, failed, events, len(self.pool), seconds))
