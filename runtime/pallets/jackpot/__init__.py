"""Jackpot: what is paid for finding out verifiers, and how their witnesses are challenged (``docs/incentives.md``).

Once in a while a verifier must show a false witness (`proofs.witness`). Whistleblowers who replay its segments commit
to what they find, in the window; when that has ended, the verifier opens the secret that says which witness it stands
by, and they open theirs. Whoever found a forced error shares the jackpot, as soon as the true witness has stood a
window of its own; whoever finds that the verifier stands by a false one disputes a single leaf of it, by the game that
settles everything here. A verifier that withholds is slashed as if it had been refuted.

`storage` is what is kept, `calls` what people do, and `outcome` decides.
"""

from runtime.pallets.jackpot.calls import Commit, Expose, Reveal, bond_reason, commitment_of
from runtime.pallets.jackpot.outcome import process_rounds
from runtime.pallets.jackpot.storage import (
    PALLET,
    ROUNDS,
    Accusation,
    Round,
    RoundKey,
    Sealed,
    WitnessCommitted,
    WitnessExposed,
    WitnessForfeited,
    WitnessRefuted,
    WitnessRevealed,
    WitnessStood,
)

__all__ = [
    "PALLET",
    "ROUNDS",
    "Accusation",
    "Commit",
    "Expose",
    "Reveal",
    "Round",
    "RoundKey",
    "Sealed",
    "WitnessCommitted",
    "WitnessExposed",
    "WitnessForfeited",
    "WitnessRefuted",
    "WitnessRevealed",
    "WitnessStood",
    "bond_reason",
    "commitment_of",
    "process_rounds",
]
