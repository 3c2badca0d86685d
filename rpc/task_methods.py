"""``tasks_*`` and ``proofs_*``: training tasks from their price to their payments."""

from __future__ import annotations

from itertools import islice

from rpc import task_views
from rpc.answers.tasks import (
    EstimateJson,
    PointJson,
    ProgramJson,
    ProofJson,
    TaskDetailJson,
    TaskSummaryJson,
    TimelineEntryJson,
)
from rpc.answers.words import PageJson
from rpc.dispute_views import disputes_of_task
from rpc.errors import InvalidParameter
from rpc.explorer_methods import TASK_STATUSES
from rpc.index_rows import Heartbeat, status_prefix
from rpc.kinds import ACCOUNT, HASH, HEX, one_of, optional
from rpc.pages import CURSOR, LIMIT, require_index, rows_page
from rpc.render import render_record
from rpc.scalars import f32_number
from rpc.table import MethodTable
from rpc.timeline import timeline_page
from rpc.view import NodeView
from runtime.codec import decode
from runtime.errors import DispatchError
from runtime.pallets import system, tasks

TABLE = MethodTable()
MAX_POINTS = 2_000
MAX_HEARTBEATS = 50_000
"""Heartbeats of one task that are looked at for its curve."""


@TABLE.method("tasks_estimate", spec=HEX, program=HEX, initProgram=HEX)
def estimate(node: NodeView, spec: bytes, program: bytes, initProgram: bytes) -> EstimateJson:
    """The price of a task at its limit, part by part, from the encoded spec and programs: what `tasks.submit` would
    escrow."""
    market = system.parameters(node.ledger.state()).market
    try:
        _, price = tasks.validate_submission(spec, program, initProgram, market)
    except DispatchError as error:
        parameter = "spec" if error.code == "InvalidSpec" else "program or initProgram"
        raise InvalidParameter(parameter, f"{error.code}: {error}") from None
    return render_record(price)


@TABLE.method(
    "tasks_list",
    status=optional(one_of(*TASK_STATUSES)),
    submitter=optional(ACCOUNT),
    limit=LIMIT,
    cursor=CURSOR,
)
def list_tasks(
    node: NodeView, status: str | None, submitter: bytes | None, limit: int | None, cursor: bytes | None
) -> PageJson[TaskSummaryJson]:
    """Tasks, the newest first: all, those in a status, those of a submitter, or both."""
    state = node.ledger.state()
    prefix = b"S" + submitter if submitter else status_prefix(status) if status else b"l"

    def show(_: bytes, name: bytes) -> TaskSummaryJson | None:
        task = tasks.TASKS.get(state, name)
        is_wanted = task is not None and status in (None, task.status)
        return task_views.summarize(node, state, name, task) if task and is_wanted else None

    return rows_page(require_index(node), prefix, limit, cursor, show)


@TABLE.method("tasks_get", task=HASH)
def get_task(node: NodeView, task: bytes) -> TaskDetailJson | None:
    """Everything the chain keeps about a task: spec, price, proof, audits, payments, disputes; null when unknown."""
    if node.indexes is not None:
        node.indexes.refresh()
    state = node.ledger.state()
    found = tasks.TASKS.get(state, task)
    if found is None:
        return None
    return {**task_views.detail(node, state, task, found), "disputes": disputes_of_task(node, state, task)}


@TABLE.method("proofs_get", task=HASH)
def get_proof(node: NodeView, task: bytes) -> ProofJson | None:
    """The latest proof of a task with its segments and audits; null when there is none."""
    state = node.ledger.state()
    found = tasks.TASKS.get(state, task)
    return None if found is None else task_views.proof_of(node, state, task, found)


@TABLE.method("tasks_timeline", task=HASH, limit=LIMIT, cursor=CURSOR)
def timeline(node: NodeView, task: bytes, limit: int | None, cursor: bytes | None) -> PageJson[TimelineEntryJson]:
    """All that happened to a task, the oldest first: assignments, heartbeats, proofs, audits, disputes, payments."""
    return timeline_page(node, require_index(node), task, limit, cursor)


@TABLE.method("tasks_progress", task=HASH)
def progress(node: NodeView, task: bytes) -> list[PointJson]:
    """The loss curve: steps and losses from the solvers' heartbeats, the oldest first, at most 2000 points."""
    indexes = require_index(node)
    prefix = b"g" + task
    rows = list(islice(indexes.rows(prefix, newest_first=False), MAX_HEARTBEATS))
    stride = -(-len(rows) // MAX_POINTS) or 1
    chosen = rows[::stride] if not rows or (len(rows) - 1) % stride == 0 else [*rows[::stride], rows[-1]][-MAX_POINTS:]
    return [_point(key[len(prefix) :], decode(value, Heartbeat)) for key, value in chosen]


def _point(place: bytes, beat: Heartbeat) -> PointJson:
    return {
        "attempt": beat.attempt,
        "step": beat.step,
        "loss": f32_number(beat.loss_bits),
        "block": hex(int.from_bytes(place[:8], "big")),
        "time": beat.time or None,
    }


@TABLE.method("tasks_program", program=HASH)
def program(node: NodeView, program: bytes) -> ProgramJson | None:
    """The graph of a program that some task named: inputs, nodes, types and gas; null when it is unknown."""
    return task_views.render_program(node.ledger.state(), program)
