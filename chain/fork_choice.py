"""Fork choice: which of several branches above the last finalized block a node builds on.

More primary blocks since the finalized block wins, because whoever holds more stake wins more slots outright, while a
secondary author costs nothing to a branch that nobody else follows. Then the higher block wins, then the lower hash,
so that nodes that know the same blocks choose the same one. Only descendants of the finalized block are compared.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rank:
    """How good a block is as the head. ``primaries`` counts from any common ancestor of the blocks compared."""

    primaries: int
    number: int
    hash: bytes

    def is_better_than(self, other: Rank) -> bool:
        """Whether this block should be the head rather than ``other``."""
        if (self.primaries, self.number) != (other.primaries, other.number):
            return (self.primaries, self.number) > (other.primaries, other.number)
        return self.hash < other.hash
