"""Signed transfers per second through a whole network: four validators and a full node as processes of this machine.

Transfers are signed before the clock starts and handed to the validators at a steady rate. What counts is how many are
in finalized blocks per second, how far finality lags behind the best block, and what a transfer costs each node in CPU
time, which other work on the machine disturbs least. The generator's CPU time is counted apart. All five nodes share
this machine's cores.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cluster import FULL, NODES, VALIDATORS
from bench.cluster_processes import ProcessCluster, running_processes
from bench.report import Progress, Report, Table, percentile, silent
from bench.transfers import verify_batch
from runtime.block import IMMORTAL, Call, sign_extrinsic, slot_of
from runtime.codec import encode
from runtime.crypto import public_key, to_ss58
from runtime.pallets import balances, system
from runtime.parameters import PARTS, TESTNET, TOKEN
from runtime.trees import hash_tagged
from runtime.weights import CALLS, compute_extrinsic_weight
from solvent.client import Client, ClientError

SENDERS = 1_000
GOAL_PER_SECOND, GOAL_LAG = 400, 2
IDLE_SECONDS = 10.0
STEP_SECONDS = 0.5
"""The generator hands in a step's transfers at once, and looks at the heads as often."""
MEMORY_SECONDS = 30.0
"""From one look at the nodes' memory to the next."""
DRAIN_SECONDS = 60.0
"""How long after the last transfer, and after each block with some, the next final one is waited for."""
MAX_BATCH = 128
INHERENTS = 2
SLOT_SECONDS = TESTNET.block.slot_milliseconds / 1000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Account:
    """A sender and its address."""

    seed: bytes
    public: bytes


def make_accounts(count: int) -> list[Account]:
    seeds = [hash_tagged(b"bench:network", number.to_bytes(8, "big")) for number in range(count)]
    return [Account(seed, public_key(seed)) for seed in seeds]


def sign_all(accounts: Sequence[Account], count: int, genesis: bytes) -> list[bytes]:
    """``count`` transfers around the ring of accounts, every account's in the order of its nonces."""
    signed = []
    for number in range(count):
        sender, nonce = number % len(accounts), number // len(accounts)
        args = balances.Transfer(accounts[(sender + 1) % len(accounts)].public, TOKEN // 1_000)
        call = Call("balances", "transfer", encode(args))
        seed = accounts[sender].seed
        signed.append(encode(sign_extrinsic(seed, call, nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION)))
    return signed


def usage_of(session: int) -> tuple[float, float]:
    """CPU seconds and resident MiB (shared pages divided) of a node and its helper processes."""
    seconds = memory = 0.0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) != session:
                continue
            seconds += (int(fields[11]) + int(fields[12])) / TICKS
            rollup = (path / "smaps_rollup").read_text().splitlines()
            memory += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024
        except (OSError, IndexError):
            continue
    return seconds, memory


@dataclass(frozen=True)
class Usage:
    """CPU seconds of each node in a span of time, and what it held at the end."""

    seconds: float
    cpu: dict[str, float]
    memory: dict[str, float]


class Meter:
    """Measures the nodes between two readings. Mutable."""

    def __init__(self, cluster: ProcessCluster) -> None:
        self.sessions = {node: cluster.family.children[node].process.pid for node in NODES}
        self.restart()

    def restart(self) -> None:
        """Begin a span."""
        self._began = time.monotonic()
        self._before = {node: usage_of(pid)[0] for node, pid in self.sessions.items()}

    def read(self) -> Usage:
        """The span so far."""
        now = {node: usage_of(pid) for node, pid in self.sessions.items()}
        cpu = {node: seconds - self._before[node] for node, (seconds, _) in now.items()}
        return Usage(time.monotonic() - self._began, cpu, {node: memory for node, (_, memory) in now.items()})


def hand_in(client: Client, transfers: Sequence[bytes]) -> int:
    """Give transfers to a node; how many batches it did not take whole."""
    refused = 0
    for start in range(0, len(transfers), MAX_BATCH):
        part = transfers[start : start + MAX_BATCH]
        try:
            client.batch([("author_submitExtrinsic", ["0x" + raw.hex()]) for raw in part])
        except ClientError:
            refused += 1
    return refused


