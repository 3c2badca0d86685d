"""What a voter asks about blocks, whoever keeps them."""

from __future__ import annotations

from typing import Protocol

from runtime.block import Header


class BlockTree(Protocol):
    """The blocks that this node has checked and executed, from the set's base upwards, forks included.

    Blocks that conflict with the finalized chain may be forgotten: a vote for a forgotten block counts for none.
    """

    def is_descendant(self, ancestor: bytes, hash: bytes) -> bool:
        """Whether ``hash`` is ``ancestor`` or comes after it on one chain. False when either is unknown."""

    def number_of(self, hash: bytes) -> int | None:
        """The number of a block, None when it is unknown."""

    def parent_of(self, hash: bytes) -> bytes | None:
        """The parent of a block, None when either is unknown."""

    def header_of(self, hash: bytes) -> Header | None:
        """The header of a block, None when it is unknown."""

    def best_containing(self, hash: bytes) -> bytes:
        """The head of the best chain that goes through ``hash``; ``hash`` itself when nothing follows it."""

    def first_change(self, ancestor: bytes, hash: bytes) -> bytes | None:
        """The first block after ``ancestor``, up to and including ``hash``, whose finality ends the authority set."""
