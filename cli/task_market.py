"""The rest of ``solvent task``: which tasks there are, taking one back, and the disputes about one."""

from __future__ import annotations

from typing import Any

import click

from cli.dispute_report import DisputeRecord, dispute_document, print_leaf, print_moves, read_disputes
from cli.output import ACCOUNT, console, describe_failure, fail, format_amount, print_json, print_table, say
from cli.suri import SURI_HELP, read_secret
from cli.task_options import JSON, TASK_ARGUMENT, URL
from cli.task_report import task_document
from cli.task_watch import take_snapshot
from runtime.crypto import to_ss58
from runtime.pallets import tasks
from solvent.client import Client


@click.command(name="list")
@click.option("--submitter", type=ACCOUNT, help="Only this account's.")
@click.option("--status", help="Only those with this status, such as pooled or settled.")
@URL
@JSON
def list_tasks(submitter: bytes | None, status: str | None, url: str, as_json: bool) -> None:
    """List the tasks that the chain knows."""
    with Client(url) as client:
        found = [
            (name, task)
            for name, task in client.items(tasks.TASKS)
            if submitter in (None, task.submitter) and status in (None, task.status)
        ]
    if as_json:
        print_json([task_document(name, task) for name, task in found])
    elif not found:
        say("No tasks.")
    else:
        print_table(
            "",
            ["task", "status", ">steps", ">attempts", ">escrow"],
            [
                ["0x" + name.hex(), task.status, f"{task.spec.steps:,}", str(task.attempt), format_amount(task.escrow)]
                for name, task in found
            ],
        )


@click.command()
@TASK_ARGUMENT
@click.option("--suri", required=True, help=f"Secret of the account that submitted it, {SURI_HELP}.")
@URL
@JSON
def cancel(name: bytes, suri: str, url: str, as_json: bool) -> None:
    """Take TASK back before a solver trains. The escrow comes back, less the listing fee."""
    with Client(url) as client:
        take_snapshot(client, name)  # says so when there is no such task, before a fee is paid
        outcome = client.submit_and_wait(read_secret(suri), "tasks", tasks.Cancel(name))
        task = take_snapshot(client, name).task
    if not outcome.ok:
        fail(f"the chain refused: {describe_failure(outcome.error)}")
    refund = next(event.refund for _, _, event in outcome.events if isinstance(event, tasks.Cancelled))
    if as_json:
        print_json({**task_document(name, task), "refund": str(refund)})
    else:
        say(f"Cancelled; {format_amount(refund)} came back.")


@click.command()
@TASK_ARGUMENT
@URL
@JSON
def disputes(name: bytes, url: str, as_json: bool) -> None:
    """Show every move of the disputes about TASK, and the scalar operation that decided them."""
    with Client(url) as client:
        task = take_snapshot(client, name).task
        records = read_disputes(client, name)
    if as_json:
        print_json([dispute_document(record, _slashes(task, record), {}) for record in records])
    elif not records:
        say("Nobody disputes this task.")
    for record in () if as_json else records:
        _show(record)


def _slashes(task: tasks.Task, record: DisputeRecord) -> list[tasks.Payment]:
    """What the loser lost for this task."""
    return [slash for slash in task.slashes if slash.account == record.loser]


def _show(record: DisputeRecord) -> None:
    """A dispute for people."""
    dispute, verdict = record.dispute, record.verdict
    parties: dict[str, Any] = {"challenger": to_ss58(dispute.challenger), "defender": to_ss58(dispute.defender)}
    say(f"[bold]Dispute {record.number}[/bold] about segment {dispute.segment}, {dispute.status.replace('_', ' ')}")
    for party, account in parties.items():
        waiting = ", whose turn it is" if dispute.waits_for == party else ""
        say(f"  {party:<10} {account}{waiting}")
    print_moves(console, record, {})
    if verdict is not None and verdict.evidence.opcode:
        print_leaf(console, verdict.evidence, ("the defender", "the challenger"))
    if verdict is not None:
        reason = verdict.reason.replace("_", " ")
        say(f"The {verdict.winner} won: {reason}. Reward {format_amount(dispute.reward)}.")
