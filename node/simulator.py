"""A whole network in one process, in virtual time: consensus, sync and storage under trouble that a seed draws.

The nodes are the `ChainNode` objects that real nodes run, the network is `p2p.memory`, disks are `MemoryDatabase`. A
*plan* (`node.simulation_plan`) says what goes wrong: links that lose, double and reorder packets, partitions, crashes,
and validators that lie. Everything happens on one heap of timed events, so the same seed gives the same history, to
the last byte; `Simulation.digest` sums it up. What must hold is checked as it happens, and when the run ends
(`node.simulation_checks`): whatever fails is raised as `SimulationFailed`, which names the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from random import Random

from chain import slots
from chain.ledger import Ledger, open_ledger
from chain.pool import PoolError
from chain.warp import WarpOptions
from node.simulation_checks import Watch, accused_by, check_agreement, check_state, has_recovered, punished_by
from node.simulation_disk import MemoryDatabase
from node.simulation_faults import Traitor
from node.simulation_genesis import USERS, session_signer, validator_genesis
from node.simulation_machine import Machine
from node.simulation_plan import SLOT_SECONDS, Crash, Partition, Plan, draw_harsh_plan, draw_plan
from p2p.memory import Delivery, Gossip, MemoryNetwork, Request, Response
from runtime import crypto
from runtime.block import IMMORTAL, Call, sign_extrinsic
from runtime.codec import Record, encode
from runtime.crypto import derive_seed, public_key
from runtime.errors import InvalidExtrinsic, SolventError
from runtime.pallets import balances, staking, system
from runtime.parameters import TOKEN

START = 1_000 * SLOT_SECONDS
"""When runs begin, in Unix seconds; slots are counted from 1970."""
WARP_GAP = 4
"""Blocks behind from which on a joiner warps; a real node executes hundreds rather."""
BREAK_SECONDS = 6.0
"""A connection over which nothing passes breaks after so long."""
GRACE_SECONDS = 240.0
"""How much longer than planned a run may take until the network has recovered and made its blocks. Over links of a
second, a block takes longer than a slot to reach everybody, and half of all blocks end on forks."""


class SimulationFailed(SolventError):
    """Something that must hold did not. The message names the seed, which brings it back."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run. Times are virtual seconds."""

    seed: int
    blocks: int
    finalized: int
    sets: int
    crashes: int
    lies: int
    offences: int
    slashed: int
    extrinsics: int
    packets: int
    events: int
    recovered_after: float
    digest: str


