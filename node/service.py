"""The pump of a development node: one trio nursery that carries effects of the passive objects to disk and sockets.

One task, `_seal`, owns the chain: it alone executes blocks, a few milliseconds at a time, so that requests are answered
in between and always see the last committed block. A block is made as soon as an extrinsic is ready, and every
``seal_seconds`` regardless, because deadlines count blocks; it is final at once.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from chain.author import BlockBuilder
from chain.db import Database
from chain.effects import Commit, Effect, NewBest, NewFinalized
from chain.ledger import Ledger, open_ledger
from chain.pool import Pool
from chain.views import Layer
from node.blobs import BlobStore
from node.config import VERSION, NodeConfig
from node.pins import find_pinned
from rpc.server import bind_socket, serve_rpc
from runtime.block import Extrinsic, decode_extrinsic
from runtime.pallets import balances, system

SLICE_SECONDS = 0.004
"""How long block execution may keep the thread before others get their turn."""

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


class Node:
    """One development node. Mutable; implements `rpc.view.NodeView`. `run` serves until it is told to stop."""

    def __init__(self, config: NodeConfig, on_block: Callable[[BlockReport], None] = lambda report: None) -> None:
        """Take the RPC port and open the database, so that what is in the way is known before anything starts.

        Raises `PortUnavailable`, `DatabaseError` or `WrongGenesis`.
        """
        self.config = config
        self.name, self.version, self.is_development = "solvent", VERSION, True
        self.chain_name = str(config.genesis["name"])
        self._on_block = on_block
        self._listener = bind_socket(config.rpc_host, config.rpc_port)
        self.rpc_port = int(self._listener.getsockname()[1])
        try:
            self._database = Database(config.database_path)
            try:
                self.ledger: Ledger = open_ledger(self._database, config.genesis, config.state_window)
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            self._listener.close()
            raise
        self.pool = Pool(self.ledger.validate, config.pool)
        self.blobs = BlobStore(
            config.blob_path,
            config.blob_capacity,
            config.blob_account_capacity,
            lambda owners: find_pinned(self.ledger.state(), owners),
        )
        self._wake = trio.Event()
        self._stop = trio.Event()

    # --- what rpc.view.NodeView asks for

    def submit(self, raw: bytes) -> bytes:
        """Hand an extrinsic to the pool and wake the block maker."""
        hash_ = self.pool.submit(raw, self.ledger.head_number, trio.current_time())
        self._wake.set()
        return hash_

    def may_upload(self, account: bytes) -> bool:
        """Any account of the chain may store blobs here, within its quota."""
        return balances.ACCOUNTS.contains(self.ledger.state(), account)

    def peer_count(self) -> int:
        """A development node is alone."""
        return 0

    # --- running

    def stop(self) -> None:
        """End `run` after the block in the making."""
        self._stop.set()
        self._wake.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve and make blocks until `stop`, Ctrl-C or SIGTERM. The database is closed when this returns."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_rpc, self, self._listener, self._stop.wait)
                nursery.start_soon(self._seal)
                task_status.started()
        finally:
            self._database.close()

    async def stop_on_signals(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn SIGINT and SIGTERM into `stop`."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.stop()

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
        deadline = time.perf_counter() + SLICE_SECONDS
        while builder.step():
            if time.perf_counter() >= deadline:
                await trio.lowlevel.checkpoint()
                deadline = time.perf_counter() + SLICE_SECONDS
        return builder.finish(author)

    def _dispatch(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit(batch):
                    self._database.write(batch, sync=True)
                case NewBest(_, number, enacted, retracted):
                    self._on_new_best(number, enacted, retracted)
                case NewFinalized(hash_, number):
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


def run_node(node: Node, on_start: Callable[[], None] = lambda: None) -> None:
    """Run a node in this thread until Ctrl-C, SIGTERM or an error, which is raised by itself and not in a group.

    ``on_start`` is called once requests are answered and signals stop the node cleanly.
    """

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.stop_on_signals)
            async with trio.open_nursery() as running:
                await running.start(node.run)
                on_start()
            nursery.cancel_scope.cancel()

    try:
        trio.run(main)
    except BaseExceptionGroup as group:
        raise _first_leaf(group) from None


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