@dataclass(frozen=True)
class Load:
    """What the generator did: seconds from the first to the last transfer, its CPU seconds, refused batches; and what
    it saw all the while: the lag of finality in blocks, and the mean MiB of a node every `MEMORY_SECONDS`."""

    seconds: float
    cpu: float
    refused: int
    lags: tuple[int, ...]
    memory: tuple[float, ...] = ()

    @property
    def lag_shares(self) -> dict[int, float]:
        """Lag -> the percentage of looks that found it."""
        return {lag: round(100 * count / len(self.lags), 1) for lag, count in sorted(Counter(self.lags).items())}

    @property
    def growth(self) -> float | None:
        """Percent by which the nodes' memory grew since a third of the time; None when that was too short."""
        settled = self.memory[len(self.memory) // 3 :]
        return round(100 * (settled[-1] / settled[0] - 1), 1) if len(settled) > 1 else None


def generate(cluster: ProcessCluster, transfers: Sequence[bytes], rate: int, meter: Meter) -> Load:
    """Hand the transfers in at ``rate`` per second, each account's always to the same validator."""
    began, cpu = time.monotonic(), time.process_time()
    lags: list[int] = []
    memory: list[float] = []
    pending: list[Future[int]] = []
    step = max(int(rate * STEP_SECONDS), 1)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(VALIDATORS)))
        clients = {node: stack.enter_context(Client(cluster.members[node].url)) for node in (*VALIDATORS, FULL)}
        for number, start in enumerate(range(0, len(transfers), step)):
            time.sleep(max(began + number * STEP_SECONDS - time.monotonic(), 0.0))
            for place, node in enumerate(VALIDATORS):
                share = [transfers[index] for index in range(start, min(start + step, len(transfers)))
                         if index % SENDERS % len(VALIDATORS) == place]  # fmt: skip
                pending.append(pool.submit(hand_in, clients[node], share))
            lags.append(max(clients[FULL].head().number - clients[FULL].finalized_number(), 0))
            if number * STEP_SECONDS >= MEMORY_SECONDS * len(memory):
                memory.append(statistics.mean(meter.read().memory.values()))
        refused = sum(one.result() for one in pending)
    return Load(time.monotonic() - began, time.process_time() - cpu, refused, tuple(lags), tuple(memory))


@dataclass(frozen=True)
class Landed:
    """What reached finalized blocks: how many transfers, from the first slot with some to the last how many slots, the
    most in one block, and how many in the slots between these two, which alone are filled for their whole length."""

    count: int
    slots: int
    largest: int
    between: int


def count_final(client: Client, start: int, wanted: int) -> Landed:
    """Wait until ``wanted`` transfers are in finalized blocks above ``start``, or `DRAIN_SECONDS` brought no more."""
    deadline = time.monotonic() + DRAIN_SECONDS
    number, held = start, dict[int, int]()
    while sum(held.values()) < wanted and time.monotonic() < deadline:
        if client.finalized_number() <= number:
            time.sleep(0.2)
            continue
        number += 1
        hash_ = client.block_hash(number)
        assert hash_ is not None
        body = client.call("chain_getBlock", "0x" + hash_.hex())["block"]["extrinsics"]
        if len(body) > INHERENTS:
            held[slot_of(client.header(hash_).digest).slot] = len(body) - INHERENTS
            deadline = time.monotonic() + DRAIN_SECONDS
    if not held:
        return Landed(0, 0, 0, 0)
    first, last = min(held), max(held)
    between = sum(count for slot, count in held.items() if first < slot < last)
    return Landed(sum(held.values()), last - first + 1, max(held.values()), between)


def block_capacity(length: int) -> int:
    """Transfers of ``length`` bytes that the weight limit leaves room for in a block."""
    limits = TESTNET.block
    normal = limits.weight_limit * limits.normal_share // PARTS
    return normal // compute_extrinsic_weight(length, CALLS["balances.transfer"])


def verifications_per_second(genesis: bytes, transfers: Sequence[bytes]) -> float:
    """Transfers that one core decodes and verifies per second of CPU time, with libsodium: the floor of the work."""
    cpu = time.process_time()
    assert all(verify_batch(genesis, transfers))
    return len(transfers) / (time.process_time() - cpu)


def run(quick: bool = False, progress: Progress = silent, rate: int = 0, seconds: int = 0) -> Report:
    """``rate`` transfers per second for ``seconds``."""
    rate, seconds = rate or (100 if quick else GOAL_PER_SECOND), seconds or (15 if quick else 60)
    accounts = make_accounts(SENDERS)
    rich = {to_ss58(account.public): str(100 * TOKEN) for account in accounts}
    progress("starting four validators and a full node")
    with running_processes(isolated=False, balances=rich) as cluster, Client(cluster.members[FULL].url) as full:
        genesis = full.genesis_hash()
        progress(f"signing {rate * seconds} transfers")
        transfers = sign_all(accounts, rate * seconds, genesis)
        floor = verifications_per_second(genesis, transfers[:3_000])
        progress(f"idle for {IDLE_SECONDS:.0f} s")
        meter = Meter(cluster)
        time.sleep(IDLE_SECONDS)
        idle = meter.read()
        progress(f"{rate} transfers per second for {seconds} s")
        meter.restart()
        start = full.finalized_number()
        load = generate(cluster, transfers, rate, meter)
        landed = count_final(full, start, len(transfers))
        busy = meter.read()
    return _report(Measured(rate, len(transfers), len(transfers[0]), floor, idle, load, landed, busy))


