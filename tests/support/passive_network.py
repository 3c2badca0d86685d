"""Several `ChainNode`s in one process, with virtual time: messages wait in a heap, and nothing is random."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chain import slots
from chain.db import Database
from chain.effects import Ask, Commit, Judge, Publish, Punish
from chain.keyring import KeyInUse, Keyring
from chain.ledger import open_ledger
from chain.network_node import ChainNode, NodeEffect
from chain.pool import Pool
from chain.warp import WarpOptions
from node.keystore import SeedSigner
from runtime.trees import hash_tagged
from tests.support.validators import NAMES, START, network_genesis, session_signer

DELAY = 0.05


class PassiveNode:
    """A node with its database, and what it said about its peers."""

    def __init__(
        self,
        name: str,
        folder: Path,
        genesis: dict[str, Any],
        signers: Sequence[SeedSigner],
        warp: WarpOptions | None,
        windows: tuple[int | None, int | None],
        quiet_slots: int = 0,
    ) -> None:
        self.name, self.folder, self.genesis, self.signers = name, folder, genesis, list(signers)
        self.warp, self.windows, self.quiet_slots = warp, windows, quiet_slots
        self.punished: list[Punish] = []
        self.effects: list[NodeEffect] = []
        self.seen: set[bytes] = set()
        self.online = False
        self.open()

    def open(self) -> None:
        self.database = Database(self.folder)
        states, blocks = self.windows
        ledger = open_ledger(self.database, self.genesis, states, slots.is_primary, block_window=blocks)
        self.chain = ChainNode(
            ledger, Pool(ledger.validate), Keyring(self.signers), warp=self.warp, quiet_slots=self.quiet_slots
        )

    def close(self) -> None:
        self.database.close()


class PassiveNetwork:
    """Nodes that all know each other. Mutable: `run` for some seconds; `cut` decides which messages get lost."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = NAMES,
        genesis: dict[str, Any] | None = None,
        windows: tuple[int | None, int | None] = (None, None),
        now: float = START,
    ) -> None:
        """``windows`` of all nodes: how many blocks of past state they keep, and how many blocks."""
        self.folder, self.now, self.windows = folder, now + 0.01, windows
        self.genesis = genesis or network_genesis(names)
        self.nodes: dict[str, PassiveNode] = {}
        self.cut: Callable[[str, str], bool] = lambda source, target: False
        self.answer: Callable[[str, str, str, bytes | None], bytes | None] = lambda peer, asker, protocol, data: data
        """What arrives of an answer of a peer to an asker: a hook for liars."""
        self.asked: list[tuple[str, Ask]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        for name in names:
            self.add(name, [session_signer(name)])

    def __enter__(self) -> PassiveNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.close()

    def add(
        self, name: str, signers: Sequence[SeedSigner] = (), warp: WarpOptions | None = None, quiet_slots: int = 0
    ) -> PassiveNode:
        """Another node: a validator when it has the key of one."""
        node = PassiveNode(name, self.folder / name, self.genesis, signers, warp, self.windows, quiet_slots)
        self.nodes[name] = node
        self.connect(name)
        return node

    def connect(self, name: str) -> None:
        node = self.nodes[name]
        node.online = True
        for other in self.nodes.values():
            if other is not node and other.online:
                self.carry_out(node, node.chain.on_peer_connected(other.name, self.now))
                self.carry_out(other, other.chain.on_peer_connected(name, self.now))
        self._wake(node)

    def disconnect(self, name: str) -> None:
        self.nodes[name].online = False
        for other in self.nodes.values():
            if other.name != name and other.online:
                self.carry_out(other, other.chain.on_peer_disconnected(name, self.now))

    def restart(self, name: str) -> None:
        node = self.nodes[name]
        node.close()
        node.open()

    def at(self, time: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (time, self._order, action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = end

    def _wake(self, node: PassiveNode) -> None:
        chain = node.chain
        due = max(chain.wake_at(self.now), self.now + 0.01)

        def wake() -> None:
            if node.online and node.chain is chain:
                self.carry_out(node, chain.on_time(self.now))
                self._wake(node)

        self.at(due, wake)

    # --- effects

    def carry_out(self, node: PassiveNode, effects: list[NodeEffect]) -> None:
        self._dispatch(node, effects)
        while node.chain.has_work:
            self._dispatch(node, node.chain.work(self.now))

    def _dispatch(self, node: PassiveNode, effects: list[NodeEffect]) -> None:
        assert all(not isinstance(effect, Commit) for effect in effects[1:]), "one commit, and it comes first"
        for effect in effects:
            match effect:
                case Commit(batch):
                    node.database.write(batch, sync=False)
                case Publish(topic, data):
                    self.gossip(node.name, topic, data)
                case Ask():
                    self.asked.append((node.name, effect))
                    self._ask(node, effect)
                case Punish():
                    node.punished.append(effect)
                case KeyInUse():
                    node.effects.append(effect)
                    self.carry_out(node, node.chain.silence(self.now))
                case _:
                    node.effects.append(effect)

    def gossip(self, source: str, topic: str, data: bytes) -> None:
        """Send a message to everybody else; each takes each message once, and passes it on when it accepts it."""
        identity = hash_tagged(b"test:gossip", topic.encode() + data)
        if source in self.nodes:
            self.nodes[source].seen.add(identity)
        for target in self.nodes.values():
            if target.name != source and not self.cut(source, target.name):
                self._send(target, topic, data, source, identity)

    def _send(self, target: PassiveNode, topic: str, data: bytes, source: str, identity: bytes) -> None:
        def deliver() -> None:
            if identity in target.seen or not target.online:
                return
            target.seen.add(identity)
            self.carry_out(target, target.chain.on_gossip(topic, data, source, identity, self.now))
            if Judge(identity, "accept") in target.effects:
                self.gossip(target.name, topic, data)
            target.effects = [effect for effect in target.effects if not isinstance(effect, Judge)]

        self.at(self.now + DELAY, deliver)

    def _ask(self, node: PassiveNode, ask: Ask) -> None:
        peer, chain = self.nodes[ask.peer], node.chain
        if self.cut(node.name, peer.name) or not peer.online:
            return

        def arrive() -> None:
            if not peer.online:
                return
            answer, effects = peer.chain.on_request(node.name, ask.protocol, ask.data, self.now)
            self.carry_out(peer, effects)
            answer = self.answer(peer.name, node.name, ask.protocol, answer)
            if not self.cut(peer.name, node.name):
                self.at(self.now + DELAY, lambda: respond(answer))

        def respond(answer: bytes | None) -> None:
            if node.online and node.chain is chain:
                self.carry_out(node, chain.on_response(ask.ticket, answer, self.now))

        self.at(self.now + DELAY, arrive)

    # --- looking

    def heads(self) -> set[bytes]:
        return {node.chain.ledger.head for node in self.nodes.values() if node.online}

    def finalized_numbers(self) -> list[int]:
        return [node.chain.ledger.finalized_number for node in self.nodes.values() if node.online]
