"""What can be subscribed to. A subscription holds no queue: when the connection has time for it, it looks at the chain
and says what is new since it last looked.

So a slow reader costs nothing: of heads it gets the newest (and up to `MAX_HEADS` before it), of a task's timeline
everything, in portions. `poll` returns the results to send now, and `is_over` ends the subscription after them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from chain.ledger import Ledger
from rpc import blocks, dispute_views, task_views
from rpc.answers.chain import BlockNewsJson, HeaderJson
from rpc.answers.disputes import DisputeSummaryJson
from rpc.answers.node import ChangeSetJson, WatchJson
from rpc.answers.tasks import TimelineNewsJson
from rpc.author_methods import submit_extrinsic
from rpc.blocks import NoSuchBlock
from rpc.index_rows import place_key
from rpc.kinds import HASH, HEX, NUMBER, list_of
from rpc.pages import require_index
from rpc.render import hex_of, render_header
from rpc.table import MethodTable
from rpc.timeline import entries_after, last_place
from rpc.view import NodeView
from runtime.block import Extrinsic, decode_extrinsic, extrinsic_hash
from runtime.errors import InvalidExtrinsic
from runtime.pallets import disputes, tasks

TABLE = MethodTable()
MAX_HEADS = 16
"""Heads that are announced one by one; of more, only the newest."""
MAX_KEYS = 100
PORTION = 50
MAX_SCAN = 4096
"""Blocks that one look for an extrinsic goes through."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Subscription(Protocol[T_co]):
    """Mutable. One subscriber's place in a stream of such results."""

    is_over: bool

    def poll(self, node: NodeView) -> Sequence[T_co]:
        """What is new. Cheap when nothing is."""


class Heads(Generic[T]):
    """New heads, best or finalized, shown by ``show`` (hash, blocks skipped)."""

    is_over = False

    def __init__(self, head: Callable[[Ledger], bytes], show: Callable[[Ledger, bytes, int], T]) -> None:
        self._head, self._show = head, show
        self._last: bytes | None = None
        self._number = -1

    def poll(self, node: NodeView) -> Sequence[T]:
        ledger = node.ledger
        head = self._head(ledger)
        if head == self._last:
            return ()
        fresh, skipped = [head], 0
        header = ledger.header(head)
        assert header is not None
        number = header.number
        while self._last is not None and header is not None and header.number > self._number + 1:
            if len(fresh) == MAX_HEADS:
                fresh, skipped = [head], number - self._number - 1
                break
            fresh.append(header.parent)
            header = ledger.header(header.parent)
        self._last, self._number = head, number
        return [self._show(ledger, hash_, skipped) for hash_ in reversed(fresh)]


@lru_cache(maxsize=64)
def _show_header(ledger: Ledger, hash_: bytes, skipped: int) -> HeaderJson:
    header = ledger.header(hash_)
    assert header is not None
    return render_header(header)


def _show_summary(ledger: Ledger, hash_: bytes, skipped: int) -> BlockNewsJson:
    return {**blocks.summarize(ledger, blocks.load(ledger, hash_)), "skipped": skipped}


@TABLE.subscription("chain_subscribeNewHeads", "chain_unsubscribeNewHeads", "chain_newHead")
def subscribe_new_heads(node: NodeView) -> Subscription[HeaderJson]:
    """The header of every new best block, the present one first."""
    return Heads(lambda ledger: ledger.head, _show_header)


@TABLE.subscription("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads", "chain_finalizedHead")
def subscribe_finalized_heads(node: NodeView) -> Subscription[HeaderJson]:
    """The header of every block that became final, the present one first."""
    return Heads(lambda ledger: ledger.finalized, _show_header)


@TABLE.subscription("explorer_subscribeBlocks", "explorer_unsubscribeBlocks", "explorer_block")
def subscribe_blocks(node: NodeView) -> Subscription[BlockNewsJson]:
    """A line about every new best block, the present one first; ``skipped`` counts those not told of one by one."""
    return Heads(lambda ledger: ledger.head, _show_summary)


class StorageChanges:
    """The values at some keys, whenever one of them changes."""

    is_over = False

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = list(dict.fromkeys(keys))
        self._known: dict[bytes, bytes | None] | None = None
        self._head = b""

    def poll(self, node: NodeView) -> Sequence[ChangeSetJson]:
        head = node.ledger.head
        if head == self._head:
            return ()
        self._head = head
        state = node.ledger.state_at(head)
        values = {key: state.get(key) for key in self._keys}
        known = self._known
        changed = [key for key in self._keys if known is None or values[key] != known[key]]
        self._known = values
        if not changed:
            return ()
        shown = [[hex_of(key), None if (value := values[key]) is None else hex_of(value)] for key in changed]
        return [{"block": hex_of(head), "changes": shown}]


@TABLE.subscription("state_subscribeStorage", "state_unsubscribeStorage", "state_storage", keys=list_of(HEX, MAX_KEYS))
def subscribe_storage(node: NodeView, keys: list[bytes]) -> Subscription[ChangeSetJson]:
    """The values at storage keys, all of them at once and then those that a new best block changed."""
    return StorageChanges(keys)


