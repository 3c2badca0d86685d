"""What every node is made of, alone or among others: database, ledger, pool, blobs, RPC, and how it starts and stops.

`node.service.Node` (a development chain) and `node.network_service.NetworkNode` (one of several) say where blocks come
from. Whatever changes the chain runs from its first line to its last effect without giving way to another task, except
for the execution of a block, which is done in slices, so that readers always see the last committed block.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import trio

from chain.db import Batch, Database, DatabaseError
from chain.ledger import IsPrimary, Ledger, open_ledger
from chain.pool import Pool
from chain.sync import SyncState
from node.blob_exchange import StoredBlob
from node.blobs import BlobStore
from node.config import VERSION, NodeConfig
from node.holder import BlobHolder
from node.keystore import SeedSigner
from node.pins import find_pinned
from node.session_keys import RotationRefused
from rpc.bell import Bell
from rpc.indexes import Indexes, follow
from rpc.server import PortUnavailable, Server, bind_socket, serve_metrics, serve_rpc
from rpc.view import FoundBlob, PeerView
from runtime.errors import SolventError
from runtime.pallets import balances

logger = logging.getLogger("solvent.node")

SLICE_SECONDS = 0.004
"""How long block execution may keep the thread before others get their turn."""
SWAMPED_SLICE_SECONDS = 0.02
"""The same where blocks come faster than they are executed: what others do meanwhile can wait a little longer."""


class BaseNode:
    """A node without a source of blocks. Mutable; implements `rpc.view.NodeView`. `run` serves until told to stop."""

    is_development = False

    def __init__(self, config: NodeConfig, is_primary: IsPrimary = lambda header, state: False) -> None:
        """Take the RPC port and open the database, so that what is in the way is known before anything starts.

        Raises `PortUnavailable`, `DatabaseError` or `WrongGenesis`.
        """
        self.config = config
        self.name, self.version = "solvent", VERSION
        self.genesis = config.genesis
        self.chain_name = str(config.genesis["name"])
        self._listener = bind_socket(config.rpc_host, config.rpc_port)
        self.rpc_port = int(self._listener.getsockname()[1])
        try:
            self._database = Database(config.database_path)
            try:
                self.ledger: Ledger = open_ledger(
                    self._database,
                    config.genesis,
                    config.state_window,
                    is_primary,
                    block_window=config.block_window,
                )
                self.indexes = Indexes(config.index_path, self.ledger) if config.index else None
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
            lambda owners: find_pinned(self.ledger.state(), owners, config.holder.public if config.holder else b""),
        )
        self.bell = Bell()
        self.started_at = time.time()
        self._wake = trio.Event()
        self._stop = trio.Event()
        self._failure: SolventError | None = None
        """Why the node stopped by itself; `run` raises it, whoever caught it on the way."""

    # --- what rpc.view.NodeView asks for

    def submit(self, raw: bytes) -> bytes:
        """Hand an extrinsic to the pool."""
        raise NotImplementedError

    def may_upload(self, account: bytes) -> bool:
        """Any account of the chain may store blobs here, within its quota."""
        return balances.ACCOUNTS.contains(self.ledger.state(), account)

    async def find_blob(self, root: bytes) -> FoundBlob:
        """A blob that this node holds."""
        return StoredBlob(self.blobs, root)

    def peer_count(self) -> int:
        """A node is alone unless it knows better."""
        return 0

    def peers(self) -> Sequence[PeerView]:
        """The same."""
        return ()

    def peer_id(self) -> str:
        """The same."""
        return ""

    def addresses(self) -> Sequence[str]:
        """The same."""
        return ()

    def session_keys(self) -> Collection[bytes]:
        """A node without a key of its own only follows."""
        return ()

    def rotate_keys(self, owner: bytes | None) -> tuple[bytes, bytes]:
        """Only validators have a use for session keys."""
        raise RotationRefused("this node is no validator: start it with --validator")

    def now(self) -> float:
        """The pool's clock, in seconds."""
        return trio.current_time()

    def wall_time(self) -> float:
        """Unix seconds."""
        return time.time()

    def is_syncing(self) -> bool:
        """A node is not behind anybody unless it knows better."""
        return False

    def sync_state(self) -> SyncState:
        """How far this node is, and how far the others are."""
        head = self.ledger.head_number
        return SyncState(0, head, head, False, None, 0)

    def round_state(self) -> Any:
        """Nobody votes where a node does not know of voters."""
        return None

    # --- running

    def stop(self) -> None:
        """End `run` in good order."""
        self._stop.set()
        self._wake.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`, Ctrl-C or SIGTERM. The database is closed when this returns."""
        try:
            async with trio.open_nursery() as nursery:
                self.server: Server = await nursery.start(
                    serve_rpc, self, self._listener, self._stop.wait, self.config.rpc
                )
                self._start_metrics(nursery)
                await self._start(nursery)
                if self.config.holder is not None:
                    nursery.start_soon(self._hold_blobs, self.config.holder)
                if self.indexes is not None:
                    nursery.start_soon(follow, self.indexes, self._stop)
                task_status.started()
        finally:
            if self.indexes is not None:
                self.indexes.close()
            self._database.close()
        if self._failure is not None:
            raise self._failure

    async def _hold_blobs(self, signer: SeedSigner) -> None:
        """Keep blobs for others until `stop`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(BlobHolder(self, signer, self.config.holder_bond).run)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def _start_metrics(self, nursery: trio.Nursery) -> None:
        """Serve Prometheus. Another node on this machine may have the port: that is no reason not to run."""
        port = self.config.metrics_port
        if port is None:
            return
        try:
            listener = bind_socket(self.config.metrics_host, port, "--prometheus-port")
        except PortUnavailable as error:
            logger.warning("no metrics are served: %s", error)
            return
        self.metrics_port = int(listener.getsockname()[1])
        nursery.start_soon(serve_metrics, self, self.server.gate, listener, self._stop.wait)

    async def _start(self, nursery: trio.Nursery) -> None:
        """Start the tasks that bring blocks; they end after `stop`."""
        raise NotImplementedError

    async def stop_on_signals(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn SIGINT and SIGTERM into `stop`."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.stop()

    def _commit(self, batch: Batch) -> None:
        """Write to the disk, or stop: a node that cannot remember what it did must not go on."""
        try:
            self._database.write(batch, sync=True)
        except DatabaseError as error:
            self.fail(error)
            raise

    def fail(self, error: SolventError) -> None:
        """Stop because of an error, which may have come up in a peer's handler that contains it."""
        self._failure = self._failure or error
        self.stop()


def slice_is_over(seconds: float = SLICE_SECONDS) -> Callable[[], bool]:
    """A function that says when the slice that begins now is over."""
    deadline = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= deadline


def run_node(node: BaseNode, on_start: Callable[[], None] = lambda: None) -> None:
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
