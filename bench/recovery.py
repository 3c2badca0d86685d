"""How long a network needs after a fault until finality advances again on every node, and whether anything is lost.

A *fault* hurts one node, or two at once: four equal validators finalize without one of them, and stop without two. Then
everything is healed, and the clock runs until every node has finalized a block above all that any node had
finalized at that moment. *Lost* counts contradictions: a node whose finalized height fell, or whose chain lacks a block
that some node called final before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.cluster import FULL, NODES, Cluster, Sight
from bench.cluster_docker import running_containers
from bench.cluster_processes import can_isolate, move_into_own_network, running_processes
from bench.report import Progress, Report, Table, silent

GOAL_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.1
REMEMBERED = 16
"""Finalized blocks that are compared all the time."""
OUTAGE_SECONDS, QUICK_OUTAGE_SECONDS, LONG_OUTAGE_SECONDS = 10.0, 5.0, 60.0
ONE, TWO = ("validator-2",), ("validator-2", "validator-3")
BOOTNODE = ("validator-1",)


@dataclass(frozen=True)
class Fault:
    """What happens to which nodes, and for how many seconds."""

    kind: str
    nodes: tuple[str, ...]
    outage: float


@dataclass(frozen=True)
class Outcome:
    """``seconds`` until finality advanced everywhere, None when it did not, and of these ``answering`` until every node
    answered requests, which after a restart is the time of its start; ``lost`` contradictions."""

    fault: Fault
    answering: float | None
    seconds: float | None
    lost: int


def plan(quick: bool, can_cut: bool) -> list[Fault]:
    """The faults of a run, mild ones first."""
    outage = QUICK_OUTAGE_SECONDS if quick else OUTAGE_SECONDS
    if quick:
        faults = [Fault("kill", ONE, outage), Fault("pause", TWO, outage), Fault("disconnect", TWO, outage)]
    else:
        kinds = ("stop", "kill", "pause", "disconnect")
        faults = [Fault("restart", nodes, 0.0) for nodes in (ONE, TWO)]
        faults += [Fault(kind, nodes, outage) for kind in kinds for nodes in (ONE, TWO)]
        faults += [Fault("kill", (FULL,), outage), Fault("kill", BOOTNODE, outage)]
        faults += [Fault(kind, TWO, LONG_OUTAGE_SECONDS) for kind in ("kill", "disconnect")]
        faults.append(Fault("kill", NODES, outage))
    return [fault for fault in faults if can_cut or fault.kind != "disconnect"]


def hurt(cluster: Cluster, fault: Fault) -> None:
    """Begin a fault."""
    act = {
        "stop": cluster.stop, "restart": cluster.stop, "kill": cluster.kill, "pause": cluster.pause,
        "disconnect": cluster.cut,
    }[fault.kind]  # fmt: skip
    for node in fault.nodes:
        act(node)


def heal(cluster: Cluster, fault: Fault) -> None:
    """End a fault."""
    act = {"pause": cluster.resume, "disconnect": cluster.mend}.get(fault.kind, cluster.start)
    for node in fault.nodes:
        act(node)


@dataclass
class Observer:
    """Watches all nodes of a cluster. Mutable: it remembers what each of them called final."""

    cluster: Cluster
    pool: ThreadPoolExecutor
    finalized: dict[str, int] = field(default_factory=dict)
    final_hashes: dict[int, str] = field(default_factory=dict)
    contradictions: set[tuple[str, int]] = field(default_factory=set)
    """(node, height)"""

    def look(self) -> dict[str, int]:
        """The finalized height of each node that answers."""
        heights = sorted(self.final_hashes)
        sights = dict(zip(NODES, self.pool.map(lambda node: self.cluster.look(node, heights), NODES), strict=True))
        for node, sight in sights.items():
            if sight is not None:
                self._compare(node, sight)
        seen = {node: sight.finalized for node, sight in sights.items() if sight is not None}
        self.finalized |= seen
        return seen

    def _compare(self, node: str, sight: Sight) -> None:
        """Count what contradicts what was final before."""
        if sight.finalized < self.finalized.get(node, 0):
            self.contradictions.add((node, sight.finalized))
        for height, hash_ in self.final_hashes.items():
            if height <= sight.finalized and sight.hashes.get(height, hash_) != hash_:
                self.contradictions.add((node, height))

    def remember(self) -> None:
        """Note the highest block that is final somewhere: no node may ever finalize another one at its height."""
        height = max(self.finalized.values())
        for node in NODES:
            sight = self.cluster.look(node, [height])
            if sight is not None and sight.finalized >= height and height in sight.hashes:
                self.final_hashes[height] = sight.hashes[height]
        while len(self.final_hashes) > REMEMBERED:
            del self.final_hashes[min(self.final_hashes)]

    def until_advanced(self) -> tuple[float | None, float | None]:
        """Seconds until every node answers, and until every node has finalized more than any of them had just now;
        None when patience ends."""
        began = time.monotonic()
        answering: float | None = None
        mark = max({**self.finalized, **self.look()}.values())
        while time.monotonic() - began < PATIENCE_SECONDS:
            seen = self.look()
            if len(seen) == len(NODES):
                answering = answering or time.monotonic() - began
                if min(seen.values()) > mark:
                    return answering, time.monotonic() - began
            time.sleep(POLL_SECONDS)
        return answering, None


def suffer(cluster: Cluster, observer: Observer, fault: Fault) -> Outcome:
    """Hurt, wait, heal, and watch."""
    before = len(observer.contradictions)
    observer.look()
    observer.remember()
    hurt(cluster, fault)
    ends = time.monotonic() + fault.outage
    while time.monotonic() < ends:
        observer.look()
        time.sleep(5 * POLL_SECONDS)
    observer.remember()
    heal(cluster, fault)
    answering, seconds = observer.until_advanced()
    return Outcome(fault, answering, seconds, len(observer.contradictions) - before)


def run(quick: bool = False, progress: Progress = silent, docker: bool = False) -> Report:
    """Every fault of the plan, on processes of this machine or on the containers of ``docker-compose.yml``."""
    remarks = [f"Goal: at most {GOAL_SECONDS:.0f} s after the heal, nothing lost."]
    with _cluster(docker, progress, remarks) as cluster, ThreadPoolExecutor(len(NODES)) as pool:
        observer = Observer(cluster, pool)
        progress("waiting for the first blocks to be final")
        outcomes = [Outcome(Fault("healthy", (), 0.0), *observer.until_advanced(), 0)]
        for fault in plan(quick, cluster.can_cut):
            progress(f"{fault.kind} {describe(fault.nodes)} for {fault.outage:.0f} s")
            outcomes.append(suffer(cluster, observer, fault))
            took = outcomes[-1].seconds
            progress(f"  {'finality did not come back' if took is None else f'{took:.1f} s after the heal'}")
        remarks.append(f"{max(observer.finalized.values())} blocks were final at the end.")
        return _report(cluster.kind, outcomes, tuple(remarks))


@contextmanager
def _cluster(docker: bool, progress: Progress, remarks: list[str]) -> Iterator[Cluster]:
    if docker:
        with running_containers(progress) as containers:
            yield containers
        return
    isolated = can_isolate()
    if isolated:
        move_into_own_network()
    else:
        remarks.append("SKIPPED: no node was disconnected, which takes root and the tools ip and unshare.")
        progress(remarks[-1])
    progress("starting four validators and a full node")
    with running_processes(isolated) as processes:
        yield processes


def describe(nodes: tuple[str, ...]) -> str:
    return "all nodes" if nodes == NODES else ", ".join(nodes)


def _report(kind: str, outcomes: list[Outcome], remarks: tuple[str, ...]) -> Report:
    def cell(seconds: float | None) -> str:
        return f"> {PATIENCE_SECONDS:.0f}" if seconds is None else f"{seconds:.1f}"

    def row(one: Outcome) -> tuple[str, ...]:
        where, outage = describe(one.fault.nodes), f"{one.fault.outage:.0f}"
        return (one.fault.kind, where, outage, cell(one.answering), cell(one.seconds), str(one.lost or "none"))

    columns = ("fault", "node", ">outage, s", ">all answer after, s", ">finality again after, s", ">finalized lost")
    table = Table(f"Recovery from faults, in {kind}", columns, tuple(row(one) for one in outcomes))
    worst = [one.seconds for one in outcomes]
    figures = {
        "faults": [
            {"fault": one.fault.kind, "nodes": list(one.fault.nodes), "outage_seconds": one.fault.outage,
             "answering_seconds": None if one.answering is None else round(one.answering, 1),
             "recovery_seconds": None if one.seconds is None else round(one.seconds, 1), "finalized_lost": one.lost}
            for one in outcomes
        ],
        "worst_recovery_seconds": None if None in worst else round(max(one for one in worst if one is not None), 1),
        "finalized_lost": sum(one.lost for one in outcomes),
        "goal_seconds": GOAL_SECONDS,
        "cluster": kind,
    }  # fmt: skip
    return Report("recovery", figures, (table,), remarks)
