"""Which extrinsics' signatures were found good, and on what: so that each is verified once in a node's life.

A signature covers the call, its signer, nonce, era and tip, which are all in the extrinsic's bytes; the genesis and the
rules' version, which are this node's; and the hash of the era's birth block, which may differ between forks. So what is
remembered under the hash of the bytes is that hash: on a fork where the era was born elsewhere, nothing is known.
"""

from __future__ import annotations

from runtime.block import Era, Extrinsic, decode_extrinsic, extrinsic_hash
from runtime.errors import InvalidExtrinsic
from runtime.state import State
from runtime.validity import birth_hash

MAX_REMEMBERED = 16_384
"""Twice what a pool holds; about five megabytes."""


class VerifiedSignatures:
    """Mutable. The oldest memory goes when there are too many."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._known: dict[bytes, tuple[Era, bytes]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, raw: bytes, state: State, number: int, parent_hash: bytes) -> None:
        """The signature of these bytes is good in block ``number`` after that parent, whose state this is."""
        item = decode_extrinsic(raw)
        if not isinstance(item, Extrinsic):
            return
        hash_ = extrinsic_hash(raw)
        self._known.pop(hash_, None)
        self._known[hash_] = (item.era, birth_hash(state, number, parent_hash, item.era))
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]

    def knows(self, raw: bytes, state: State, number: int, parent_hash: bytes) -> bool:
        """Whether the same bytes were found good on the very same birth block."""
        known = self._known.get(extrinsic_hash(raw))
        if known is None:
            return False
        era, hash_ = known
        try:
            return birth_hash(state, number, parent_hash, era) == hash_
        except InvalidExtrinsic:
            return False