class VerifiedSignatures:
    """Remembers which signatures are valid: what one simulated node has checked, the others need not. Mutable.

    (VRF proofs are remembered by `chain.slots` in any node.)
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes, bytes], bool] = {}

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """As `runtime.crypto.verify`."""
        key = (public, signature, message)
        if key not in self._known:
            self._known[key] = crypto.verify(*key)
        return self._known[key]


class Simulation:
    """One run. Mutable; `run` it once."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.now = plan, START
        self.network = MemoryNetwork(plan.seed, plan.link)
        self.watch = Watch()
        self.extrinsics = self.events = 0
        self._random = Random(f"run {plan.seed}")
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._partitions: list[Partition] = []
        self._accused: set[bytes] = set()
        """Session keys of those who were caught before the end of the plan."""
        self._history = blake2b(digest_size=16)
        genesis, signatures = validator_genesis(plan), VerifiedSignatures()
        fresh = MemoryDatabase("genesis")
        open_ledger(fresh, genesis, is_primary=slots.is_primary)
        self.machines: list[Machine] = []
        for index in range(plan.count):
            work_seconds = plan.work_seconds[index] if plan.work_seconds else 0.0
            signer = session_signer(index)
            disk, random = fresh.copy(f"node{index}"), self._new_random()
            machine = Machine(self, f"node{index}", signer, genesis, disk, work_seconds, random, signatures.verify)
            if index in plan.liars:
                machine.traitor = Traitor(plan.liars[index], signer, self._new_random())
            self.machines.append(machine)
        for index, joiner in enumerate(plan.joiners, start=plan.count):
            disk, warp = fresh.copy(f"node{index}"), WarpOptions(least_gap=WARP_GAP) if joiner.warp else None
            arguments = (genesis, disk, 0.0, Random(f"joiner {plan.seed}"), signatures.verify, warp)
            self.machines.append(Machine(self, f"node{index}", None, *arguments))
        self._schedule()

    def _new_random(self) -> Random:
        return Random(self._random.getrandbits(64))

    def _schedule(self) -> None:
        for machine in self.machines[: self.plan.count]:
            self.at(START + self._random.uniform(0, 1), machine.start)
        for joiner, machine in zip(self.plan.joiners, self.machines[self.plan.count :], strict=True):
            self.at(START + joiner.at, machine.start)
        for crash in self.plan.crashes:
            self._schedule_crash(crash)
        for partition in self.plan.partitions:
            self._schedule_partition(partition)
        self.at(START + self._random.expovariate(1 / self.plan.extrinsic_seconds), self._use)

    @property
    def honest(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.traitor is None]

    # --- running

    def run(self) -> Report:
        """To the end of the plan, and on until the network has recovered. Raises `SimulationFailed`."""
        try:
            return self._run()
        except SimulationFailed:
            raise
        except Exception as error:
            where = f"after {self.now - START:.3f} s, in event {self.events}"
            raise SimulationFailed(
                f"seed {self.plan.seed}, {where}: {error or type(error).__name__}\n{self.plan}"
            ) from error

    def _run(self) -> Report:
        ends_at = START + self.plan.ends_at
        healed_at = START + self.plan.heals_at
        self._run_until(healed_at)
        height = max((machine.finalized_number for machine in self.honest), default=0)
        recovered_at: float | None = None
        while self.now < ends_at or (missing := self._describe_missing(recovered_at)):
            if self.now >= ends_at + GRACE_SECONDS:
                raise AssertionError(f"{missing}: {self._describe()}")
            if self.now < ends_at:
                self._accused |= accused_by(self.honest)
            self._run_until(self.now + 1.0)
            if recovered_at is None and has_recovered(self.honest, height, self._slot_of(healed_at)):
                recovered_at = self.now
        assert recovered_at is not None
        check_agreement(self.honest)
        liars = {self._account(index) for index in self.plan.liars}
        assert self._punished() <= liars, "an honest validator was slashed"
        for machine in self.honest:
            check_state(machine)
            self.watch.check_history(machine)
        return self._report(recovered_at - healed_at)

    def _describe_missing(self, recovered_at: float | None) -> str:
        """What has not happened yet that must before the run is over; empty when all has."""
        if recovered_at is None:
            return "finality has not resumed"
        if self._is_anybody_at_large():
            return "an equivocation is not punished"
        if min(machine.finalized_number for machine in self.honest) < self.plan.blocks:
            return f"{self.plan.blocks} blocks are not final"
        if any(machine.chain is None or machine.chain.history.missing for machine in self.honest):
            return "a node that warped has not fetched the past"
        return ""

    def _is_anybody_at_large(self) -> bool:
        """Whether somebody was accused in time, and is not punished yet in what is final everywhere."""
        keys = {session_signer(index).public: self._account(index) for index in range(self.plan.count)}
        return not {keys[key] for key in self._accused} <= self._punished()

    def _punished(self) -> set[bytes]:
        return set.intersection(*(punished_by(machine) for machine in self.honest if machine.is_up))

    def _account(self, index: int) -> bytes:
        return public_key(derive_seed(f"//Validator//{index}"))

    def _slot_of(self, moment: float) -> int:
        return int(moment / SLOT_SECONDS)

    def _run_until(self, end: float) -> None:
        """Carry packets and do what is due, whichever comes first, up to a moment."""
        while True:
            arrival = self.network.next_time()
            moment = self._heap[0][0] if self._heap else None
            if arrival is not None and (moment is None or arrival <= moment):
                if arrival > end:
                    break
                self.now = max(self.now, arrival)
                for delivery in self.network.pop_due(arrival):
                    self._deliver(delivery)
            elif moment is None or moment > end:
                break
            else:
                self.now = max(self.now, moment)
                self.events += 1
                heapq.heappop(self._heap)[2]()
        self.now = end

    def _deliver(self, delivery: Delivery) -> None:
        self.events += 1
        packet = delivery.packet
        self._history.update(f"{delivery.time}{delivery.source}{delivery.target}{type(packet).__name__}".encode())
        if isinstance(packet, Gossip | Request | Response):
            self._history.update(packet.data)
        index = int(delivery.target.removeprefix("node"))
        self.machines[index].on_delivery(delivery)

    def _describe(self) -> str:
        return ", ".join(
            f"{machine.name} {machine.ledger.finalized_number}/{machine.ledger.head_number}"
            if machine.is_up
            else f"{machine.name} down"
            for machine in self.machines
        )

    def _report(self, recovered_after: float) -> Report:
        machines, ledgers = self.machines, [machine.ledger for machine in self.honest]
        best = max(ledgers, key=lambda ledger: ledger.finalized_number)
        sets = max(machine.chain.finality.set_id for machine in self.honest if machine.chain)
        return Report(
            self.plan.seed,
            max(ledger.head_number for ledger in ledgers),
            best.finalized_number,
            sets,
            sum(machine.statistics.crashes for machine in machines),
            sum(machine.traitor.lies for machine in machines if machine.traitor),
            sum(machine.statistics.offences for machine in self.honest),
            len(self._punished()),
            self.extrinsics,
            self.network.sent,
            self.events,
            recovered_after,
            self._history.hexdigest(),
        )

    # --- what machines tell (`node.simulation_machine.World`)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._sequence += 1
        heapq.heappush(self._heap, (moment, self._sequence, action))

    def on_finalized(self, machine: Machine, ledger: Ledger) -> None:
        if machine.traitor is None:
            self.watch.on_finalized(machine, ledger)

    def on_published(self, machine: Machine, topic: str, data: bytes) -> None:
        if machine.traitor is None:
            self.watch.on_published(machine, topic, data)

    def on_broken(self, machine: Machine, reason: str) -> None:
        assert machine.traitor is not None, f"{machine.name}: {reason}"

    def on_blamed(self, machine: Machine, peer: str, points: int, reason: str) -> None:
        liars = {other.name for other in self.machines if other.traitor is not None}
        assert peer in liars, f"{machine.name} holds {points} points against the honest {peer}: {reason}"

    def on_restarted(self, machine: Machine) -> None:
        if machine.traitor is None:
            self.watch.on_restarted(machine, machine.ledger)
        for other in self.machines:
            self._connect(machine, other)

    def _connect(self, first: Machine, second: Machine) -> None:
        """Unless one is down, has banned the other, or cannot reach it."""
        is_banned = first.name in second.banned or second.name in first.banned
        if first is second or not (first.is_up and second.is_up) or is_banned:
            return
        if any(self._is_cut(first, second, partition) for partition in self._partitions):
            return
        self.network.connect(first.name, second.name, self.now)

    def _is_cut(self, first: Machine, second: Machine, partition: Partition) -> bool:
        inside = [self.machines.index(machine) in partition.nodes for machine in (first, second)]
        return inside[0] != inside[1]

    # --- trouble

    def _schedule_crash(self, crash: Crash) -> None:
        machine = self.machines[crash.node]

        def stop() -> None:
            if machine.is_up:
                machine.crash()

        def restart() -> None:
            if not machine.is_up:
                machine.start()

        self.at(START + crash.at, lambda: machine.light_fuse(crash.after))
        self.at(START + crash.at + 1.5, stop)
        self.at(START + crash.at + max(crash.seconds, 5.0), restart)

    def _schedule_partition(self, partition: Partition) -> None:
        names = [self.machines[index].name for index in partition.nodes]
        begin, end = START + partition.at, START + partition.at + partition.seconds

        def cut() -> None:
            self._partitions.append(partition)
            self.network.partition(names)

        def break_connections() -> None:
            for first, second in combinations(self.machines, 2):
                if self._is_cut(first, second, partition):
                    self.network.disconnect(first.name, second.name, self.now)

        def heal() -> None:
            self._partitions.remove(partition)
            self.network.heal()
            for first, second in combinations(self.machines, 2):
                self._connect(first, second)

        self.at(begin, cut)
        if partition.seconds > BREAK_SECONDS:
            self.at(begin + BREAK_SECONDS, break_connections)
        self.at(end, heal)

    # --- users

    def _use(self) -> None:
        """Somebody sends an extrinsic to some node."""
        self.at(self.now + self._random.expovariate(1 / self.plan.extrinsic_seconds), self._use)
        machine = self._random.choice(self.machines)
        if machine.is_up:
            raw = self._make_extrinsic(machine)
            try:
                machine.submit(raw)
                self.extrinsics += 1
            except (PoolError, InvalidExtrinsic):
                return

    def _make_extrinsic(self, machine: Machine) -> bytes:
        args: Record
        if self._random.random() < 0.2:
            seed = derive_seed(f"//Validator//{self._random.randrange(self.plan.count)}")
            args = staking.BondMore(self._random.randint(1, 1_000) * TOKEN)
            call = Call("staking", "bond_more", encode(args))
        else:
            seed = derive_seed(f"//User//{self._random.randrange(USERS)}")
            to = public_key(derive_seed(f"//User//{self._random.randrange(USERS)}"))
            args = balances.Transfer(to, self._random.randint(1, 100) * TOKEN)
            call = Call("balances", "transfer", encode(args))
        ledger, account = machine.ledger, public_key(seed)
        nonce = system.nonce(ledger.state(), account)
        if machine.chain is not None:
            nonce = machine.chain.pool.next_nonce(account, nonce)
        genesis = ledger.genesis_hash
        return encode(sign_extrinsic(seed, call, nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION))


def simulate(seed: int, slots: int = 60, harsh: bool = False) -> Report:
    """Run one seed. Raises `SimulationFailed`."""
    return Simulation(draw_harsh_plan(seed) if harsh else draw_plan(seed, slots)).run()
