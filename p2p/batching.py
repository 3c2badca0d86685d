"""Many small messages in one gossip frame. A passive object; times are milliseconds and come from outside.

Each gossip message costs every node a fixed amount of work, whatever its size; at 200 extrinsics a second that work
is most of it. So extrinsics wait up to `BATCH_TIME` for company. A frame is the encoding of a tuple of byte strings.
"""

from __future__ import annotations

from p2p.interface import NetworkError
from runtime.codec import decode, encode
from runtime.errors import CodecError

BATCH_TIME = 75
BATCH_BYTES = 512 * 1024
BATCH_ITEMS = 1024


class BatchInvalid(NetworkError):
    """Bytes that are not a batch; whoever sent them is at fault."""


class Batcher:
    """Collects messages. Mutable; it holds less than `BATCH_BYTES`, since a full batch leaves at once."""

    def __init__(self) -> None:
        self._items: list[bytes] = []
        self._bytes = 0
        self._since = 0

    def add(self, item: bytes, now: int) -> bytes | None:
        """Add a message; return a frame to publish when that filled one."""
        full = None
        if self._items and self._bytes + len(item) > BATCH_BYTES:
            full = self._cut()
        if not self._items:
            self._since = now
        self._items.append(item)
        self._bytes += len(item)
        if full is None and len(self._items) >= BATCH_ITEMS:
            full = self._cut()
        return full

    def deadline(self) -> int | None:
        """Return when `flush` will have something."""
        return self._since + BATCH_TIME if self._items else None

    def flush(self, now: int) -> bytes | None:
        """Return a frame if its time has come."""
        deadline = self.deadline()
        return self._cut() if deadline is not None and deadline <= now else None

    def _cut(self) -> bytes:
        frame = encode(tuple(self._items))
        self._items, self._bytes = [], 0
        return frame


def unbatch(frame: bytes) -> tuple[bytes, ...]:
    """Return the messages of a frame. Raises `BatchInvalid`."""
    try:
        items: tuple[bytes, ...] = decode(frame, tuple[bytes, ...])
    except CodecError as error:
        raise BatchInvalid(f"not a batch: {error}") from None
    if not items or len(items) > BATCH_ITEMS:
        raise BatchInvalid(f"a batch of {len(items)} messages where 1 to {BATCH_ITEMS} are allowed")
    return items
