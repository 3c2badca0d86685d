"""Which blobs must stay because work that is still open needs them."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.crypto import to_ss58
from runtime.pallets import blobs, proofs, tasks
from runtime.state import State

CLOSED = frozenset({"settled", "failed", "cancelled", "expired"})
"""Statuses after which nobody needs a task's artifacts any more."""


def find_pinned(state: State, owners: Mapping[bytes, str], holder: bytes = b"") -> set[bytes]:
    """Of the stored blobs (root -> owner's address), those that an open task names, and those that its submitter or its
    solver stored: the chain names a proof's manifest, and only the manifest names the checkpoints. What the node's
    ``holder`` has a seat for stays, too."""
    named: set[bytes] = set()
    parties: set[str] = set()
    for task, record in tasks.TASKS.items(state):
        if record.status in CLOSED:
            continue
        named |= {record.spec.data_blob, record.spec.scalars_blob}
        parties.add(to_ss58(record.submitter))
        if record.solver:
            parties.add(to_ss58(record.solver))
        proof = proofs.PROOFS.get(state, task)
        if proof is not None:
            named.add(proof.manifest)
    for name, placement in blobs.PLACEMENTS.items(state) if holder else ():
        if any(seat.holder == holder for seat in placement.seats):
            named |= {item.root for item in blobs.ITEMS.get(state, name) or ()}
    return {root for root, owner in owners.items() if root in named or owner in parties}
