"""``explorer_*``: search, blocks, extrinsics, events and the network's figures, for people who look at the chain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from heapq import merge
from typing import Any, Literal

from rpc import blocks
from rpc.answers.chain import (
    BlockDetailJson,
    BlockSummaryJson,
    EventJson,
    ExtrinsicJson,
    ListedExtrinsicJson,
    PendingJson,
)
from rpc.answers.explorer import CountedJson, MatchJson, StatisticsJson
from rpc.answers.words import PageJson
from rpc.blocks import Found, NoSuchBlock
from rpc.errors import InvalidParameter
from rpc.index_rows import kind_prefix, place_of
from rpc.indexes import Indexes
from rpc.kinds import HASH, NUMBER_OR_HASH, TEXT, optional
from rpc.pages import CURSOR, LIMIT, indexed_from, page_of, require_index, require_whole_index, rows_page
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime import registry
from runtime.crypto import from_ss58, to_ss58
from runtime.errors import SolventError
from runtime.pallets import balances, disputes, session, treasury, workers

TABLE = MethodTable()
TASK_STATUSES = (
    "pooled", "assigned", "training", "proved", "auditing", "disputed", "settled", "failed", "cancelled", "expired",
)  # fmt: skip
DISPUTE_STATUSES = ("open", "challenger_won", "defender_won", "cancelled")
MEAN_BLOCKS = 64
MAX_MATCHES = 20
SHORTEST_PREFIX = 4
Kind = Literal["block", "extrinsic", "account", "task", "dispute"]
SEARCHED: tuple[tuple[bytes, Kind], ...] = ((b"b", "block"), (b"x", "extrinsic"), (b"T", "task"), (b"A", "account"))
"""Rows of the index by their letter -> what their keys are hashes of."""


@TABLE.method("explorer_statistics")
def statistics(node: NodeView) -> StatisticsJson:
    """The network in figures: heights, money, and how many tasks, disputes, workers and validators there are."""
    ledger, state = node.ledger, node.ledger.state()
    if node.indexes is not None:
        node.indexes.refresh()
    figures = _count(node.indexes)
    return {
        "chain": node.chain_name,
        "version": node.version,
        "genesisHash": hex_of(ledger.genesis_hash),
        "time": blocks.time_at(ledger, ledger.head_number),
        "best": {"number": hex(ledger.head_number), "hash": hex_of(ledger.head)},
        "finalized": {"number": hex(ledger.finalized_number), "hash": hex_of(ledger.finalized)},
        "blockMilliseconds": _block_milliseconds(node),
        "issuance": str(balances.ISSUANCE.get(state)),
        "treasury": str(balances.free(state, treasury.ACCOUNT)),
        "peers": node.peer_count(),
        "isSyncing": node.is_syncing(),
        "pool": len(node.pool),
        **figures,
        "workers": {role: len(workers.ROSTER.get(state, role) or ()) for role in workers.ROLES},
        "validators": len(session.MEMBERS.get(state)) or 1,
    }


def _count(indexes: Indexes | None) -> CountedJson:
    if indexes is None:
        return {
            "indexed": None,
            "extrinsics": None,
            "events": None,
            "accounts": None,
            "tasks": None,
            "disputes": None,
            "paid": None,
            "slashed": None,
        }
    tasks: Any = {"total": indexes.counter("tasks")}
    tasks.update({status: indexes.counter("task:" + status) for status in TASK_STATUSES})
    counted: Any = {"total": indexes.counter("disputes")}
    counted.update({status: indexes.counter("dispute:" + status) for status in DISPUTE_STATUSES})
    return {
        "indexed": {"number": hex(indexes.cursor.number), "from": indexed_from(indexes)},
        "extrinsics": indexes.counter("extrinsics"),
        "events": indexes.counter("events"),
        "accounts": indexes.counter("accounts"),
        "tasks": tasks,
        "disputes": counted,
        "paid": str(indexes.counter("paid")),
        "slashed": str(indexes.counter("slashed")),
    }


def _block_milliseconds(node: NodeView) -> int | None:
    """The mean time between the latest blocks."""
    last = node.ledger.head_number
    first = max(last - MEAN_BLOCKS, 1)
    begin, end = blocks.time_at(node.ledger, first), blocks.time_at(node.ledger, last)
    return None if begin is None or end is None or last <= first else (end - begin) // (last - first)


# --- search


@TABLE.method("explorer_search", query=TEXT)
def search(node: NodeView, query: str) -> list[MatchJson]:
    """What a number, an address, a hash or the first digits of one stand for: blocks, extrinsics, accounts, tasks and
    disputes, the likeliest first. An error, and not an empty list, where the index does not cover the whole chain."""
    indexes = require_index(node)
    text = query.strip()
    found = [*_search_numbers(node, text), *_search_account(node, text), *_search_hashes(node, indexes, text)]
    if not found:
        require_whole_index(indexes, repr(text[:80]))
    return found[:MAX_MATCHES]


def _match(kind: Kind, id_: str, label: str) -> MatchJson:
    return {"kind": kind, "id": id_, "label": label}


def _search_numbers(node: NodeView, text: str) -> Iterator[MatchJson]:
    digits = text.removeprefix("#")
    if not re.fullmatch(r"[0-9]{1,15}", digits):
        return
    number = int(digits)
    hash_ = node.ledger.hash_at(number)
    if hash_ is not None:
        yield _match("block", hex_of(hash_), f"block {number}")
    dispute = disputes.DISPUTES.get(node.ledger.state(), number)
    if dispute is not None:
        yield _match("dispute", str(number), f"dispute {number}, {dispute.status.replace('_', ' ')}")


def _search_account(node: NodeView, text: str) -> Iterator[MatchJson]:
    with suppress(SolventError):
        account = from_ss58(text)
        owner = session.KEY_OWNERS.get(node.ledger.state(), account)
        if owner is not None:
            yield _match("account", to_ss58(owner), f"{to_ss58(owner)}, whose session key it is")
        yield _match("account", to_ss58(account), to_ss58(account))


def _search_hashes(node: NodeView, indexes: Indexes, text: str) -> Iterator[MatchJson]:
    digits = text.lower().removeprefix("0x")
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},64}}", digits):
        return
    even = bytes.fromhex(digits[: len(digits) // 2 * 2])
    for letter, kind in SEARCHED:
        matches = 0
        for key, value in indexes.rows(letter + even, newest_first=False):
            if not key[1:].hex().startswith(digits):
                continue
            shown = to_ss58(key[1:]) if kind == "account" else hex_of(key[1:])
            where = f" {place_of(value)[0]}" if kind == "block" else ""
            yield _match(kind, shown, f"{kind}{where} {shown}")
            matches += 1
            if matches == MAX_MATCHES // 4:
                break


# --- blocks


@TABLE.method("explorer_blocks", limit=LIMIT, cursor=CURSOR)
def list_blocks(node: NodeView, limit: int | None, cursor: bytes | None) -> PageJson[BlockSummaryJson]:
    """The best chain from its newest block down."""
    first = node.ledger.head_number if cursor is None else int.from_bytes(cursor[:8], "big") - 1

    def chain() -> Iterator[tuple[bytes, Found]]:
        for number in range(min(first, node.ledger.head_number), -1, -1):
            with suppress(NoSuchBlock):
                yield number.to_bytes(8, "big"), blocks.at_height(node.ledger, number)
                continue
            return

    return page_of(chain(), limit, lambda found: blocks.summarize(node.ledger, found))


@TABLE.method("explorer_block", block=NUMBER_OR_HASH)
def block(node: NodeView, block: int | bytes) -> BlockDetailJson | None:
    """A block by number or hash with all its extrinsics and events; null when there is none. An error where this node
    has the block's header or height but not what happened in it."""
    ledger = node.ledger
    hash_ = block if isinstance(block, bytes) else ledger.hash_at(block)
    if hash_ is None:
        if isinstance(block, int) and block <= ledger.head_number:
            raise NoSuchBlock(
                f"block {block} is not kept here: this node has blocks from {ledger.store.oldest_block()} on"
            )
        return None
    if ledger.header(hash_) is None:
        return None
    return blocks.detail(ledger, blocks.load(ledger, hash_))


