"""The numbers of a network, one frozen record per preset, stored in state at genesis so that pallets read them there.

Shares and ratios are parts per 10^9 (`PARTS`), rounded down. Amounts are in units, 10^9 to a token. Durations are in
blocks unless the name says otherwise. Weights are nanoseconds on the reference core.
"""

from __future__ import annotations

from runtime.blob_parameters import LIVE_AVAILABILITY, NO_AVAILABILITY, BlobParameters
from runtime.codec import U32, U63, Record, replace
from runtime.dispute.parameters import DEV_DISPUTES, LIVE_DISPUTES, DisputeParameters
from runtime.market_parameters import DEV_MARKET, LIVE_MARKET, MarketParameters

PARTS = 1_000_000_000
"""The whole of a ratio."""

TOKEN = 1_000_000_000
"""Units in one token."""


class BlockParameters(Record):
    """Limits of a block, and how time and history work.

    ``normal_share`` is what ordinary extrinsics may fill of weight and length; the rest is reserved for operational
    calls (dispute and availability moves) at any tip. ``instant_finality`` holds where one author makes every block.
    """

    slot_milliseconds: U63
    minimum_period_milliseconds: U63
    weight_limit: U63
    length_limit: U63
    normal_share: U63
    hash_count: U63
    instant_finality: bool


class ConsensusParameters(Record):
    """Who makes and finalizes blocks, and what it costs them to cheat. An *epoch* is also a *session*.

    The ``maximum_validators`` largest stakes of at most ``maximum_candidates`` are elected for an era of
    ``era_sessions``. Unbonded stake is free ``unbonding_eras`` later. ``reporter_share`` is the reporter's part of a
    slash in parts. A beacon mixes the VRF outputs of ``beacon_outputs`` blocks. The share of slots that have a primary
    author is ``primary_numerator`` of ``primary_denominator``.
    """

    epoch_slots: U63
    era_sessions: U63
    unbonding_eras: U63
    maximum_validators: U32
    maximum_candidates: U32
    minimum_stake: U63
    reporter_share: U63
    beacon_outputs: U32
    primary_numerator: U63
    primary_denominator: U63


class FeeParameters(Record):
    """Prices of inclusion. ``weight_price`` is units per nanosecond in parts; the target and the speed steer the
    multiplier as in Substrate's slow adjustment; ``treasury_share`` of every fee and tip leaves the author."""

    existential_deposit: U63
    base: U63
    per_byte: U63
    weight_price: U63
    target_fullness: U63
    adjustment: U63
    minimum_multiplier: U63
    maximum_multiplier: U63
    treasury_share: U63


class Parameters(Record):
    """All parameters of a preset."""

    preset: str
    block: BlockParameters
    consensus: ConsensusParameters
    fees: FeeParameters
    market: MarketParameters
    blobs: BlobParameters
    disputes: DisputeParameters


DEV_CONSENSUS = ConsensusParameters(
    epoch_slots=10,
    era_sessions=6,
    unbonding_eras=28,
    maximum_validators=1,
    maximum_candidates=16,
    minimum_stake=1_000 * TOKEN,
    reporter_share=100_000_000,
    beacon_outputs=16,
    primary_numerator=1,
    primary_denominator=4,
)
"""Nothing reads these where the genesis names the one author."""

TESTNET_CONSENSUS = replace(
    DEV_CONSENSUS,
    epoch_slots=30,
    maximum_validators=100,
    maximum_candidates=512,
)

NANOSECONDS_OF_WORK = 500_000
"""Weight that a block has for each millisecond of its slot: half of the slot.

A weight is twice what the 99th percentile of the worst case takes, so a full block executes in a quarter of the slot on
the reference core. Its author spends that, and after hearing of it everybody else does; the other half is for the way
there, for the votes, and for machines half as fast.
"""

DEV = Parameters(
    preset="dev",
    block=BlockParameters(
        slot_milliseconds=1_000,
        minimum_period_milliseconds=1,
        weight_limit=1_000 * NANOSECONDS_OF_WORK,
        length_limit=5 * 1024 * 1024,
        normal_share=750_000_000,
        hash_count=65_536,
        instant_finality=True,
    ),
    consensus=DEV_CONSENSUS,
    fees=FeeParameters(
        existential_deposit=TOKEN // 1_000,
        base=100_000,
        per_byte=1_000,
        weight_price=PARTS,
        target_fullness=250_000_000,
        adjustment=75_000,
        minimum_multiplier=PARTS // 10,
        maximum_multiplier=1_000_000 * PARTS,
        treasury_share=200_000_000,
    ),
    market=DEV_MARKET,
    blobs=NO_AVAILABILITY,
    disputes=DEV_DISPUTES,
)
"""One author, instant blocks; deadlines short enough to watch."""

TESTNET = Parameters(
    preset="testnet",
    block=replace(DEV.block, slot_milliseconds=2_000, weight_limit=2_000 * NANOSECONDS_OF_WORK, instant_finality=False),
    consensus=TESTNET_CONSENSUS,
    fees=DEV.fees,
    market=DEV.market,
    blobs=DEV.blobs,
    disputes=DEV.disputes,
)
"""Worthless tokens, several validators."""

MAINNET = Parameters(
    preset="mainnet",
    block=TESTNET.block,
    consensus=replace(TESTNET_CONSENSUS, epoch_slots=150, minimum_stake=10_000 * TOKEN),
    fees=replace(DEV.fees, existential_deposit=TOKEN // 100),
    market=LIVE_MARKET,
    blobs=LIVE_AVAILABILITY,
    disputes=LIVE_DISPUTES,
)
"""Tokens of value: an epoch of five minutes, an era of half an hour, stake free again after fourteen hours."""

CANARY = replace(
    MAINNET, preset="canary", consensus=replace(MAINNET.consensus, minimum_stake=TESTNET_CONSENSUS.minimum_stake)
)
"""Where what will reach `MAINNET` runs first, among strangers with less at stake."""

PRESETS = {preset.preset: preset for preset in (DEV, TESTNET, CANARY, MAINNET)}
