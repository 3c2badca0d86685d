"""What a worker found out about a task and would have to compute again: a few small files in the task's folder.

Nothing here is needed to be right, since the chain and the key say it all; it only saves a replay after a restart. The
files go when the task's folder goes (`limits.Room`).
"""

from __future__ import annotations

from pathlib import Path

from ml.artifacts import write_atomically


class Notebook:
    """Notes by task and by name. Mutable: it is a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, task: bytes, name: str) -> bytes | None:
        """What was noted under that name, or None."""
        path = self._path(task, name)
        return path.read_bytes() if path.is_file() else None

    def write(self, task: bytes, name: str, data: bytes) -> None:
        """Note something; it is whole or not there, whenever the process is killed."""
        write_atomically(self._path(task, name), data)

    def _path(self, task: bytes, name: str) -> Path:
        return self.folder / task.hex() / f"{name}.note"
