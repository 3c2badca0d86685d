"""Following what takes a while: an extrinsic until it is final, a task until it is over, its loss as it trains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from solvent.client import Client, Submitted
from solvent.errors import NodeUnreachable, SubscriptionEnded, WaitTimedOut
from solvent.outcomes import Outcome

OVER = ("settled", "failed", "cancelled", "expired")
"""Statuses in which nothing more happens to a task."""
PAGE = 100
RECONNECT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One point of a loss curve. ``loss`` is NaN or infinite where training went wrong."""

    attempt: int
    step: int
    loss: float
    block: int


def wait_until_final(client: Client, submitted: Submitted, timeout: float = 120.0) -> Outcome:
    """Wait until the block that includes an extrinsic is final; another fork's block may take the first one's place.

    Raises `ExtrinsicExpired` or `WaitTimedOut`.
    """
    deadline = time.monotonic() + timeout
    outcome = client.wait(submitted, timeout)
    with client.subscribe("chain_subscribeFinalizedHeads") as heads:
        while client.finalized_number() < outcome.block_number:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimedOut(f"block {outcome.block_number} did not become final within {timeout:g} seconds")
            heads.next_within(left)
            if client.block_hash(outcome.block_number) != outcome.block_hash:
                outcome = client.wait(submitted, max(left, 1.0))
    if client.block_hash(outcome.block_number) != outcome.block_hash:
        return wait_until_final(client, submitted, max(deadline - time.monotonic(), 1.0))
    return outcome


def timeline(client: Client, task: bytes) -> Iterator[dict[str, Any]]:
    """Everything that happened to a task until now, the oldest first, as `tasks_timeline` tells it."""
    cursor = None
    while True:
        page = client.call("tasks_timeline", "0x" + task.hex(), PAGE, cursor)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return


def follow_task(client: Client, task: bytes) -> Iterator[dict[str, Any]]:
    """The whole timeline of a task from its first entry on, then each new entry as it comes, until the task is over.

    A node that restarts in between is asked again, and nothing is told twice. Needs a node with an index; raises
    `NodeUnreachable` when it stays away for longer than the client's patience.
    """
    told: set[tuple[str, int]] = set()
    while True:
        try:
            with client.subscribe("tasks_subscribeTimeline", "0x" + task.hex()) as news:
                summary = news.next_within(None)["task"]
                yield from _untold(timeline(client, task), told)
                while summary is None or summary["status"] not in OVER:
                    update = news.next_within(None)
                    summary = update["task"]
                    yield from _untold(iter(update["entries"]), told)
                return
        except (SubscriptionEnded, NodeUnreachable):
            time.sleep(RECONNECT_SECONDS)
            client.call("system_name")


def _untold(entries: Iterator[dict[str, Any]], told: set[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        place = (entry["blockHash"], entry["index"])
        if place not in told:
            told.add(place)
            yield entry


def follow_loss(client: Client, task: bytes) -> Iterator[Heartbeat]:
    """The loss curve of a task as it is trained, from its first point on, until the task is over."""
    for entry in follow_task(client, task):
        if entry["kind"] == "heartbeat":
            yield Heartbeat(entry["attempt"], entry["step"], float(entry["loss"]), int(entry["block"], 16))
