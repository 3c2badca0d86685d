"""Blobs: big files that the chain knows by their root, under ``<base-path>/blobs`` and never in LevelDB.

A blob's *identity* is the root of the hash tree over its 4 KiB chunks (`runtime.commitments.tensor_root`). An *upload*
writes into ``incoming/`` and may be resumed where it broke off; only when all bytes are there and hash to the name
does the file move to its place, so a file under its root is always whole and true. The *owner* of a blob is the
account whose quota it counts against. A *pinned* blob is named by the chain and stays; of the rest, the least
recently used go when room is needed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node.keystore import sync_folder
from runtime.commitments import CHUNK_BYTES, chunk_leaf
from runtime.errors import SolventError
from runtime.trees import Tree

READ_BYTES = 256 * 1024
"""Unit of reading and of transfer."""


class BlobError(SolventError):
    """Base of what can be wrong with a blob request."""


class BlobMismatch(BlobError):
    """The bytes do not hash to the name they were given."""


class BlobQuotaExceeded(BlobError):
    """The account's or the store's capacity does not allow this upload."""


class BlobOffsetMismatch(BlobError):
    """A resumed upload does not continue where the stored part ends; ``offset`` says where it does."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


class BlobBusy(BlobError):
    """Another request is uploading the same blob right now."""


@dataclass(slots=True)
class _Entry:
    size: int
    owner: str
    used: int


class ChunkHasher:
    """The root of bytes that arrive in pieces. Mutable."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._rest = b""

    def update(self, piece: bytes) -> None:
        data = self._rest + piece
        whole = len(data) // CHUNK_BYTES * CHUNK_BYTES
        view = memoryview(data)
        for start in range(0, whole, CHUNK_BYTES):
            self._leaves.append(chunk_leaf(view[start : start + CHUNK_BYTES]))
        self._rest = data[whole:]

    def root(self) -> bytes:
        rest = [chunk_leaf(self._rest)] if self._rest or not self._leaves else []
        return Tree([*self._leaves, *rest]).root


class Upload:
    """One blob on its way in. Mutable; end it with `finish` or `suspend`, which keeps the part for a later try."""

    def __init__(self, store: BlobStore, root: bytes, size: int, owner: str) -> None:
        self._store, self.root, self.size, self.owner = store, root, size, owner
        self._path = store.incoming_path(root)
        self._file: BinaryIO = self._path.open("ab")
        self.offset = self._file.tell()

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises `BlobError` when more come than were announced."""
        if self.offset + len(piece) > self.size:
            raise BlobError(f"more than the announced {self.size} bytes arrived")
        try:
            self._file.write(piece)
        except OSError as error:
            raise BlobError(f"the blob cannot be written: {error.strerror}") from None
        self.offset += len(piece)

    def suspend(self) -> None:
        """Close and keep what arrived; the next upload of the same root continues there."""
        self._file.close()
        self._store.release(self.root)

    def discard(self) -> None:
        """Close and forget what arrived."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._store.release(self.root)

    def verify(self) -> Iterator[None]:
        """Hash what was written, a piece at a time so that the caller can do other work between the pieces.

        Raises `BlobMismatch` at the end, after discarding the part, when the bytes are not the named blob.
        """
        self._file.flush()
        hasher = ChunkHasher()
        for piece in read_pieces(self._path, 0, self.offset):
            hasher.update(piece)
            yield
        if hasher.root() != self.root:
            self.discard()
            raise BlobMismatch(f"the {self.size} bytes hash to {hasher.root().hex()}, not to {self.root.hex()}")

    def sync(self) -> None:
        """Put the bytes on the disk. This only waits, so a caller with other work may run it in a thread."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Move verified and synced bytes to their place."""
        self._file.close()
        self._store.accept(self)


