"""What a worker tells the world: calm lines for people, or one JSON object a line for programs.

Every event has a name in snake case and plain fields; hashes and accounts are written as hex and SS58 by the caller.
A JSON line begins as a node's does (``time``, ``level``, ``logger``, ``message``), so that one collector reads both;
then come ``event`` and its fields. The last events are kept, so that a failing worker can say what it did.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections import deque
from typing import IO

Field = str | int | float | bool | None | list[int] | list[str]


class Journal:
    """A worker's log. Mutable: it remembers its last events. Any thread may write to it."""

    def __init__(self, role: str, as_json: bool = False, stream: IO[str] | None = None) -> None:
        self.role = role
        self.as_json = as_json
        self.stream = stream if stream is not None else sys.stdout
        self.recent: deque[tuple[str, dict[str, Field]]] = deque(maxlen=1000)
        self._lock = threading.Lock()

    def event(self, name: str, **fields: Field) -> None:
        """Record that something happened."""
        self._write("info", name, fields)

    def warn(self, name: str, **fields: Field) -> None:
        """Record that something happened which its owner may have to see to."""
        self._write("warning", name, fields)

    def _write(self, severity: str, name: str, fields: dict[str, Field]) -> None:
        now = time.time()
        if self.as_json:
            head = {
                "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z",
                "level": severity,
                "logger": f"solvent.worker.{self.role}",
                "message": name.replace("_", " "),
                "event": name,
            }
            line = json.dumps({**head, **{key: _finite(value) for key, value in fields.items()}}, ensure_ascii=False)
        else:
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            details = "  ".join(f"{key}={_plain(value)}" for key, value in fields.items())
            line = f"{clock}  {self.role:<13} {name.replace('_', ' '):<24} {details}".rstrip()
        with self._lock:
            self.recent.append((name, fields))
            self.stream.write(line + "\n")
            self.stream.flush()

    def names(self) -> list[str]:
        """The names of the recent events, oldest first."""
        return [name for name, _ in self.recent]


def _finite(value: Field) -> Field:
    """JSON has no NaN and no infinity: they become strings."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Field) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and len(value) == 64 and all(letter in "0123456789abcdef" for letter in value):
        return value[:12] + "…"
    return str(value)
