"""The one door to LevelDB: opening with errors a person can act on, reads, ranges and atomic batches.

A *batch* is a dict from key to new value, or to None for a deletion; `Database.write` commits it whole or not at all.
With ``sync=True`` it is on the disk when the call returns. LevelDB lets one process open a directory at a time; the
file ``OWNER`` beside its data says which one, so that the loser of that race can name the winner.

What was read or written lately is remembered, within `REMEMBERED_BYTES`: a block reads and replaces much the same keys
as the one before it, and LevelDB takes ten times as long as a dict.

What the disk gives back is checked: every block of LevelDB carries a checksum. A log or a manifest that lost its tail
still looks whole to LevelDB, so each batch also raises a counter, and the file ``WRITES`` holds a value that it had
once reached on the disk: a database below that has lost something, and is refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import plyvel

from runtime.errors import SolventError

Batch = dict[bytes, "bytes | None"]
"""Key to new value; None deletes."""

_COUNTER = b"\xff" * 16
"""The highest key of all: how many batches this database was given. Ranges end before it."""
_COUNTED = 256
"""Synced batches from one writing of ``WRITES`` to the next."""

REMEMBERED_BYTES = 8 * 1024 * 1024
"""What a database remembers of its values, at most, keys and Python's own overhead included."""
_ENTRY_BYTES = 250
"""Of an entry of such a memory, beside its key and value."""
_LARGEST_REMEMBERED = 4096
_WRITE_BUFFER = 4 << 20
"""LevelDB holds two of these in memory at times."""
_BLOOM_BITS = 10
"""For each key of a file, so that one look in a hundred for a key that is not there reads the disk."""

_FILE_KINDS = (".ldb", ".sst", ".log", "MANIFEST", "CURRENT")
_LOST_FILE_WORDS = ("no such file", "invalid argument", "input/output error")
"""What the system says of a file that is gone, empty, or on a disk that fails."""
_FULL_DISK_WORDS = ("no space left", "disk quota", "file too large")


class DatabaseError(SolventError):
    """The database cannot be used; the message says why and what to do."""


class DatabaseLocked(DatabaseError):
    """Another process holds the database open."""


class DatabaseCorrupt(DatabaseError):
    """Bytes on the disk are not what was written."""


class DatabaseFull(DatabaseError):
    """The disk has no room left; nothing of the refused batch was applied."""


