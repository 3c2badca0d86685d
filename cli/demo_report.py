"""What the demo says at the end: tables for people, one JSON object for programs. All of it is read from the chain."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from cli.output import format_amount
from runtime.crypto import to_ss58
from runtime.dispute.records import Evidence, Verdict
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute, LoggedMove
from runtime.pallets.tasks import Payment, Task
from solvent.client import Client

Names = Mapping[bytes, str]
"""Account to the name it has in the story."""


@dataclass(frozen=True)
class DisputeRecord:
    """One finished dispute as the chain keeps it."""

    number: int
    dispute: Dispute
    verdict: Verdict
    moves: tuple[LoggedMove, ...]

    @property
    def rounds(self) -> int:
        """How often the challenger narrowed the claim down."""
        return sum(move.mover == "challenger" for move in self.moves)

    @property
    def loser(self) -> bytes:
        won = self.verdict.winner == "challenger"
        return self.dispute.defender if won else self.dispute.challenger


def read_disputes(client: Client, task: bytes) -> list[DisputeRecord]:
    """All decided disputes about a task, with every move."""
    found = []
    for number, dispute in client.items(disputes.DISPUTES):
        verdict = client.read(disputes.VERDICTS, number)
        if dispute.task == task and verdict is not None:
            moves = [client.read(disputes.MOVES, (number, place)) for place in range(dispute.moves)]
            found.append(DisputeRecord(number, dispute, verdict, tuple(moves)))
    return found


# --- for programs


def payment_documents(payments: Sequence[Payment], names: Names) -> list[dict[str, str]]:
    return [
        {
            "name": names.get(one.account, ""),
            "account": to_ss58(one.account),
            "role": one.role,
            "amount": str(one.amount),
        }
        for one in payments
    ]


def task_document(name: bytes, task: Task, accuracy: float | None, model: str, names: Names) -> dict[str, Any]:
    return {
        "id": "0x" + name.hex(),
        "status": task.status,
        "accuracy": accuracy,
        "steps": task.spec.steps,
        "attempts": task.attempt,
        "solver": names.get(task.solver, to_ss58(task.solver)),
        "gas": str(task.estimate.gas),
        "escrow": str(task.estimate.escrow),
        "final_root": "0x" + task.final_root.hex(),
        "payments": payment_documents(task.payments, names),
        "slashes": payment_documents(task.slashes, names),
        "model": model,
    }


def dispute_document(record: DisputeRecord, slashes: Sequence[Payment], names: Names) -> dict[str, Any]:
    evidence, dispute = record.verdict.evidence, record.dispute
    winner = dispute.challenger if record.verdict.winner == "challenger" else dispute.defender
    return {
        "id": record.number,
        "task": "0x" + dispute.task.hex(),
        "segment": dispute.segment,
        "reason": str(record.verdict.reason),
        "moves": [
            {
                "number": number,
                "mover": move.mover,
                "move": move.kind,
                "level": move.level,
                "width": move.width,
                "height": move.height,
                "index": move.index,
                "bytes": move.bytes,
                "block": move.block,
            }
            for number, move in enumerate(record.moves)
        ],
        "rounds": record.rounds,
        "level_sizes": [
            {"level": str(one.level), "width": one.width, "leaf": one.leaf} for one in record.verdict.trail
        ],
        "leaf": {
            "op": evidence.opcode,
            "operands": list(evidence.operands),
            "claimed": evidence.claimed,
            "computed": evidence.computed,
            "step": evidence.step,
            "value": evidence.value,
            "operator": evidence.operator,
            "element": evidence.element,
            "operation": evidence.operation,
            "executed": len(evidence.log),
        },
        "winner": names.get(winner, to_ss58(winner)),
        "loser": names.get(record.loser, to_ss58(record.loser)),
        "slashed": payment_documents(slashes, names),
        "reward": str(dispute.reward),
    }


# --- for people


def as_float(bits: str) -> str:
    """An f32 bit pattern in hexadecimal as a number, where it is one."""
    try:
        (number,) = struct.unpack("<f", struct.pack("<I", int(bits, 16)))
    except (ValueError, struct.error):
        return ""
    return f"{number:.9g}"


def print_moves(console: Console, record: DisputeRecord, names: Names) -> None:
    """Every move of a dispute."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (">#", "who", "move", "then in tree", ">leaves", ">height", ">node", ">bytes", ">block"):
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    parties = {"challenger": record.dispute.challenger, "defender": record.dispute.defender}
    for number, move in enumerate(record.moves, 1):
        who = names.get(parties[move.mover], move.mover)
        style = "cyan" if move.mover == "challenger" else "yellow"
        places = [str(move.width), str(move.height), str(move.index), str(move.bytes), str(move.block)]
        table.add_row(str(number), f"[{style}]{who}[/{style}]", move.kind, move.level, *places)
    console.print(table)


def print_leaf(console: Console, evidence: Evidence, names: tuple[str, str]) -> None:
    """The scalar operation in which the dispute ended; ``names`` are (defender, challenger)."""
    what = f"step {evidence.step}, value {evidence.value} ({evidence.operator}), element {evidence.element}"
    lines = [f"{what}, operation {evidence.operation}:", f"  {evidence.opcode}"]
    lines += [f"    {'operand':<18} {bits}  {as_float(bits)}" for bits in evidence.operands]
    for style, who, bits in (
        ("red", f"{names[0]} claims", evidence.claimed),
        ("green", "the chain computes", evidence.computed),
    ):
        lines.append(f"    [{style}]{who:<18} {bits}  {as_float(bits)}[/{style}]")
    title = f"{len(evidence.log)} scalar operations executed by the chain; the one that differs"
    console.print(Panel("\n".join(lines), title=title, title_align="left", expand=False))


def print_payments(console: Console, task: Task, names: Names) -> None:
    """Who was paid what for a task, and who lost what."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("account")
    table.add_column("for")
    table.add_column("SOLV", justify="right")
    for one in task.payments:
        amount = format_amount(one.amount).removesuffix(" SOLV")
        table.add_row(names.get(one.account, to_ss58(one.account)), one.role.replace("_", " "), amount)
    for one in task.slashes:
        amount = format_amount(one.amount).removesuffix(" SOLV")
        table.add_row(names.get(one.account, to_ss58(one.account)), f"[red]slashed as {one.role}[/red]", f"-{amount}")
    console.print(table)
