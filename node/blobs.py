"""Blobs: big files that the chain knows by their root, under ``<base-path>/blobs`` and never in LevelDB.

A blob's *identity* is the root of the hash tree over its 4 KiB chunks (`runtime.commitments.tensor_root`). An *upload*
writes into ``incoming/`` and may be resumed where it broke off; a *fetch* from peers writes into ``fetching/``. Only
when all bytes are there and hash to the name does the file move to its place, so a file under its root is always whole
and true. The *owner* of a blob is the account whose quota it counts against; a *cached* one was fetched and has none. A
*pinned* blob is named by the chain and stays; of the rest, cached ones go first when room is needed, the least recently
used before others. A fetch makes room among cached blobs alone, so that strangers cannot push out what users stored.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.blob_errors import BlobBusy, BlobOffsetMismatch, BlobQuotaExceeded
from node.blob_parts import UNITS_SUFFIX, Part, Upload, read_pieces
from node.blob_units import UnitHasher, unit_count
from node.keystore import sync_folder

CACHED = ""
"""Owner of a blob that was fetched from peers."""


@dataclass(slots=True)
class _Entry:
    size: int
    owner: str
    used: int


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
        self._incoming, self._fetching = folder / "incoming", folder / "fetching"
        for arrivals in (self._incoming, self._fetching):
            arrivals.mkdir(parents=True, exist_ok=True)
        self._uploads: dict[bytes, Upload] = {}
        self._parts: dict[bytes, Part] = {}
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

    def fetching_path(self, root: bytes) -> Path:
        return self._fetching / root.hex()

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
        """Bytes stored and on their way in, in total or of one owner."""
        stored = sum(entry.size for entry in self._entries.values() if owner in (None, entry.owner))
        arriving = sum(upload.size for upload in self._uploads.values() if owner in (None, upload.owner))
        if owner is not None:
            return stored + arriving
        fetched = sum(part.size for part in self._parts.values())
        return stored + arriving + fetched + sum(self._broken_parts(self._incoming, self._fetching).values())

    def _broken_parts(self, *folders: Path) -> dict[Path, int]:
        """Sizes of kept parts that nobody goes on with now."""
        busy = {self.incoming_path(root) for root in self._uploads} | {self.fetching_path(root) for root in self._parts}
        paths = [path for folder in folders for path in folder.iterdir() if not path.suffix]
        return {path: path.stat().st_size for path in paths if path not in busy}

    def begin(self, root: bytes, size: int, owner: str, offset: int) -> Upload:
        """Start or continue an upload of ``size`` bytes at ``offset``; offset 0 starts over.

        Raises `BlobBusy`, `BlobQuotaExceeded` or `BlobOffsetMismatch`.
        """
        if root in self._uploads:
            raise BlobBusy(f"blob {root.hex()} is being uploaded by another request; try again")
        kept = self.partial_size(root)
        if offset not in (0, kept) or offset > size:
            raise BlobOffsetMismatch(kept, f"the upload is at byte {kept}, not at {offset}")
        self._check_account(owner, size)
        if offset == 0:
            self.incoming_path(root).unlink(missing_ok=True)
        self._make_room(size - offset, self.incoming_path(root))
        upload = self._uploads[root] = Upload(self.incoming_path(root), root, size, owner, self._on_upload_end)
        return upload

    def _check_account(self, owner: str, size: int) -> None:
        if self.used(owner) + size > self.account_capacity:
            raise BlobQuotaExceeded(
                f"{size} bytes more than the {self.account_capacity} that one account may keep here"
            )

    def begin_fetch(self, root: bytes, size: int) -> Part:
        """Start or continue a fetch from peers; end it with `end_fetch`. Raises `BlobQuotaExceeded` or ``OSError``."""
        path = self.fetching_path(root)
        kept = path.stat().st_size if path.exists() else 0
        self._make_room(size - kept, path, for_cache=True)
        part = self._parts[root] = Part(path, root, size)
        return part

    def _make_room(self, size: int, wanted: Path, for_cache: bool = False) -> None:
        """Until ``size`` more bytes of the part at ``wanted`` fit, drop parts that broke off, then blobs that nothing
        pins."""
        missing = self.used() + size - self.capacity
        folders = (self._fetching,) if for_cache else (self._fetching, self._incoming)
        for path, kept in self._broken_parts(*folders).items() if missing > 0 else ():
            if path != wanted:
                path.unlink(missing_ok=True)
                path.with_suffix(UNITS_SUFFIX).unlink(missing_ok=True)
                missing -= kept
        if missing <= 0:
            return
        pinned = self._find_pinned({root: entry.owner for root, entry in self._entries.items()})
        idle = [root for root, entry in self._entries.items() if root not in pinned]
        idle = sorted((root for root in idle if not for_cache or self.is_cached(root)), key=self._eviction_rank)
        if sum(self._entries[root].size for root in idle) < missing:
            raise BlobQuotaExceeded(f"no room for {size} bytes: the store keeps at most {self.capacity}")
        for root in idle:
            if missing <= 0:
                return
            missing -= self._entries[root].size
            self.remove(root)

    def _eviction_rank(self, root: bytes) -> tuple[bool, int]:
        entry = self._entries[root]
        return entry.owner != CACHED, entry.used

    def is_cached(self, root: bytes) -> bool:
        """Whether a blob that is here was only fetched, so that it may go at any time."""
        return self._entries[root].owner == CACHED

    def adopt(self, root: bytes, owner: str) -> None:
        """Count a cached blob that is here against an account, as if it had been uploaded. `BlobQuotaExceeded`."""
        entry = self._entries[root]
        if entry.owner == CACHED:
            self._check_account(owner, entry.size)
            self.path(root).with_suffix(".owner").write_text(owner)
            entry.owner = owner

    def _on_upload_end(self, upload: Upload, unit_roots: list[bytes] | None) -> None:
        self._uploads.pop(upload.root, None)
        if unit_roots is not None:
            self.path(upload.root).parent.mkdir(exist_ok=True)
            self.path(upload.root).with_suffix(".owner").write_text(upload.owner)
            self._write_unit_roots(upload.root, unit_roots)
            self._accept(upload.path, upload.root, upload.size, upload.owner)

    def end_fetch(self, part: Part, is_synced: bool) -> None:
        """Close a part; take its blob in if it is whole and on the disk, else keep it for a later try."""
        part.close()
        del self._parts[part.root]
        if part.root in self._entries:  # it was uploaded meanwhile
            part.path.unlink(missing_ok=True)
            part.units_path.unlink(missing_ok=True)
        elif part.is_whole and is_synced:
            self.path(part.root).parent.mkdir(exist_ok=True)
            part.units_path.replace(self.path(part.root).with_suffix(UNITS_SUFFIX))
            self._accept(part.path, part.root, part.size, CACHED)

    def _accept(self, arrived: Path, root: bytes, size: int, owner: str) -> None:
        path = self.path(root)
        arrived.replace(path)
        sync_folder(path.parent)
        self._entries[root] = _Entry(size, owner, self._tick())

    def _write_unit_roots(self, root: bytes, unit_roots: list[bytes]) -> None:
        self.path(root).with_suffix(UNITS_SUFFIX).write_bytes(b"".join(unit_roots))

    def unit_roots(self, root: bytes) -> list[bytes] | None:
        """The unit roots of a blob that is here; None when they are lost and `index` must find them again."""
        try:
            data = self.path(root).with_suffix(UNITS_SUFFIX).read_bytes()
        except FileNotFoundError:
            return None
        found = [data[at : at + 32] for at in range(0, len(data), 32)]
        return found if len(data) == 32 * unit_count(self._entries[root].size) else None

    def index(self, root: bytes) -> Iterator[None]:
        """Compute the unit roots anew from the bytes of a blob that is here, a piece at a time."""
        hasher = UnitHasher()
        for piece in read_pieces(self.path(root), 0, self._entries[root].size):
            hasher.update(piece)
            yield
        hasher.finish()
        self._write_unit_roots(root, hasher.unit_roots)

    def remove(self, root: bytes) -> None:
        """Delete a blob."""
        self._entries.pop(root, None)
        self.path(root).unlink(missing_ok=True)
        for suffix in (".owner", UNITS_SUFFIX):
            self.path(root).with_suffix(suffix).unlink(missing_ok=True)

    def read(self, root: bytes, start: int, end: int) -> Iterator[bytes]:
        """Bytes ``start`` to ``end`` (exclusive) in pieces; the blob counts as used now."""
        entry = self._entries[root]
        entry.used = self._tick()
        with contextlib.suppress(OSError):
            os.utime(self.path(root))
        return read_pieces(self.path(root), start, end)


def _read_owner(path: Path) -> str:
    try:
        return path.with_suffix(".owner").read_text()
    except OSError:
        return ""
