"""What one seed does to a network: how many nodes, what the links are like, who crashes, who lies, and when.

Everything is drawn before the run, so that a plan can be printed, and a test can set its own. Times are seconds after
the start. Less than a third of the stake lies; what is broken is healed at ``heals_at``, and from then on the network
must come to agree again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from random import Random

from p2p.memory import Link

SLOT_SECONDS = 2.0


class Fault(Enum):
    """How a Byzantine validator deviates. It lies about half of the time, and is honest otherwise."""

    TWO_BLOCKS = "seals two blocks for a slot, and tells half of the network of each"
    TWO_VOTES = "votes for two blocks in a stage, and tells half of the network of each"
    WITHHOLDING = "announces blocks that it does not give away, or says nothing"
    INVALID_BLOCK = "makes blocks with a body that breaks the rules"
    WRONG_STATE_ROOT = "makes blocks whose state root is not theirs"


@dataclass(frozen=True, slots=True)
class Crash:
    """A node stops in the middle of its effects, ``after`` some more of them, and comes back."""

    node: int
    at: float
    after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Partition:
    """From ``at`` on, nothing passes between these nodes and the rest, for so long."""

    at: float
    seconds: float
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Joiner:
    """A full node that comes late with nothing but genesis: it executes all blocks, or warps to a final state."""

    at: float
    warp: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run does. ``stakes`` has one entry for each validator, in tokens."""

    seed: int
    stakes: tuple[int, ...]
    slots: int
    link: Link = field(default_factory=Link)
    liars: dict[int, Fault] = field(default_factory=dict)
    crashes: tuple[Crash, ...] = ()
    partitions: tuple[Partition, ...] = ()
    joiners: tuple[Joiner, ...] = ()
    """Nodes after the validators, by whose numbers crashes may name them."""
    extrinsic_seconds: float = 3.0
    """Mean time from one user's extrinsic to the next."""
    work_seconds: tuple[float, ...] = ()
    """How long each node takes for one piece of work."""
    blocks: int = 0
    """The run goes on until so many blocks are final everywhere."""

    @property
    def count(self) -> int:
        return len(self.stakes)

    @property
    def ends_at(self) -> float:
        return self.slots * SLOT_SECONDS

    @property
    def heals_at(self) -> float:
        """From when on nobody crashes, and nothing is cut off."""
        ends = [crash.at + crash.seconds for crash in self.crashes]
        ends += [joiner.at for joiner in self.joiners]
        return max([0.0, *ends, *(partition.at + partition.seconds for partition in self.partitions)])

    @property
    def honest(self) -> tuple[int, ...]:
        return tuple(index for index in range(self.count) if index not in self.liars)


def draw_plan(seed: int, slots: int = 60) -> Plan:
    """The plan of a seed, with as many blocks as slots. The faults come in the first half of the slots; the second
    shows that the network recovers."""
    random = Random(f"plan {seed}")
    count = random.randint(4, 7)
    stakes = tuple(random.choice((100_000, 100_000, 100_000, 120_000)) for _ in range(count))
    troubled = slots * SLOT_SECONDS / 2
    joiners, crashes = _draw_joiners(seed, count, troubled)
    return Plan(
        seed,
        stakes,
        slots,
        Link(
            random.choice((0.02, 0.05, 0.1, 0.2)),
            random.choice((0.01, 0.1, 0.3)),
            random.choice((0.0, 0.0, 0.01, 0.03)),
            random.choice((0.0, 0.05, 0.2)),
            random.choice((0.0, 0.0, 0.1, 0.5)),
        ),
        _draw_liars(random, stakes),
        _draw_crashes(random, count, troubled) + crashes,
        _draw_partitions(random, count, troubled),
        joiners,
        random.choice((1.0, 3.0, 10.0)),
        tuple(random.choice((0.001, 0.005, 0.02, 0.1)) for _ in range(count)),
        slots,
    )


def draw_harsh_plan(seed: int) -> Plan:
    """A plan in which nothing lasts: every node crashes several times, partitions follow each other, links are slow.

    This is the hardest of trials for finality: rounds are torn apart between nodes that each remember another part.
    """
    random, until = Random(f"hard{seed}"), 90.0
    count = random.randint(4, 7)
    stakes = tuple(random.choice((100_000, 150_000)) for _ in range(count))
    liars: dict[int, Fault] = {}
    for index in random.sample(range(count), 2):
        if 3 * (sum(stakes[liar] for liar in liars) + stakes[index]) < sum(stakes):
            liars[index] = random.choice(list(Fault))
    joiners, late = _draw_joiners(seed, count, until)
    crashes, partitions = list(late), []
    for node in range(count):
        at = random.uniform(2, 15)
        while at < until:
            crashes.append(Crash(node, at, random.randint(0, 12), random.uniform(5, 9)))
            at += random.uniform(12, 50)
    at = random.uniform(3, 10)
    while at < until:
        seconds = random.uniform(3, 20)
        nodes = tuple(sorted(random.sample(range(count), random.randint(1, count // 2))))
        partitions.append(Partition(at, seconds, nodes))
        at += seconds + random.uniform(1, 12)
    link = Link(
        random.choice((0.02, 0.2, 0.5)),
        random.choice((0.1, 0.5)),
        random.choice((0.0, 0.01, 0.02)),
        0.1,
        random.choice((0.0, 0.3)),
    )
    extrinsic_seconds = random.choice((0.5, 2.0))
    work_seconds = tuple(random.choice((0.001, 0.02, 0.1)) for _ in range(count))
    return Plan(
        seed,
        stakes,
        90,
        link,
        liars,
        tuple(crashes),
        tuple(partitions),
        joiners,
        extrinsic_seconds,
        work_seconds,
        60,
    )


def _draw_joiners(seed: int, count: int, until: float) -> tuple[tuple[Joiner, ...], tuple[Crash, ...]]:
    """At most one, in the later half of the trouble, when there is something to catch up with; and perhaps its crash.

    From a generator of its own: the rest of a plan is what it was before there were joiners.
    """
    random = Random(f"joiners {seed}")
    if random.random() < 0.5:
        return (), ()
    joiner = Joiner(random.uniform(until / 2, until - 10), random.random() < 0.6)
    crash = Crash(count, joiner.at + random.uniform(0.2, 6), random.randint(0, 30), random.uniform(3, 8))
    return (joiner,), (crash,) if random.random() < 0.5 else ()


def _draw_liars(random: Random, stakes: tuple[int, ...]) -> dict[int, Fault]:
    liars: dict[int, Fault] = {}
    for index in random.sample(range(len(stakes)), random.choice((0, 1, 1, 2))):
        if 3 * (sum(stakes[liar] for liar in liars) + stakes[index]) < sum(stakes):
            liars[index] = random.choice(list(Fault))
    return liars


def _draw_crashes(random: Random, count: int, until: float) -> tuple[Crash, ...]:
    crashes = []
    for node in range(count):
        if random.random() < 0.4:
            at = random.uniform(3, until - 15)
            crashes.append(Crash(node, at, random.randint(0, 6), random.uniform(3, 12)))
    return tuple(crashes)


def _draw_partitions(random: Random, count: int, until: float) -> tuple[Partition, ...]:
    """Up to two, one after the other."""
    partitions = []
    for start in (5.0, until / 2):
        if random.random() < 0.4:
            nodes = tuple(sorted(random.sample(range(count), random.randint(1, count // 2))))
            partitions.append(Partition(start + random.uniform(0, 3), random.uniform(4, until / 2 - 9), nodes))
    return tuple(partitions)
