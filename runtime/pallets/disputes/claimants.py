"""Who is rewarded for a false claim: the earliest of those that committed to it and have not lost.

Everyone who disputes the same segment of the same proof says the same thing, so one victory proves them all right. If
the reward went to whoever wins first, a solver that is found out could lose quickly to a friend. Only the first few are
listed, so that the list stays small whatever happens; where none of them is left, the winner itself is rewarded.
"""

from __future__ import annotations

from runtime.pallets.disputes.storage import CLAIMANTS, Claimant, Dispute, Disputed
from runtime.state import State

MAXIMUM_CLAIMANTS = 8


def add_claimant(state: State, dispute: Dispute, number: int) -> None:
    """List a dispute by the block of its commitment, then by its number."""
    key = _key(dispute)
    listed = [*(CLAIMANTS.get(state, key) or ()), Claimant(dispute.committed, number)]
    listed.sort(key=lambda one: (one.committed, one.dispute))
    CLAIMANTS.put(state, key, tuple(listed[:MAXIMUM_CLAIMANTS]))


def remove_claimant(state: State, dispute: Dispute, number: int) -> None:
    """Forget a dispute that is over."""
    key = _key(dispute)
    left = tuple(one for one in CLAIMANTS.get(state, key) or () if one.dispute != number)
    if left:
        CLAIMANTS.put(state, key, left)
    else:
        CLAIMANTS.delete(state, key)


def first_claimant(state: State, dispute: Dispute, number: int) -> int:
    """The number of the dispute whose challenger is rewarded when dispute ``number`` is won."""
    listed = CLAIMANTS.get(state, _key(dispute))
    return listed[0].dispute if listed else number


def first_listed(state: State, key: Disputed) -> int | None:
    """The number of the earliest dispute that is listed about a claim."""
    listed = CLAIMANTS.get(state, key)
    return listed[0].dispute if listed else None


def _key(dispute: Dispute) -> Disputed:
    return Disputed(dispute.task, dispute.attempt, dispute.segment)
