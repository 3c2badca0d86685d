"""A bell: rung whenever something changed, heard by all who listen. It carries nothing, so nothing can pile up."""

from __future__ import annotations

from collections.abc import Callable

import trio


class Bell:
    """Mutable. A task that was busy while it rang learns from the count that it did."""

    def __init__(self) -> None:
        self.count = 0
        self.listeners: set[Callable[[], None]] = set()
        """Called at every ring; they may only note it. Cheaper than a waiting task where there are many."""
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake everybody."""
        self.count += 1
        self._event.set()
        self._event = trio.Event()
        for listener in list(self.listeners):
            listener()

    async def wait(self, heard: int) -> int:
        """Return when it rang more often than ``heard``: how often by now."""
        while self.count == heard:
            await self._event.wait()
        return self.count
