"""Importing blocks that peers send: cheap checks on arrival, then execution as a job that can be paused.

A block goes through *stages*. On arrival its seal is checked. One from up to two slots ahead is *early* and waits for
its slot; one without a known parent is an *orphan* and waits for it. With its parent executed the claim on its slot is
checked; if it notes more as final than this node knows, it is *held* until it does, or until it is old enough that it
cannot mislead anyone; ancestors of a block that is *promised*, because its justification came first, need not wait.
Then it is *ready*, and blocks execute one at a time. A block that proves invalid is remembered by its hash, and so are
its descendants; whoever sent it is punished. Every set is bounded by `ImportLimits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chain.effects import Effect, Punish
from chain.ledger import Execution, Ledger, StatePruned, UnknownBlock
from chain.slots import SlotClock, slot_of_header, verify_slot
from runtime.block import Block, Header, Inherent, decode_extrinsic, extrinsics_root, header_hash, slot_of
from runtime.codec import decode
from runtime.errors import CodecError, InvalidBlock, InvalidExtrinsic
from runtime.pallet import Context
from runtime.pallets import randomness, system
from runtime.seals import validate_seal
from runtime.state import State

HOLD_SLOTS = 32
"""A block that old is imported whatever it notes as final: honest authors held it back when it could mislead them."""
MISS_SECONDS = 2.0
"""How often a missing parent is asked for again."""
INVALID_POINTS = 100
"""What sending an invalid block costs: a ban."""
REPEATED_POINTS = 25
"""What sending a block costs that is known to be invalid here; the sender may not know."""


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Bounds of an importer, in blocks, and in bytes of their bodies."""

    ready: int = 512
    waiting: int = 512
    waiting_per_peer: int = 128
    waiting_bytes: int = 64 * 1024 * 1024
    bad: int = 4096
    authors: int = 1024
    promised: int = 4096


@dataclass(frozen=True, slots=True)
class Imported:
    """A block became part of the ledger. ``justification`` came along with it and is for the voter to judge."""

    hash: bytes
    header: Header
    peer: str
    justification: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """A block's parent is unknown: the peer that sent the block should have it."""

    hash: bytes
    number: int
    peer: str


@dataclass(frozen=True, slots=True)
class Equivocation:
    """One authority sealed two different headers for one slot (`runtime.pallets.offences`)."""

    first: Header
    second: Header


ImportEffect = Effect | Imported | Missing | Equivocation


@dataclass(frozen=True, slots=True)
class Arrival:
    """A block on its way in: who sent it, and how many bytes it holds here."""

    hash: bytes
    block: Block
    peer: str
    justification: bytes
    size: int

    @property
    def header(self) -> Header:
        return self.block.header


