"""What the passive objects of `chain` ask their node to do. The node carries effects out in the order given.

The first effect of an event is its `Commit`, if it has one: nothing is published before it is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.db import Batch


@dataclass(frozen=True, slots=True)
class Commit:
    """Write this batch atomically, and to the disk, before any later effect."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class NewBest:
    """The best block changed. ``enacted`` blocks joined the best chain, ``retracted`` ones left it, both in order."""

    hash: bytes
    number: int
    enacted: tuple[bytes, ...]
    retracted: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NewFinalized:
    """The finalized head moved to this block."""

    hash: bytes
    number: int


Effect = Commit | NewBest | NewFinalized
