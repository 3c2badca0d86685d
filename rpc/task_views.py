"""Tasks, their proofs and their programs as they are shown."""

from __future__ import annotations

from functools import lru_cache

from rpc import blocks
from rpc.answers.tasks import (
    AuditJson,
    InputJson,
    NodeJson,
    ProgramFiguresJson,
    ProgramJson,
    ProofJson,
    SegmentJson,
    StoredTaskJson,
    TaskSummaryJson,
)
from rpc.index_rows import TaskRow
from rpc.render import hex_of, render_record
from rpc.scalars import f32_number, shape_of
from rpc.view import NodeView
from runtime.crypto import to_ss58
from runtime.pallets import proofs, tasks
from runtime.pallets.proofs import Board, Proof
from runtime.pallets.tasks import Task, segment_count, segment_steps
from runtime.pallets.tasks.programs import check_bytes
from runtime.state import State
from runtime.vm.check import CheckedProgram


def row_of(node: NodeView, name: bytes) -> TaskRow | None:
    """What the index knows of a task."""
    return None if node.indexes is None else node.indexes.task(name)


def summarize(node: NodeView, state: State, name: bytes, task: Task) -> TaskSummaryJson:
    """One line about a task."""
    row, progress = row_of(node, name), tasks.PROGRESS.get(state, name)
    return {
        "task": hex_of(name),
        "submitter": to_ss58(task.submitter),
        "status": task.status,
        "attempt": task.attempt,
        "solver": to_ss58(task.solver) if task.solver else None,
        "steps": task.spec.steps,
        "segments": segment_count(task.spec),
        "priceLimit": str(task.spec.price_limit),
        "escrow": str(task.escrow),
        "submitted": None if row is None else {"block": hex(row.height), "time": row.time or None},
        "step": progress.step if progress else 0,
        "loss": f32_number(progress.loss_bits) if progress else None,
        "finalRoot": hex_of(task.final_root) if task.final_root else None,
    }


def detail(node: NodeView, state: State, name: bytes, task: Task) -> StoredTaskJson:
    """Everything that the chain keeps about a task, without its history."""
    return {
        **summarize(node, state, name, task),
        "spec": render_record(task.spec),
        "estimate": render_record(task.estimate),
        "price": str(task.price),
        "excluded": [to_ss58(account) for account in task.excluded],
        "reviewers": [to_ss58(account) for account in task.reviewers],
        "payments": [render_record(payment) for payment in task.payments],
        "slashes": [render_record(slash) for slash in task.slashes],
        "deadline": str(task.deadline),
        "program": _program_figures(state, task.spec.program),
        "proof": proof_of(node, state, name, task),
    }


def proof_of(node: NodeView, state: State, name: bytes, task: Task) -> ProofJson | None:
    """The latest proof of a task with its audits and segments."""
    proof, board = proofs.PROOFS.get(state, name), proofs.AUDITS.get(state, name)
    if proof is None or board is None:
        return None
    return {
        "attempt": proof.attempt,
        "solver": to_ss58(proof.solver),
        "registered": blocks.moment(node.ledger, proof.registered),
        "manifest": hex_of(proof.manifest),
        "finalRoot": hex_of(proof.checkpoints[-1]),
        "phase": board.phase,
        "windowEnd": str(board.window),
        "audits": [_audit(audit) for audit in board.audits],
        "segments": [_segment(task, proof, board, segment) for segment in range(len(proof.checkpoints))],
    }


def _audit(audit: proofs.Audit) -> AuditJson:
    return {
        "verifier": to_ss58(audit.verifier),
        "status": audit.status,
        "accepted": hex(audit.accepted),
        "deadline": str(audit.deadline),
        "secretOpened": bool(audit.secret),
        "segments": list(audit.segments),
        "failed": list(audit.failed),
        "gas": str(audit.gas),
    }


def _segment(task: Task, proof: Proof, board: Board, segment: int) -> SegmentJson:
    drawn = [audit for audit in board.audits if segment in audit.segments]
    interval = task.spec.checkpoint_interval
    return {
        "segment": segment,
        "firstStep": (segment - 1) * interval if segment else 0,
        "steps": segment_steps(task.spec, segment),
        "start": hex_of(proof.checkpoints[segment - 1]) if segment else None,
        "end": hex_of(proof.checkpoints[segment]),
        "passedBy": [to_ss58(audit.verifier) for audit in drawn if segment not in audit.failed],
        "failedBy": [to_ss58(audit.verifier) for audit in drawn if segment in audit.failed],
    }


def checked_program(state: State, name: bytes) -> CheckedProgram | None:
    """A program that some task named."""
    data = tasks.PROGRAMS.get(state, name)
    return None if data is None else check_bytes(data)


def _program_figures(state: State, name: bytes) -> ProgramFiguresJson | None:
    checked = checked_program(state, name)
    if checked is None:
        return None
    return {
        "nodes": len(checked.program.nodes),
        "inputs": len(checked.program.inputs),
        "values": len(checked.values),
        "state": [{"name": entry, **shape_of(*kind)} for entry, _, kind in checked.state],
        "parameters": str(sum(kind.elements for _, _, kind in checked.state)),
    }


def render_program(state: State, name: bytes) -> ProgramJson | None:
    """A program's graph: inputs, nodes with the types of their outputs, and what it leaves."""
    data = tasks.PROGRAMS.get(state, name)
    return None if data is None else _render_program(data)


@lru_cache(maxsize=8)
def _render_program(data: bytes) -> ProgramJson:
    checked = check_bytes(data)
    ends = (*checked.node_starts[1:], len(checked.values))
    nodes: list[NodeJson] = [
        {
            "node": number,
            "op": node.op,
            "attributes": [str(attribute) for attribute in node.attributes],
            "inputs": list(node.inputs),
            "outputs": [{"value": value, **shape_of(*checked.values[value])} for value in range(start, end)],
            "gas": str(gas),
        }
        for number, (node, start, end, gas) in enumerate(
            zip(checked.program.nodes, checked.node_starts, ends, checked.node_gas, strict=True)
        )
    ]
    inputs: list[InputJson] = [
        {"value": value, "kind": given.kind, "name": given.name, **shape_of(given.dtype, given.shape)}
        for value, given in enumerate(checked.program.inputs)
    ]
    return {
        "inputs": inputs,
        "nodes": nodes,
        "state": [{"name": named.name, "value": named.value} for named in checked.program.state],
        "metrics": [{"name": named.name, "value": named.value} for named in checked.program.metrics],
    }
