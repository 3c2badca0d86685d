"""What a dispute is about, read back from the blocks: the chain keeps a claim only while the game about it runs."""

from __future__ import annotations

from typing import Any

from chain.ledger import Ledger
from rpc import blocks
from rpc.blocks import Found
from rpc.index_rows import dispute_key, place_of, proof_key
from rpc.indexes import Indexes
from runtime.block import decode_extrinsic
from runtime.codec import decode
from runtime.errors import SolventError
from runtime.pallets import disputes, jackpot, proofs, tasks
from runtime.pallets.disputes import Dispute
from runtime.pallets.proofs.witness import inner_claim
from runtime.registry import decode_event
from runtime.state import State
from runtime.vm.job import Claim


class NotReplayable(SolventError):
    """Blocks that hold the claim or a move are not kept here."""


def read_claim(ledger: Ledger, indexes: Indexes, number: int, dispute: Dispute) -> Claim:
    """The solver's claim about the segment, or a verifier's about a state inside it. Raises `NotReplayable`."""
    task = tasks.TASKS.get(State(ledger.state_at(ledger.head)), dispute.task)
    place = indexes.get(proof_key(dispute.task, dispute.attempt))
    if task is None or place is None:
        raise NotReplayable("the disputed proof is older than this node's index")
    height, position = place_of(place)
    registered, _ = read_call(blocks.at_height(ledger, height), position, proofs.RegisterProof)
    if dispute.kind == disputes.PROOF:
        return tasks.claim_of(task.spec, registered.checkpoints, dispute.segment)
    found, position = _opening(ledger, indexes, number)
    reveal, _ = read_call(found, position, jackpot.Reveal)
    before = (found.number, position)
    _, _, verdict = _latest(ledger, indexes, dispute, before, proofs.VerdictGiven)
    exposed, position, _ = _latest(ledger, indexes, dispute, before, jackpot.WitnessExposed)
    roots = read_call(exposed, position, jackpot.Expose)[0].roots
    _, claim = inner_claim(task.spec, registered.checkpoints, verdict.segments, reveal.leaf, roots[reveal.leaf])
    return claim


def read_call(found: Found, position: int, kind: Any) -> tuple[Any, bytes]:
    """The arguments of the call that caused an event, and the extrinsic's bytes."""
    raw = found.block.body[found.outcome.events[position].extrinsic]
    return decode(decode_extrinsic(raw).call.arguments, kind), raw


def _opening(ledger: Ledger, indexes: Indexes, number: int) -> tuple[Found, int]:
    """The block and the event in which the dispute began."""
    key = next(iter(indexes.rows(b"d" + dispute_key(number), newest_first=False)), None)
    if key is None:
        raise NotReplayable(f"dispute {number} is older than this node's index")
    height, position = place_of(key[0])
    return blocks.at_height(ledger, height), position


def _latest(
    ledger: Ledger, indexes: Indexes, dispute: Dispute, before: tuple[int, int], kind: Any
) -> tuple[Found, int, Any]:
    """The last event of that kind by the dispute's defender about its task, before a place."""
    for key, _ in indexes.rows(b"t" + dispute.task):
        height, position = place_of(key)
        if (height, position) >= before:
            continue
        found = blocks.at_height(ledger, height)
        record = decode_event(found.outcome.events[position])
        if isinstance(record, kind) and record.verifier == dispute.defender:
            return found, position, record
    raise NotReplayable(f"no {kind.__name__} of the defender is in this node's index")
