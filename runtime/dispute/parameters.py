"""The numbers of the dispute game on one network."""

from __future__ import annotations

from runtime.codec import U32, U63, Record, replace

PARTS = 1_000_000_000


class DisputeParameters(Record):
    """What governance may change about disputes. Blocks are blocks of *finalized* height."""

    bond: U63
    """What every challenger puts up for the defender's fees, besides what the defender's replay costs."""
    replay_share: U32
    """Parts of the replay of the disputed segment, at the task's price, that the bond covers too."""
    reveal_blocks: U63
    """From the commitment to a challenge until it must be revealed."""
    clock_blocks: U63
    """What each party has for all its moves together, before replays are counted."""
    gas_per_block: U63
    """Speed of a replay that every party must reach: a due root lengthens both clocks by a block for each."""
    timeouts_per_block: U32
    """Empty clocks that one block handles; the others follow in the next ones."""
    cancellations_at_once: U32
    """Pointless disputes that a verdict, or afterwards a block, returns the bonds of."""


DEV_DISPUTES = DisputeParameters(
    bond=10**9,
    replay_share=PARTS,
    reveal_blocks=60,
    clock_blocks=600,
    gas_per_block=1_000_000,
    timeouts_per_block=8,
    cancellations_at_once=16,
)
"""For a private chain, whose blocks are sealed as fast as extrinsics arrive."""

LIVE_DISPUTES = replace(DEV_DISPUTES, bond=100 * 10**9, reveal_blocks=300, clock_blocks=1_800)
"""Among strangers, with blocks of two seconds: each party has an hour for all its moves, and losing costs something."""
