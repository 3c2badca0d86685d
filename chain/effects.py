"""What the passive objects of `chain` ask their node to do. The node carries effects out in the order given.

The first effect of an event is its `Commit`, if it has one: nothing is published before it is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chain.db import Batch


@dataclass(frozen=True, slots=True)
class Commit:
    """Write this batch atomically, and to the disk, before any later effect."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class NewBest:
    """The best block changed. ``enacted`` blocks joined the best chain, ``retracted`` ones left it, both in order.

    ``returned`` are the body items of the retracted blocks, which the ledger may no longer know.
    """

    hash: bytes
    number: int
    enacted: tuple[bytes, ...]
    retracted: tuple[bytes, ...]
    returned: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFinalized:
    """The finalized head moved to this block."""

    hash: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Gossip a message of this node's own."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Judge:
    """Tell the network whether to relay a message that it handed in under this id, and whether to blame its sender."""

    message: bytes
    verdict: Literal["accept", "ignore", "reject"]


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request to a peer; the answer, or None when it failed, comes back with the ticket."""

    ticket: int
    peer: str
    protocol: str
    data: bytes
    limit: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Punish:
    """A peer broke a rule. ``points`` are taken from its score; at 100 it is banned for a while."""

    peer: str
    points: int
    reason: str


Effect = Commit | NewBest | NewFinalized | Publish | Judge | Ask | Punish
