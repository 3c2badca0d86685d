"""The chain as one node knows it: the finalized past in the database, and layers of executed blocks above it.

The *best* block is the one that `chain.fork_choice` prefers of those that descend from the finalized head. Importing a
block is a resumable `Execution`; its result becomes a `Layer`, and finalizing a block folds its layers into the
database in one batch, so no change of the best chain ever touches what is stored. Methods that change anything return
effects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chain.db import Batch, Database
from chain.effects import Commit, Effect, NewBest, NewFinalized
from chain.fork_choice import Rank
from chain.store import (
    DEFAULT_WINDOW,
    JOURNAL,
    META,
    SCHEMA_VERSION,
    Finalized,
    Gap,
    JournalEntry,
    Outcome,
    Store,
    pack_changes,
)
from chain.verified import VerifiedSignatures
from chain.views import BlockState, Layer, ReadCache, layer_of
from runtime import crypto, merkle
from runtime.block import Block, Header, genesis_header, header_hash
from runtime.codec import encode
from runtime.crypto import Verify
from runtime.errors import InvalidBlock, SolventError
from runtime.executive import BlockExecution
from runtime.genesis import build_genesis
from runtime.pallet import Context
from runtime.seals import validate_seal
from runtime.state import State
from runtime.validity import Validity, validate_extrinsic


class UnknownBlock(SolventError):
    """This node does not know the block."""


class StatePruned(SolventError):
    """The block is known, but its state is no longer kept."""


class WrongGenesis(SolventError):
    """The database holds another chain."""


class Execution:
    """The import of one block as a job that can be paused between extrinsics. Mutable; `step` until it is False."""

    def __init__(
        self,
        ledger: Ledger,
        block: Block,
        is_verified: Callable[[Context, bytes], bool] | None = None,
        is_sealed: bool = False,
    ) -> None:
        """``is_sealed`` says that the caller has checked the seal. Raises `UnknownBlock` without the parent,
        `InvalidBlock` when header or seal are wrong."""
        parent = ledger.header(block.header.parent)
        if parent is None:
            raise UnknownBlock(f"the parent {block.header.parent.hex()} of block {block.header.number} is unknown")
        self._view = ledger.state_at(block.header.parent)
        self._state = State(ReadCache(self._view))
        if not is_sealed:
            validate_seal(block.header, ledger.genesis_hash, ledger.verify)
        self._execution = BlockExecution(self._state, parent, block, is_verified)

    def step(self) -> bool:
        """Execute a little more; whether there is more to do. Raises `InvalidBlock`."""
        return self._execution.step()

    def finish(self) -> Layer:
        """Compute the state root and compare it with the header's. Raises `InvalidBlock`."""
        execution = self._execution
        changes = self._state.changes()
        update = merkle.update(self._view.get_node, changes)
        header = execution.block.header
        if update.root != header.state_root:
            raise InvalidBlock(
                f"block {header.number} claims state root {header.state_root.hex()}, it is {update.root.hex()}"
            )
        outcome = Outcome(execution.receipts, tuple(execution.context.events))
        return Layer(header_hash(header), execution.block, outcome, changes, update.nodes)


IsPrimary = Callable[[Header, State], bool]
"""Whether a block's author won its slot outright, judged on the state of its parent."""


