"""Drawing by lot, from one random string: numbers, and who holds the ticket among those who staked."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.trees import hash_tagged


def derive_number(randomness: bytes, label: bytes, below: int) -> int:
    """A number in [0, below) from a random string; the bias of reducing 256 bits is under 2^-190."""
    return int.from_bytes(hash_tagged(b"solvent:number", label + randomness), "big") % below


def find_ticket(stakes: Sequence[int], ticket: int) -> int:
    """Index of the stake that holds ``ticket``, a number below the sum of all stakes."""
    for index, stake in enumerate(stakes):
        if ticket < stake:
            return index
        ticket -= stake
    raise ValueError(f"ticket {ticket} is past the sum of all stakes")


def draw_several(stakes: Sequence[tuple[bytes, int]], count: int, randomness: bytes, label: bytes) -> tuple[bytes, ...]:
    """Up to ``count`` different accounts of (account, stake), one after the other without replacement. A chance is
    linear in the stake, so cutting a stake into several identities gains nothing."""
    left = list(stakes)
    chosen: list[bytes] = []
    while left and len(chosen) < count:
        ticket = derive_number(randomness, label + len(chosen).to_bytes(4, "big"), sum(stake for _, stake in left))
        chosen.append(left.pop(find_ticket([stake for _, stake in left], ticket))[0])
    return tuple(chosen)