@lru_cache(maxsize=256)
def _hashes_in(ledger: Ledger, block: bytes) -> frozenset[bytes]:
    found = ledger.block(block)
    return frozenset(extrinsic_hash(raw) for raw in found.body) if found else frozenset()


class Watch:
    """What becomes of one extrinsic."""

    def __init__(self, node: NodeView, raw: bytes) -> None:
        self.is_over = False
        self._raw, self._hash = raw, extrinsic_hash(raw)
        self._floor = node.ledger.finalized_number
        self._scanned = node.ledger.head
        self._included: tuple[int, bytes] | None = None
        self._is_announced = False

    def poll(self, node: NodeView) -> Sequence[WatchJson]:
        results: list[WatchJson] = []
        if not self._is_announced:
            self._is_announced = True
            results.append("ready")
        if self._included is not None and node.ledger.hash_at(self._included[0]) != self._included[1]:
            results.append({"retracted": hex_of(self._included[1])})
            self._included, self._scanned = None, b""
        if self._included is None:
            self._look(node.ledger)
            if self._included is not None:
                results.append({"inBlock": hex_of(self._included[1])})
            elif self._hash not in node.pool:
                results.append(self._lost(node))
                self.is_over = True
        if self._included is not None and node.ledger.finalized_number >= self._included[0]:
            results.append({"finalized": hex_of(self._included[1])})
            self.is_over = True
        return results

    def _look(self, ledger: Ledger) -> None:
        """Go through the blocks of the best chain since the last look."""
        hash_, scanned = ledger.head, 0
        while hash_ != self._scanned and scanned < MAX_SCAN:
            header = ledger.header(hash_)
            if header is None or header.number <= self._floor:
                break
            if self._hash in _hashes_in(ledger, hash_):
                self._included = (header.number, hash_)
                break
            hash_, scanned = header.parent, scanned + 1
        self._scanned = ledger.head

    def _lost(self, node: NodeView) -> WatchJson:
        """Why an extrinsic that is in no block does not wait any more either."""
        item = decode_extrinsic(self._raw)
        if isinstance(item, Extrinsic):
            usurper = node.pool.by_nonce(item.signer, item.nonce)
            if usurper is not None:
                return {"usurped": hex_of(usurper.hash)}
        try:
            node.ledger.validate(self._raw)
        except InvalidExtrinsic:
            return "invalid"
        return "dropped"


@TABLE.subscription(
    "author_submitAndWatchExtrinsic", "author_unwatchExtrinsic", "author_extrinsicUpdate", extrinsic=HEX
)
def submit_and_watch(node: NodeView, extrinsic: bytes) -> Subscription[WatchJson]:
    """Hand in an extrinsic and hear what becomes of it: ready, inBlock, retracted, finalized, usurped, dropped,
    invalid."""
    watch = Watch(node, extrinsic)
    submit_extrinsic(node, extrinsic)
    return watch


class Timeline:
    """New entries of a task's timeline, none left out."""

    is_over = False

    def __init__(self, node: NodeView, task: bytes) -> None:
        self._task = task
        self._place = last_place(require_index(node), task)
        self._block = b""
        self._is_announced = False

    def poll(self, node: NodeView) -> Sequence[TimelineNewsJson]:
        indexes = require_index(node)
        height = int.from_bytes(self._place[:8], "big")
        if self._block and node.ledger.hash_at(height) != self._block:
            self._place, self._block = place_key(node.ledger.finalized_number + 1, -1), b""
        entries = list(entries_after(node, indexes, self._task, self._place, PORTION))
        if not entries and self._is_announced:
            return ()
        self._is_announced = True
        if entries:
            self._place = entries[-1][0]
            self._block = bytes.fromhex(entries[-1][1]["blockHash"][2:])
        state = node.ledger.state()
        task = tasks.TASKS.get(state, self._task)
        summary = None if task is None else task_views.summarize(node, state, self._task, task)
        return [{"task": summary, "entries": [entry for _, entry in entries]}]


@TABLE.subscription("tasks_subscribeTimeline", "tasks_unsubscribeTimeline", "tasks_timeline", task=HASH)
def subscribe_timeline(node: NodeView, task: bytes) -> Subscription[TimelineNewsJson]:
    """A task's summary at once, and again with the new entries of its timeline as they come."""
    return Timeline(node, task)


class DisputeUpdates:
    """One line about a dispute whenever it has moved."""

    is_over = False

    def __init__(self, number: int) -> None:
        self._number = number
        self._last: Any = ()

    def poll(self, node: NodeView) -> Sequence[DisputeSummaryJson | None]:
        state = node.ledger.state()
        dispute = disputes.DISPUTES.get(state, self._number)
        if dispute == self._last:
            return ()
        self._last = dispute
        try:
            return [None if dispute is None else dispute_views.summarize(node, state, self._number, dispute)]
        except NoSuchBlock:
            return ()


@TABLE.subscription("disputes_subscribe", "disputes_unsubscribe", "disputes_update", dispute=NUMBER)
def subscribe_dispute(node: NodeView, dispute: int) -> Subscription[DisputeSummaryJson | None]:
    """A line about a dispute at once, and whenever a move was played or it ended."""
    return DisputeUpdates(dispute)
