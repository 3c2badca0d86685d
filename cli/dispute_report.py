"""A dispute as the chain recorded it: every move, and the scalar operation at its end. For people and for programs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from runtime.crypto import to_ss58
from runtime.dispute.records import Evidence, Verdict
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute, LoggedMove
from runtime.pallets.tasks import Payment
from solvent.client import Client

Names = Mapping[bytes, str]
"""Account to a name that people know it by, where it has one."""


@dataclass(frozen=True)
class DisputeRecord:
    """One dispute as the chain keeps it; without a verdict while it is open, or when it was cancelled."""

    number: int
    dispute: Dispute
    verdict: Verdict | None
    moves: tuple[LoggedMove, ...]

    @property
    def rounds(self) -> int:
        """How often the challenger narrowed the claim down."""
        return sum(move.mover == "challenger" for move in self.moves)

    @property
    def winner(self) -> bytes | None:
        """The account that the verdict is for."""
        if self.verdict is None:
            return None
        return self.dispute.challenger if self.verdict.winner == "challenger" else self.dispute.defender

    @property
    def loser(self) -> bytes | None:
        """The account that the verdict is against."""
        if self.verdict is None:
            return None
        return self.dispute.defender if self.verdict.winner == "challenger" else self.dispute.challenger


def read_disputes(client: Client, task: bytes) -> list[DisputeRecord]:
    """All disputes about a task, with every move."""
    found = []
    for number, dispute in client.items(disputes.DISPUTES):
        if dispute.task == task:
            moves = [client.read(disputes.MOVES, (number, place)) for place in range(dispute.moves)]
            found.append(DisputeRecord(number, dispute, client.read(disputes.VERDICTS, number), tuple(moves)))
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


def dispute_document(record: DisputeRecord, slashes: Sequence[Payment], names: Names) -> dict[str, Any]:
    """A dispute as JSON; leaf, winner and loser are null without a verdict."""
    verdict, dispute = record.verdict, record.dispute
    trail = verdict.trail if verdict else ()

    def name_of(account: bytes | None) -> str | None:
        return None if account is None else names.get(account, to_ss58(account))

    return {
        "id": record.number,
        "task": "0x" + dispute.task.hex(),
        "segment": dispute.segment,
        "status": dispute.status,
        "reason": None if verdict is None else str(verdict.reason),
        "moves": [move_document(number, move) for number, move in enumerate(record.moves)],
        "rounds": record.rounds,
        "level_sizes": [{"level": str(one.level), "width": one.width, "leaf": one.leaf} for one in trail],
        "leaf": leaf_document(verdict.evidence) if verdict else None,
        "challenger": name_of(dispute.challenger),
        "defender": name_of(dispute.defender),
        "waits_for": dispute.waits_for or None,
        "winner": name_of(record.winner),
        "loser": name_of(record.loser),
        "slashed": payment_documents(slashes, names),
        "reward": str(dispute.reward),
    }


def move_document(number: int, move: LoggedMove) -> dict[str, Any]:
    """One move as JSON: who played what, and where the game stood then."""
    return {
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


def leaf_document(evidence: Evidence) -> dict[str, Any]:
    """The scalar operation at the end of a dispute as JSON; bit patterns in hexadecimal."""
    return {
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