class Memory:
    """The present values of keys that were used lately. Mutable, bounded.

    It has two generations: what is used moves to the younger one, and when that holds half of the bytes allowed, the
    older one is forgotten. So a scan of the whole database does not push out what is used all the time.
    """

    def __init__(self, limit: int = REMEMBERED_BYTES) -> None:
        self._half = limit // 2
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}
        self._size = 0
        """Bytes of the younger generation."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, None when the database has none. Raises `KeyError` when it is not remembered."""
        try:
            return self._young[key]
        except KeyError:
            value = self._old.pop(key)
            self.put(key, value)
            return value

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember what was read of a key that is not remembered."""
        size = 0 if value is None else len(value)
        if size > _LARGEST_REMEMBERED:
            return
        self._young[key] = value
        self._size += len(key) + size + _ENTRY_BYTES
        if self._size > self._half:
            self._old, self._young, self._size = self._young, {}, 0

    def replace(self, batch: Mapping[bytes, bytes | None]) -> None:
        """A batch was written: of keys that are remembered the new values are, too."""
        known = (self._young.keys() & batch.keys()) | (self._old.keys() & batch.keys())
        for key in known:
            if key in self._young:
                self._size -= len(key) + len(self._young.pop(key) or b"") + _ENTRY_BYTES
            else:
                self._old.pop(key, None)  # it is gone if the generations changed meanwhile
            self.put(key, batch[key])


class Database:
    """An open LevelDB directory. Mutable; one per process and directory; `close` it, or use it as a context."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open ``path``. Raises a `DatabaseError` that names the cause and the way out."""
        self.path = path
        self._failure: DatabaseError | None = None
        self._memory = Memory()
        noted = _read_noted(path)
        if not (path / "CURRENT").exists() and (noted or any(path.glob("*.ldb")) or any(path.glob("*.log"))):
            raise _corrupt(path, "its file CURRENT is missing")  # LevelDB would start anew, and delete the rest
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(
                str(path),
                create_if_missing=create,
                write_buffer_size=_WRITE_BUFFER,
                compression=None,  # much of what is stored are hashes
                bloom_filter_bits=_BLOOM_BITS,
                paranoid_checks=True,
            )
        except (plyvel.Error, OSError) as error:
            raise _explain(error, path) from None
        try:
            self._count = self._synced = int.from_bytes(self.get(_COUNTER) or b"", "big")
            if self._count < noted:
                raise _corrupt(path, f"{noted - self._count} of at least {noted} batches are missing")
        except DatabaseError:
            self._db.close()
            raise
        with contextlib.suppress(OSError):
            (path / "OWNER").write_text(f"{os.getpid()}\n")

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, or None."""
        try:
            return self._memory.get(key)
        except KeyError:
            pass
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise _explain(error, self.path) from None
        self._memory.put(key, value)
        return value

    def range(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order, from the key ``start`` (inclusive, a full key) on."""
        stop = _next_prefix(prefix)
        try:
            with self._db.iterator(
                start=max(start, prefix), stop=stop, reverse=reverse, verify_checksums=True
            ) as pairs:
                yield from pairs
        except plyvel.Error as error:
            raise _explain(error, self.path) from None

    def descend(self, prefix: bytes, before: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with ``prefix``, the last key first, from below the key ``before`` on."""
        try:
            with self._db.iterator(
                start=prefix, stop=before or _next_prefix(prefix), reverse=True, verify_checksums=True
            ) as pairs:
                yield from pairs
        except plyvel.Error as error:
            raise _explain(error, self.path) from None

    def write(self, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Commit ``batch`` atomically; on the disk before this returns when ``sync``.

        After one write has failed all others do: what LevelDB wrote of it may only be the end of its log.
        """
        if self._failure is not None:
            raise self._failure
        try:
            with self._db.write_batch(transaction=True, sync=sync) as writes:
                for key, value in batch.items():
                    if value is None:
                        writes.delete(key)
                    else:
                        writes.put(key, value)
                writes.put(_COUNTER, (self._count + 1).to_bytes(8, "big"))
        except (plyvel.Error, OSError) as error:
            self._failure = _explain(error, self.path)
            raise self._failure from None
        self._count += 1
        self._memory.replace(batch)
        if sync:
            is_due = self._count // _COUNTED > self._synced // _COUNTED
            self._synced = self._count
            if is_due:
                self._note()

    def _note(self) -> None:
        """Write down how many batches are surely on the disk."""
        temporary = self.path / "WRITES.new"
        with contextlib.suppress(OSError):
            temporary.write_text(f"{self._synced}\n")
            temporary.replace(self.path / "WRITES")

    def close(self) -> None:
        """Release the directory; closing twice does nothing."""
        if not self._db.closed:
            self._note()
            with contextlib.suppress(OSError):
                (self.path / "OWNER").unlink()
            self._db.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _next_prefix(prefix: bytes) -> bytes:
    """The smallest key above every key that begins with ``prefix``; the counter's when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else _COUNTER


def _read_noted(path: Path) -> int:
    """How many batches ``WRITES`` says there are; 0 when it says nothing."""
    try:
        return int((path / "WRITES").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _corrupt(path: Path, reason: str) -> DatabaseCorrupt:
    return DatabaseCorrupt(
        f"the database {path} is corrupted ({reason}); restore a copy of its directory, or delete it with solvent "
        "purge-chain and sync again"
    )


def _explain(error: Exception, path: Path) -> DatabaseError:
    """Turn LevelDB's error text into the typed error that says what to do."""
    text = str(error)
    lowered = text.lower()
    if str(path / "LOCK") in text:
        return DatabaseLocked(f"the database {path} is held by {_owner(path)}; stop it or choose another --base-path")
    if any(words in lowered for words in _FULL_DISK_WORDS):
        return DatabaseFull(
            f"no room left on the disk of {path}; free some space and start again, nothing final is lost"
        )
    is_file_lost = any(words in lowered for words in _LOST_FILE_WORDS) and any(kind in text for kind in _FILE_KINDS)
    if isinstance(error, plyvel.CorruptionError) or "corrupt" in lowered or is_file_lost:
        return _corrupt(path, text)
    if isinstance(error, PermissionError) or "permission denied" in lowered:
        return DatabaseError(f"the database {path} may not be read or written by this user; check its permissions")
    return DatabaseError(f"the database {path} cannot be used: {text}")


def _owner(path: Path) -> str:
    """Who holds a database: its process, and its command line where the system tells."""
    try:
        process = int((path / "OWNER").read_text())
    except (OSError, ValueError):
        return "another process"
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return f"process {process} ({b' '.join(words).decode(errors='replace')[:200]})"
    return f"process {process}"