@TABLE.method("explorer_extrinsic", hash=HASH)
def extrinsic(node: NodeView, hash: bytes) -> ExtrinsicJson | PendingJson | None:
    """A signed extrinsic by its hash, in a block or still waiting; null when there is none. An error, and not null,
    where the index does not cover the whole chain."""
    indexes = require_index(node)
    place = indexes.extrinsic(hash)
    if place is not None:
        found = blocks.at_height(node.ledger, place[0])
        return blocks.extrinsic_of(node.ledger, found, place[1])
    entry = node.pool.get(hash)
    if entry is None:
        require_whole_index(indexes, f"extrinsic {hex_of(hash)}")
        return None
    return {**blocks.write_out(entry.raw), "pending": True}


@TABLE.method("explorer_extrinsics", limit=LIMIT, cursor=CURSOR)
def list_extrinsics(node: NodeView, limit: int | None, cursor: bytes | None) -> PageJson[ListedExtrinsicJson]:
    """All signed extrinsics, the newest first, without their events."""

    def show(key: bytes, _: bytes) -> ListedExtrinsicJson:
        height, index = place_of(key)
        return blocks.list_extrinsic(node.ledger, blocks.at_height(node.ledger, height), index)

    return rows_page(require_index(node), b"e", limit, cursor, show)


@TABLE.method("explorer_events", kind=optional(TEXT), limit=LIMIT, cursor=CURSOR)
def list_events(node: NodeView, kind: str | None, limit: int | None, cursor: bytes | None) -> PageJson[EventJson]:
    """Events, the newest first: all, those of a pallet, or those of one kind such as ``balances.Transferred``."""
    indexes = require_index(node)
    streams = [_places(indexes, kind_prefix(pallet, name), cursor) for pallet, name in _event_kinds(kind)]
    places = merge(*streams, reverse=True)

    def show(place: bytes) -> EventJson:
        height, position = place_of(place)
        return blocks.event_of(blocks.at_height(node.ledger, height), position)

    return page_of(((place, place) for place in places), limit, show, indexes)


def _places(indexes: Indexes, prefix: bytes, cursor: bytes | None) -> Iterator[bytes]:
    for key, _ in indexes.rows(prefix, prefix + cursor if cursor else b""):
        yield key[-12:]


def _event_kinds(kind: str | None) -> list[tuple[str, str]]:
    """The (pallet, name) pairs that a filter means. Raises -32602 for one that means none."""
    pallet, dot, name = (kind or "").partition(".")
    chosen = [
        (known.name, event)
        for known in registry.PALLETS
        for event in known.events
        if (not kind or known.name == pallet) and (not dot or event == name)
    ]
    if not chosen:
        raise InvalidParameter("kind", f"there are no events {kind!r}; state_getMetadata lists them")
    return chosen
