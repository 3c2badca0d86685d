"""What an account signs to store a blob at a node: the request, bound to the chain and to the blob itself."""

from __future__ import annotations

from runtime.codec import encode
from runtime.trees import hash_tagged


def upload_message(genesis_hash: bytes, root: bytes, size: int) -> bytes:
    """The 32 bytes to sign. They name one blob, so a leaked signature stores that blob and nothing else."""
    return hash_tagged(b"solvent:upload", encode((genesis_hash, root, size)))
