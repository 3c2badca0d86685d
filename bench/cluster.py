"""A running network that a benchmark looks at, hurts and heals; the same in processes and in containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

VALIDATORS = ("validator-1", "validator-2", "validator-3", "validator-4")
FULL = "rpc"
NODES = (*VALIDATORS, FULL)


@dataclass(frozen=True)
class Sight:
    """What a node says: the height it has finalized, and the hashes of its chain at the heights asked for."""

    finalized: int
    hashes: Mapping[int, str]


class ClusterError(Exception):
    """The network cannot be run here; the message says why."""


class Cluster(Protocol):
    """Four validators and a full node. A node that was stopped or killed is started again with `start`."""

    kind: str
    can_cut: bool
    """Whether a node can be cut off from the network."""

    def look(self, node: str, heights: Sequence[int]) -> Sight | None:
        """What a node says now; None where it does not answer within a second."""

    def stop(self, node: str) -> None:
        """Tell a node to end, and wait for it."""

    def kill(self, node: str) -> None:
        """End a node as a loss of power does."""

    def start(self, node: str) -> None:
        """Start a node that ended."""

    def pause(self, node: str) -> None:
        """Freeze a node; its connections stay."""

    def resume(self, node: str) -> None:
        """Let a frozen node go on."""

    def cut(self, node: str) -> None:
        """Take a node's network away."""

    def mend(self, node: str) -> None:
        """Give it back."""