class Importer:
    """Mutable. `submit` takes blocks in, `work` executes them; `has_work` says whether there is anything to do now."""

    def __init__(
        self,
        ledger: Ledger,
        clock: SlotClock,
        is_verified: Callable[[Context, bytes], bool] | None = None,
        limits: ImportLimits | None = None,
    ) -> None:
        self._ledger, self._clock, self._is_verified = ledger, clock, is_verified
        self.limits = limits or ImportLimits()
        self._ready: dict[bytes, Arrival] = {}
        """In the order of execution."""
        self._waiting: dict[bytes, Arrival] = {}
        """Early, orphaned and held blocks, oldest first."""
        self._children: dict[bytes, list[bytes]] = {}
        """Unknown or unfinished parent -> the waiting blocks on top of it."""
        self._waiting_bytes = 0
        self._bad: dict[bytes, None] = {}
        self._authored: dict[tuple[int, bytes], Header] = {}
        self._promised: dict[bytes, None] = {}
        """Blocks that a verified justification makes final once they are imported."""
        self._current: tuple[Arrival, Execution] | None = None
        self._busy_since = float("inf")
        self._next_missing = 0.0
        self._missed = 0

    # --- reading

    @property
    def has_work(self) -> bool:
        """Whether `work` would do something."""
        return self._current is not None or bool(self._ready)

    @property
    def room(self) -> int:
        """How many more blocks it takes in order; whoever downloads blocks waits while it is 0."""
        return max(self.limits.ready - len(self._ready), 0)

    def is_swamped(self, now: float) -> bool:
        """Whether there has been something to execute for a whole slot without a break: blocks come too fast."""
        return now - self._busy_since > self._clock.slot_milliseconds / 1000

    def is_bad(self, hash_: bytes) -> bool:
        """Whether a block proved invalid here."""
        return hash_ in self._bad

    def is_pending(self, hash_: bytes) -> bool:
        """Whether a block has arrived and is not executed yet."""
        current = self._current is not None and self._current[0].hash == hash_
        return current or hash_ in self._waiting or hash_ in self._ready

    def wake_at(self, now: float) -> float:
        """When the next early block is due; infinity when none waits."""
        starts = (self._clock.start_of(slot_of_header(arrival.header)) for arrival in self._waiting.values())
        return min((start for start in starts if start > now), default=float("inf"))

    # --- events

    def submit(self, block: Block, peer: str, now: float, justification: bytes = b"") -> list[ImportEffect]:
        """A peer sent a block, maybe with the justification of its finality."""
        hash_, header = header_hash(block.header), block.header
        if self.is_bad(hash_):
            return [Punish(peer, REPEATED_POINTS, f"block {header.number} is known to be invalid")]
        is_known = self._ledger.header(hash_) is not None or self.is_pending(hash_)
        if is_known or header.number <= self._ledger.finalized_number:
            return []
        if header.extrinsics_root != extrinsics_root(block.body):
            # The header may well be valid: the hash must not be remembered as bad for what this peer did to the body.
            return [Punish(peer, INVALID_POINTS, f"the body of block {header.number} is not its header's")]
        size = sum(len(raw) for raw in block.body) + 1024
        arrival = Arrival(hash_, block, peer, justification, size)
        try:
            slot = slot_of_header(header)
            validate_seal(header, self._ledger.genesis_hash, self._ledger.verify)
        except InvalidBlock as error:
            return self._reject(arrival, str(error))
        if self._clock.judge(slot, now) == "too early":
            return []
        if self.is_bad(header.parent):
            return self._reject(arrival, "its parent is invalid")
        effects = self._sort(arrival, now)
        return [*effects, *self.on_promised(hash_, now)] if hash_ in self._promised else effects

    def observe(self, header: Header) -> list[Equivocation]:
        """A header was announced. Its block may never be fetched, but it may contradict one that is known."""
        try:
            claim = slot_of(header.digest)
            known = self._authored.get((claim.slot, claim.author))
            if known is None or known == header:
                return []
            validate_seal(header, self._ledger.genesis_hash, self._ledger.verify)
        except InvalidBlock:
            return []
        return [Equivocation(known, header)]

    def on_promised(self, hash_: bytes, now: float) -> list[ImportEffect]:
        """A block is final as soon as it is here: what lies below it may note what it likes."""
        self._promised[hash_] = None
        has_grown = False
        while hash_ in self._waiting:
            hash_ = self._waiting[hash_].header.parent
            has_grown = has_grown or hash_ not in self._promised
            self._promised[hash_] = None
        while len(self._promised) > self.limits.promised:
            del self._promised[next(iter(self._promised))]
        return self._review(now) if has_grown else []

    def on_time(self, now: float) -> list[ImportEffect]:
        """Early blocks may be due, held ones old enough, and what an orphan waits for may have got lost."""
        return [*self._review(now), *self._miss_again(now)]

    def on_finalized(self, now: float) -> list[ImportEffect]:
        """More is final: held blocks may go on, blocks on dead branches are dropped."""
        self._promised = {hash_: None for hash_ in self._promised if self._ledger.header(hash_) is None}
        stale = [
            arrival for arrival in self._waiting.values() if arrival.header.number <= self._ledger.finalized_number
        ]
        for arrival in stale:
            self._stop_waiting(arrival)
        return self._review(now)

    def work(self, now: float, out_of_time: Callable[[], bool]) -> list[ImportEffect]:
        """Execute a little: whole extrinsics until ``out_of_time``, at most to the end of one block."""
        busy_since = self._busy_since
        effects = self._work(now, out_of_time)
        self._busy_since = busy_since if self.has_work else float("inf")
        return effects

    def _work(self, now: float, out_of_time: Callable[[], bool]) -> list[ImportEffect]:
        if self._current is None:
            started = self._start()
            if self._current is None:
                return started
        arrival, execution = self._current
        try:
            while execution.step():
                if out_of_time():
                    return []
            layer = execution.finish()
            self._current = None
            # What everybody else has long had need not survive a crash: it would only be fetched again.
            is_fresh = slot_of_header(arrival.header) > self._clock.slot_at(now) - HOLD_SLOTS
            done: list[ImportEffect] = [*self._ledger.on_executed(layer, journal=is_fresh)]
        except InvalidBlock as error:
            self._current = None
            # If finality left this branch while the block ran, the failure says nothing about the block.
            return self._reject(arrival, str(error)) if self._ledger.is_live(arrival.header.parent) else []
        done.append(Imported(arrival.hash, arrival.header, arrival.peer, arrival.justification))
        return [*done, *self.on_parent(arrival.hash, now)]

    def on_parent(self, hash_: bytes, now: float) -> list[ImportEffect]:
        """A block was executed, here or by this node's own author: what waited for it goes on."""
        effects: list[ImportEffect] = []
        for child in list(self._children.get(hash_, ())):
            arrival = self._waiting[child]
            self._stop_waiting(arrival)
            effects += self._sort(arrival, now)
        return effects

    # --- stages

    def _sort(self, arrival: Arrival, now: float) -> list[ImportEffect]:
        """Put a block into the stage where it belongs now."""
        header = arrival.header
        slot = slot_of_header(header)
        parent = self._ledger.header(header.parent)
        if parent is None:
            self._wait(arrival)
            if self.is_pending(header.parent) or arrival.hash not in self._waiting:
                return []
            return [Missing(header.parent, header.number - 1, arrival.peer)]
        try:
            state = State(self._ledger.state_at(header.parent))
        except (UnknownBlock, StatePruned):
            return []
        try:
            consensus = system.parameters(state).consensus
            verify_slot(header, parent, randomness.epoch_at(state, slot), consensus)
            noted = noted_finality(arrival.block)
        except InvalidBlock as error:
            return self._reject(arrival, str(error))
        effects: list[ImportEffect] = [*self._find_equivocation(header, slot)]
        is_fresh = slot > self._clock.slot_at(now) - HOLD_SLOTS
        is_held = noted > self._ledger.finalized_number and is_fresh and arrival.hash not in self._promised
        if is_held or slot > self._clock.slot_at(now):
            self._wait(arrival)
        elif len(self._ready) < self.limits.ready:
            self._busy_since = min(self._busy_since, now)
            self._ready[arrival.hash] = arrival
        return effects

    def _review(self, now: float) -> list[ImportEffect]:
        """Sort again every waiting block whose parent is known."""
        effects: list[ImportEffect] = []
        for arrival in list(self._waiting.values()):
            if self._ledger.header(arrival.header.parent) is not None:
                self._stop_waiting(arrival)
                effects += self._sort(arrival, now)
        return effects

    def _miss_again(self, now: float) -> list[ImportEffect]:
        """Ask once more for one missing parent, each time another one's: nobody may have had it when it was asked for.

        Without this an orphan would wait for ever, and whatever is downloaded on top of it with it.
        """
        if now < self._next_missing:
            return []
        self._next_missing = now + MISS_SECONDS
        orphans = [
            arrival
            for arrival in self._waiting.values()
            if self._ledger.header(arrival.header.parent) is None and not self.is_pending(arrival.header.parent)
        ]
        if not orphans:
            return []
        self._missed += 1
        orphan = orphans[self._missed % len(orphans)]
        return [Missing(orphan.header.parent, orphan.header.number - 1, orphan.peer)]

    def _start(self) -> list[ImportEffect]:
        arrival = self._ready.pop(next(iter(self._ready)))
        try:
            self._current = (arrival, Execution(self._ledger, arrival.block, self._is_verified, is_sealed=True))
        except (UnknownBlock, StatePruned):
            return []
        except InvalidBlock as error:
            return self._reject(arrival, str(error))
        return []

    def _reject(self, arrival: Arrival, reason: str) -> list[ImportEffect]:
        """Remember an invalid block with everything on top of it, and punish whoever sent any of that."""
        effects: list[ImportEffect] = []
        rejected = [arrival]
        while rejected:
            bad = rejected.pop()
            if len(self._bad) >= self.limits.bad:
                del self._bad[next(iter(self._bad))]
            self._bad[bad.hash] = None
            why = reason if bad is arrival else "it descends from an invalid block"
            effects.append(Punish(bad.peer, INVALID_POINTS, f"block {bad.header.number}: {why}"))
            for child in list(self._children.get(bad.hash, ())):
                rejected.append(self._waiting[child])
                self._stop_waiting(self._waiting[child])
        return effects

    def _find_equivocation(self, header: Header, slot: int) -> Iterator[Equivocation]:
        key = (slot, slot_of(header.digest).author)
        known = self._authored.setdefault(key, header)
        if known != header:
            yield Equivocation(known, header)
        if len(self._authored) > self.limits.authors:
            del self._authored[next(iter(self._authored))]

    # --- the waiting set

    def _wait(self, arrival: Arrival) -> None:
        """Keep a block for later. A peer over its share loses its oldest, then the oldest of all goes."""
        mine = [other for other in self._waiting.values() if other.peer == arrival.peer]
        if len(mine) >= self.limits.waiting_per_peer:
            self._stop_waiting(mine[0])
        self._waiting[arrival.hash] = arrival
        self._children.setdefault(arrival.header.parent, []).append(arrival.hash)
        self._waiting_bytes += arrival.size
        while len(self._waiting) > self.limits.waiting or self._waiting_bytes > self.limits.waiting_bytes:
            self._stop_waiting(next(iter(self._waiting.values())))

    def _stop_waiting(self, arrival: Arrival) -> None:
        del self._waiting[arrival.hash]
        self._waiting_bytes -= arrival.size
        siblings = self._children[arrival.header.parent]
        siblings.remove(arrival.hash)
        if not siblings:
            del self._children[arrival.header.parent]


def noted_finality(block: Block) -> int:
    """The height that a block notes as final, 0 when it notes none. Raises `InvalidBlock` for malformed bytes."""
    if not block.body:
        return 0
    try:
        item = decode_extrinsic(block.body[0])
        if isinstance(item, Inherent) and (item.call.pallet, item.call.name) == ("system", "note_finalized"):
            noted: system.NoteFinalized = decode(item.call.arguments, system.NoteFinalized)
            return noted.number
    except (InvalidExtrinsic, CodecError) as error:
        raise InvalidBlock(f"the first item of block {block.header.number} is malformed: {error}") from None
    return 0
