"""The one door to LevelDB: opening with errors a person can act on, reads, ranges and atomic batches.

A *batch* is a dict from key to new value, or to None for a deletion; `Database.write` commits it whole or not at all.
With ``sync=True`` it is on the disk when the call returns. LevelDB lets one process open a directory at a time; the
file ``OWNER`` beside its data says which one, so that the loser of that race can name the winner.
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

_FULL_DISK_WORDS = ("no space left", "disk quota", "file too large")


class DatabaseError(SolventError):
    """The database cannot be used; the message says why and what to do."""


class DatabaseLocked(DatabaseError):
    """Another process holds the database open."""


class DatabaseCorrupt(DatabaseError):
    """Bytes on the disk are not what was written."""


class DatabaseFull(DatabaseError):
    """The disk has no room left; nothing of the refused batch was applied."""


class Database:
    """An open LevelDB directory. Mutable; one per process and directory; `close` it, or use it as a context."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open ``path``. Raises a `DatabaseError` that names the cause and the way out."""
        self.path = path
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(str(path), create_if_missing=create, write_buffer_size=16 << 20)
        except (plyvel.Error, OSError) as error:
            raise _explain(error, path) from None
        with contextlib.suppress(OSError):
            (path / "OWNER").write_text(f"{os.getpid()}\n")

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, or None."""
        try:
            value: bytes | None = self._db.get(key)
        except plyvel.Error as error:
            raise _explain(error, self.path) from None
        return value

    def range(self, prefix: bytes, start: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order, from the key ``start`` (inclusive, a full key) on."""
        stop = _next_prefix(prefix)
        try:
            with self._db.iterator(start=max(start, prefix), stop=stop, reverse=reverse) as pairs:
                yield from pairs
        except plyvel.Error as error:
            raise _explain(error, self.path) from None

    def descend(self, prefix: bytes, before: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with ``prefix``, the last key first, from below the key ``before`` on."""
        try:
            with self._db.iterator(start=prefix, stop=before or _next_prefix(prefix), reverse=True) as pairs:
                yield from pairs
        except plyvel.Error as error:
            raise _explain(error, self.path) from None

    def write(self, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Commit ``batch`` atomically; on the disk before this returns when ``sync``."""
        try:
            with self._db.write_batch(transaction=True, sync=sync) as writes:
                for key, value in batch.items():
                    if value is None:
                        writes.delete(key)
                    else:
                        writes.put(key, value)
        except (plyvel.Error, OSError) as error:
            raise _explain(error, self.path) from None

    def close(self) -> None:
        """Release the directory; closing twice does nothing."""
        if not self._db.closed:
            with contextlib.suppress(OSError):
                (self.path / "OWNER").unlink()
            self._db.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _next_prefix(prefix: bytes) -> bytes | None:
    """The smallest key above every key that begins with ``prefix``; None when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _explain(error: Exception, path: Path) -> DatabaseError:
    """Turn LevelDB's error text into the typed error that says what to do."""
    text = str(error)
    lowered = text.lower()
    if "lock" in lowered:
        return DatabaseLocked(f"the database {path} is held by {_owner(path)}; stop it or choose another --base-path")
    if any(words in lowered for words in _FULL_DISK_WORDS):
        return DatabaseFull(f"no room left on the disk of {path}; free some space and start again, nothing is lost")
    if isinstance(error, plyvel.CorruptionError) or "corrupt" in lowered:
        return DatabaseCorrupt(
            f"the database {path} is corrupted ({text}); restore a copy, or remove the directory and sync again"
        )
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
