"""Checks of a header that need no state: its seal."""

from __future__ import annotations

from runtime import crypto
from runtime.block import Header, Seal, seal_message, slot_of
from runtime.crypto import Verify, to_ss58
from runtime.errors import InvalidBlock


def validate_seal(header: Header, genesis_hash: bytes, verify: Verify = crypto.verify) -> None:
    """The last item of the digest, and only that, must be the author's signature. Raises `InvalidBlock`."""
    author = slot_of(header.digest).author
    seal = header.digest[-1]
    if not isinstance(seal, Seal) or sum(1 for item in header.digest if isinstance(item, Seal)) != 1:
        raise InvalidBlock(f"block {header.number} does not end with one seal")
    if not verify(author, seal.signature, seal_message(header, genesis_hash)):
        raise InvalidBlock(f"the seal of block {header.number} is not a signature of {to_ss58(author)}")
