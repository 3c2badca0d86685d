"""Warp sync: joining a long chain by the proofs of who its voters were, and the state of a block that they made final.

Each change of the authority set was made final by the set before it, so a chain of *steps*, one a change, leads from a
set that this node trusts to the present one. The last step is a final block; its state is downloaded
(`chain.state_download`) and becomes this node's own. Blocks after it come as usual, those before it in the background
(`chain.history`).

The set that a warp starts with must be one whose stake can still be slashed: members who have withdrawn theirs may sign
another history, and lose nothing. From genesis that is so for a young network only. Otherwise a *checkpoint* is needed,
a recent block that a person trusts: the change of authorities at or before it is the *anchor*, and the steps must lead
through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chain.db import Batch
from chain.effects import Ask, Commit, Effect, Punish
from chain.ledger import Ledger
from chain.messages import (
    BLOCK_RANGE,
    MAX_RANGE,
    MAX_RESPONSE_BYTES,
    WARP,
    BlockRequest,
    BlockResponse,
    FromHash,
    MalformedMessage,
    WarpRequest,
    WarpResponse,
    WarpStep,
    decode_message,
)
from chain.requests import Requests
from chain.slots import SlotClock, slot_of_header
from chain.state_download import StateDownload
from chain.store import META, changes_authorities
from chain.sync import PeerState
from runtime.block import Authority, Header, header_hash
from runtime.codec import U63, Hash, Record, decode, encode, replace
from runtime.errors import CodecError, InvalidBlock, SolventError
from runtime.finality import InvalidJustification, TrustedSet, follow_step
from runtime.pallets import session, system
from runtime.state import State
from runtime.voters import InvalidAuthorities

PROVED = META + b"warp"
LEAST_GAP = 512
"""Fewer blocks than this are executed sooner than a state is downloaded."""
FRESH = 32
"""A final block is fresh enough while nobody claims one that is so much higher."""
FINAL_BELOW_BEST = 2
SETTLE_SECONDS = 3.0
"""After the first peer others may come: one alone does not decide that there is nothing to warp to."""
PAUSE_SECONDS = 10.0
FALSE_POINTS, MALFORMED_POINTS = 100, 50


class CheckpointNeeded(SolventError):
    """The authority set to start with may have withdrawn its stake: nothing that it signed can be relied on."""


@dataclass(frozen=True, slots=True)
class WarpOptions:
    """How to warp: the hash of a block to trust, and the distance from which on it is worth it."""

    checkpoint: bytes | None = None
    least_gap: int = LEAST_GAP


@dataclass(frozen=True, slots=True)
class WarpRefused:
    """There is no warp from here; the node cannot go on as it was told to."""

    reason: str


class Proved(Record):
    """How far the steps lead: a final block, and the authority set after it. ``anchored`` to that checkpoint."""

    number: U63
    hash: Hash
    set_id: U63
    authorities: tuple[Authority, ...]
    checkpoint: bytes
    anchored: bool


def slashable_seconds(state: State) -> float:
    """How long after a block the set of its session can still be slashed (`session.is_punishable`)."""
    return session.punishable_slots(state) * system.parameters(state).block.slot_milliseconds / 1000


def plan_warp(ledger: Ledger, began: float | None, checkpoint: bytes | None, now: float) -> WarpOptions | None:
    """How to warp from what this node has; None when it knows a final block so recent that it is not worth it.

    ``began`` is when the network began, in Unix seconds, if its genesis file says so. Raises `CheckpointNeeded`.
    """
    state = State(ledger.state_at(ledger.finalized))
    session.require_sessions(state)
    header = ledger.header(ledger.finalized)
    assert header is not None
    clock = SlotClock(system.parameters(state).block.slot_milliseconds)
    since = clock.start_of(slot_of_header(header)) if header.number else began
    if header.number and clock.slot_at(now) - slot_of_header(header) < LEAST_GAP:
        return None
    if checkpoint is None:
        _require_recent(since, slashable_seconds(state), now)
    return WarpOptions(checkpoint)


def _require_recent(since: float | None, limit: float, now: float) -> None:
    advice = "give --checkpoint the hash of a recent block that you trust, or use --sync full"
    if since is None:
        raise CheckpointNeeded(f"the genesis file does not say when the network began: {advice}")
    if now - since >= limit:
        raise CheckpointNeeded(
            f"the authorities known here are from {(now - since) / 3600:.1f} hours ago; after {limit / 3600:.1f} hours "
            f"their stake is free, and they could sign any history: {advice}"
        )


class Warp:
    """Mutable. `advance` after each event while `is_active`; the blocks of the chain are left alone until it ends."""

    def __init__(
        self,
        ledger: Ledger,
        clock: SlotClock,
        requests: Requests[Any],
        peers: dict[str, PeerState],
        options: WarpOptions,
    ) -> None:
        self._ledger, self._clock, self._requests, self._peers = ledger, clock, requests, peers
        self._options = options
        self.is_active = True
        self._is_refused = False
        self._last: tuple[Header, bytes] | None = None
        """The last final block, with its justification."""
        self._proved = self._recall() or self._begin()
        self._anchor: tuple[int, bytes] | None = None
        self._walk = options.checkpoint or b""
        self._is_asking = False
        self._exhausted: set[str] = set()
        """Peers that have nothing newer than what is proved."""
        self._paused: dict[str, float] = {}
        self._settled_at: float | None = None
        self.download: StateDownload | None = StateDownload.resume(ledger, requests)

    def _begin(self) -> Proved:
        """What this node has made final by itself."""
        ledger = self._ledger
        state = State(ledger.state_at(ledger.finalized))
        header = ledger.header(ledger.finalized)
        assert header is not None
        members = session.authorities_of(session.MEMBERS.get(state))
        checkpoint = self._options.checkpoint or b""
        set_id = session.current(state).set_id
        return Proved(header.number, ledger.finalized, set_id, members, checkpoint, not checkpoint)

    def _recall(self) -> Proved | None:
        """What was proved before a restart, unless it is of no use any more."""
        store = self._ledger.store
        data = store.database.get(PROVED)
        known = None if data is None else decode(data, Proved)
        if known is None or known.number <= self._ledger.finalized_number:
            return None
        header, justification = store.header(known.hash), store.justification(known.number)
        if known.checkpoint != (self._options.checkpoint or b"") or header is None or justification is None:
            return None
        self._last = (header, justification)
        return known

    # --- reading

    @property
    def has_work(self) -> bool:
        """Whether `work` would do something."""
        return self.is_active and self.download is not None and (self.download.has_work or self.download.is_complete)

    @property
    def target(self) -> int:
        """The highest block that is known to be final."""
        return max(self._position(), 0 if self.download is None else self.download.target.number)

    def _position(self) -> int:
        return max(self._proved.number, self._last[0].number if self._last else 0)

    # --- events

    def work(self) -> list[Effect]:
        """Make room for a download, or take over the state that is complete."""
        download = self.download
        assert download is not None
        if download.has_work:
            return download.work()
        batch: Batch = {**download.finish(), PROVED: None}
        self._ledger.store.stage_proved(batch, download.target, download.justification)
        self.is_active, self.download = False, None
        return self._ledger.jump(download.target, batch)

    def advance(self, now: float) -> list[Effect | WarpRefused]:
        """Ask for what is missing."""
        if self._settled_at is None and self._peers:
            self._settled_at = now + SETTLE_SECONDS
        if self._settled_at is None or now < self._settled_at or not self.is_active or self._is_refused:
            return []
        if self._options.checkpoint is not None and self._anchor is None:
            return [*self._ask_anchor(now)]
        effects: list[Effect | WarpRefused] = []
        if self.download is not None:
            able = self._holders(self.download.target.number)
            effects += self.download.advance(able, now)
            if not self.download.is_stuck(able, now):
                return effects
            self._exhausted.clear()
        return [*effects, *self._ask_steps(now)]

    def _holders(self, number: int) -> list[str]:
        """Who should have the state of that final block by now: a peer's status is a few seconds old."""
        return [
            peer
            for peer, state in self._peers.items()
            if state.finalized_number >= number or state.best_number > number + FINAL_BELOW_BEST
        ]

    # --- the anchor

    def _ask_anchor(self, now: float) -> list[Ask]:
        """Walk from the checkpoint down to the block that brought its authority set."""
        free = [peer for peer in self._peers if self._paused.get(peer, 0) <= now and self._requests.has_room(peer)]
        if self._is_asking or not free:
            return []
        self._is_asking, peer, wanted = True, min(free), self._walk

        def take(data: bytes | None, later: float) -> list[Effect | WarpRefused]:
            self._is_asking = False
            self._paused[peer] = later + PAUSE_SECONDS
            try:
                found = () if data is None else decode_message(BlockResponse, data).blocks
            except MalformedMessage as error:
                return [Punish(peer, MALFORMED_POINTS, f"a malformed answer: {error}")]
            if not found:
                return []  # it may not have that block
            del self._paused[peer]
            headers = [item.block.header for item in found]
            linked = all(later.parent == header_hash(earlier) for earlier, later in pairwise(headers))
            if not linked or header_hash(headers[-1]) != wanted:
                return [Punish(peer, FALSE_POINTS, "blocks that were not asked for, or do not follow each other")]
            return self._climb_down(headers, later)

        request = BlockRequest(FromHash(wanted), MAX_RANGE)
        return [self._requests.ask(peer, BLOCK_RANGE, request, MAX_RESPONSE_BYTES, now, take)]

    def _climb_down(self, headers: list[Header], now: float) -> list[Effect | WarpRefused]:
        """Headers that the checkpoint commits to, ascending."""
        top, bottom = headers[-1], headers[0]
        if self._walk == self._options.checkpoint:
            try:
                age = now - self._clock.start_of(slot_of_header(top))
            except InvalidBlock as error:
                return [self._refuse(f"the checkpoint is no block of this network: {error}")]
            limit = slashable_seconds(State(self._ledger.state_at(self._ledger.finalized)))
            if age >= limit:
                hours = f"{age / 3600:.1f} hours old; give one of the last {limit / 3600:.1f}"
                return [self._refuse(f"the checkpoint is {hours}, while its authorities' stake can be slashed")]
        anchor = next((header for header in reversed(headers) if changes_authorities(header)), None)
        if anchor is not None:
            self._anchor = (anchor.number, header_hash(anchor))
        elif bottom.parent == self._ledger.genesis_hash:
            self._anchor = (0, bottom.parent)
        else:
            self._walk = bottom.parent
            return []
        number, hash_ = self._anchor
        if number > self._ledger.finalized_number:
            return []
        if self._ledger.store.hash_at(number) != hash_:
            return [self._refuse("the checkpoint contradicts what is final here: one of the two is of another chain")]
        self._proved = replace(self._proved, anchored=True)
        return []

    def _refuse(self, reason: str) -> WarpRefused:
        self._is_refused = True
        return WarpRefused(reason)

    # --- steps

    def _ask_steps(self, now: float) -> list[Ask]:
        """Ask the peer that claims the most; without one that has more, go on to the state."""
        position = self._position()
        distance = FRESH if self._last or self.download else 0
        ahead = [
            (-state.finalized_number, peer)
            for peer, state in self._peers.items()
            if state.finalized_number > position + distance and peer not in self._exhausted
        ]
        if not ahead and not self._is_asking and self.download is None:
            self._conclude()
        able = [peer for _, peer in sorted(ahead) if self._paused.get(peer, 0) <= now and self._requests.has_room(peer)]
        if self._is_asking or not able:
            return []
        self._is_asking, peer = True, able[0]

        def take(data: bytes | None, later: float) -> list[Effect]:
            self._is_asking = False
            return self._on_steps(peer, data, later)

        return [self._requests.ask(peer, WARP, WarpRequest(position), MAX_RESPONSE_BYTES, now, take)]

    def _conclude(self) -> None:
        """Nobody has more: download the last state, unless executing the blocks is quicker."""
        if not self._proved.anchored:
            self._exhausted.clear()  # nobody has got to the checkpoint yet
        elif self._last is None or self._last[0].number - self._ledger.finalized_number < self._options.least_gap:
            self.is_active = False
        else:
            self.download = StateDownload(self._ledger, self._requests, *self._last)

    def _on_steps(self, peer: str, data: bytes | None, now: float) -> list[Effect]:
        if data is None:
            self._paused[peer] = now + PAUSE_SECONDS
            return []
        before, last = self._proved, self._last
        batch: Batch = {}
        try:
            answer = decode_message(WarpResponse, data)
            for step in answer.steps:
                self._take_step(step, batch)
        except (CodecError, InvalidJustification, InvalidAuthorities, InvalidBlock) as error:
            self._proved, self._last = before, last
            return [Punish(peer, FALSE_POINTS, f"a false warp proof: {error}")]
        if peer in self._peers:
            self._peers[peer].finalized_number = max(self._peers[peer].finalized_number, self._position())
        if answer.complete or not answer.steps:
            self._exhausted.add(peer)
        if self._last == last:
            self._paused[peer] = now + PAUSE_SECONDS
        if self._last is not None and self.download is not None and self._last[0].number > self.download.target.number:
            self.download = None
        if self._proved == before:
            return []
        batch[PROVED] = encode(self._proved)
        return [Commit(batch)]

    def _take_step(self, step: WarpStep, batch: Batch) -> None:
        """Check one step with the set known so far. Raises what `_on_steps` catches."""
        header, hash_, known = step.header, header_hash(step.header), self._proved
        if header.number <= self._position():
            raise InvalidJustification(f"block {header.number} comes too late")
        self._require_anchor(header, hash_)
        trusted = TrustedSet(known.number, known.hash, known.set_id, known.authorities)
        after = follow_step(trusted, header, step.justification, self._ledger.genesis_hash, self._ledger.verify)
        self._last = (header, step.justification)
        if after.set_id == known.set_id:
            return
        anchored = known.anchored or self._anchor == (header.number, hash_)
        self._proved = Proved(header.number, hash_, after.set_id, after.authorities, known.checkpoint, anchored)
        self._ledger.store.stage_proved(batch, header, step.justification)

    def _require_anchor(self, header: Header, hash_: bytes) -> None:
        """Before the anchor anything properly signed goes; past it only what went through it."""
        if self._proved.anchored or self._anchor is None:
            return
        if header.number >= self._anchor[0] and (header.number, hash_) != self._anchor:
            raise InvalidJustification(f"block {header.number} does not descend from the checkpoint")
