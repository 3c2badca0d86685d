"""Blobs on their way into the store: an upload, in order, and a fetch from peers, in units of any order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from node.blob_errors import BlobDiskFull, BlobError, BlobMismatch
from node.blob_units import UNIT_BYTES, UnitHasher, compute_unit_root, unit_count, unit_length

_ROOT_BYTES = 32
_NO_ROOT = bytes(_ROOT_BYTES)
UNITS_SUFFIX = ".units"
"""Of the file with the unit roots, beside the one with the bytes."""
_MISSING, _TAKEN, _HERE = 0, 1, 2


class Upload:
    """One blob on its way in from a user. Mutable; end it with `finish` or `suspend`, which keeps the part for later.

    ``on_end`` is told when the upload is over; with the unit roots if it is whole and verified, else with None.
    """

    def __init__(
        self, path: Path, root: bytes, size: int, owner: str, on_end: Callable[[Upload, list[bytes] | None], None]
    ) -> None:
        self.path, self.root, self.size, self.owner = path, root, size, owner
        self._on_end = on_end
        self._unit_roots: list[bytes] | None = None
        # Without a buffer, since what a full disk does not take must not be tried again when the file is closed.
        self._file = path.open("ab", buffering=0)
        self.offset = self._file.tell()

    def write(self, piece: bytes) -> None:
        """Append bytes. Raises `BlobError` when more come than were announced, and `BlobDiskFull`."""
        if self.offset + len(piece) > self.size:
            raise BlobError(f"more than the announced {self.size} bytes arrived")
        rest = memoryview(piece)
        while rest:
            try:
                written = self._file.write(rest)
            except OSError as error:
                raise BlobDiskFull(
                    f"the blob cannot be written to {self.path.parent}: {error.strerror}; when there is room, send the "
                    f"rest from byte {self.offset} on"
                ) from None
            self.offset += written
            rest = rest[written:]

    def suspend(self) -> None:
        """Close and keep what arrived; the next upload of the same root continues there."""
        self._file.close()
        self._on_end(self, None)

    def discard(self) -> None:
        """Close and forget what arrived."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self._on_end(self, None)

    def verify(self) -> Iterator[None]:
        """Hash what was written, a piece at a time so that the caller can do other work between the pieces.

        Raises `BlobMismatch` at the end, after discarding the part, when the bytes are not the named blob.
        """
        hasher = UnitHasher()
        for piece in read_pieces(self.path, 0, self.offset):
            hasher.update(piece)
            yield
        found = hasher.finish()
        if found != self.root:
            self.discard()
            raise BlobMismatch(f"the {self.size} bytes hash to {found.hex()}, not to {self.root.hex()}")
        self._unit_roots = hasher.unit_roots

    def sync(self) -> None:
        """Put the bytes on the disk. This only waits, so a caller with other work may run it in a thread."""
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Move verified and synced bytes to their place."""
        self._file.close()
        self._on_end(self, self._unit_roots)


class Part:
    """One blob on its way in from peers. Mutable. Only verified units are written, each with its root beside it.

    After a crash a unit counts only if it still hashes to the root beside it (`recover`); nothing need be synced before
    the end.
    """

    def __init__(self, path: Path, root: bytes, size: int) -> None:
        """Open, or open again, the files of a fetch. Raises ``OSError``."""
        self.path, self.units_path, self.root, self.size = path, path.with_suffix(UNITS_SUFFIX), root, size
        self.count = unit_count(size)
        self._states = bytearray(self.count)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._units = os.open(self.units_path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, size)
        os.ftruncate(self._units, _ROOT_BYTES * self.count)

    @property
    def is_whole(self) -> bool:
        return self._states.count(_HERE) == self.count

    def has(self, index: int) -> bool:
        return self._states[index] == _HERE

    def recover(self) -> Iterator[None]:
        """Find out what an earlier fetch has left, a unit at a time."""
        for index in range(self.count):
            expected = os.pread(self._units, _ROOT_BYTES, _ROOT_BYTES * index)
            if expected != _NO_ROOT and self._states[index] == _MISSING:
                if compute_unit_root(self._read_unit(index), self.count == 1) == expected:
                    self._states[index] = _HERE
                yield

    def take(self, start: int, most: int) -> range:
        """Reserve up to ``most`` missing units in a row, the first at ``start`` or, around the end, after it."""
        first = self._states.find(_MISSING, start)
        if first < 0:
            first = self._states.find(_MISSING)
        if first < 0:
            return range(0)
        last = first
        while last < self.count and last - first < most and self._states[last] == _MISSING:
            self._states[last] = _TAKEN
            last += 1
        return range(first, last)

    def give_back(self, units: range) -> None:
        """These did not come; somebody else may take them."""
        for index in units:
            if self._states[index] == _TAKEN:
                self._states[index] = _MISSING

    def write(self, index: int, data: bytes) -> None:
        """Store a verified unit. Raises ``OSError``."""
        _write_all(self._file, data, index * UNIT_BYTES)
        _write_all(self._units, compute_unit_root(data, self.count == 1), index * _ROOT_BYTES)
        self._states[index] = _HERE

    def read(self, start: int, end: int) -> bytes:
        """Bytes of units that are here."""
        return os.pread(self._file, end - start, start)

    def _read_unit(self, index: int) -> bytes:
        return os.pread(self._file, unit_length(self.size, index), index * UNIT_BYTES)

    def sync(self) -> None:
        """Put the bytes on the disk; it only waits, so it may run in a thread."""
        os.fsync(self._file)
        os.fsync(self._units)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._units)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def read_pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Bytes ``start`` to ``end`` of a file, a unit at a time."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(UNIT_BYTES, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece
