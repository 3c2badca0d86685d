"""Staking: whose money stands behind the blocks, the election of validators by it, and what a slash takes.

`storage` explains the rules and declares records, storage, events and errors; `calls` is what an account may do with
its stake; `stakes` are the functions with which stakes elect and are slashed; `elections` runs them once an era.
"""

from runtime.pallets.staking.calls import Bond, BondMore, Chill, Unbond, Validate, Withdraw
from runtime.pallets.staking.elections import hold_election
from runtime.pallets.staking.stakes import elect, require_ledger, slash, stake_of, stop_validating
from runtime.pallets.staking.storage import (
    CANDIDATES,
    LEDGERS,
    MAXIMUM_CHUNKS,
    PALLET,
    REASON,
    AlreadyBonded,
    AlreadyValidating,
    Bonded,
    Chilled,
    Chunk,
    Elected,
    Ledger,
    NotBonded,
    NothingToUnbond,
    NothingToWithdraw,
    NotValidating,
    Slashed,
    StakesTooLarge,
    StakeTooSmall,
    TooManyChunks,
    Unbonded,
    Validating,
    Withdrawn,
    parameters,
)

__all__ = [
    "CANDIDATES",
    "LEDGERS",
    "MAXIMUM_CHUNKS",
    "PALLET",
    "REASON",
    "AlreadyBonded",
    "AlreadyValidating",
    "Bond",
    "BondMore",
    "Bonded",
    "Chill",
    "Chilled",
    "Chunk",
    "Elected",
    "Ledger",
    "NotBonded",
    "NotValidating",
    "NothingToUnbond",
    "NothingToWithdraw",
    "Slashed",
    "StakeTooSmall",
    "StakesTooLarge",
    "TooManyChunks",
    "Unbond",
    "Unbonded",
    "Validate",
    "Validating",
    "Withdraw",
    "Withdrawn",
    "elect",
    "hold_election",
    "parameters",
    "require_ledger",
    "slash",
    "stake_of",
    "stop_validating",
]
