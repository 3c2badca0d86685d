"""The numbers of the market for training: bonds, shares, deadlines and bounds, one record for each preset.

Ratios are parts per `PARTS` and round down. Blocks are blocks of *finalized* height. Prices are units of balance for
each unit of gas, gas is thousands of scalar operations. A lock is sized from what the job pays, so that the
incentives of ``verification.md`` ("How many") hold: S = 2 P for a solver, and a verifier's stake far above its pay.
"""

from __future__ import annotations

from runtime.codec import U32, U63, Record, replace

PARTS = 1_000_000_000


class MarketParameters(Record):
    """What governance may change about workers, tasks and proofs."""

    minimum_bond: U63
    """A worker below this bond gets no job."""
    maximum_workers: U32
    """Registered workers of one role; every draw looks at all of them, so the number is bounded."""
    maximum_capacity: U32
    """Jobs that one worker may hold at once."""
    unbonding_blocks: U63
    """From `unbond` until the money may be withdrawn; longer than every window in which it could be slashed."""

    maximum_steps: U63
    maximum_segments: U32
    """Checkpoints after the initial state."""
    maximum_audits: U32
    """Segments that each verifier replays, besides the initialisation."""
    maximum_verifiers: U32
    minimum_training_blocks: U63
    """Time for training before its work is counted."""
    training_gas_per_block: U63
    """What a slow solver with a single core surely gets done in a block: a training deadline leaves a block for each of
    these. A task with less time could be finished by nobody, and would only cost honest solvers a penalty."""
    maximum_training_blocks: U63
    maximum_blob_fields: U32
    """Fields of a sample, and columns of the scalar table."""

    treasury_share: U32
    """Parts of every payment to a worker that the submitter adds for the treasury."""
    listing_fee: U63
    """What the treasury keeps of the escrow of a task that expires or is cancelled: every node has looked for a solver
    again and again, so that filling the pool must cost."""
    solver_lock: U63
    """Parts of (solver fee + audit fees) that the solver's bond locks at least; a task with few audits locks more
    (`runtime.pallets.tasks.stakes`). At twice, half of a slash repays every audit."""
    catch_chance: U32
    """h: the chance, in parts, that a verifier notices a bad segment which it drew; the rest is for careless ones."""
    outside_gain: U32
    """G: what somebody outside might pay for a tampered model, in parts of the solver's fee."""
    verifier_lock: U63
    """Parts of one verifier's fee that its bond locks. A verifier that passes without a replay saves its costs, at most
    the fee, and is caught with the chance w that somebody replays it: at ten times, it loses from w = 1/11 on."""
    acceptance_penalty: U32
    """Parts of the lock lost by a solver that lets an assignment pass."""
    training_penalty: U32
    """Parts of the lock lost by a solver that delivers no proof in time."""
    silence_penalty: U32
    """Parts of the lock lost by a verifier that accepts no audit, or gives no verdict."""
    false_verdict_penalty: U32
    """Parts of the lock lost by a verifier whose fail is not followed by a dispute, or whose dispute is lost."""

    forced_rarity: U32
    """One in so many passed audits must show a false witness, so that whistleblowers find something."""
    jackpot: U63
    """What finding a forced error pays, in parts of the audit's fee, as far as a tenth of the pot reaches."""
    jackpot_share: U63
    """Parts of every payment to a verifier that the submitter adds for the pot. With `jackpot` / `forced_rarity`, the
    pot keeps its level."""
    witness_bond: U63
    """What a whistleblower puts up for each witness that it commits to, besides the fee that is lost."""
    witness_fee: U63
    """What such a commitment costs in any case, so that posing as two costs something."""

    acceptance_blocks: U63
    audit_acceptance_blocks: U63
    verdict_blocks: U63
    """Time for a verdict before gas is counted."""
    dispute_opening_blocks: U63
    """From a failed verdict until its author must have opened the dispute."""
    challenge_blocks: U63
    """Shortest challenge window, before gas is counted."""
    reveal_blocks: U63
    """From the end of the challenge window until everybody must have opened what it committed to."""
    gas_per_block: U63
    """Speed that every worker must reach: verdicts and windows grow by one block for each of these."""

    retry_blocks: U63
    """Between two looks for a solver or a verifier."""
    pool_blocks: U63
    """A task that found no solver for so long expires."""
    verifier_search_blocks: U63
    """An audit that found no verifier for so long goes on without, or fails the task when there is none at all."""
    maximum_attempts: U32
    """Solvers that a task is given to, one after the other."""
    deadlines_per_block: U32
    """Deadlines that one pallet handles in a block at most; the others follow in the next ones."""
    deadline_weight: U63
    """Nanoseconds of a block that one pallet's deadlines may take; the one that passes it is still handled."""


DEV_MARKET = MarketParameters(
    minimum_bond=10 * 10**9,
    maximum_workers=1024,
    maximum_capacity=64,
    unbonding_blocks=100_000,
    maximum_steps=2**31 - 1,
    maximum_segments=1024,
    maximum_audits=64,
    maximum_verifiers=8,
    minimum_training_blocks=10,
    training_gas_per_block=250_000,
    maximum_training_blocks=200_000,
    maximum_blob_fields=64,
    treasury_share=20_000_000,
    listing_fee=10**8,
    solver_lock=2 * PARTS,
    catch_chance=800_000_000,
    outside_gain=30_000_000,
    verifier_lock=10 * PARTS,
    acceptance_penalty=10_000_000,
    training_penalty=100_000_000,
    silence_penalty=50_000_000,
    false_verdict_penalty=500_000_000,
    forced_rarity=20,
    jackpot=50 * PARTS,
    jackpot_share=2_500_000_000,
    witness_bond=10**9,
    witness_fee=10**7,
    acceptance_blocks=300,
    audit_acceptance_blocks=300,
    verdict_blocks=600,
    dispute_opening_blocks=300,
    challenge_blocks=8,
    reveal_blocks=300,
    gas_per_block=1_000_000,
    retry_blocks=2,
    pool_blocks=20_000,
    verifier_search_blocks=5_000,
    maximum_attempts=5,
    deadlines_per_block=32,
    deadline_weight=80_000_000,
)
"""For a private chain: short windows, long times for work, since blocks are sealed as fast as extrinsics arrive."""

LIVE_MARKET = replace(
    DEV_MARKET,
    minimum_bond=1_000 * 10**9,
    unbonding_blocks=500_000,
    listing_fee=10**9,
    verdict_blocks=1_800,
    dispute_opening_blocks=900,
    challenge_blocks=1_800,
    reveal_blocks=1_800,
)
"""Among strangers, with blocks of two seconds: whoever checks others' work has an hour to notice and to object, and
half an hour to open a dispute; a bond is free again after eleven days, long after the longest task and its windows."""


def parts_of(amount: int, parts: int) -> int:
    """``amount`` times parts per `PARTS`, rounded down; whoever keeps the amount keeps the remainder."""
    return amount * parts // PARTS
