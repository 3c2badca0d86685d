"""What a worker counts about itself while it runs, for its metrics. The chain keeps what must not be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from runtime.pallets.workers import Worker


@dataclass(frozen=True)
class TaskProgress:
    """How far the training of a task is."""

    step: int
    steps: int
    loss: float


@dataclass
class Figures:
    """Counted since the worker started. Mutable; each figure has one writer, and readers may come from any thread."""

    fees: int = 0
    """Units paid for calls that the worker saw in a block; heartbeats are not among them."""
    calls: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(``pallet.Call``, whether the chain accepted it) -> how often."""
    earned: int = 0
    slashed: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Status in which a task ended for this worker -> how many."""
    progress: dict[bytes, TaskProgress] = field(default_factory=dict)
    record: Worker | None = None
    """What the chain says of the worker; whistleblowers have no record."""
    node_is_away: bool = False
    _jobs: frozenset[bytes] = frozenset()

    def note_jobs(self, jobs: Collection[bytes]) -> list[bytes]:
        """Remember the tasks at hand; those that were at hand before and are no more, sorted."""
        gone = sorted(self._jobs - set(jobs))
        self._jobs = frozenset(jobs)
        for task in gone:
            self.progress.pop(task, None)
        return gone
