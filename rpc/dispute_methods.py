"""``disputes_*``: quarrels about proofs, and their whole descent to one scalar operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rpc import dispute_views
from rpc.explorer_methods import DISPUTE_STATUSES
from rpc.kinds import HASH, NUMBER, one_of, optional
from rpc.pages import CURSOR, LIMIT, page_of, require_index
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute

TABLE = MethodTable()
MAX_SCAN = 2_000
"""Disputes that one page looks through for those in a status."""


@TABLE.method(
    "disputes_list",
    status=optional(one_of(*DISPUTE_STATUSES)),
    task=optional(HASH),
    limit=LIMIT,
    cursor=CURSOR,
)
def list_disputes(
    node: NodeView, status: str | None, task: bytes | None, limit: int | None, cursor: bytes | None
) -> Any:
    """Disputes, the newest first: all, those in a status, or those about a task."""
    state = node.ledger.state()
    before = int.from_bytes(cursor[:8], "big") if cursor else disputes.NEXT.get(state)

    def found() -> Iterator[tuple[bytes, tuple[int, Dispute]]]:
        for number in _numbers(node, task, before):
            dispute = disputes.DISPUTES.get(state, number)
            if dispute is not None and (status is None or dispute.status == status):
                yield number.to_bytes(8, "big"), (number, dispute)

    return page_of(found(), limit, lambda pair: dispute_views.summarize(node, state, *pair))


def _numbers(node: NodeView, task: bytes | None, before: int) -> Iterator[int]:
    if task is None:
        last = min(before, disputes.NEXT.get(node.ledger.state())) - 1
        yield from range(last, max(last - MAX_SCAN, -1), -1)
        return
    prefix = b"D" + task
    for key, _ in require_index(node).rows(prefix, prefix + before.to_bytes(8, "big")):
        yield int.from_bytes(key[-8:], "big")


@TABLE.method("disputes_get", dispute=NUMBER)
def get_dispute(node: NodeView, dispute: int) -> Any:
    """A dispute move by move, level by level, down to the scalar operation that decided it; null when unknown."""
    indexes = require_index(node)
    state = node.ledger.state()
    found = disputes.DISPUTES.get(state, dispute)
    return None if found is None else dispute_views.detail(node, indexes, state, dispute, found)
