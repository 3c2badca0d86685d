"""``disputes_*``: quarrels about proofs, and their whole descent to one scalar operation."""

from __future__ import annotations

from collections.abc import Iterator

from rpc import dispute_views
from rpc.answers.disputes import DisputeDetailJson, DisputeSummaryJson
from rpc.answers.words import PageJson
from rpc.explorer_methods import DISPUTE_STATUSES
from rpc.kinds import HASH, NUMBER, one_of, optional
from rpc.pages import CURSOR, LIMIT, page_of, require_index, rows_page
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.pallets import disputes
from runtime.state import State

TABLE = MethodTable()


@TABLE.method(
    "disputes_list",
    status=optional(one_of(*DISPUTE_STATUSES)),
    task=optional(HASH),
    limit=LIMIT,
    cursor=CURSOR,
)
def list_disputes(
    node: NodeView, status: str | None, task: bytes | None, limit: int | None, cursor: bytes | None
) -> PageJson[DisputeSummaryJson]:
    """Disputes, the newest first: all, those in a status, or those about a task."""
    state = node.ledger.state()

    def show(number: int) -> DisputeSummaryJson | None:
        dispute = disputes.DISPUTES.get(state, number)
        is_wanted = dispute is not None and status in (None, dispute.status)
        return dispute_views.summarize(node, state, number, dispute) if dispute and is_wanted else None

    if task is None:
        return page_of(_all_numbers(state, cursor), limit, show)
    return rows_page(
        require_index(node), b"D" + task, limit, cursor, lambda key, _: show(int.from_bytes(key[-8:], "big"))
    )


def _all_numbers(state: State, cursor: bytes | None) -> Iterator[tuple[bytes, int]]:
    """Every dispute's number, the newest first, with its cursor."""
    following = disputes.NEXT.get(state)
    before = min(int.from_bytes(cursor[:8], "big"), following) if cursor else following
    for number in range(before - 1, -1, -1):
        yield number.to_bytes(8, "big"), number


@TABLE.method("disputes_get", dispute=NUMBER)
def get_dispute(node: NodeView, dispute: int) -> DisputeDetailJson | None:
    """A dispute move by move, level by level, down to the scalar operation that decided it; null when unknown."""
    indexes = require_index(node)
    state = node.ledger.state()
    found = disputes.DISPUTES.get(state, dispute)
    return None if found is None else dispute_views.detail(node, indexes, state, dispute, found)
