"""Handing blobs to peers: whether this node holds one, and its units with their proofs.

Only whole blobs are handed out, and asking for one that is not here makes this node ask nobody. Every unit is hashed
before it leaves, so that a disk that rots costs the blob, not this node's good name.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from typing import NoReturn

import trio

from chain.messages import (
    BLOB_SIZE,
    BLOB_UNITS,
    BlobSize,
    BlobSizeRequest,
    BlobUnit,
    BlobUnitsRequest,
    M,
    MalformedMessage,
    decode_message,
    encode_message,
)
from node.blob_units import UNIT_BYTES, compute_unit_root, unit_length, unit_tree
from node.blobs import BlobStore
from p2p.interface import Host, PeerId, RequestRefused
from runtime.trees import Tree

STREAMS_PER_PEER = 8
STREAMS = 24
"""Answers under way at once; more are refused as "busy"."""
BYTES_PER_SECOND = 64 * 1024 * 1024
"""What one peer is given on average; `BURST_BYTES` more at first."""
BURST_BYTES = 16 * 1024 * 1024
_TREES = 4
"""Trees kept between requests: 64 bytes for each unit of the blob."""
_MALFORMED_POINTS = -50

logger = logging.getLogger("solvent.blobs")


class Allowances:
    """How many bytes each peer has been given lately. Mutable, bounded."""

    def __init__(self) -> None:
        self._spent: OrderedDict[PeerId, tuple[float, float]] = OrderedDict()
        """Peer -> bytes beyond its due, and when that was."""

    def wait_for(self, peer: PeerId, size: int, now: float) -> float:
        """Count ``size`` bytes; return how many seconds the peer has to wait for them."""
        debt, since = self._spent.pop(peer, (0.0, now))
        debt = max(0.0, debt - (now - since) * BYTES_PER_SECOND) + size
        self._spent[peer] = (debt, now)
        while len(self._spent) > 1024:
            self._spent.popitem(last=False)
        return max(0.0, debt - BURST_BYTES) / BYTES_PER_SECOND


class BlobServer:
    """Answers what peers ask about blobs. Mutable; it counts the answers under way."""

    def __init__(self, host: Host, store: BlobStore) -> None:
        self._host, self._store = host, store
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()
        self._open: Counter[PeerId] = Counter()
        self._allowances = Allowances()
        host.serve(f"/{BLOB_SIZE}", self._tell_size)
        host.serve_stream(f"/{BLOB_UNITS}", self._send_units)

    def _read(self, kind: type[M], peer: PeerId, data: bytes) -> M:
        try:
            return decode_message(kind, data)
        except MalformedMessage as error:
            self._host.report(peer, _MALFORMED_POINTS, f"a malformed request: {error}")
            raise RequestRefused("malformed") from None

    async def _tell_size(self, peer: PeerId, data: bytes) -> bytes:
        size = self._store.size(self._read(BlobSizeRequest, peer, data).root)
        if size is None:
            raise RequestRefused("not here")
        return encode_message(BlobSize(size))

    async def _send_units(self, peer: PeerId, data: bytes) -> AsyncGenerator[bytes, None]:
        request = self._read(BlobUnitsRequest, peer, data)
        if self._open[peer] >= STREAMS_PER_PEER or self._open.total() >= STREAMS:
            raise RequestRefused("busy")
        self._open[peer] += 1
        try:
            tree = await self._tree(request.root)
            for index in range(request.first, min(request.first + request.count, tree.width)):
                unit = self._read_unit(request.root, tree, index)
                await trio.sleep(self._allowances.wait_for(peer, UNIT_BYTES, trio.current_time()))
                yield encode_message(BlobUnit(tree.path(index), unit))
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _tree(self, root: bytes) -> Tree:
        """The top of a blob's tree, from memory, from its file, or computed from the blob."""
        if self._store.size(root) is None:
            raise RequestRefused("not here")
        tree = self._trees.pop(root, None)
        if tree is None:
            tree = unit_tree(self._store.unit_roots(root) or [])
            if tree.root != root:
                tree = unit_tree(await self._index(root))
            if tree.root != root:
                self._drop_damaged(root)
        self._trees[root] = tree
        while len(self._trees) > _TREES:
            self._trees.popitem(last=False)
        return tree

    async def _index(self, root: bytes) -> list[bytes]:
        try:
            for _ in self._store.index(root):
                await trio.lowlevel.checkpoint()
            return self._store.unit_roots(root) or []
        except (OSError, KeyError):
            raise RequestRefused("not here any more") from None

    def _read_unit(self, root: bytes, tree: Tree, index: int) -> bytes:
        size = self._store.size(root)
        if size is None:
            raise RequestRefused("not here any more")
        start = index * UNIT_BYTES
        try:
            unit = b"".join(self._store.read(root, start, start + unit_length(size, index)))
        except OSError:
            unit = b""
        if compute_unit_root(unit, tree.width == 1) != tree.node(0, index):
            self._drop_damaged(root)
        return unit

    def _drop_damaged(self, root: bytes) -> NoReturn:
        logger.error("blob %s is damaged on this node's disk and was dropped", root.hex())
        self._store.remove(root)
        raise RequestRefused("damaged here")