class Ledger:
    """Blocks and state of one node. Mutable: `open_ledger` makes one, `on_executed` and `finalize` grow it."""

    def __init__(
        self,
        store: Store,
        is_primary: IsPrimary = lambda header, state: False,
        verify: Verify = crypto.verify,
    ) -> None:
        """Over a database that holds a chain; blocks in its journal become layers again.

        Where ``is_primary`` knows no primaries, as on a chain with one author, the highest block is the best.
        """
        finalized = store.finalized()
        if finalized is None:
            raise WrongGenesis("the database holds no chain; start the node with its genesis first")
        if finalized.schema != SCHEMA_VERSION:
            raise WrongGenesis(
                f"the database has layout {finalized.schema}, this release reads {SCHEMA_VERSION}: run "
                "solvent purge-chain and sync again, or export its blocks with the release that wrote it"
            )
        self.store, self.verify = store, verify
        self.genesis_hash = finalized.genesis
        self.finalized, self.finalized_number = finalized.hash, finalized.number
        self.head, self.head_number = finalized.hash, finalized.number
        self.verified = VerifiedSignatures()
        self._layers: dict[bytes, Layer] = {}
        self._headers: dict[bytes, Header] = {}
        self._is_primary = is_primary
        self._primaries: dict[bytes, int] = {self.finalized: 0}
        """For each layer, the primary blocks from some finalized block up to it."""
        self._strays: list[bytes] = []
        """Blocks of the journal whose ancestors were not journaled: of no use any more."""
        for hash_, entry in store.journal():
            if entry.block.header.parent == self.finalized or entry.block.header.parent in self._layers:
                self._add_layer(layer_of(hash_, entry))
                if self._is_better(entry.block.header.number, hash_):
                    self.head, self.head_number = hash_, entry.block.header.number
            else:
                self._strays.append(hash_)

    def _add_layer(self, layer: Layer) -> None:
        primary = self._is_primary(layer.header, State(self.state_at(layer.header.parent)))
        self._primaries[layer.hash] = self._primaries[layer.header.parent] + int(primary)
        self._layers[layer.hash] = layer

    def _is_better(self, number: int, hash_: bytes) -> bool:
        head = Rank(self._primaries[self.head], self.head_number, self.head)
        return Rank(self._primaries[hash_], number, hash_).is_better_than(head)

    # --- reading

    def block(self, hash_: bytes) -> Block | None:
        """A block by its hash, None when it is unknown."""
        layer = self._layers.get(hash_)
        return layer.block if layer else self.store.block(hash_)

    def header(self, hash_: bytes) -> Header | None:
        """A header by the block's hash, None when it is unknown."""
        if hash_ in self._layers:
            return self._layers[hash_].header
        known = self._headers.get(hash_)
        if known is None:
            known = self.store.header(hash_)
            if known is None or known.number > self.finalized_number:
                return None  # of one that was only proved to be final the parent may be missing
            if len(self._headers) >= 1024:
                del self._headers[next(iter(self._headers))]
            self._headers[hash_] = known
        return known

    def outcome(self, hash_: bytes) -> Outcome | None:
        """Receipts and events of a block."""
        layer = self._layers.get(hash_)
        return layer.outcome if layer else self.store.outcome(hash_)

    def hash_at(self, number: int) -> bytes | None:
        """The block of that height on the best chain."""
        if number <= self.finalized_number:
            return self.store.hash_at(number)
        if number > self.head_number:
            return None
        return next(layer.hash for layer in self._branch(self.head) if layer.header.number == number)

    def head_header(self) -> Header:
        """The best block's header."""
        header = self.header(self.head)
        assert header is not None
        return header

    def state_at(self, hash_: bytes) -> BlockState:
        """The state after a block. Raises `UnknownBlock` or `StatePruned`."""
        if hash_ in self._layers:
            return BlockState(self.store, self._branch(hash_))
        if hash_ == self.finalized:
            return BlockState(self.store, ())
        header = self.header(hash_)
        if header is None or self.store.hash_at(header.number) != hash_:
            raise UnknownBlock(f"block 0x{hash_.hex()} is not known here")
        oldest = self.oldest_state()
        if header.number < oldest:
            raise StatePruned(
                f"the state of block {header.number} is not kept: this node has states from block {oldest} on; ask one "
                f"with a larger --state-pruning, or an archive"
            )
        return BlockState(self.store, (), header.number)

    def oldest_state(self) -> int:
        """The lowest finalized block whose state is kept."""
        return self.store.columns.oldest(self.finalized_number)

    def state(self) -> State:
        """A throw-away overlay on the best block's state."""
        return State(self.state_at(self.head))

    def _branch(self, hash_: bytes) -> list[Layer]:
        """Layers from a block down to the finalized head, newest first."""
        branch = []
        while hash_ in self._layers:
            layer = self._layers[hash_]
            branch.append(layer)
            hash_ = layer.header.parent
        return branch

    def is_ancestor(self, ancestor: bytes, hash_: bytes) -> bool:
        """Whether ``hash_`` is ``ancestor`` or descends from it; False when either is unknown or on a dead branch."""
        while hash_ in self._layers:
            if hash_ == ancestor:
                return True
            hash_ = self._layers[hash_].header.parent
        header, other = self.header(ancestor), self.header(hash_)
        if header is None or other is None or header.number > other.number:
            return False
        return self.store.hash_at(header.number) == ancestor and self.store.hash_at(other.number) == hash_

    def is_live(self, hash_: bytes) -> bool:
        """Whether a block can still be built upon: it is the finalized block, or descends from it."""
        return hash_ == self.finalized or hash_ in self._layers

    def best_containing(self, hash_: bytes) -> bytes:
        """The best head of all branches through a block; the block itself when nothing follows it."""
        if self.is_ancestor(hash_, self.head):
            return self.head
        ranks = [self._rank(other) for other in self._layers if self.is_ancestor(hash_, other)]
        best = Rank(-1, -1, hash_)
        for rank in ranks:
            best = rank if rank.is_better_than(best) else best
        return best.hash

    def _rank(self, hash_: bytes) -> Rank:
        number = self._layers[hash_].header.number if hash_ in self._layers else self.finalized_number
        return Rank(self._primaries[hash_], number, hash_)

    def validate(self, raw: bytes) -> Validity:
        """What the pool should know about an extrinsic, judged on the best block. Raises `InvalidExtrinsic`."""
        state, head = self.state(), self.head_header()
        is_known = self.verified.knows(raw, state, head.number + 1, self.head)
        validity = validate_extrinsic(state, head, raw, is_known)
        if not is_known:
            self.verified.remember(raw, state, head.number + 1, self.head)
        return validity

    def is_verified(self, context: Context, raw: bytes) -> bool:
        """Whether `validate` has found the signature of a body's item good, on the fork of the block being executed."""
        return self.verified.knows(raw, context.state, context.number, context.parent_hash)

    # --- writing

    def on_executed(self, layer: Layer, finalize: bool = False, journal: bool = True) -> list[Effect]:
        """Take in an executed block; with ``finalize`` it is final at once, as where one author makes every block.

        Without ``journal`` nothing is written: a restart forgets the block, and fetches it again.
        """
        if layer.hash in self._layers or self.store.block(layer.hash) is not None:
            return []
        if layer.header.parent != self.finalized and layer.header.parent not in self._layers:
            raise InvalidBlock(f"block {layer.header.number} does not descend from the finalized block")
        self._add_layer(layer)
        effects: list[Effect] = []
        if journal and not finalize:
            effects.append(Commit({JOURNAL + layer.hash: encode(_journal_entry(layer))}))
        best = self._choose(layer)
        if best is not None:
            effects.append(best)
        if finalize:
            commit, *rest = self.finalize(layer.hash)
            effects = [commit, *effects, *rest]
        return effects

    def _choose(self, layer: Layer) -> NewBest | None:
        if not self._is_better(layer.header.number, layer.hash):
            return None
        if layer.header.parent == self.head:
            self.head, self.head_number = layer.hash, layer.header.number
            return NewBest(layer.hash, layer.header.number, (layer.hash,), ())
        old = self._branch(self.head)
        self.head, self.head_number = layer.hash, layer.header.number
        return _compare(old, self._branch(layer.hash))

    def finalize(self, hash_: bytes, justification: bytes = b"") -> list[Effect]:
        """Make a layer final: fold it and its ancestors into the database, drop every layer on another fork.

        ``justification`` is the voters' proof of it, where there are voters; it is kept for peers who catch up. The
        first effect is one batch; the ledger already answers as if it were committed, so commit it at once.
        """
        if hash_ not in self._layers:
            raise UnknownBlock(f"block 0x{hash_.hex()} is not waiting to be finalized here")
        batch: Batch = {}
        branch = list(reversed(self._branch(hash_)))
        for layer in branch:
            self.store.stage_finalized(batch, layer, self.genesis_hash)
        if justification:
            self.store.stage_justification(batch, branch[-1].header, justification)
        number = branch[-1].header.number
        before = self._branch(self.head)
        kept: dict[bytes, Layer] = {}
        for other, layer in self._layers.items():  # parents come first
            if layer.header.parent == hash_ or layer.header.parent in kept:
                kept[other] = layer
        for gone in (*(self._layers.keys() - kept.keys()), *self._strays):
            batch[JOURNAL + gone] = None
        self._strays = []
        self._layers, self.finalized, self.finalized_number = kept, hash_, number
        self._primaries = {other: self._primaries[other] for other in (hash_, *kept)}
        effects: list[Effect] = [Commit(batch)]
        if self.head != hash_ and self.head not in kept:
            effects.append(self._leave_dead_branch(before, branch))
        return [*effects, NewFinalized(hash_, number)]

    def jump(self, header: Header, batch: Batch) -> list[Effect]:
        """Make a block final that was never executed here; its whole state lies in the store's spare generation.

        Everything not final is dropped, and the blocks left out become a gap. ``batch`` is the caller's part of the one
        batch, which is the first effect; as with `finalize`, commit it at once.
        """
        hash_, store = header_hash(header), self.store
        for key, _ in store.database.range(JOURNAL):
            batch[key] = None
        store.stage_generation(batch)
        batch[META + b"finalized"] = encode(Finalized(SCHEMA_VERSION, self.genesis_hash, header.number, hash_))
        before = store.gap()
        lowest = self.finalized_number + 1 if before is None else before.low
        store.stage_gap(batch, Gap(lowest, header.number, hash_))
        store.use_generation()
        self._layers, self._primaries = {}, {hash_: 0}
        self.finalized = self.head = hash_
        self.finalized_number = self.head_number = header.number
        return [Commit(batch), NewBest(hash_, header.number, (), ()), NewFinalized(hash_, header.number)]

    def _leave_dead_branch(self, before: list[Layer], finalized: list[Layer]) -> NewBest:
        """The best block was on a fork that lost: the best descendant of the finalized block takes its place."""
        self.head, self.head_number = self.finalized, self.finalized_number
        for hash_, layer in self._layers.items():
            if self._is_better(layer.header.number, hash_):
                self.head, self.head_number = hash_, layer.header.number
        return _compare(before, [*self._branch(self.head), *reversed(finalized)])


