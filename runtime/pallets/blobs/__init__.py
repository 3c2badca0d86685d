"""Blobs: full nodes that keep a task's data and states for others, so that nobody can win or stall by withholding them.

A *placement* names some blobs. A committee of holders is drawn for it by lot, weighted by bond; each fetches the blobs
and signs a receipt on chain; enough receipts make the blobs *available* until the placement is released. A holder that
signed must post any chunk of them that is challenged, or loses what its seat locks. `storage` is what is kept,
`holders` who keeps blobs, `placements` how a committee comes and goes, `challenges` how its word is tested.
"""

from runtime.pallets.blobs.challenges import ChallengeChunk, PostChunk, challenge_reason
from runtime.pallets.blobs.holders import LeaveHolder, RegisterHolder
from runtime.pallets.blobs.placements import (
    SignReceipt,
    compute_pot,
    compute_time,
    is_on,
    open_placement,
    release,
    require_holders,
    status,
)
from runtime.pallets.blobs.storage import (
    CHALLENGES,
    COMMITTEES,
    FAILED,
    HOLDER_REASON,
    HOLDERS,
    ITEMS,
    LOST,
    PALLET,
    PLACED,
    PLACEMENTS,
    ROSTER,
    AvailabilityOff,
    Challenge,
    ChallengeKey,
    Holder,
    Item,
    Placement,
    Seat,
    parameters,
    pot_reason,
)

__all__ = [
    "CHALLENGES",
    "COMMITTEES",
    "FAILED",
    "HOLDERS",
    "HOLDER_REASON",
    "ITEMS",
    "LOST",
    "PALLET",
    "PLACED",
    "PLACEMENTS",
    "ROSTER",
    "AvailabilityOff",
    "Challenge",
    "ChallengeChunk",
    "ChallengeKey",
    "Holder",
    "Item",
    "LeaveHolder",
    "Placement",
    "PostChunk",
    "RegisterHolder",
    "Seat",
    "SignReceipt",
    "challenge_reason",
    "compute_pot",
    "compute_time",
    "is_on",
    "open_placement",
    "parameters",
    "pot_reason",
    "release",
    "require_holders",
    "status",
]