@dataclass(frozen=True)
class Measured:
    """Everything that one run found."""

    rate: int
    transfers: int
    length: int
    floor: float
    idle: Usage
    load: Load
    landed: Landed
    busy: Usage

    @property
    def per_second(self) -> float:
        """Transfers in finalized blocks, for each second of the slots between the first such block and the last."""
        return self.landed.between / ((self.landed.slots - 2) * SLOT_SECONDS) if self.landed.slots > 2 else 0.0

    def cost(self, node: str) -> float:
        """CPU microseconds that a node spent on each transfer, above what it spends when idle."""
        extra = self.busy.cpu[node] - self.idle.cpu[node] / self.idle.seconds * self.busy.seconds
        return 1e6 * extra / max(self.landed.count, 1)

    @property
    def bottleneck(self) -> str:
        """What kept the rate from being higher."""
        capacity, cores = block_capacity(self.length), os.cpu_count() or 1
        used = (sum(self.busy.cpu.values()) + self.load.cpu) / self.busy.seconds
        if self.landed.largest >= 0.95 * capacity:
            return f"the weight limit of a block, {capacity} transfers"
        if self.landed.count == self.transfers and self.load.seconds <= 1.1 * self.transfers / self.rate:
            return f"none: all that was offered became final in time ({used:.1f} of {cores} cores used)"
        return f"CPU time: nodes and generator used {used:.1f} of {cores} cores of a machine that others may use, too"


def _report(found: Measured) -> Report:
    costs = {node: round(found.cost(node)) for node in NODES}
    mean = statistics.mean(costs.values())
    lags = found.load.lags
    figures: dict[str, Any] = {
        "offered_per_second": found.rate,
        "offered": found.transfers,
        "final": found.landed.count,
        "final_per_second": round(found.per_second, 1),
        "refused_batches": found.load.refused,
        "generator_seconds": round(found.load.seconds, 1),
        "generator_cpu_us": round(1e6 * found.load.cpu / found.transfers),
        "finality_lag_blocks": {"median": statistics.median(lags), "p95": percentile(lags, 95), "most": max(lags)},
        "finality_lag_percent": found.load.lag_shares,
        "cpu_us_per_transfer": costs,
        "cpu_us_per_transfer_and_node": round(mean),
        "libsodium_verifications_per_second": round(found.floor),
        "verifications_worth_of_cpu": round(mean * found.floor / 1e6, 1),
        "share_of_libsodium": round(found.per_second / found.floor, 4),
        "largest_block": found.landed.largest,
        "block_capacity": block_capacity(found.length),
        "capacity_per_second": round(block_capacity(found.length) / SLOT_SECONDS),
        "idle_cpu_percent": {node: round(100 * found.idle.cpu[node] / found.idle.seconds, 1) for node in NODES},
        "idle_memory_mib": {node: round(found.idle.memory[node]) for node in NODES},
        "memory_mib": {node: round(found.busy.memory[node]) for node in NODES},
        "memory_mib_over_time": [round(mean, 1) for mean in found.load.memory],
        "memory_growth_percent": found.load.growth,
        "bottleneck": found.bottleneck,
    }
    return Report("network", figures, _tables(found, figures), (f"Bottleneck: {found.bottleneck}.",))


def _tables(found: Measured, figures: dict[str, Any]) -> tuple[Table, ...]:
    lag, growth = figures["finality_lag_blocks"], figures["memory_growth_percent"]
    whole = (
        ("offered, per second", f"{found.rate}", ""),
        ("final, per second", f"{found.per_second:.0f}", f"{GOAL_PER_SECOND}"),
        ("final, of those offered", f"{found.landed.count:,} of {found.transfers:,}", ""),
        ("room in blocks, per second", f"{figures['capacity_per_second']}", "600"),
        (
            "lag of finality, blocks: median, 95 %, most",
            f"{lag['median']:g}, {lag['p95']}, {lag['most']}",
            f"{GOAL_LAG}",
        ),
        *((f"lag of {size}, % of the time", f"{share}", "") for size, share in figures["finality_lag_percent"].items()),
        ("CPU us per transfer and node", f"{figures['cpu_us_per_transfer_and_node']}", ""),
        ("the same in signature verifications", f"{figures['verifications_worth_of_cpu']}", ""),
        ("CPU us per transfer of the generator", f"{figures['generator_cpu_us']}", ""),
        ("verifications of libsodium, per second", f"{figures['libsodium_verifications_per_second']:,}", ""),
        ("memory since a third of the time, %", "" if growth is None else f"{growth:+}", "5"),
    )
    nodes = tuple(
        (
            node,
            f"{figures['idle_cpu_percent'][node]:.1f}",
            f"{figures['idle_memory_mib'][node]}",
            f"{100 * found.busy.cpu[node] / found.busy.seconds:.0f}",
            f"{figures['memory_mib'][node]}",
            f"{figures['cpu_us_per_transfer'][node]}",
        )
        for node in NODES
    )
    columns = ("node", ">idle CPU, %", ">idle MiB", ">loaded CPU, %", ">MiB", ">CPU us per transfer")
    return (Table("Four validators", ("", ">measured", ">goal"), whole), Table("Each node", columns, nodes))
