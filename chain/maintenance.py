"""What an operator does to a database while no node runs on it: check blocks again, take back those not final."""

from __future__ import annotations

from chain.db import Batch
from chain.ledger import Execution, Ledger, UnknownBlock
from chain.store import JOURNAL
from chain.views import Layer
from runtime.errors import InvalidBlock, SolventError


class CheckFailed(SolventError):
    """Executing a stored block again gave something else than is stored."""


class IsFinal(SolventError):
    """The block is final, and stays."""


def check_block(ledger: Ledger, hash_: bytes) -> Layer:
    """Execute a stored block again on its parent's state, and compare state root, receipts and events.

    Raises `UnknownBlock`, `StatePruned` when its parent's state is gone, or `CheckFailed`.
    """
    block = ledger.block(hash_)
    if block is None:
        raise UnknownBlock(f"block 0x{hash_.hex()} is not known here")
    number = block.header.number
    try:
        execution = Execution(ledger, block)
        while execution.step():
            pass
        layer = execution.finish()
    except InvalidBlock as error:
        raise CheckFailed(f"block {number} 0x{hash_.hex()} is invalid: {error}") from None
    stored = ledger.outcome(hash_)
    if stored is None:
        raise CheckFailed(f"the receipts and events of block {number} 0x{hash_.hex()} are not stored")
    for what, before, again in (
        ("receipts", stored.receipts, layer.outcome.receipts),
        ("events", stored.events, layer.outcome.events),
    ):
        if before != again:
            raise CheckFailed(f"block {number} 0x{hash_.hex()} has other {what} than are stored")
    return layer


def revert(ledger: Ledger, count: int) -> tuple[int, Batch]:
    """Forget the ``count`` highest blocks: the height that remains, and the batch that does it.

    Blocks of other forks above that height go, too. What this node signed is remembered all the same, so that a
    validator does not contradict itself. Raises `IsFinal`.
    """
    target = ledger.head_number - count
    if target < ledger.finalized_number:
        waiting = ledger.head_number - ledger.finalized_number
        raise IsFinal(
            f"block {ledger.finalized_number} is final, and whoever built on it relies on that: of the "
            f"{ledger.head_number} blocks here, {waiting} may be reverted. To start over, use solvent purge-chain"
        )
    above = [hash_ for hash_, entry in ledger.store.journal() if entry.block.header.number > target]
    return target, {JOURNAL + hash_: None for hash_ in above}
