"""What checking a proof is expected to bring a whistleblower, and whether that is worth its cost.

The chance that a proof is false is read off the chain: of all proofs that came to an end, how many a challenger has
voided, with a cautious prior for chains that have seen few. The reward is half of the solver's lock. The cost is the
gas of the replay at what a unit of gas costs this worker. So whistleblowers leave where nobody cheats, and come back as
soon as cheating shows, each by its own figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runtime.pallets.tasks import Task, replayed_gas
from runtime.pallets.tasks.storage import SETTLED

PRIOR_FALSE, PRIOR_PROOFS = 1, 20
"""What is believed before anything was seen: one proof in twenty is false."""


@dataclass(frozen=True)
class Record:
    """What became of the proofs on a chain."""

    stood: int
    voided: int

    @property
    def chance(self) -> float:
        """The chance that the next proof is false (the mean of a beta distribution)."""
        return (self.voided + PRIOR_FALSE) / (self.stood + self.voided + PRIOR_PROOFS)


@dataclass(frozen=True)
class Income:
    """What one check is expected to bring and to cost, in units of balance."""

    chance: float
    reward: int
    jackpots: int
    """Expected of forced errors: their chance, times half of what each pays, since somebody else may find it, too."""
    cost: int

    @property
    def expected(self) -> float:
        return self.chance * self.reward + self.jackpots

    @property
    def pays(self) -> bool:
        """Whether it brings more than it costs."""
        return self.expected > self.cost


def read_record(tasks: Iterable[Task]) -> Record:
    """How many proofs stood, and how many were voided by a challenger, who was paid for it."""
    stood = voided = 0
    for task in tasks:
        stood += task.status == SETTLED
        voided += sum(payment.role == "challenger" for payment in task.payments)
    return Record(stood, voided)


def estimate_income(task: Task, segments: Sequence[int], record: Record, price: int, jackpots: int) -> Income:
    """What replaying these segments of a task is expected to bring, at ``price`` for a unit of gas."""
    gas = replayed_gas(task.spec, task.estimate, segments)
    return Income(record.chance, task.estimate.solver_lock // 2, jackpots, gas * price)
