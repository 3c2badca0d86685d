"""The numbers of availability: who keeps blobs for others, for how much, and what it costs not to.

Blocks are blocks of *finalized* height, amounts are units, sizes are bytes.
"""

from __future__ import annotations

from runtime.codec import U32, U63, Record, replace

TOKEN = 10**9


class BlobParameters(Record):
    """What governance may change about placements and their holders."""

    receipts: U32
    """Receipts that make a placement available. Where it is 0 nothing has to be placed, and nobody can demand it."""
    committee: U32
    """Holders drawn for a placement, and once more where too few of them sign: as many as there are, at most these."""
    maximum_holders: U32
    """Registered holders; every draw looks at all of them, so the number is bounded."""
    minimum_bond: U63
    lock: U63
    """What each seat of a committee locks of its holder's bond, and what a holder loses that refuses a chunk."""
    price: U63
    """Units for each MiB, or part of one, that a holder keeps until the task is over."""
    maximum_bytes: U63
    """Of one placement."""
    maximum_items: U32
    """Blobs of one placement."""
    placement_blocks: U63
    """Time for receipts before bytes are counted."""
    bytes_per_block: U63
    """Speed that every holder must reach: the time for receipts grows by one block for each of these."""
    answer_blocks: U63
    """Time for a solver to place a state that is demanded of it."""
    challenge_blocks: U63
    """Time for a holder to post a chunk."""
    challenge_bond: U63
    """Paid to the holder that posts the chunk: more than what posting costs."""
    maximum_challenges: U32
    """Open against one placement at a time."""
    deadlines_per_block: U32
    deadline_weight: U63


NO_AVAILABILITY = BlobParameters(
    receipts=0,
    committee=5,
    maximum_holders=1024,
    minimum_bond=100 * TOKEN,
    lock=10 * TOKEN,
    price=10**6,
    maximum_bytes=16 * 1024**3,
    maximum_items=4096,
    placement_blocks=60,
    bytes_per_block=2 * 1024 * 1024,
    answer_blocks=60,
    challenge_blocks=60,
    challenge_bond=10**8,
    maximum_challenges=16,
    deadlines_per_block=32,
    deadline_weight=80_000_000,
)
"""For a private chain, and for networks whose nodes hold nothing for others."""

LIVE_AVAILABILITY = replace(NO_AVAILABILITY, receipts=3, placement_blocks=300, answer_blocks=300, challenge_blocks=300)
"""Among strangers, with blocks of two seconds: ten minutes for whatever takes no time."""
