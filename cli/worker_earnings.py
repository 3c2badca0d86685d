"""What a worker earned: by task and by role, less fees and penalties, as the node's index tells of its account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cli.output import format_amount, print_table, say
from runtime.crypto import to_ss58
from solvent.client import Client

PAGE = 100


@dataclass
class TaskEarnings:
    """What one task brought. Amounts are units. Mutable while it is added up."""

    earned: Counter[str] = field(default_factory=Counter)
    """By the role in which it was paid, see `runtime.pallets.tasks.storage.Payment`."""
    penalties: int = 0
    block: int = 0
    """Of the last payment or penalty."""


@dataclass
class Earnings:
    """The report. Mutable while it is added up. A dispute's bond, lost or won, counts to the task's figures."""

    account: bytes
    tasks: dict[str, TaskEarnings] = field(default_factory=dict)
    fees: Counter[str] = field(default_factory=Counter)
    """By ``pallet.call``."""

    @property
    def roles(self) -> Counter[str]:
        return sum((task.earned for task in self.tasks.values()), Counter())

    @property
    def penalties(self) -> int:
        return sum(task.penalties for task in self.tasks.values())

    @property
    def net(self) -> int:
        return self.roles.total() - self.penalties - self.fees.total()

    def document(self) -> dict[str, Any]:
        """For programs: amounts are decimal strings of units."""
        tasks = [
            {"task": task, "block": one.block, "earned": _texts(one.earned), "penalties": str(one.penalties)}
            for task, one in self._newest_first()
        ]
        return {
            "account": to_ss58(self.account),
            "earned": str(self.roles.total()),
            "fees": str(self.fees.total()),
            "penalties": str(self.penalties),
            "net": str(self.net),
            "by_role": _texts(self.roles),
            "by_call": _texts(self.fees),
            "tasks": tasks,
        }

    def _newest_first(self) -> list[tuple[str, TaskEarnings]]:
        return sorted(self.tasks.items(), key=lambda pair: (-pair[1].block, pair[0]))

    def rows(self) -> list[list[str]]:
        """One row a task, for people."""
        return [
            [
                task,
                ", ".join(sorted(one.earned)),
                format_amount(one.earned.total()),
                format_amount(one.penalties),
                format_amount(one.earned.total() - one.penalties),
            ]
            for task, one in self._newest_first()
        ]


def _texts(amounts: Counter[str]) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(amounts.items())}


def collect_earnings(client: Client, account: bytes) -> Earnings:
    """Add up an account's history. Raises `RpcFailed` where the node has no index."""
    report, address = Earnings(account), to_ss58(account)
    for item in _history(client, address):
        if item["signed"] and item["extrinsic"] is not None:
            report.fees[f"{item['extrinsic']['pallet']}.{item['extrinsic']['call']}"] += int(item["extrinsic"]["fee"])
        for event in item["events"]:
            _count(report, address, event, int(item["block"], 16))
    return report


def _history(client: Client, address: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page = client.call("explorer_accountHistory", address, PAGE, cursor)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return


def _count(report: Earnings, address: str, event: dict[str, Any], block: int) -> None:
    """Add one event, if it moved money of this account for its work."""
    fields = event["fields"]
    kind = f"{event['pallet']}.{event['name']}"
    if kind == "tasks.Paid" and fields["account"] == address and fields["role"] != "refund":
        _task(report, fields["task"], block).earned[fields["role"]] += int(fields["amount"])
    elif kind == "workers.Slashed" and fields["account"] == address:
        _task(report, fields["job"], block).penalties += int(fields["amount"])
    elif kind == "disputes.DisputeDecided" and int(fields["bond"]):
        if fields["defender"] == address:
            _task(report, fields["task"], block).earned["dispute bond"] += int(fields["bond"])
        elif fields["challenger"] == address:
            _task(report, fields["task"], block).penalties += int(fields["bond"])


def _task(report: Earnings, task: str, block: int) -> TaskEarnings:
    found = report.tasks.setdefault(task, TaskEarnings())
    found.block = max(found.block, block)
    return found


def print_earnings(report: Earnings) -> None:
    """Tables for people."""
    if report.tasks:
        print_table("Tasks, the newest first", ["task", "as", ">earned", ">lost", ">kept"], report.rows())
        say("")
    else:
        say("No task has paid or cost this account anything yet.\n")
    rows = [[f"earned as {role}", format_amount(amount)] for role, amount in sorted(report.roles.items())]
    rows += [[f"fees of {call}", format_amount(-amount)] for call, amount in sorted(report.fees.items())]
    rows += [["penalties", format_amount(-report.penalties)], ["net", format_amount(report.net)]]
    say(f"In all, of {to_ss58(report.account)}:")
    print_table("", ["", ">amount"], rows)
