"""An authority set: who votes on finality, what each vote weighs, and how much of it makes a quorum."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.block import Authority
from runtime.errors import SolventError

MAX_VOTERS = 1024
"""Largest set: it bounds justifications, catch-ups and the memory of a round."""


class InvalidAuthorities(SolventError):
    """An authority set that nobody could vote in: empty, too large, with repeated keys or without weight."""


class VoterSet:
    """The voters of one authority set. Read only.

    ``faulty`` is f, the weight that may be Byzantine: the largest with 3f < total. ``quorum`` is total - f.
    """

    def __init__(self, authorities: Sequence[Authority]) -> None:
        """Raises `InvalidAuthorities`."""
        if not 0 < len(authorities) <= MAX_VOTERS:
            raise InvalidAuthorities(f"{len(authorities)} authorities; 1 to {MAX_VOTERS} can vote")
        self.authorities = tuple(authorities)
        self._weights = {authority.key: authority.weight for authority in authorities}
        if len(self._weights) != len(authorities):
            raise InvalidAuthorities("an authority appears twice in its set")
        if min(self._weights.values()) <= 0:
            raise InvalidAuthorities("an authority without weight cannot vote")
        self.total = sum(self._weights.values())
        self.faulty = (self.total - 1) // 3
        self.quorum = self.total - self.faulty

    def __len__(self) -> int:
        return len(self.authorities)

    def __contains__(self, key: bytes) -> bool:
        return key in self._weights

    def weight(self, key: bytes) -> int:
        """The weight of a voter; `KeyError` for a stranger."""
        return self._weights[key]

    def primary(self, round_: int) -> bytes:
        """The voter that may propose in a round. Turns go round the set, whatever the weights."""
        return self.authorities[round_ % len(self.authorities)].key

    def distance_from_primary(self, key: bytes, round_: int) -> int:
        """How many turns ``key`` stands behind the primary: who should speak first when any one will do."""
        position = next(index for index, authority in enumerate(self.authorities) if authority.key == key)
        return (position - round_) % len(self.authorities)