class BlobStore:
    """The blobs of one node. Mutable. ``find_pinned`` asks the chain which of (root -> owner) must stay."""

    def __init__(
        self,
        folder: Path,
        capacity: int,
        account_capacity: int,
        find_pinned: Callable[[dict[bytes, str]], set[bytes]] = lambda owners: set(),
    ) -> None:
        self.folder, self.capacity, self.account_capacity = folder, capacity, account_capacity
        self._find_pinned = find_pinned
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._uploading: dict[bytes, Upload] = {}
        self._entries: dict[bytes, _Entry] = {}
        self._clock = 0
        for path in sorted(folder.glob("??/*"), key=lambda path: path.stat().st_mtime_ns):
            if len(path.name) == 64:
                self._entries[bytes.fromhex(path.name)] = _Entry(path.stat().st_size, _read_owner(path), self._tick())

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def path(self, root: bytes) -> Path:
        name = root.hex()
        return self.folder / name[:2] / name

    def incoming_path(self, root: bytes) -> Path:
        return self._incoming / root.hex()

    def size(self, root: bytes) -> int | None:
        """Length of a whole blob, None when it is not here."""
        entry = self._entries.get(root)
        return None if entry is None else entry.size

    def partial_size(self, root: bytes) -> int:
        """How many bytes of an unfinished upload are kept."""
        try:
            return self.incoming_path(root).stat().st_size
        except FileNotFoundError:
            return 0

    def used(self, owner: str | None = None) -> int:
        """Bytes stored and being uploaded, in total or of one owner."""
        stored = sum(entry.size for entry in self._entries.values() if owner in (None, entry.owner))
        arriving = sum(upload.size for upload in self._uploading.values() if owner in (None, upload.owner))
        return stored + arriving + (sum(self._broken_parts().values()) if owner is None else 0)

    def _broken_parts(self) -> dict[bytes, int]:
        """Sizes of kept parts that nobody is uploading now."""
        parts = {bytes.fromhex(path.name): path.stat().st_size for path in self._incoming.iterdir()}
        return {root: size for root, size in parts.items() if root not in self._uploading}

    def begin(self, root: bytes, size: int, owner: str, offset: int) -> Upload:
        """Start or continue an upload of ``size`` bytes at ``offset``; offset 0 starts over.

        Raises `BlobBusy`, `BlobQuotaExceeded` or `BlobOffsetMismatch`.
        """
        if root in self._uploading:
            raise BlobBusy(f"blob {root.hex()} is being uploaded by another request; try again")
        kept = self.partial_size(root)
        if offset not in (0, kept) or offset > size:
            raise BlobOffsetMismatch(kept, f"the upload is at byte {kept}, not at {offset}")
        if self.used(owner) + size > self.account_capacity:
            raise BlobQuotaExceeded(
                f"{size} bytes more than the {self.account_capacity} that one account may keep here"
            )
        if offset == 0:
            self.incoming_path(root).unlink(missing_ok=True)
        self._make_room(size - offset, root)
        upload = self._uploading[root] = Upload(self, root, size, owner)
        return upload

    def _make_room(self, size: int, wanted: bytes) -> None:
        """Until ``size`` bytes of blob ``wanted`` fit, drop parts of broken uploads, then the least recently used blobs
        that nothing pins."""
        missing = self.used() + size - self.capacity
        for root, kept in self._broken_parts().items() if missing > 0 else ():
            if root != wanted:
                self.incoming_path(root).unlink(missing_ok=True)
                missing -= kept
        if missing <= 0:
            return
        pinned = self._find_pinned({root: entry.owner for root, entry in self._entries.items()})
        idle = sorted((root for root in self._entries if root not in pinned), key=self._last_use)
        if sum(self._entries[root].size for root in idle) < missing:
            raise BlobQuotaExceeded(f"no room for {size} bytes: the store keeps at most {self.capacity}")
        for root in idle:
            if missing <= 0:
                return
            missing -= self._entries[root].size
            self.remove(root)

    def _last_use(self, root: bytes) -> int:
        return self._entries[root].used

    def release(self, root: bytes) -> None:
        self._uploading.pop(root, None)

    def accept(self, upload: Upload) -> None:
        """Take a verified upload in."""
        path = self.path(upload.root)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".owner").write_text(upload.owner)
        self.incoming_path(upload.root).replace(path)
        sync_folder(path.parent)
        self.release(upload.root)
        self._entries[upload.root] = _Entry(upload.size, upload.owner, self._tick())

    def remove(self, root: bytes) -> None:
        """Delete a blob."""
        self._entries.pop(root, None)
        self.path(root).unlink(missing_ok=True)
        self.path(root).with_suffix(".owner").unlink(missing_ok=True)

    def read(self, root: bytes, start: int, end: int) -> Iterator[bytes]:
        """Bytes ``start`` to ``end`` (exclusive) in pieces; the blob counts as used now."""
        entry = self._entries[root]
        entry.used = self._tick()
        with contextlib.suppress(OSError):
            os.utime(self.path(root))
        return read_pieces(self.path(root), start, end)


def read_pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Bytes ``start`` to ``end`` of a file, `READ_BYTES` at a time."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(READ_BYTES, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece


def _read_owner(path: Path) -> str:
    try:
        return path.with_suffix(".owner").read_text()
    except OSError:
        return ""
