"""Who may author in a slot: a stake-weighted lottery by VRF, and a fallback by hash, in integers alone.

Every authority evaluates its VRF on the slot's input. Whoever's output lies below a threshold is a *primary* author;
with ``c`` the chance that a slot has a primary at all, an authority with the share s of the stake wins with the
probability 1 - (1 - c)^s. Splitting a stake over several keys gains nothing, since the chances of losing multiply:
(1 - c)^(s+t) = (1 - c)^s (1 - c)^t. For a slot without primaries the hash of the slot chooses one *secondary* author.
This is the scheme of BABE, after Ouroboros Praos (David, Gazi, Kiayias, Russell, 2018).

The threshold decides who is an author, so it is exact integer arithmetic: fixed-point series with `GUARD_BITS` bits
beyond the 256 of the result, rounded to nearest. The result is right to the last bit unless the true value lies within
about 2^-100 units of a half, and it is the same on every machine in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from runtime.codec import encode
from runtime.errors import SolventError
from runtime.trees import hash_tagged

OUTPUT_BITS = 256
"""Bits of a VRF output that are drawn: its first 32 bytes, big-endian."""
GUARD_BITS = 128

_PRECISION = OUTPUT_BITS + GUARD_BITS
_ONE = 1 << _PRECISION
_HALVINGS = 16
"""The exponential is taken of y / 2^16 and squared 16 times, which costs 16 of the guard bits."""

Authority = TypeVar("Authority")


class InvalidLottery(SolventError):
    """The parameters describe no lottery: a negative stake, a stake above the total, a chance above one."""


def slot_input(epoch_randomness: bytes, epoch: int, slot: int) -> bytes:
    """The VRF's input (alpha) for a slot."""
    return hash_tagged(b"solvent:slot", encode((epoch_randomness, epoch, slot)))


@lru_cache(maxsize=4096)
def threshold(stake: int, total: int, c_numerator: int, c_denominator: int) -> int:
    """(1 - (1 - c)^(stake / total)) x 2^256 rounded to nearest, for c = c_numerator / c_denominator.

    A 256-bit draw below it wins: never for the threshold 0, always for 2^256. Raises `InvalidLottery`.
    """
    if not (0 <= stake <= total and total > 0 and 0 <= c_numerator <= c_denominator and c_denominator > 0):
        raise InvalidLottery(f"stake {stake} of {total}, c = {c_numerator} of {c_denominator}")
    if stake == 0 or c_numerator == 0:
        return 0
    if c_numerator == c_denominator:
        return 1 << OUTPUT_BITS
    decay = _logarithm(c_denominator, c_denominator - c_numerator) * stake // total
    missed = _exponential_of_minus(decay)
    return (_ONE - missed + (1 << GUARD_BITS - 1)) >> GUARD_BITS


def is_primary(vrf_output: bytes, threshold: int) -> bool:
    """Whether a VRF output wins its slot outright."""
    return int.from_bytes(vrf_output[: OUTPUT_BITS // 8], "big") < threshold


def secondary_author(randomness: bytes, slot: int, authorities: Sequence[Authority]) -> Authority:
    """The authority whose turn a slot without primaries is; each is as likely, whatever its stake.

    Reducing 256 bits modulo the number of authorities favours none by more than 2^-200.
    """
    if not authorities:
        raise InvalidLottery("there are no authorities to choose from")
    draw = int.from_bytes(hash_tagged(b"solvent:second", encode((randomness, slot))), "big")
    return authorities[draw % len(authorities)]


def _logarithm(numerator: int, denominator: int) -> int:
    """ln(numerator / denominator) in fixed point, for numerator >= denominator > 0.

    Powers of two are taken out until the ratio r is below 2; then ln r = 2 artanh((r - 1) / (r + 1)), whose argument
    is below 1/3, so that each term of the series adds more than three bits.
    """
    powers = (numerator // denominator).bit_length() - 1
    denominator <<= powers
    return powers * _LN_2 + 2 * _artanh(numerator - denominator, numerator + denominator)


def _artanh(numerator: int, denominator: int) -> int:
    """artanh(numerator / denominator) in fixed point, for a ratio of at most 1/3: z + z^3/3 + z^5/5 + ..."""
    power = (numerator << _PRECISION) // denominator
    square = power * power >> _PRECISION
    total, order = 0, 1
    while power:
        total += power // order
        power = power * square >> _PRECISION
        order += 2
    return total


_LN_2 = 2 * _artanh(1, 3)


def _exponential_of_minus(value: int) -> int:
    """exp(-value) in fixed point, for value >= 0: powers of two taken out, then Taylor's series and squarings."""
    halvings, rest = divmod(value, _LN_2)
    small = rest >> _HALVINGS
    total, term, order = _ONE, _ONE, 0
    while term:
        order += 1
        term = (term * small >> _PRECISION) // order
        total += term if order % 2 == 0 else -term
    for _ in range(_HALVINGS):
        total = total * total >> _PRECISION
    return total >> halvings
