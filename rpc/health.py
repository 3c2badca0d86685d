"""Whether a node does its work: what ``GET /health`` answers, 200 or 503, for load balancers and people."""

from __future__ import annotations

from typing import Any

from rpc.blocks import time_at
from rpc.view import NodeView
from runtime.pallets import system

OLDEST_SLOTS = 30
OLDEST_SECONDS = 60.0
"""A best block older than both is stale."""
LARGEST_LAG = 64
"""Blocks that finality may be behind."""


def check_health(node: NodeView) -> dict[str, Any]:
    """The node's figures, and under ``problems`` in words why it should not be relied on; none when all is well."""
    ledger = node.ledger
    best, finalized = ledger.head_number, ledger.finalized_number
    time = time_at(ledger, best)
    age = None if time is None else max(node.wall_time() - time / 1000, 0.0)
    slot = system.parameters(ledger.state()).block.slot_milliseconds / 1000
    problems = []
    if node.is_syncing():
        problems.append("it is catching up with its peers")
    if not node.is_development and node.peer_count() == 0:
        problems.append("it has no peers")
    if age is not None and age > max(OLDEST_SECONDS, OLDEST_SLOTS * slot):
        problems.append(f"its best block is {age:.0f} seconds old")
    if best - finalized > LARGEST_LAG:
        problems.append(f"finality is {best - finalized} blocks behind")
    return {
        "status": "unhealthy" if problems else "ok",
        "problems": problems,
        "best": best,
        "finalized": finalized,
        "bestAgeSeconds": None if age is None else round(age, 1),
        "peers": node.peer_count(),
        "isSyncing": node.is_syncing(),
    }
