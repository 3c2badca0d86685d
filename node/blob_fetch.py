"""One blob fetched from peers, by its root: verified unit by unit, from several peers at once, and readable meanwhile.

Every connected peer is asked whether it holds the blob; if none does, some more nodes are dialled and asked. The first
that does proves the size with the last unit (`node.blob_units`); then each holder is given runs of units, one at first
and twice as many after each that came. A unit that is not the blob's costs its sender points and its part in this
fetch, and what others sent is kept. A fetch lives while somebody reads it and it makes progress: `IDLE_SECONDS` without
either ends it, and what came is kept on disk for the next try. Peers that connect meanwhile are asked, too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

import trio

from chain.messages import (
    BLOB_SIZE,
    BLOB_UNITS,
    MAX_REQUEST_BYTES,
    MAX_UNIT_MESSAGE_BYTES,
    MAX_UNITS,
    BlobSize,
    BlobSizeRequest,
    BlobUnit,
    BlobUnitsRequest,
    MalformedMessage,
    decode_message,
    encode_message,
)
from node.blob_errors import BlobError, BlobMissing, BlobUnavailable
from node.blob_parts import Part
from node.blob_units import UNIT_BYTES, unit_count, verify_unit
from node.blobs import BlobStore
from p2p.interface import Host, NetworkError, PeerId

IDLE_SECONDS = 30.0
ASK_SECONDS = 5.0
"""How long a peer may take to say whether it holds a blob."""
UNIT_SECONDS = 15.0
AGAIN_SECONDS = 5.0
"""After which a peer that did not help is asked again, should the fetch still run."""
SENDERS = 6
"""Peers that send at once: each holds one unit in memory."""
STRANGERS = 8
"""Nodes that are dialled when no peer holds the blob."""
BAD_UNIT_POINTS = -50

logger = logging.getLogger("solvent.blobs")


class Fetch:
    """One blob on its way here. Mutable. `run` fetches; any number of readers wait for `size` and `read`."""

    def __init__(self, root: bytes, host: Host, store: BlobStore, idle_seconds: float = IDLE_SECONDS) -> None:
        self.root, self._host, self._store, self._idle_seconds = root, host, store, idle_seconds
        self._part: Part | None = None
        self._failure: BlobError | None = None
        self._is_stored = False
        self._is_held = False
        """Whether any peer said that it holds the blob."""
        self._wanted = 0
        self._changed = trio.Event()
        self._opening = trio.Lock()
        self._senders = trio.CapacityLimiter(SENDERS)
        self._active: set[PeerId] = set()
        self._next_ask: dict[PeerId, float] = {}
        self._scope = trio.CancelScope()
        self._progress_time = trio.current_time()

    # --- for readers

    async def size(self) -> int:
        """Wait until the size is proven. Raises the `BlobError` that ended the fetch."""
        while self._part is None:
            await self._wait()
        return self._part.size

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to ``end`` (exclusive), as they come. Raises the `BlobError` that ended the fetch."""
        while start < end:
            index = start // UNIT_BYTES
            stop = min(end, (index + 1) * UNIT_BYTES)
            while self._part is None or not self._part.has(index):
                self._wanted = index
                await self._wait()
            self.touch()
            yield self._read_bytes(start, stop)
            start = stop

    def _read_bytes(self, start: int, stop: int) -> bytes:
        if not self._is_stored and self._failure is None and self._part is not None:
            return self._part.read(start, stop)
        if self._store.size(self.root) is None:
            raise self._failure or BlobUnavailable(f"blob {self.root.hex()} has been dropped to make room")
        return b"".join(self._store.read(self.root, start, stop))

    async def _wait(self) -> None:
        """Wait for news. Progress since the last look keeps the fetch alive; waiting alone does not."""
        if self._failure is not None:
            raise self._failure
        self._scope.deadline = max(self._scope.deadline, self._progress_time + self._idle_seconds)
        await self._changed.wait()

    def touch(self) -> None:
        """Somebody wants the blob: keep the fetch alive."""
        self._scope.deadline = trio.current_time() + self._idle_seconds

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    @property
    def is_missing(self) -> bool:
        """Whether it ended because no peer holds the blob."""
        return isinstance(self._failure, BlobMissing)

    # --- fetching

    async def run(self) -> None:
        """Fetch until the blob is stored, or there is no hope, or no reader. Raises nothing that a peer caused."""
        self.touch()
        try:
            with self._scope:
                await self._gather()
        finally:
            if not self._is_stored:
                self._failure = self._failure or self._explain()
                if self._part is not None:
                    self._store.end_fetch(self._part, is_synced=False)
            self._tell()

    def _explain(self) -> BlobError:
        if self._is_held:
            return BlobUnavailable(f"the peers that hold blob {self.root.hex()} do not go on sending it; try again")
        return BlobMissing(f"neither this node nor a peer of it holds blob {self.root.hex()}")

    async def _gather(self) -> None:
        has_reached_out = False
        async with trio.open_nursery() as nursery:
            while self._part is None or not self._part.is_whole:
                now = trio.current_time()
                for peer in self._host.peers():
                    if peer.id not in self._active and self._next_ask.get(peer.id, 0.0) <= now:
                        self._active.add(peer.id)
                        nursery.start_soon(self._get_from, peer.id)
                if not self._active and self._part is None:
                    if has_reached_out or not await self._host.reach_out(STRANGERS):
                        return
                    has_reached_out = True
                    continue
                with trio.move_on_after(1.0):
                    await self._changed.wait()
            nursery.cancel_scope.cancel()
        assert self._part is not None
        await trio.to_thread.run_sync(self._part.sync)
        self._store.end_fetch(self._part, is_synced=True)
        self._is_stored = True

    async def _get_from(self, peer: PeerId) -> None:
        """Get what a peer has, as long as it helps."""
        self._next_ask[peer] = trio.current_time() + AGAIN_SECONDS
        try:
            size = await self._ask_size(peer)
            self._is_held = True
            async with self._senders:
                part = await self._settle_size(peer, size)
                await self._get_units(peer, part)
        except MalformedMessage as error:
            logger.info("%s sends what is not of blob %s: %s", peer, self.root.hex(), error)
            self._next_ask[peer] = math.inf
            self._host.report(peer, BAD_UNIT_POINTS, f"blob {self.root.hex()}: {error}")
        except NetworkError as error:
            logger.debug("blob %s from %s: %s", self.root.hex(), peer, error)
        except BlobError as error:
            self._give_up(error)
        except OSError as error:
            self._give_up(BlobError(f"blob {self.root.hex()} cannot be stored: {error.strerror}"))
        finally:
            self._active.discard(peer)
            self._tell()

    def _give_up(self, error: BlobError) -> None:
        self._failure = error
        self._scope.cancel()

    async def _ask_size(self, peer: PeerId) -> int:
        question = encode_message(BlobSizeRequest(self.root))
        answer = await self._host.request(peer, f"/{BLOB_SIZE}", question, limit=MAX_REQUEST_BYTES, timeout=ASK_SECONDS)
        return decode_message(BlobSize, answer).size

    async def _settle_size(self, peer: PeerId, size: int) -> Part:
        """Let the first holder prove the size; hold the others to it."""
        if self._part is None:
            last = unit_count(size) - 1
            async with aclosing(self._units(peer, size, range(last, last + 1))) as units:
                async for index, data in units:
                    await self._open_part(size, index, data)
        if self._part is None:
            raise MalformedMessage(f"it sent no unit of the {size} bytes it said there are")
        if self._part.size != size:
            raise MalformedMessage(f"it said {size} bytes, and there are {self._part.size}")
        return self._part

    async def _open_part(self, size: int, index: int, data: bytes) -> None:
        """The size is proven: find out what an earlier fetch has left."""
        async with self._opening:
            if self._part is not None:
                return
            part = self._store.begin_fetch(self.root, size)
            try:
                for _ in part.recover():
                    await trio.lowlevel.checkpoint()
                part.write(index, data)
            finally:
                self._part = part
            self._on_progress()

    def _on_progress(self) -> None:
        self._progress_time = trio.current_time()
        self._tell()

    async def _get_units(self, peer: PeerId, part: Part) -> None:
        most = 1
        while not part.is_whole:
            units = part.take(self._wanted, most)
            if not units:
                await self._changed.wait()
                continue
            try:
                async with aclosing(self._units(peer, part.size, units)) as arriving:
                    async for index, data in arriving:
                        part.write(index, data)
                        self._on_progress()
            finally:
                short = not part.has(units[-1])
                part.give_back(units)
            if short:
                return
            most = min(2 * most, MAX_UNITS)

    async def _units(self, peer: PeerId, size: int, units: range) -> AsyncGenerator[tuple[int, bytes], None]:
        """Ask for consecutive units and yield them, verified. Raises `MalformedMessage` for a false one."""
        question = encode_message(BlobUnitsRequest(self.root, units.start, len(units)))
        limit = len(units) * MAX_UNIT_MESSAGE_BYTES
        async with self._host.stream(peer, f"/{BLOB_UNITS}", question, limit=limit, timeout=UNIT_SECONDS) as chunks:
            index = units.start
            async for chunk in chunks:
                unit = decode_message(BlobUnit, chunk)
                if index == units.stop:
                    raise MalformedMessage("it sent more units than were asked for")
                if not verify_unit(self.root, size, index, unit.data, unit.path):
                    raise MalformedMessage(f"unit {index} does not belong to the blob")
                yield index, unit.data
                index += 1
