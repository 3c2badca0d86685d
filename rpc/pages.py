"""Pages: lists that go on where the last answer ended, whatever blocks have come since.

A cursor is the key of the last row that was answered, so it stays valid when rows are added at the other end. It is
opaque to callers: hex of the key behind the list's own prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from rpc.answers.words import HeightJson, PageJson
from rpc.blocks import NoSuchBlock
from rpc.errors import UNAVAILABLE, RpcError, UnknownBlock
from rpc.indexes import Indexes
from rpc.kinds import Kind, WrongKind, describe, optional
from rpc.view import NodeView

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
MAX_CURSOR = 512
MAX_SCAN = 1_000
"""Candidates that one page looks at."""


def _parse_limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongKind(f"expected a number, got {describe(value)}")
    if not 1 <= value <= MAX_LIMIT:
        raise WrongKind(f"a page has 1 to {MAX_LIMIT} items")
    return value


def _parse_cursor(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > MAX_CURSOR:
        raise WrongKind("a cursor is the string that an earlier page came with")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise WrongKind("a cursor is the string that an earlier page came with") from None


LIMIT = optional(Kind("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, _parse_limit))
CURSOR = optional(Kind("cursor", {"type": "string", "maxLength": MAX_CURSOR}, _parse_cursor))


def require_index(node: NodeView) -> Indexes:
    """The node's index, up to date. Raises -32002 on a node that keeps none."""
    if node.indexes is None:
        raise RpcError(UNAVAILABLE, "this node keeps no index; start it with --index to search and to list histories")
    node.indexes.refresh()
    return node.indexes


def indexed_from(indexes: Indexes) -> HeightJson:
    """The first block that the index covers."""
    return hex(indexes.cursor.first)


def require_whole_index(indexes: Indexes, what: str) -> None:
    """Before there is said to be no such thing: -32001 where it may be in blocks that the index does not cover."""
    first = indexes.cursor.first
    if first:
        reason = (
            f"{what} is not in the blocks from {first} on; this node has not executed the earlier ones: ask another"
        )
        raise UnknownBlock(reason)


def page_of(
    candidates: Iterable[tuple[bytes, T]],
    limit: int | None,
    show: Callable[[T], R | None],
    indexes: Indexes | None = None,
) -> PageJson[R]:
    """The next items, as ``show`` makes them of candidates that come with the cursor which continues after them.

    Candidates that ``show`` answers with None, and those of pruned blocks, are left out; after `MAX_SCAN` candidates a
    page ends early, and its cursor goes on from there. ``indexes`` are given when the candidates are rows of the index.
    """
    wanted, shown, place, following = limit or DEFAULT_LIMIT, list[R](), b"", None
    for looked_at, (here, candidate) in enumerate(candidates):
        if len(shown) == wanted or looked_at == MAX_SCAN:
            following = place.hex()
            break
        place = here
        with suppress(NoSuchBlock):
            item = show(candidate)
            if item is not None:
                shown.append(item)
    return {"items": shown, "next": following, "indexedFrom": indexed_from(indexes) if indexes else None}


def rows_page(
    indexes: Indexes,
    prefix: bytes,
    limit: int | None,
    cursor: bytes | None,
    show: Callable[[bytes, bytes], R | None],
    newest_first: bool = True,
) -> PageJson[R]:
    """A page of the index's rows under a prefix, as ``show`` makes them of key and value."""
    rows = indexes.rows(prefix, prefix + cursor if cursor else b"", newest_first)
    return page_of(((key[len(prefix) :], (key, value)) for key, value in rows), limit, lambda row: show(*row), indexes)