def _compare(old: list[Layer], new: list[Layer]) -> NewBest:
    """The change from one branch to another, both newest first and back to where they may part."""
    known, kept = {layer.hash for layer in old}, {layer.hash for layer in new}
    enacted = tuple(layer.hash for layer in reversed(new) if layer.hash not in known)
    retracted = [layer for layer in reversed(old) if layer.hash not in kept]
    returned = tuple(raw for layer in retracted for raw in layer.block.body)
    return NewBest(new[0].hash, new[0].header.number, enacted, tuple(layer.hash for layer in retracted), returned)


def _journal_entry(layer: Layer) -> JournalEntry:
    return JournalEntry(layer.block, layer.outcome, pack_changes(layer.state), pack_changes(layer.nodes))


def open_ledger(
    database: Database,
    config: dict[str, Any],
    window: int | None = DEFAULT_WINDOW,
    is_primary: IsPrimary = lambda header, state: False,
    verify: Verify = crypto.verify,
    block_window: int | None = None,
) -> Ledger:
    """The ledger in a database, of the chain that ``config`` (a genesis file) starts; written there when it is fresh.

    ``window`` blocks of past state are kept, and ``block_window`` finalized blocks; None keeps all. Raises
    `WrongGenesis` when the database holds another chain.
    """
    store = Store(database, window, block_window)
    changes = build_genesis(config).changes()
    update = merkle.update(lambda path: None, changes)
    header = genesis_header(update.root)
    hash_ = header_hash(header)
    stored = store.finalized()
    if stored is None:
        batch: Batch = {}
        layer = Layer(hash_, Block(header, ()), Outcome((), ()), changes, update.nodes)
        store.stage_finalized(batch, layer, hash_)
        database.write(batch, sync=True)
    elif stored.genesis != hash_:
        raise WrongGenesis(
            f"{database.path} holds the chain with genesis 0x{stored.genesis.hex()[:16]}..., the genesis file makes "
            f"0x{hash_.hex()[:16]}...; use another --base-path, or remove that directory to start over"
        )
    return Ledger(store, is_primary, verify)
