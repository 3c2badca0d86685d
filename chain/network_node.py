"""A whole node of a network with several validators, as one passive object: events and the time in, effects out.

`ChainNode` joins ledger, pool, importer, sync, author and finality. Whoever pumps it (trio in `node/service.py`, a heap
of timed events in `node/simulator.py`) calls the ``on_`` methods with Unix seconds, carries the effects out in order,
calls `work` while `has_work`, and `on_time` at `wake_at`. At most one `Commit` comes with a call, in front: it must be
written before anything else is done with the node, because the ledger reads the database directly. Whatever follows
from a committed change therefore waits inside for the next `work`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from chain.db import Batch
from chain.effects import Commit, Effect, Judge, NewBest, NewFinalized, Punish
from chain.evidence import EvidenceBook
from chain.finality import Finality, FinalityEffect, FinalizeBlock, Outdated
from chain.finality_requests import FinalityRequests
from chain.gossip import judge_announcement, take_extrinsics
from chain.grandpa.effects import NeedBlock, ReportEquivocation, RequestCatchUp
from chain.history import History
from chain.importer import Equivocation, Imported, Importer, ImportLimits, Missing
from chain.keyring import Keyring
from chain.ledger import Ledger
from chain.messages import (
    BLOCKS,
    EXTRINSICS,
    MAX_REQUEST_BYTES,
    POOL,
    STATUS,
    VOTES,
    Announce,
    Extrinsics,
    MalformedMessage,
    Status,
    Votes,
    decode_message,
    encode_message,
)
from chain.pool import Pool
from chain.propagation import Propagation
from chain.requests import Requests
from chain.serve import answer, build_status
from chain.slot_author import SlotAuthor
from chain.slots import SlotClock
from chain.state_download import DOWNLOAD
from chain.sync import Sync, SyncState
from chain.warp import Warp, WarpOptions, WarpRefused
from runtime.pallets import system
from runtime.pallets.offences import HeaderEquivocation

BAN_POINTS = 100
STATUS_SECONDS = 10.0
"""How often each peer is asked what it has."""
WARPING_STATUS_SECONDS = 3.0
SWEPT_AT_ONCE = 2048

NodeEffect = Effect | Imported | Missing | Equivocation | FinalityEffect | WarpRefused
"""What happens inside. Out come `Effect`, `Equivocation`, `ReportEquivocation`, `KeyInUse`, `FinalityBroken` and
`WarpRefused`."""
Step = Callable[[float], list[NodeEffect]]
_VERDICTS: dict[bool | None, Literal["accept", "ignore", "reject"]] = {True: "accept", False: "ignore", None: "reject"}


class ChainNode:
    """Mutable. See the module's description for how to drive it."""

    def __init__(
        self,
        ledger: Ledger,
        pool: Pool,
        keys: Keyring | None = None,
        limits: ImportLimits | None = None,
        gossip_seconds: float = 1.0,
        warp: WarpOptions | None = None,
        quiet_slots: int = 0,
    ) -> None:
        """A validator while one of its ``keys`` is in the set, else a full node.

        For the first ``quiet_slots`` in which it has peers and is not behind them it signs nothing, but listens whether
        another node signs with one of its keys. When it ever hears that, it says `KeyInUse`: then call `silence`.
        With ``warp`` it begins by downloading the state of a final block, if its peers are far ahead; who may start
        from what this node has is for the caller to know (`chain.warp.plan_warp`).
        """
        self.ledger, self.pool = ledger, pool
        self.clock = SlotClock(system.parameters(ledger.state()).block.slot_milliseconds)
        self.importer = Importer(ledger, self.clock, ledger.is_verified, limits)
        self.requests: Requests[NodeEffect] = Requests()
        self.propagation = Propagation(ledger, pool, self.requests)
        self.sync = Sync(ledger, self.importer, self.requests)
        self.warp = Warp(ledger, self.clock, self.requests, self.sync.peers, warp) if warp else None
        self.history = History(ledger, self.requests, self.sync.peers)
        self.keys = Keyring() if keys is None else keys
        self._quiet_slots, self._quiet_until = quiet_slots, -1
        self.is_quiet = quiet_slots > 0
        """Whether it only listens yet."""
        self.finality = Finality(ledger, self.clock, self.keys, gossip_seconds, self.is_quiet)
        self._finality_requests = FinalityRequests(ledger, self.finality, self.requests)
        self.evidence = EvidenceBook(ledger)
        self.author = SlotAuthor(ledger, pool, self.clock, self.keys, self.evidence)
        self._started_at = ledger.head_number
        self._todo: deque[Step] = deque()
        self._is_advance_due = False
        """Whether something was committed since it was last looked at what to ask for."""
        self._connected: dict[str, float] = {}
        """Peer -> when to ask for its status again."""
        if self.warp is None or self.warp.download is None:
            self._todo.append(self._sweep)

    # --- driving

    @property
    def is_warping(self) -> bool:
        """Whether the chain stands still until a state is downloaded."""
        return self.warp is not None and self.warp.is_active

    @property
    def sync_state(self) -> SyncState:
        """How far this node is."""
        download = self.warp.download if self.warp is not None else None
        share = (0.0 if download is None else download.share) if self.is_warping else None
        head = self.ledger.head_number
        is_syncing = self.is_warping or self.sync.is_behind
        highest = max(head, self.sync.credible_target)
        return SyncState(self._started_at, head, highest, is_syncing, share, self.history.missing)

    @property
    def has_work(self) -> bool:
        """Whether `work` would do something."""
        warping = self.warp is not None and self.warp.has_work
        return bool(self._todo) or self._is_advance_due or self.author.has_work or warping or self.importer.has_work

    def wake_at(self, now: float) -> float:
        """When to call `on_time` next, if nothing happens before."""
        moments = [
            self.clock.start_of(self.clock.slot_at(now) + 1),
            self.requests.wake_at(),
            self.importer.wake_at(now),
            self.sync.wake_at(now),
            self.finality.wake_at(now),
            self.propagation.wake_at(),
        ]
        return max(min(moments), now)

    def work(self, now: float, out_of_time: Callable[[], bool] = lambda: False) -> list[NodeEffect]:
        """Do a little of what waits: follow-ups first, then a block of this node's own, then an import."""
        if not self._todo and not self._is_advance_due:
            if self.author.has_work:
                self._todo.append(lambda later: self._author(later, out_of_time))
            elif self.warp is not None and self.warp.has_work:
                self._todo.append(self._warp)
            elif self.importer.has_work:
                self._todo.append(lambda later: [*self.importer.work(later, out_of_time)])
        return self._run(now)

    def _run(self, now: float, *steps: Step) -> list[NodeEffect]:
        """Take the steps and what follows from them, up to and including the first that commits."""
        self._todo.extend(steps)
        self._is_advance_due = True
        effects: list[NodeEffect] = []
        is_committed = False
        while not is_committed and (self._todo or self._is_advance_due):
            if not self._todo:
                self._todo.append(self._advance)
                self._is_advance_due = False
            for effect in self._todo.popleft()(now):
                is_committed = is_committed or isinstance(effect, Commit)
                if self._absorb(effect):
                    effects.append(effect)
        self._is_advance_due = is_committed
        effects.sort(key=lambda effect: not isinstance(effect, Commit))
        return effects

    def _absorb(self, effect: NodeEffect) -> bool:
        """Plan what follows from an effect inside; whether the outside sees it too."""
        match effect:
            case NewBest():
                self._todo.append(lambda now: self._on_new_best(effect, now))
            case NewFinalized():
                self._todo.append(lambda now: [*self.finality.on_finalized(now), *self.importer.on_finalized(now)])
                self._todo.append(lambda now: [*self.evidence.on_finalized()])
            case Equivocation(first, second):
                self._todo.append(lambda now: [*self.evidence.add(HeaderEquivocation(first, second))])
            case ReportEquivocation(evidence):
                self._todo.append(lambda now: [*self.evidence.add(evidence)])
            case Imported(_, _, peer, justification):
                if justification:
                    self._todo.append(lambda now: [*self.finality.on_justification(justification, peer, now)])
                else:
                    self._todo.append(lambda now: [*self.finality.on_best_block(now)])
                return False
            case Missing(hash_, number, peer):
                self.sync.want_ancestors(hash_, number, peer)
                return False
            case NeedBlock(hash_, number):
                self.sync.want_ancestors(hash_, number, "")
                if hash_ == self.finality.voter.promised:
                    self._todo.append(lambda now: [*self.importer.on_promised(hash_, now)])
                return False
            case Outdated():
                return False
            case RequestCatchUp(request):
                self._todo.append(lambda now: [*self._finality_requests.ask_votes(self._connected, request, now)])
                return False
            case FinalizeBlock(hash_, justification):
                self._todo.appendleft(lambda now: self._finalize(hash_, justification))
                return False
            case Punish(peer, points, _) if points >= BAN_POINTS:
                self.sync.on_gone(peer)
            case _:
                pass
        return True

    def _advance(self, now: float) -> list[NodeEffect]:
        """Ask for what is missing: the state while warping, else the blocks ahead; when there are none, older ones."""
        if self.warp is not None and self.warp.is_active:
            return [*self.warp.advance(now)]
        effects: list[NodeEffect] = [*self.sync.advance(now)]
        if not effects and self.sync.is_idle:
            effects += self.history.advance(now)
        return effects

    def _warp(self, now: float) -> list[NodeEffect]:
        """Go on with the warp; when it ends, everything starts again from its block."""
        assert self.warp is not None
        effects = self.warp.work()
        self._connected = dict.fromkeys(self._connected, now)  # for the present state, who has it matters
        self._todo.append(self._ask_statuses)
        if not self.warp.is_active:
            self._todo += [self._start_again, self._sweep]
        return [*effects]

    def _start_again(self, now: float) -> list[NodeEffect]:
        self.history.on_jump()
        return [*self.finality.restart(now)]

    def _sweep(self, now: float) -> list[NodeEffect]:
        """Delete a little of the state that is not in use."""
        batch: Batch = {}
        if self.is_warping or not self.ledger.store.spare_columns.stage_wipe(batch, SWEPT_AT_ONCE):
            return []
        batch[DOWNLOAD] = None
        self._todo.append(self._sweep)
        return [Commit(batch)]

    # --- peers

    def on_peer_connected(self, peer: str, now: float) -> list[NodeEffect]:
        """A peer can be asked from now on."""
        self._connected[peer] = now + STATUS_SECONDS
        return self._run(
            now, lambda later: self._ask_status(peer, later), lambda later: [*self.propagation.ask(peer, later)]
        )

    def on_peer_disconnected(self, peer: str, now: float) -> list[NodeEffect]:
        """A peer is gone."""
        self._connected.pop(peer, None)
        self._finality_requests.on_gone(peer)
        self.sync.on_gone(peer)
        return self._run(now, lambda later: self.requests.on_gone(peer, later))

    def on_gossip(self, topic: str, data: bytes, peer: str, message: bytes, now: float) -> list[NodeEffect]:
        """A gossiped message: one `Judge` with its id ``message`` comes back, with this call or a later one."""
        return self._run(now, lambda later: self._on_gossip(topic, data, peer, message, later))

    def _on_gossip(self, topic: str, data: bytes, peer: str, message: bytes, now: float) -> list[NodeEffect]:
        if self.is_warping:
            return [Judge(message, "ignore")]  # nothing can be judged without the state
        try:
            if topic == BLOCKS:
                verdict, wanted = judge_announcement(self.ledger, self.importer, self.clock, data, now)
                if wanted is not None:
                    self.sync.on_announced(peer, *wanted)
                header = decode_message(Announce, data).header
                return [Judge(message, verdict), *self.importer.observe(header), *self.author.observe(header)]
            if topic == EXTRINSICS:
                items = decode_message(Extrinsics, data).items
                if self.importer.is_swamped(now):
                    return [Judge(message, "ignore")]  # blocks first; what waits in a peer's pool comes again
                return [Judge(message, take_extrinsics(self.ledger, self.pool, items, now))]
            if topic == VOTES:
                relay, effects = self.finality.on_gossip(decode_message(Votes, data), now)
                is_outdated = Outdated() in effects and peer in self._connected
                asked = self._finality_requests.follow_later_set(peer, now) if is_outdated else []
                return [Judge(message, _VERDICTS[relay]), *effects, *asked]
        except MalformedMessage:
            return [Judge(message, "reject")]
        return [Judge(message, "ignore")]

    def on_request(self, peer: str, protocol: str, data: bytes, now: float) -> tuple[bytes | None, list[NodeEffect]]:
        """A peer asks: the answer (None refuses), and what follows. The answer shows what is committed."""
        try:
            if protocol == STATUS:
                effects = self._run(now, lambda later: self._on_status(peer, data, later))
                return encode_message(build_status(self.ledger)), effects
            if protocol == POOL:
                return self.propagation.answer(peer, data, now), []
            return answer(self.ledger, self.finality, protocol, data), []
        except MalformedMessage as error:
            return None, [Punish(peer, 50, f"a malformed request: {error}")]

    def on_response(self, ticket: int, data: bytes | None, now: float) -> list[NodeEffect]:
        """The answer to an `Ask`, or None when there is none."""
        return self._run(now, lambda later: self.requests.on_response(ticket, data, later))

    # --- the world

    def on_time(self, now: float) -> list[NodeEffect]:
        """Time has passed: deadlines, early blocks, votes, and this node's own slot."""
        if self.is_warping:
            return self._run(now, self.requests.on_time, self._ask_statuses)
        steps: list[Step] = [
            self.requests.on_time,
            lambda later: [*self.importer.on_time(later)],
            lambda later: [*self.finality.on_time(later)],
            self._maintain,
            lambda later: [*self.propagation.on_time(later, () if self.sync.is_behind else self._connected)],
        ]
        if self.is_quiet:
            steps.append(self._listen)
        elif not self.sync.is_behind:
            self.author.on_time(now, self.importer.is_swamped(now))
        return self._run(now, *steps)

    def _listen(self, now: float) -> list[NodeEffect]:
        """Begin to sign when nobody else was heard to do so for long enough. What is old news proves nothing."""
        slot = self.clock.slot_at(now)
        is_cut_off = not self._connected and len(self.finality.voter.voters) > 1
        if self.sync.is_behind or is_cut_off or self._quiet_until < 0:
            self._quiet_until = slot + self._quiet_slots
        if slot < self._quiet_until:
            return []
        self.is_quiet = False
        return [*self.finality.speak(now)]

    def silence(self, now: float) -> list[NodeEffect]:
        """Sign nothing more with the keys that are here, and follow the chain as a full node."""
        self.keys.clear()
        return self._run(now, lambda later: [*self.finality.restart(later)])

    def submit(self, raw: bytes, now: float) -> tuple[bytes, list[NodeEffect]]:
        """An extrinsic of this node's own user: its hash. Raises `PoolError` or `InvalidExtrinsic`."""
        hash_ = self.pool.submit(raw, self.ledger.head_number, now)
        return hash_, [*self.propagation.send(raw, now)]

    # --- steps

    def _author(self, now: float, out_of_time: Callable[[], bool]) -> list[NodeEffect]:
        layer, effects = self.author.work(now, out_of_time)
        if layer is None:
            return []
        self._todo.append(lambda later: [*self.importer.on_parent(layer.hash, later)])
        return [*effects]

    def _on_new_best(self, change: NewBest, now: float) -> list[NodeEffect]:
        for hash_ in change.enacted:
            block = self.ledger.block(hash_)
            if block is not None:
                self.pool.on_block(block.body, change.number)
        if change.retracted:
            self.pool.on_reorganisation(change.returned, change.number, now)
        return [*self.finality.on_best_block(now)]

    def _finalize(self, hash_: bytes, justification: bytes) -> list[NodeEffect]:
        is_news = self.ledger.is_live(hash_) and hash_ != self.ledger.finalized
        return [*self.ledger.finalize(hash_, justification)] if is_news else []

    def _maintain(self, now: float) -> list[NodeEffect]:
        """Ask peers again what they have, and for justifications that did not come by themselves."""
        return [*self._ask_statuses(now), *self._finality_requests.on_time(self.sync.peers, now)]

    def _ask_statuses(self, now: float) -> list[NodeEffect]:
        effects: list[NodeEffect] = []
        for peer, due in list(self._connected.items()):
            if due <= now:
                self._connected[peer] = now + (WARPING_STATUS_SECONDS if self.is_warping else STATUS_SECONDS)
                effects += self._ask_status(peer, now)
        return effects

    def _ask_status(self, peer: str, now: float) -> list[NodeEffect]:
        def take(data: bytes | None, later: float) -> list[NodeEffect]:
            return [] if data is None else self._on_status(peer, data, later)

        return [self.requests.ask(peer, STATUS, build_status(self.ledger), MAX_REQUEST_BYTES, now, take)]

    def _on_status(self, peer: str, data: bytes, now: float) -> list[NodeEffect]:
        try:
            status = decode_message(Status, data)
        except MalformedMessage as error:
            return [Punish(peer, 50, f"a malformed status: {error}")]
        if status.genesis != self.ledger.genesis_hash:
            return [Punish(peer, BAN_POINTS, f"it is on another chain, 0x{status.genesis.hex()[:16]}...")]
        if peer in self._connected:
            self.sync.on_status(peer, status, now)
        return []
