"""Making blocks: fill one from the pool, piece by piece, then compute its root and seal it.

The author runs the same executive as an importer. It relies on the pool for signatures, which checked each one once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from chain.ledger import Ledger
from chain.pool import Pool, PoolEntry
from chain.store import Outcome
from chain.views import Layer, ReadCache
from runtime import merkle
from runtime.block import (
    BeaconOutput,
    Block,
    DigestItem,
    Header,
    Seal,
    Slot,
    extrinsics_root,
    header_hash,
    seal_message,
)
from runtime.errors import InvalidBlock, InvalidExtrinsic
from runtime.executive import apply_extrinsic, build_inherents, finalize_block, initialize_block
from runtime.pallets import system, timestamp
from runtime.state import State

MAX_MISFITS = 16
"""After so many extrinsics that found no room, a block counts as full."""


class Signer(Protocol):
    """What may sign for one account without giving the seed away."""

    @property
    def public(self) -> bytes:
        """The account."""

    def sign(self, message: bytes) -> bytes:
        """The account's signature of ``message``."""


class BlockBuilder:
    """One block in the making, as a job that can be paused between extrinsics. Mutable; `step` until it is False."""

    def __init__(
        self,
        ledger: Ledger,
        pool: Pool,
        author: bytes,
        slot: int,
        milliseconds: int,
        now: float,
        output: BeaconOutput | None = None,
        report: Callable[[State], bytes | None] = lambda state: None,
    ) -> None:
        """Start a block on the best one. Its time is ``milliseconds``, or just after its parent's if that is later.

        Where there are several authors, ``output`` is what proves the claim on the slot, and ``report`` gives an
        inherent that reports an equivocation, if a block with that state can carry one.
        """
        self._pool, self._now = pool, now
        self._parent, self._genesis_hash = ledger.head_header(), ledger.genesis_hash
        self._view = ledger.state_at(ledger.head)
        self._state = State(ReadCache(self._view))
        self._digest: tuple[DigestItem, ...] = (Slot(slot, author), *(() if output is None else (output,)))
        time = max(milliseconds, timestamp.earliest_next(self._state))
        self._context = initialize_block(self._state, self._parent, self._digest)
        for raw in build_inherents(time, None if output is None else self._noted_final(ledger)):
            apply_extrinsic(self._context, raw)
        reported = report(self._state)
        if reported is not None:
            apply_extrinsic(self._context, reported)
        self._candidates: Iterator[PoolEntry] = pool.ready()
        self._skipped: set[bytes] = set()
        self._misfits = 0

    def _noted_final(self, ledger: Ledger) -> int:
        """What this node knows to be final, or what the chain knows already where that is more."""
        return max(ledger.finalized_number, system.FINALIZED.get(self._state))

    def step(self) -> bool:
        """Try the pool's next extrinsic; False when the block is as full as it gets."""
        entry = next(self._candidates, None)
        if entry is None or self._misfits >= MAX_MISFITS:
            return False
        if not self._skipped.isdisjoint(entry.validity.requires):
            self._skipped.update(entry.validity.provides)
            return True
        try:
            apply_extrinsic(self._context, entry.raw, verified=True)
        except InvalidExtrinsic as error:
            self._skipped.update(entry.validity.provides)
            if error.code == "block_full":
                self._misfits += 1
            elif error.code != "future_nonce":
                self._pool.on_invalid(entry.hash, self._now)
        except InvalidBlock:
            # Only inherents raise this, and a pool holds none; dropping the entry keeps authoring alive regardless.
            self._pool.on_invalid(entry.hash, self._now)
        return True

    def finish(self, signer: Signer) -> Layer:
        """Finalize the block's state and seal its header."""
        context = self._context
        receipts = finalize_block(context)
        body = tuple(context.body)
        digest = (*self._digest, *context.logs)
        changes = self._state.changes()
        update = merkle.update(self._view.get_node, changes)
        header = Header(header_hash(self._parent), self._parent.number + 1, update.root, extrinsics_root(body), digest)
        seal = Seal(signer.sign(seal_message(header, self._genesis_hash)))
        sealed = Header(header.parent, header.number, update.root, header.extrinsics_root, (*digest, seal))
        outcome = Outcome(receipts, tuple(context.events))
        return Layer(header_hash(sealed), Block(sealed, body), outcome, changes, update.nodes)
