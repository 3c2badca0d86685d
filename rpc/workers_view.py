"""Workers as they are shown: the records of the chain with what the index knows of their earnings."""

from __future__ import annotations

from rpc.answers.explorer import WorkerJson
from rpc.pages import require_index
from rpc.render import hex_of
from rpc.view import NodeView
from runtime.crypto import to_ss58
from runtime.pallets import workers
from runtime.pallets.workers import Worker


def render_worker(node: NodeView, worker: Worker) -> WorkerJson:
    """One account in one role."""
    earned = None if node.indexes is None else str(require_index(node).sums(worker.account).earned)
    return {
        "account": to_ss58(worker.account),
        "role": worker.role,
        "price": str(worker.price),
        "capacity": worker.capacity,
        "bond": str(worker.bond),
        "locked": str(worker.locked),
        "since": hex(worker.since),
        "jobs": [hex_of(job) for job in worker.jobs],
        "completed": worker.completed,
        "faults": worker.faults,
        "slashed": str(worker.slashed),
        "earned": earned,
    }


def workers_of(node: NodeView, account: bytes) -> list[WorkerJson]:
    """The account in each role that it has."""
    state = node.ledger.state()
    found = [workers.WORKERS.get(state, (account, role)) for role in workers.ROLES]
    return [render_worker(node, worker) for worker in found if worker is not None]
