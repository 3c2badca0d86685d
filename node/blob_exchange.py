"""The blobs that a node can get at: its own, and those of its peers.

Users ask with `BlobExchange.find`. For one blob there is one fetch, however many ask for it. Peers fetch and never
push, and a node fetches for its own users alone, so a question is never passed on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator

import trio

from node.blob_errors import BlobBusy, BlobMissing
from node.blob_fetch import IDLE_SECONDS, Fetch
from node.blob_server import BlobServer
from node.blobs import BlobStore
from p2p.interface import Host

FETCHES = 8
"""Blobs that are fetched at once."""
MISSING_SECONDS = 2.0
"""For how long peers are not asked again for a blob that none of them held."""
_MISSING = 1024

logger = logging.getLogger("solvent.blobs")


class StoredBlob:
    """A blob that this node holds."""

    def __init__(self, store: BlobStore, root: bytes) -> None:
        """Raises `BlobMissing`."""
        size = store.size(root)
        if size is None:
            raise BlobMissing(f"this node does not hold blob {root.hex()}")
        self._store, self._root, self.size = store, root, size

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``end`` (exclusive), in pieces."""
        for piece in self._store.read(self._root, start, end):
            yield piece
            await trio.lowlevel.checkpoint()


class ArrivingBlob:
    """A blob on its way here, of proven size."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self.size = fetch, size

    def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``end`` (exclusive), as they arrive. Raises `BlobError` when they stop coming."""
        return self._fetch.read(start, end)


class BlobExchange:
    """Serves this node's blobs to peers, and fetches theirs. Mutable; `run` must be running."""

    def __init__(self, host: Host, store: BlobStore, idle_seconds: float = IDLE_SECONDS) -> None:
        self._host, self._store, self._idle_seconds = host, store, idle_seconds
        self._server = BlobServer(host, store)
        self._fetches: dict[bytes, Fetch] = {}
        self._missing: OrderedDict[bytes, float] = OrderedDict()
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run fetches until cancelled; what they have got is kept."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def find(self, root: bytes) -> StoredBlob | ArrivingBlob:
        """Return a blob to read, once its size is known. Raises `BlobError`."""
        if self._store.size(root) is not None:
            return StoredBlob(self._store, root)
        fetch = self._fetches.get(root) or self._start(root)
        fetch.touch()
        return ArrivingBlob(fetch, await fetch.size())

    def _start(self, root: bytes) -> Fetch:
        if self._nursery is None or self._missing.get(root, 0.0) > trio.current_time():
            raise BlobMissing(f"neither this node nor a peer of it holds blob {root.hex()}")
        if len(self._fetches) >= FETCHES:
            raise BlobBusy(f"{FETCHES} blobs are being fetched from peers already; try again")
        fetch = self._fetches[root] = Fetch(root, self._host, self._store, self._idle_seconds)
        self._nursery.start_soon(self._run, fetch)
        return fetch

    async def _run(self, fetch: Fetch) -> None:
        try:
            await fetch.run()
        except Exception:
            logger.exception("the fetch of blob %s failed", fetch.root.hex())
        finally:
            del self._fetches[fetch.root]
        if fetch.is_missing:
            self._missing[fetch.root] = trio.current_time() + MISSING_SECONDS
            self._missing.move_to_end(fetch.root)
            while len(self._missing) > _MISSING:
                self._missing.popitem(last=False)
