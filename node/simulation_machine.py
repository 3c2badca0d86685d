"""One simulated computer: a disk that survives, and while it is up, a `ChainNode` and its end of the network.

It is to `ChainNode` what the pump in `node/service.py` is: it hands in events and the time, and carries effects out in
the order given. It can stop between any two effects; the disk then keeps what was synced, and everything else is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from chain import slots
from chain.effects import Ask, Commit, Judge, NewFinalized, Publish, Punish
from chain.finality import FinalityBroken
from chain.grandpa.effects import ReportEquivocation
from chain.importer import Equivocation
from chain.keyring import KeyInUse, Keyring
from chain.ledger import Ledger, open_ledger
from chain.messages import BLOCKS, EXTRINSICS, VOTES
from chain.network_node import ChainNode, NodeEffect
from chain.pool import Pool
from chain.warp import WarpOptions, WarpRefused
from node.keystore import SeedSigner
from node.simulation_disk import MemoryDatabase
from node.simulation_faults import Traitor
from p2p.interface import Incoming, PeerConnected, PeerDisconnected, Verdict
from p2p.memory import Answered, Asked, Delivery, Gossip, MemoryNetwork, MemoryNode, NodeEvent
from runtime.crypto import Verify

TOPICS = (BLOCKS, EXTRINSICS, VOTES)
BAN_POINTS = 100
REJECTED_POINTS = 50
"""As in `p2p.host`."""
SHORTEST_WAIT = 0.001
"""Seconds between two looks at a node, whatever it says about its next appointment."""


class World(Protocol):
    """What a machine needs of the simulation around it."""

    now: float
    network: MemoryNetwork

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something later."""

    def on_finalized(self, machine: Machine, ledger: Ledger) -> None:
        """A machine's finalized head has moved, and that is on its disk."""

    def on_published(self, machine: Machine, topic: str, data: bytes) -> None:
        """A machine says something of its own."""

    def on_broken(self, machine: Machine, reason: str) -> None:
        """A machine has seen proof that finality has failed, or cannot go on as it was told to."""

    def on_blamed(self, machine: Machine, peer: str, points: int, reason: str) -> None:
        """A machine holds something against a peer, which may lead to a ban."""

    def on_restarted(self, machine: Machine) -> None:
        """A machine is up again, and wants to be connected."""


@dataclass(slots=True)
class Statistics:
    """What happened to one machine."""

    crashes: int = 0
    offences: int = 0
    blame: Counter[str] = field(default_factory=Counter)


