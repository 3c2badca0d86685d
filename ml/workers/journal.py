"""What a worker tells the world: calm lines for people, or one JSON object a line for programs.

Every event has a name in snake case and plain fields; hashes and accounts are written as hex and SS58 by the caller.
The last events are kept, so that a failing worker can say what it did.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from typing import IO

Field = str | int | float | bool | None | list[int] | list[str]


class Journal:
    """A worker's log. Mutable: it remembers its last events."""

    def __init__(self, role: str, as_json: bool = False, stream: IO[str] | None = None) -> None:
        self.role = role
        self.as_json = as_json
        self.stream = stream if stream is not None else sys.stdout
        self.recent: deque[tuple[str, dict[str, Field]]] = deque(maxlen=1000)

    def event(self, name: str, **fields: Field) -> None:
        """Record that something happened."""
        self.recent.append((name, fields))
        now = time.time()
        if self.as_json:
            line = json.dumps({"time": round(now, 3), "role": self.role, "event": name, **fields})
        else:
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            details = "  ".join(f"{key}={_plain(value)}" for key, value in fields.items())
            line = f"{clock}  {self.role:<13} {name.replace('_', ' '):<24} {details}".rstrip()
        print(line, file=self.stream, flush=True)

    def names(self) -> list[str]:
        """The names of the recent events, oldest first."""
        return [name for name, _ in self.recent]


def _plain(value: Field) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and len(value) == 64 and all(letter in "0123456789abcdef" for letter in value):
        return value[:12] + "…"
    return str(value)
