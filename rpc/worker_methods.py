"""``workers_*``: who trains and verifies, for how much, backed by which bond, and what it earned."""

from __future__ import annotations

from typing import Any

from rpc import blocks
from rpc.answers.explorer import EarningJson, UnbondingJson, WorkerJson, WorkerRolesJson
from rpc.answers.words import PageJson
from rpc.index_rows import place_of
from rpc.kinds import ACCOUNT, one_of, optional
from rpc.pages import CURSOR, LIMIT, page_of, require_index, rows_page
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from rpc.workers_view import render_worker, workers_of
from runtime import registry
from runtime.crypto import to_ss58
from runtime.pallets import workers

TABLE = MethodTable()


@TABLE.method("workers_list", role=optional(one_of(*workers.ROLES)), limit=LIMIT, cursor=CURSOR)
def list_workers(node: NodeView, role: str | None, limit: int | None, cursor: bytes | None) -> PageJson[WorkerJson]:
    """Workers with a bond, the highest bond first."""
    state = node.ledger.state()
    if node.indexes is not None:
        node.indexes.refresh()
    found = []
    for each in (role,) if role else workers.ROLES:
        for account in workers.ROSTER.get(state, each) or ():
            worker = workers.WORKERS.get(state, (account, each))
            if worker is not None:
                rank = (2**63 - 1 - worker.bond).to_bytes(8, "big") + account + each.encode()
                found.append((rank, worker))
    found.sort(key=lambda pair: pair[0])
    rest = [(rank, worker) for rank, worker in found if cursor is None or rank > cursor]
    return page_of(rest, limit, lambda worker: render_worker(node, worker))


@TABLE.method("workers_get", account=ACCOUNT)
def get_worker(node: NodeView, account: bytes) -> WorkerRolesJson:
    """An account in each of its roles, and the bond that it is taking out."""
    state = node.ledger.state()
    if node.indexes is not None:
        node.indexes.refresh()
    unbonding: list[UnbondingJson] = [
        {"role": role, "amount": str(chunk.amount), "release": str(chunk.release)}
        for role in workers.ROLES
        for chunk in workers.UNBONDING.get(state, (account, role)) or ()
    ]
    return {"account": to_ss58(account), "roles": workers_of(node, account), "unbonding": unbonding}


@TABLE.method("workers_earnings", account=ACCOUNT, limit=LIMIT, cursor=CURSOR)
def list_earnings(node: NodeView, account: bytes, limit: int | None, cursor: bytes | None) -> PageJson[EarningJson]:
    """What an account was paid for its work and what it was slashed, the newest first."""

    def show(key: bytes, _: bytes) -> EarningJson:
        height, position = place_of(key)
        found = blocks.at_height(node.ledger, height)
        event = found.outcome.events[position]
        record: Any = registry.decode_event(event)
        is_slash = event.name == "Slashed"
        return {
            "block": hex(height),
            "time": found.time,
            "task": hex_of(record.job if is_slash else record.task),
            "role": record.role,
            "amount": str(record.amount),
            "kind": "slashed" if is_slash else "paid",
        }

    return rows_page(require_index(node), b"w" + account, limit, cursor, show)
