"""The session keys of one validator, and which of them signs.

A validator changes its key while its node runs: the new one is added here, announced on chain, and comes into office
with some later authority set. Until then the old one signs, and again should a fork return to the old set. In any one
set one key signs, whatever else is here, and it is the same one after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.slots import SlotSigner
from runtime.block import Authority


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """Something was signed with a key of this node, and not by this node, as far as it remembers."""

    key: bytes
    what: str


class Keyring:
    """Mutable: keys come while the node runs, and all go when another node is seen to use one of them."""

    def __init__(self, signers: Sequence[SlotSigner] = ()) -> None:
        self._signers = {signer.public: signer for signer in signers}

    def __contains__(self, key: bytes) -> bool:
        return key in self._signers

    def __len__(self) -> int:
        return len(self._signers)

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        return tuple(self._signers)

    def add(self, signer: SlotSigner) -> None:
        """Sign with this key, too, in every set that has it from the next one on."""
        self._signers[signer.public] = signer

    def clear(self) -> None:
        """Never sign again with any of the keys that are here now."""
        self._signers.clear()

    def in_office(self, authorities: Sequence[Authority]) -> SlotSigner | None:
        """The key that signs in a set: the first of its authorities that is here; None when none is."""
        keys = (authority.key for authority in authorities)
        return next((self._signers[key] for key in keys if key in self._signers), None)
