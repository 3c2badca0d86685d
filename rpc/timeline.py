"""A task's timeline: its events in the order of the chain, each with the attempt it belongs to and who caused it."""

from __future__ import annotations

from collections.abc import Iterator

from rpc import blocks
from rpc.answers.tasks import TimelineEntryJson
from rpc.answers.words import PageJson
from rpc.index_rows import place_key, place_of
from rpc.indexes import Indexes
from rpc.pages import page_of
from rpc.render import hex_of
from rpc.scalars import f32_number
from rpc.view import NodeView
from runtime.block import Extrinsic, decode_extrinsic, extrinsic_hash
from runtime.codec import decode
from runtime.crypto import to_ss58

KINDS = {
    "tasks.Submitted": "submitted",
    "tasks.Pooled": "pooled",
    "tasks.Assigned": "assigned",
    "tasks.Accepted": "accepted",
    "tasks.Progressed": "heartbeat",
    "tasks.AcceptanceMissed": "acceptance_missed",
    "tasks.TrainingMissed": "training_missed",
    "tasks.StatusChanged": "status",
    "tasks.Paid": "paid",
    "tasks.Settled": "settled",
    "tasks.Failed": "failed",
    "tasks.Cancelled": "cancelled",
    "tasks.Expired": "expired",
    "proofs.ProofRegistered": "proof",
    "proofs.VerifierDrawn": "verifier_drawn",
    "proofs.AuditAccepted": "audit_accepted",
    "proofs.AuditOpened": "audit_opened",
    "proofs.VerdictGiven": "verdict",
    "proofs.VerifierReplaced": "verifier_replaced",
    "proofs.SearchEnded": "search_ended",
    "proofs.WindowOpened": "window",
    "proofs.ClaimDisputed": "dispute_claimed",
    "proofs.DisputeClosed": "dispute_closed",
    "proofs.ProofVoided": "proof_voided",
    "disputes.DisputeOpened": "dispute_opened",
    "disputes.DisputeDecided": "dispute_decided",
    "disputes.DisputeCancelled": "dispute_cancelled",
    "workers.BondLocked": "bond_locked",
    "workers.BondUnlocked": "bond_unlocked",
    "workers.Slashed": "slashed",
}
"""Event -> its word in a timeline; a newer event appears as ``pallet.Name``."""


def timeline_page(
    node: NodeView, indexes: Indexes, task: bytes, limit: int | None, cursor: bytes | None
) -> PageJson[TimelineEntryJson]:
    """A page of a task's timeline, the oldest first."""
    rows = _rows(indexes, task, cursor or b"")
    return page_of(rows, limit, lambda row: entry_of(node, *row), indexes)


def entries_after(
    node: NodeView, indexes: Indexes, task: bytes, place: bytes, most: int
) -> Iterator[tuple[bytes, TimelineEntryJson]]:
    """Up to ``most`` entries after a place, each with its own place."""
    for count, (here, row) in enumerate(_rows(indexes, task, place)):
        if count == most:
            return
        yield here, entry_of(node, *row)


def last_place(indexes: Indexes, task: bytes) -> bytes:
    """The place of a task's latest entry; before all places when there is none."""
    for key, _ in indexes.rows(b"t" + task):
        return key[-12:]
    return place_key(0, -1)


def _rows(indexes: Indexes, task: bytes, after: bytes) -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
    prefix = b"t" + task
    for key, value in indexes.rows(prefix, prefix + after if after else b"", newest_first=False):
        yield key[-12:], (key, value)


def entry_of(node: NodeView, key: bytes, value: bytes) -> TimelineEntryJson:
    """One entry from its row."""
    height, position = place_of(key)
    found = blocks.at_height(node.ledger, height)
    shown = blocks.event_of(found, position)
    signer, hash_ = None, None
    if shown["extrinsic"] >= 0:
        raw = found.block.body[shown["extrinsic"]]
        item = decode_extrinsic(raw)
        if isinstance(item, Extrinsic):
            signer, hash_ = to_ss58(item.signer), hex_of(extrinsic_hash(raw))
    name = f"{shown['pallet']}.{shown['name']}"
    entry: TimelineEntryJson = {
        "block": shown["block"],
        "blockHash": shown["blockHash"],
        "time": shown["time"],
        "index": shown["index"],
        "extrinsic": shown["extrinsic"],
        "pallet": shown["pallet"],
        "name": shown["name"],
        "fields": shown["fields"],
        "kind": KINDS.get(name, name),
        "attempt": decode(value, int),
        "signer": signer,
        "extrinsicHash": hash_,
    }
    if entry["kind"] == "heartbeat":
        fields = entry["fields"]
        entry["step"], entry["loss"] = int(fields["step"]), f32_number(int(fields["loss_bits"]))
    return entry
