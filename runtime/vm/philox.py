"""Philox4x32-10, the counter-based random number generator (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011): a keyed bijection of 128-bit counters, so any element's random word can be computed alone.
"""

from __future__ import annotations

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF

Words4 = tuple[int, int, int, int]


def philox4x32(counter: Words4, key: tuple[int, int]) -> Words4:
    """Four random u32 words for a counter of four u32 words and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = product1 >> 32 ^ c1 ^ k0, product1 & _MASK, product0 >> 32 ^ c3 ^ k1, product0 & _MASK
        k0, k1 = k0 + WEYL[0] & _MASK, k1 + WEYL[1] & _MASK
    return c0, c1, c2, c3


def key_words(seed: int) -> tuple[int, int]:
    """The Philox key of a job's 64-bit seed: low word first."""
    return seed & _MASK, seed >> 32 & _MASK


def element_counter(element: int, node: int, step: int) -> Words4:
    """The counter whose word ``element % 4`` is the random word of an element of a node's output at a global step."""
    block = element >> 2
    return block & _MASK, block >> 32 & _MASK, node & _MASK, step & _MASK
