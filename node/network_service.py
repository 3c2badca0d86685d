"""The pump of a node among others: carries events from sockets and the clock to `ChainNode`, and its effects back.

Every call into the chain is followed at once by its effects, without a checkpoint in between, so no task sees the chain
half changed; `_drive` alone executes blocks, a slice at a time. Time is Unix seconds that never go back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from chain import messages
from chain.effects import Ask, Commit, Judge, NewBest, NewFinalized, Publish, Punish
from chain.finality import FinalityBroken
from chain.grandpa.effects import ReportEquivocation
from chain.importer import Equivocation
from chain.keyring import KeyInUse, Keyring
from chain.network_node import ChainNode, NodeEffect
from chain.signing_memory import signing_memory
from chain.slots import is_primary
from chain.sync import SyncState
from chain.warp import CheckpointNeeded, WarpOptions, WarpRefused, plan_warp
from node.base import SLICE_SECONDS, SWAMPED_SLICE_SECONDS, BaseNode, slice_is_over
from node.blob_exchange import BlobExchange
from node.networks import QUIET_SLOTS, NetworkConfig, load_node_key, load_peers, save_peers
from node.round_state import round_state
from p2p.host import SocketHost
from p2p.interface import Incoming, Limits, NetworkError, PeerConnected, PeerDisconnected, RequestRefused, Verdict
from rpc.view import FoundBlob, PeerView
from runtime.crypto import to_ss58
from runtime.errors import SolventError
from runtime.genesis import trusted_checkpoint
from runtime.pallets.session import possession_message

TOPICS = (messages.VOTES, messages.BLOCKS, messages.EXTRINSICS)
"""The order is the priority in which gossip is looked at."""
PROTOCOLS = (
    messages.STATUS,
    messages.BLOCK_RANGE,
    messages.FINALITY,
    messages.CATCH_UP,
    messages.WARP,
    messages.STATE,
    messages.POOL,
)
SHORTEST_WAIT = 0.002
"""Seconds between two looks at the clock, so that a deadline that stays overdue cannot keep the thread."""
MAX_UNJUDGED = 8192
"""Messages whose verdict is still to come; the host gives up on older ones by itself."""

logger = logging.getLogger("solvent.node")


class ChainBroken(SolventError):
    """The network finalized two conflicting blocks; no program can decide which one is right."""


class NetworkNode(BaseNode):
    """One node of a network, a validator when it has a session key. Mutable; `run` serves until it is told to stop."""

    def __init__(self, config: NetworkConfig, on_finalized: Callable[[int, bytes], None] = lambda *_: None) -> None:
        """As `BaseNode`; may make a node key, too. ``on_finalized`` hears of every finalized head."""
        super().__init__(config.node, is_primary)
        self._keys = config.keys
        self.chain = ChainNode(
            self.ledger,
            self.pool,
            Keyring(config.keys.signers if config.keys else ()),
            warp=self._plan_warp(config),
            quiet_slots=self._quiet_slots(config),
        )
        folder = config.folder
        self.host = SocketHost(
            config.node_key or load_node_key(folder),
            self.ledger.genesis_hash.hex(),
            TOPICS,
            config.listen,
            bootnodes=config.bootnodes,
            limits=replace(Limits(), connections_per_address=config.connections_per_address),
            known=load_peers(folder),
            save=partial(save_peers, folder),
        )
        self.exchange = BlobExchange(self.host, self.blobs)
        for protocol in PROTOCOLS:
            self.host.serve(f"/{protocol}", partial(self._answer, protocol))
        self._on_finalized = on_finalized
        self._unjudged: dict[bytes, Incoming] = {}
        self._nursery: trio.Nursery | None = None
        self._is_warned = False
        self._latest = 0.0
        self._due = 0.0

    def _plan_warp(self, config: NetworkConfig) -> WarpOptions | None:
        if not config.warp:
            return None
        genesis = self.config.genesis
        checkpoint = config.checkpoint or trusted_checkpoint(genesis)
        try:
            return plan_warp(self.ledger, genesis.get("launched"), checkpoint, time.time())
        except SolventError:
            self._listener.close()
            self._database.close()
            raise

    def _quiet_slots(self, config: NetworkConfig) -> int:
        """How long to listen whether another machine signs with the same key: by default only where this one never
        has, as when a data directory was lost."""
        if config.quiet_slots is not None or config.keys is None:
            return config.quiet_slots or 0
        return 0 if signing_memory(self._database) else QUIET_SLOTS

    # --- what rpc.view.NodeView asks for

    def submit(self, raw: bytes) -> bytes:
        """Hand an extrinsic to the pool and tell the network."""
        hash_, effects = self.chain.submit(raw, self._now())
        self._dispatch(effects)
        self.bell.ring()
        return hash_

    async def find_blob(self, root: bytes) -> FoundBlob:
        """A blob that this node holds, or one of its peers."""
        return await self.exchange.find(root)

    def peer_count(self) -> int:
        return len(self.host.peers())

    def peers(self) -> Sequence[PeerView]:
        said = self.chain.sync.peers
        shown = []
        for peer in self.host.peers():
            status = said.get(peer.id)
            best = (status.best_hash, status.best_number, status.finalized_number) if status else (b"", 0, 0)
            shown.append(PeerView(peer.id, self.host.address_of(peer.id), *best))
        return shown

    def peer_id(self) -> str:
        return self.host.id

    def addresses(self) -> Sequence[str]:
        return self.host.addresses()

    def session_keys(self) -> Collection[bytes]:
        return self.chain.keys.public_keys

    def rotate_keys(self, owner: bytes | None) -> tuple[bytes, bytes]:
        if self._keys is None:
            return super().rotate_keys(owner)
        signer = self._keys.generate()
        self.chain.keys.add(signer)
        logger.warning("made the session key %s; it signs nothing before it is in office", to_ss58(signer.public))
        consent = b"" if owner is None else signer.sign(possession_message(self.ledger.genesis_hash, owner))
        return signer.public, consent

    def now(self) -> float:
        return self._now()

    def is_syncing(self) -> bool:
        return self.chain.sync_state.is_syncing

    def sync_state(self) -> SyncState:
        return self.chain.sync_state

    def round_state(self) -> Any:
        return round_state(self.chain.finality.voter, self.chain.finality.set_id)

    # --- tasks

    async def _start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._join)

    async def _join(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be on the network until `stop`."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.host.run)
            await nursery.start(self.exchange.run)
            self._nursery = nursery
            nursery.start_soon(self._receive)
            nursery.start_soon(self._drive)
            task_status.started()
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    async def _receive(self) -> None:
        while True:
            event = await self.host.receive()
            now = self._now()
            match event:
                case PeerConnected(peer):
                    self._dispatch(self.chain.on_peer_connected(peer.id, now))
                case PeerDisconnected(id):
                    self._dispatch(self.chain.on_peer_disconnected(id, now))
                case Incoming(id, topic, data, source):
                    if len(self._unjudged) >= MAX_UNJUDGED:
                        del self._unjudged[next(iter(self._unjudged))]
                    self._unjudged[id] = event
                    self._dispatch(self.chain.on_gossip(topic, data, source, id, now))
            await trio.lowlevel.checkpoint()

    async def _drive(self) -> None:
        """Execute what waits, in slices, and tell the chain the time when it wants to know it."""
        while True:
            now = self._now()
            if now >= self._due:
                self._due = float("inf")
                self._dispatch(self.chain.on_time(now))
                self._warn_of_pruned_peers()
            if self.chain.has_work:
                seconds = SWAMPED_SLICE_SECONDS if self.chain.importer.is_swamped(now) else SLICE_SECONDS
                self._dispatch(self.chain.work(self._now(), slice_is_over(seconds)))
                await trio.lowlevel.checkpoint()
            else:
                self._wake = trio.Event()
                with trio.move_on_after(max(self._due - self._now(), SHORTEST_WAIT)):
                    await self._wake.wait()

    def _warn_of_pruned_peers(self) -> None:
        lowest = self.chain.sync.oldest_wanted
        if lowest is not None and not self.chain.is_warping and not self._is_warned:
            self._is_warned = True
            logger.warning("no peer has blocks below %d any more: start again with --sync warp", lowest)

    async def _answer(self, protocol: str, peer: str, data: bytes) -> bytes:
        answer, effects = self.chain.on_request(peer, protocol, data, self._now())
        self._dispatch(effects)
        if answer is None:
            raise RequestRefused("not to be had here")
        return answer

    async def _ask(self, ask: Ask) -> None:
        answer: bytes | None = None
        try:
            answer = await self.host.request(
                ask.peer, f"/{ask.protocol}", ask.data, limit=ask.limit, timeout=ask.timeout
            )
        except NetworkError as error:
            logger.debug("%s of %s: %s", ask.protocol, ask.peer, error)
        self._dispatch(self.chain.on_response(ask.ticket, answer, self._now()))

    # --- effects

    def _now(self) -> float:
        self._latest = max(self._latest, time.time())
        return self._latest

    def _dispatch(self, effects: Sequence[NodeEffect]) -> None:
        """Carry effects out in order, then have `_drive` look what is to be done next."""
        for effect in effects:
            self._carry_out(effect)
        self._due = min(self._due, self.chain.wake_at(self._now()))
        self._wake.set()

    def _carry_out(self, effect: NodeEffect) -> None:
        match effect:
            case Commit(batch):
                self._commit(batch)
            case Publish(topic, data):
                self._publish(topic, data)
            case Judge(message, verdict):
                incoming = self._unjudged.pop(message, None)
                if incoming is not None:
                    self.host.answer(incoming, Verdict(verdict))
            case Ask():
                if self._nursery is not None:
                    self._nursery.start_soon(self._ask, effect)
            case Punish(peer, points, reason):
                logger.info("%s loses %d points: %s", peer, points, reason)
                self.host.report(peer, -points, reason)
            case NewBest(hash_, number):
                self.bell.ring()
                logger.debug("best block %d 0x%s", number, hash_.hex())
            case NewFinalized(hash_, number):
                self.bell.ring()
                self._on_finalized(number, hash_)
            case Equivocation(first, _):
                logger.warning("an authority sealed two blocks for one slot, at height %d", first.number)
            case ReportEquivocation(evidence):
                logger.warning("a voter voted twice in one stage of a round: %s", evidence.first.vote)
            case KeyInUse(key, what):
                self._fall_silent(key, what)
            case FinalityBroken(reason):
                self.fail(ChainBroken(reason))
            case WarpRefused(reason):
                self.fail(CheckpointNeeded(reason))
            case _:
                logger.debug("nothing to do for %s", effect)

    def _fall_silent(self, key: bytes, what: str) -> None:
        """Ending instead would have some supervisor start this node again, which would contradict the other one."""
        if key not in self.chain.keys:
            return
        logger.error(
            "%s was signed with this node's session key %s, but not here: another machine uses it, or what this one "
            "signed is lost. To be slashed takes one more mistake, so this node signs nothing more and only follows. "
            "Stop the other one and start this one again, or announce a new key: solvent validator rotate-key",
            what,
            to_ss58(key),
        )
        self._dispatch(self.chain.silence(self._now()))

    def _publish(self, topic: str, data: bytes) -> None:
        try:
            self.host.publish(topic, data)
        except NetworkError as error:
            logger.warning("cannot publish on %s: %s", topic, error)
