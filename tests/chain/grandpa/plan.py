"""What a seed decides about a network of voters before its first event."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Plan:
    """Weights, who lies, what the network does to messages, and when all this ends."""

    weights: tuple[int, ...]
    byzantine: frozenset[int]
    drop: float
    duplicate: float
    slowest: float
    fork: float
    heals_at: float
    grows_until: float
    ends_at: float
    change_period: int
    flatters: bool
    partitions: list[tuple[float, frozenset[int]]]

    @classmethod
    def draw(cls, source: random.Random) -> Plan:
        count = source.randint(4, 7)
        weights = tuple(source.choice((1, 1, 2, 3, 5)) for _ in range(count))
        while max(weights) > sum(weights) // 2:
            weights = (*weights[:-1], source.randint(1, 3)) if weights[-1] == max(weights) else (1,) * count
        faulty, byzantine = (sum(weights) - 1) // 3, set[int]()
        for index in source.sample(range(count), count):
            if weights[index] <= faulty and source.random() < 0.8:
                byzantine.add(index)
                faulty -= weights[index]
        heals_at = source.uniform(8, 50)
        partitions = [(0.0, frozenset[int]())]
        for _ in range(source.randint(0, 6)):
            part = frozenset(index for index in range(count) if source.random() < 0.5)
            partitions.append((source.uniform(0, heals_at), part))
        return cls(
            weights=weights,
            byzantine=frozenset(byzantine),
            drop=source.choice((0.0, 0.05, 0.3, 0.6)),
            duplicate=source.choice((0.0, 0.2)),
            slowest=source.choice((0.5, 2.0, 8.0)),
            fork=source.choice((0.05, 0.3, 0.6)),
            heals_at=heals_at,
            grows_until=heals_at + 5,
            ends_at=heals_at + 90,
            change_period=source.choice((0, 0, 5)),
            flatters=source.random() < 0.6,
            partitions=sorted(partitions),
        )
