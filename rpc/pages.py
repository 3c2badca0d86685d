"""Pages: lists that go on where the last answer ended, whatever blocks have come since.

A cursor is the key of the last row that was answered, so it stays valid when rows are added at the other end. It is
opaque to callers: hex of the key behind the list's own prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from rpc.blocks import NoSuchBlock
from rpc.errors import UNAVAILABLE, RpcError
from rpc.indexes import Indexes
from rpc.kinds import Kind, WrongKind, describe, optional
from rpc.view import NodeView

T = TypeVar("T")

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
MAX_CURSOR = 512


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


def page_of(items: Iterable[tuple[bytes, T]], limit: int | None, show: Callable[[T], Any]) -> dict[str, Any]:
    """The next items, each with the cursor that continues after it. Items of blocks that are pruned are left out."""
    wanted = limit or DEFAULT_LIMIT
    found = list(islice(items, wanted + 1))
    shown = []
    for _, item in found[:wanted]:
        with suppress(NoSuchBlock):
            shown.append(show(item))
    return {"items": shown, "next": found[wanted - 1][0].hex() if len(found) > wanted else None}


def rows_page(
    indexes: Indexes,
    prefix: bytes,
    limit: int | None,
    cursor: bytes | None,
    show: Callable[[tuple[bytes, bytes]], Any],
    newest_first: bool = True,
) -> dict[str, Any]:
    """A page of the index's rows under a prefix."""

    def rows() -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
        after = prefix + cursor if cursor else b""
        for key, value in indexes.rows(prefix, after, newest_first):
            yield key[len(prefix) :], (key, value)

    return page_of(rows(), limit, show)
