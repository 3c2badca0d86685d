"""Disputes as they are shown: one line, or the whole descent from a segment to one scalar operation."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rpc import blocks
from rpc.answers.disputes import (
    DisputeDetailJson,
    DisputeSummaryJson,
    GameplaceJson,
    MoveDetailsJson,
    MoveJson,
    SideJson,
    SumJson,
    VerdictJson,
)
from rpc.dispute_claims import NotReplayable
from rpc.dispute_leaf import render_leaf
from rpc.dispute_levels import render_levels
from rpc.dispute_replay import Played, Replay, replay
from rpc.errors import UnknownBlock
from rpc.indexes import Indexes
from rpc.render import hex_of, render_record
from rpc.view import NodeView
from runtime import registry
from runtime.codec import encode
from runtime.commitments import ITEM_BYTES
from runtime.crypto import to_ss58
from runtime.dispute.moves import (
    Move,
    OpenOperand,
    OpenValue,
    Party,
    PostChunk,
    PostGroup,
    Reveal,
    SegmentRoot,
    Select,
    SelectElement,
    SelectOperand,
    StepRoot,
    TraceRoot,
)
from runtime.dispute.records import Cursor, Verdict
from runtime.pallets import disputes, treasury
from runtime.pallets.disputes import Dispute
from runtime.state import State

DISPUTES_SHOWN = 50


def summarize(node: NodeView, state: State, number: int, dispute: Dispute) -> DisputeSummaryJson:
    """One line about a dispute."""
    verdict = disputes.VERDICTS.get(state, number)
    return {
        "dispute": number,
        "task": hex_of(dispute.task),
        "attempt": dispute.attempt,
        "kind": "witness" if dispute.kind == disputes.WITNESS else "proof",
        "segment": dispute.segment,
        "challenger": to_ss58(dispute.challenger),
        "defender": to_ss58(dispute.defender),
        "status": dispute.status,
        "opened": blocks.moment(node.ledger, dispute.opened),
        "ended": blocks.moment(node.ledger, dispute.ended) if dispute.ended else None,
        "moves": dispute.moves,
        "waitsFor": dispute.waits_for or None,
        "bond": str(dispute.bond),
        "reward": str(dispute.reward),
        "deadline": str(dispute.deadline),
        "clocks": {"defender": str(dispute.defender_blocks), "challenger": str(dispute.challenger_blocks)},
        "reason": None if verdict is None else str(verdict.reason),
    }


def disputes_of_task(node: NodeView, state: State, task: bytes) -> list[DisputeSummaryJson]:
    """The latest disputes about a task; none without an index."""
    if node.indexes is None:
        return []
    shown = []
    for key, _ in islice(node.indexes.rows(b"D" + task), DISPUTES_SHOWN):
        number = int.from_bytes(key[-8:], "big")
        dispute = disputes.DISPUTES.get(state, number)
        if dispute is not None:
            shown.append(summarize(node, state, number, dispute))
    return shown


def detail(node: NodeView, indexes: Indexes, state: State, number: int, dispute: Dispute) -> DisputeDetailJson:
    """A dispute move by move, level by level, down to its leaf and its payments."""
    try:
        played = replay(node.ledger, indexes, number, dispute)
    except (NotReplayable, blocks.NoSuchBlock) as error:
        raise UnknownBlock(str(error)) from None
    verdict, job = disputes.VERDICTS.get(state, number), played.claim.job
    payments, slashes = _money(node, number, dispute, played)
    return {
        **summarize(node, state, number, dispute),
        "claim": {
            "start": hex_of(job.start),
            "end": hex_of(played.claim.end),
            "firstStep": job.first_step,
            "steps": job.steps,
            "program": hex_of(job.program),
        },
        "moves": [_move(dispute, one, played) for one in played.moves],
        "levels": render_levels(played),
        "leaf": None if verdict is None else render_leaf(played, verdict),
        "verdict": None if verdict is None else _verdict(verdict),
        "payments": payments,
        "slashes": slashes,
    }


def _verdict(verdict: Verdict) -> VerdictJson:
    found = verdict.evidence
    return {
        "winner": _side(verdict.winner),
        "reason": str(verdict.reason),
        "evidence": {
            "step": found.step,
            "value": found.value,
            "operator": found.operator,
            "element": found.element,
            "operation": found.operation,
            "opcode": found.opcode,
            "operand": found.operand,
            "operands": list(found.operands),
            "claimed": found.claimed,
            "computed": found.computed,
            "log": [render_record(operation) for operation in found.log],
        },
    }


def _side(party: Party) -> SideJson:
    return "defender" if party is Party.DEFENDER else "challenger"


def _move(dispute: Dispute, played: Played, whole: Replay) -> MoveJson:
    after = played.after
    account = dispute.defender if played.mover is Party.DEFENDER else dispute.challenger
    return {
        "number": played.number,
        "mover": _side(played.mover),
        "account": to_ss58(account),
        "kind": type(played.move).__name__,
        "block": hex(played.block),
        "time": played.time,
        "extrinsic": hex_of(played.extrinsic),
        "bytes": len(encode(played.move)),
        "phase": str(played.before.phase),
        "next": "decided" if isinstance(after, Verdict) else str(after.phase),
        "before": _place(played.before.cursor),
        "after": None if isinstance(after, Verdict) else _place(after.cursor),
        "details": _details(played, whole),
    }


def _place(cursor: Cursor) -> GameplaceJson | None:
    """Where the game stands: a node of a tree, and the leaves below it. None before the first tree."""
    if cursor.width == 0:
        return None
    first = cursor.index << cursor.height
    return {
        "level": str(cursor.level),
        "width": cursor.width,
        "height": cursor.height,
        "index": cursor.index,
        "node": hex_of(cursor.node),
        "first": first,
        "last": min(first + (1 << cursor.height), cursor.width) - 1,
    }


def _details(played: Played, whole: Replay) -> MoveDetailsJson:
    """What a move says, by its kind."""
    move: Move = played.move
    match move:
        case SegmentRoot(root) | TraceRoot(root):
            return {"root": hex_of(root)}
        case StepRoot(root):
            return {"root": hex_of(root), "before": hex_of(move.before)}
        case Reveal(nodes):
            return {"nodes": [hex_of(node) for node in nodes]}
        case Select(position):
            return {"position": position, "node": hex_of(played.before.revealed[position])}
        case PostChunk(chunk):
            return {"bytes": len(chunk), "chunk": hex_of(chunk)}
        case SelectElement(element):
            dtype = whole.checked.values[played.before.value].dtype
            size = ITEM_BYTES[dtype]
            bits = int.from_bytes(played.before.chunk[element * size : (element + 1) * size], "little")
            return {"element": element, "bits": f"0x{bits:0{2 * size}x}"}
        case PostGroup():
            return {"group": played.before.group, "operands": [hex(operand) for operand in move.operands]}
        case SelectOperand(operand):
            return {"operand": operand}
        case OpenOperand(chunk):
            return {"tensor": hex_of(move.tensor), "bytes": len(chunk)}
        case OpenValue(tensor):
            return {"tensor": hex_of(tensor)}


def _money(node: NodeView, number: int, dispute: Dispute, played: Replay) -> tuple[list[SumJson], list[SumJson]]:
    """(payments, slashes) that the end of the dispute brought, read from the events around it."""
    payments: list[SumJson] = []
    slashes: list[SumJson] = []
    if played.ended is None or dispute.status == disputes.CANCELLED:
        return payments, slashes
    found = blocks.at_height(node.ledger, played.ended[0])
    cause = found.outcome.events[played.ended[1]].extrinsic
    to_treasury = 0
    for event in found.outcome.events:
        record: Any = registry.decode_event(event)
        name = f"{event.pallet}.{event.name}"
        if event.extrinsic != cause:
            continue
        if name == "tasks.Paid" and record.task == dispute.task and record.role in ("challenger", "audit_repaid"):
            payments.append(_sum(record.account, record.role, record.amount))
        elif name == "workers.Slashed" and record.job == dispute.task:
            slashes.append(_sum(record.account, record.role, record.amount))
            to_treasury += record.to_treasury
        elif name == "balances.HeldMoved" and record.reason == disputes.bond_reason(number):
            payments.append(_sum(record.to, "bond", record.amount))
    return payments + ([_sum(treasury.ACCOUNT, "treasury", to_treasury)] if to_treasury else []), slashes


def _sum(account: bytes, role: str, amount: int) -> SumJson:
    return {"account": to_ss58(account), "role": role, "amount": str(amount)}