class Machine:
    """Mutable. `start` it, then hand it deliveries; `crash` and `start` again as often as you like."""

    def __init__(
        self,
        world: World,
        name: str,
        signer: SeedSigner | None,
        genesis: dict[str, Any],
        disk: MemoryDatabase,
        work_seconds: float,
        random: Random,
        verify: Verify,
        warp: WarpOptions | None = None,
    ) -> None:
        """A validator if it has a ``signer``; one with ``warp`` does not execute the past."""
        self.world, self.name, self.signer, self.disk = world, name, signer, disk
        self.traitor: Traitor | None = None
        self.banned: set[str] = set()
        self.statistics = Statistics()
        self.chain: ChainNode | None = None
        self.finalized_number = 0
        """The highest block that this machine's disk has promised to keep."""
        self._genesis, self._work_seconds, self._random, self._verify = genesis, work_seconds, random, verify
        self._warp = warp
        self._host: MemoryNode | None = None
        self._tickets: dict[tuple[str, int], int] = {}
        self._sources: dict[bytes, str] = {}
        """Messages that are not judged yet -> who sent them."""
        self._fuse: int | None = None
        self._life = 0
        self._wakes_at = float("inf")
        self._is_working = False

    @property
    def is_up(self) -> bool:
        return self.chain is not None

    @property
    def ledger(self) -> Ledger:
        """Raises when the machine is down."""
        assert self.chain is not None, f"{self.name} is down"
        return self.chain.ledger

    # --- life

    def start(self) -> None:
        """Turn the machine on: everything it knows comes from its disk."""
        self.disk.reopen()
        ledger = open_ledger(self.disk, self._genesis, is_primary=slots.is_primary, verify=self._verify)
        keys = Keyring([self.signer] if self.signer else [])
        self.chain = ChainNode(ledger, Pool(ledger.validate), keys, warp=self._warp)
        self._host = MemoryNode(self.world.network, self.name, TOPICS)
        self._tickets, self._sources, self._fuse, self._is_working = {}, {}, None, False
        self._wakes_at = float("inf")
        self._life += 1
        self.world.on_restarted(self)
        self.carry_out([])

    def light_fuse(self, effects: int) -> None:
        """The machine crashes after so many more effects."""
        if self.is_up:
            self._fuse = effects

    def crash(self) -> None:
        """Turn the machine off without warning."""
        self.disk.crash(self._random)
        self.chain = self._host = None
        self.statistics.crashes += 1
        for peer in self.world.network.neighbours(self.name):
            self.world.network.disconnect(self.name, peer, self.world.now)

    # --- events

    def on_delivery(self, delivery: Delivery) -> None:
        """A packet has arrived."""
        if self._host is None or delivery.source in self.banned:
            return
        for event in self._host.on_delivery(delivery):
            if self.chain is not None:
                self._on_event(self.chain, event)

    def _on_event(self, chain: ChainNode, event: NodeEvent) -> None:
        now = self.world.now
        match event:
            case PeerConnected(peer):
                self.carry_out(chain.on_peer_connected(peer.id, now))
            case PeerDisconnected(peer):
                self.carry_out(chain.on_peer_disconnected(peer, now))
            case Incoming(message, topic, data, peer):
                self._sources[message] = peer
                self.carry_out(chain.on_gossip(topic, data, peer, message, now))
            case Asked(peer, ticket, protocol, data):
                answer, effects = chain.on_request(peer, protocol, data, now)
                self._respond(peer, ticket, protocol, data, answer)
                self.carry_out(effects)
            case Answered(peer, ticket, kind, data):
                asked = self._tickets.pop((peer, ticket), None)
                if asked is not None:
                    self.carry_out(chain.on_response(asked, data if kind == "end" else None, now))

    def _respond(self, peer: str, ticket: int, protocol: str, data: bytes, answer: bytes | None) -> None:
        if self.traitor is not None:
            answer = self.traitor.respond(protocol, data, answer)
        assert self._host is not None
        self._host.respond(peer, ticket, "refused" if answer is None else "end", answer or b"", self.world.now)

    def submit(self, raw: bytes) -> None:
        """A user hands in an extrinsic. Raises like `ChainNode.submit`."""
        assert self.chain is not None
        self.carry_out(self.chain.submit(raw, self.world.now)[1])

    # --- effects

    def carry_out(self, effects: list[NodeEffect]) -> None:
        """Do what the node asks for, unless the machine crashes on the way; then make its next appointment."""
        assert all(not isinstance(effect, Commit) for effect in effects[1:]), "a commit is not in front"
        for effect in effects:
            if self._fuse is not None:
                if self._fuse == 0:
                    self.crash()
                    return
                self._fuse -= 1
            self._carry_out_one(effect)
        self._make_appointments()

    def _carry_out_one(self, effect: NodeEffect) -> None:
        world, host = self.world, self._host
        assert host is not None
        match effect:
            case Commit(batch):
                self.disk.write(batch, sync=True)
            case NewFinalized():
                world.on_finalized(self, self.ledger)
            case Publish(topic, data):
                self._publish(host, topic, data)
            case Judge(message, verdict):
                host.answer(message, Verdict(verdict), world.now)
                source = self._sources.pop(message, "")
                if verdict == "reject":
                    self._punish(source, REJECTED_POINTS, "a message that nobody may relay")
            case Ask(ticket, peer, protocol, data):
                self._tickets[peer, host.ask(peer, protocol, data, world.now)] = ticket
            case Punish(peer, points, reason):
                self._punish(peer, points, reason)
            case Equivocation() | ReportEquivocation():
                self.statistics.offences += 1
            case KeyInUse(_, what):
                assert self.traitor is not None, f"{self.name} does not remember {what} of its own"
            case FinalityBroken(reason) | WarpRefused(reason):
                world.on_broken(self, reason)
            case _:
                pass

    def _publish(self, host: MemoryNode, topic: str, data: bytes) -> None:
        world = self.world
        peers = world.network.neighbours(self.name)
        sendings = self.traitor.publish(self.ledger, topic, data, peers) if self.traitor else None
        if sendings is None:
            world.on_published(self, topic, data)
            host.publish(topic, data, world.now)
            return
        for peer, other in sendings:
            world.network.send(self.name, peer, Gossip(topic, other), world.now)

    def _punish(self, peer: str, points: int, reason: str) -> None:
        """Traitors hold nothing against anybody."""
        if self.traitor is not None or not peer:
            return
        self.world.on_blamed(self, peer, points, reason)
        self.statistics.blame[peer] += points
        if peer not in self.banned and self.statistics.blame[peer] >= BAN_POINTS:
            self.banned.add(peer)
            self.world.network.disconnect(self.name, peer, self.world.now)

    # --- time

    def _make_appointments(self) -> None:
        chain, world = self.chain, self.world
        if chain is None:
            return
        if chain.has_work and not self._is_working:
            self._is_working = True
            world.at(world.now + self._work_seconds, self._in_this_life(self._work))
        wake = max(chain.wake_at(world.now), world.now + SHORTEST_WAIT)
        if wake < self._wakes_at:
            self._wakes_at = wake
            world.at(wake, self._in_this_life(lambda: self._wake(wake)))

    def _in_this_life(self, action: Callable[[], None]) -> Callable[[], None]:
        life = self._life

        def act() -> None:
            if self._life == life and self.is_up:
                action()

        return act

    def _work(self) -> None:
        assert self.chain is not None
        self._is_working = False
        self.carry_out(self.chain.work(self.world.now))

    def _wake(self, moment: float) -> None:
        if moment == self._wakes_at and self.chain is not None:
            self._wakes_at = float("inf")
            self.carry_out(self.chain.on_time(self.world.now))
