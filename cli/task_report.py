"""A task as the chain has it, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cli.dispute_report import Names, payment_documents
from cli.output import console as terminal
from cli.output import format_amount, print_table
from runtime.crypto import to_ss58
from runtime.pallets.tasks import Payment, Task


def task_document(name: bytes, task: Task, names: Names | None = None) -> dict[str, Any]:
    """A task as JSON."""
    known = names or {}
    return {
        "id": "0x" + name.hex(),
        "status": task.status,
        "steps": task.spec.steps,
        "attempts": task.attempt,
        "submitter": known.get(task.submitter, to_ss58(task.submitter)),
        "solver": known.get(task.solver, to_ss58(task.solver)) if task.solver else None,
        "final_root": "0x" + task.final_root.hex() if task.final_root else None,
        "gas": str(task.estimate.gas),
        "escrow": str(task.estimate.escrow),
        "payments": payment_documents(task.payments, known),
        "slashes": payment_documents(task.slashes, known),
    }


def print_payments(task: Task, names: Names | None = None, console: Console = terminal) -> None:
    """Who was paid what for a task, and who lost what; nothing when nobody was."""
    rows = [*_rows(task.payments, names or {}), *_rows(task.slashes, names or {}, slashed=True)]
    if rows:
        print_table("", ["account", "for", ">amount"], rows, console)


def _rows(payments: Sequence[Payment], names: Names, slashed: bool = False) -> list[list[str]]:
    def row(payment: Payment) -> list[str]:
        role, amount = payment.role.replace("_", " "), format_amount(payment.amount)
        account = names.get(payment.account, to_ss58(payment.account))
        return [account, f"[red]slashed as {role}[/red]", f"-{amount}"] if slashed else [account, role, amount]

    return [row(payment) for payment in payments]
