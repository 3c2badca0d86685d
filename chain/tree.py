"""The ledger's blocks as GRANDPA's voter asks about them (`chain.grandpa.tree.BlockTree`)."""

from __future__ import annotations

from chain.ledger import Ledger
from chain.store import changes_authorities
from runtime.block import Header


class LedgerTree:
    """A view of a ledger. Blocks on branches that finality left behind are unknown."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._searched: tuple[bytes, int] = (b"", 0)
        """From this block up to this height nothing final ends a set, so that nobody walks a long session again."""

    def is_descendant(self, ancestor: bytes, hash: bytes) -> bool:
        """Whether ``hash`` is ``ancestor`` or comes after it on one chain."""
        return self._ledger.is_ancestor(ancestor, hash)

    def header_of(self, hash: bytes) -> Header | None:
        """The header of a block."""
        return self._ledger.header(hash)

    def number_of(self, hash: bytes) -> int | None:
        """The number of a block."""
        header = self._ledger.header(hash)
        return None if header is None else header.number

    def parent_of(self, hash: bytes) -> bytes | None:
        """The parent of a block; None for genesis, and when either is unknown."""
        header = self._ledger.header(hash)
        return header.parent if header is not None and header.number else None

    def best_containing(self, hash: bytes) -> bytes:
        """The head of the best chain through a block."""
        return self._ledger.best_containing(hash)

    def first_change(self, ancestor: bytes, hash: bytes) -> bytes | None:
        """The first block after ``ancestor``, up to ``hash``, whose finality ends the authority set."""
        if not self.is_descendant(ancestor, hash):
            return None
        found, ledger = None, self._ledger
        while hash != ancestor:
            header = ledger.header(hash)
            assert header is not None
            if header.number <= ledger.finalized_number:
                return self._first_final_change(ancestor, header.number) or found
            found = hash if changes_authorities(header) else found
            hash = header.parent
        return found

    def _first_final_change(self, ancestor: bytes, last: int) -> bytes | None:
        start = self.number_of(ancestor)
        assert start is not None
        searched = self._searched[1] if self._searched[0] == ancestor else start
        for number in range(searched + 1, last + 1):
            hash_ = self._ledger.store.hash_at(number)
            header = self._ledger.header(hash_) if hash_ else None
            if header is not None and changes_authorities(header):
                return hash_
        self._searched = (ancestor, max(searched, last))
        return None
