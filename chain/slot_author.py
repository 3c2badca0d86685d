"""Authoring in slots: draw the lot of each slot as it begins, and make the block if it is this node's turn.

A block is made in pieces, like an import, and is full when its share of the slot is over. The slot is recorded with the
block, so a restarted node never seals a second block for it, with whichever of its keys. While finality lags behind,
authors slow down together: blocks that may all be thrown away help nobody. And an author that cannot keep up with
executing what the others make holds back until it has: on an old parent it would only add a fork, and everybody's load.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.author import BlockBuilder
from chain.effects import Commit, Effect, Publish
from chain.evidence import EvidenceBook
from chain.keyring import KeyInUse, Keyring
from chain.ledger import Ledger
from chain.messages import BLOCKS, Announce, encode_message
from chain.pool import Pool
from chain.slots import SlotClock, SlotSigner, claim_slot, slot_of_header
from chain.store import META
from chain.views import Layer
from runtime.block import Header, slot_of
from runtime.codec import U63, decode, encode
from runtime.errors import InvalidBlock
from runtime.pallets import randomness, system
from runtime.seals import validate_seal

AUTHORED = META + b"authored"
LAG_LIMIT = 64
"""Unfinalized blocks from which on authors slow down."""
LAG_STEP = 8
"""Each so many further unfinalized blocks make them wait one slot more."""
MAX_PAUSE_SLOTS = 16
"""Longer than that nobody waits, whatever others do."""
BUILDING_SHARE = 3
"""One third of a slot is for filling the block; the rest is for everybody to get it."""


class SlotAuthor:
    """Mutable. `on_time` begins a block when there is one to make; `work` until `has_work` is False."""

    def __init__(self, ledger: Ledger, pool: Pool, clock: SlotClock, keys: Keyring, evidence: EvidenceBook) -> None:
        self._evidence = evidence
        self._ledger, self._pool, self._clock, self._keys = ledger, pool, clock, keys
        stored = ledger.store.database.get(AUTHORED)
        self._authored: int = decode(stored, U63) if stored else -1
        self._last_slot = self._authored
        self._held_since = -1
        """The first slot in which this node held back because it could not keep up; -1 when it did not."""
        self._job: tuple[BlockBuilder, SlotSigner, int] | None = None

    @property
    def has_work(self) -> bool:
        """Whether a block is being made."""
        return self._job is not None

    def on_time(self, now: float, is_swamped: bool = False) -> None:
        """Look at the present slot, once. ``is_swamped``: this node has more blocks to execute than it manages."""
        slot = self._clock.slot_at(now)
        if slot <= self._last_slot or self._job is not None or not self._keys:
            return
        self._last_slot = slot
        if is_swamped and self._held_since < 0:
            self._held_since = slot
        if is_swamped and slot - self._held_since < MAX_PAUSE_SLOTS:
            return
        self._held_since = -1
        ahead = slot - slot_of_header(self._ledger.head_header())
        if ahead < self._interval():
            return
        state = self._ledger.state()
        consensus = system.parameters(state).consensus
        epoch = randomness.epoch_at(state, slot)
        signer = self._keys.in_office(epoch.authorities)
        claim = None if signer is None else claim_slot(epoch, consensus, slot, signer)
        if signer is None or claim is None:
            return
        time, report = self._clock.milliseconds_of(slot), self._evidence.build_inherent
        builder = BlockBuilder(self._ledger, self._pool, signer.public, slot, time, now, claim.output, report)
        self._job = (builder, signer, slot)

    def observe(self, header: Header) -> list[KeyInUse]:
        """A header was announced. Under a key of this node, after the last block made here, it is somebody else's."""
        try:
            claim = slot_of(header.digest)
            if claim.author not in self._keys or claim.slot <= self._authored:
                return []
            validate_seal(header, self._ledger.genesis_hash, self._ledger.verify)
        except InvalidBlock:
            return []
        return [KeyInUse(claim.author, f"block {header.number}")]

    def _interval(self) -> int:
        """Slots from one block to the next: one, and more the further finality lags."""
        excess = self._ledger.head_number - self._ledger.finalized_number - LAG_LIMIT
        return 1 if excess <= 0 else min(1 + excess // LAG_STEP, MAX_PAUSE_SLOTS)

    def work(self, now: float, out_of_time: Callable[[], bool]) -> tuple[Layer | None, list[Effect]]:
        """Fill the block a little more, or finish it: the block when it is done, and what to do with it."""
        assert self._job is not None
        builder, signer, slot = self._job
        deadline = self._clock.start_of(slot) + self._clock.slot_milliseconds / 1000 / BUILDING_SHARE
        while now < deadline and builder.step():
            if out_of_time():
                return None, []
        self._job = None
        if signer.public not in self._keys:
            return None, []
        layer = builder.finish(signer)
        if not self._ledger.is_live(layer.header.parent):
            return None, []
        try:
            effects = self._ledger.on_executed(layer)
        except InvalidBlock:
            return None, []
        self._authored = slot
        announced = Publish(BLOCKS, encode_message(Announce(layer.header)))
        recorded = [
            Commit({**effect.batch, AUTHORED: encode(slot)}) if isinstance(effect, Commit) else effect
            for effect in effects
        ]
        return layer, [*recorded, announced]
