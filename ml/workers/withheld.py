"""States that cannot be got: demanding them on chain, delivering them, and testing the word of their holders.

A verifier first asks its node for the solver's own files. When those do not come for a while, and the network has
holders, it demands the state; once a committee holds it, the tensors come from there, each a blob of its own. Where
they do not come from there either, the verifier challenges every holder that signed for them.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

import numpy as np

from ml.artifacts import ArtifactError, CheckpointStore, Layout, Tensors, compute_state_root, tensor_content
from ml.backend import DTYPES
from ml.proof import Blobs, checkpoint_steps, fetch_manifest, fetch_state
from ml.workers.session import Session
from runtime.commitments import chunk_count, tensor_root
from runtime.errors import SolventError
from runtime.pallets import blobs, disputes, system
from runtime.pallets.proofs import Proof
from runtime.pallets.tasks import Task, TaskSpec
from solvent.client import BadAnswer, BlobFailed

AGAIN_SECONDS = 2.0
"""Between two tries to get a state."""
GRACE_SECONDS = 20.0
"""For how long a state may stay away before it is demanded: uploads take time, and nodes may be between peers."""


class StateMissing(SolventError):
    """Nobody gives the state that a segment starts from. ``item`` is the place of the tensor that the holders of
    ``placement`` do not give; without one, nothing was placed."""

    def __init__(self, segment: int, reason: str, placement: bytes = b"", item: int = 0) -> None:
        super().__init__(f"the state before segment {segment} does not come: {reason}")
        self.segment, self.placement, self.item = segment, placement, item


def fetch_start(session: Session, name: bytes, spec: TaskSpec, proof: Proof, segment: int, layout: Layout) -> Tensors:
    """The registered state that a segment starts from: of its holders where it is placed, else as the solver shares it.

    Raises `StateMissing`.
    """
    demand = _find_demand(session, name, proof.attempt, segment)
    if demand is not None and _status(session, demand) == blobs.PLACED:
        return _fetch_placed(session, demand, layout, segment, proof.checkpoints[segment - 1])
    try:
        manifest = fetch_manifest(session.chain, proof.manifest, name, spec, proof.checkpoints)
        return fetch_state(session.chain, manifest.states[segment - 1], layout)
    except (BlobFailed, BadAnswer, ArtifactError) as error:
        raise StateMissing(segment, str(error)) from None


def _find_demand(session: Session, name: bytes, attempt: int, segment: int) -> disputes.Demand | None:
    found: disputes.Demand | None = session.chain.read(disputes.DEMANDS, disputes.DemandKey(name, segment))
    return found if found is not None and found.attempt == attempt else None


def _status(session: Session, demand: disputes.Demand) -> str:
    found: blobs.Placement | None = session.chain.read(blobs.PLACEMENTS, demand.placement)
    return found.status if found is not None else ""


def _fetch_placed(session: Session, demand: disputes.Demand, layout: Layout, segment: int, root: bytes) -> Tensors:
    items = session.chain.read(blobs.ITEMS, demand.placement) or ()
    state: Tensors = {}
    for place, (item, (name, (dtype, shape))) in enumerate(zip(items, sorted(layout.items()), strict=True)):
        try:
            data = session.chain.get_blob(item.root, max_bytes=item.size)
        except (BlobFailed, BadAnswer) as error:
            raise StateMissing(segment, str(error), demand.placement, place) from None
        state[name] = np.frombuffer(data, DTYPES[dtype]).reshape(shape).copy()
    if compute_state_root(state) != root:
        raise ArtifactError(f"the tensors placed for segment {segment} are not state {root.hex()}")
    return state


@dataclass
class Demander:
    """Demands states for a verifier. Mutable: it remembers since when each is missing, and whom it has challenged."""

    session: Session
    grace: float = GRACE_SECONDS
    _since: dict[tuple[bytes, int, int], float] = field(default_factory=dict)
    _challenged: set[tuple[bytes, bytes]] = field(default_factory=set)
    _again: dict[bytes, float] = field(default_factory=dict)

    def waits(self, name: bytes) -> bool:
        """Whether it is too early to try again to replay a task."""
        return time.monotonic() < self._again.get(name, 0.0)

    def see_to(self, name: bytes, attempt: int, secret: bytes, missing: StateMissing) -> bool:
        """Do what can be done about a missing state; whether anything was. Raises it again where nobody holds blobs."""
        if not self.session.chain.read(system.PARAMETERS).blobs.receipts:
            raise missing
        self._again[name] = time.monotonic() + min(AGAIN_SECONDS, self.grace)
        if missing.placement:
            return self._challenge(missing)
        since = self._since.setdefault((name, attempt, missing.segment), time.monotonic())
        demand = _find_demand(self.session, name, attempt, missing.segment)
        is_asked = demand is not None and (demand.open or _status(self.session, demand) != blobs.LOST)
        if is_asked or time.monotonic() - since < self.grace:
            return False
        self.session.call("disputes", disputes.DemandState(name, missing.segment, secret))
        self.session.journal.warn("state_demanded", task=name.hex(), segment=missing.segment, reason=str(missing))
        return True

    def _challenge(self, missing: StateMissing) -> bool:
        """Ask every holder that signed for a chunk, any one of it."""
        placement: blobs.Placement | None = self.session.chain.read(blobs.PLACEMENTS, missing.placement)
        items = self.session.chain.read(blobs.ITEMS, missing.placement) or ()
        done = False
        for seat in placement.seats if placement is not None else ():
            known = (missing.placement, seat.holder)
            if seat.signed and known not in self._challenged and missing.item < len(items):
                chunk = secrets.randbelow(chunk_count(items[missing.item].size))
                self.session.call("blobs", blobs.ChallengeChunk(*known, missing.item, chunk))
                self.session.journal.warn("holder_challenged", holder=seat.holder.hex(), item=missing.item, chunk=chunk)
                self._challenged.add(known)
                done = True
        return done


def deliver(session: Session, shared: Blobs, name: bytes, task: Task, store: CheckpointStore) -> bool:
    """Place every state of a task that is demanded of its solver; whether there was one. ``shared`` takes the blobs."""
    done = False
    for key, demand in session.chain.items(disputes.DEMANDS):
        if key.task != name or demand.attempt != task.attempt or demand.answered or not demand.open:
            continue
        step = checkpoint_steps(task.spec)[key.segment - 1]
        state = store.load(step, store.roots()[step])
        contents = [tensor_content(state[tensor]) for tensor in sorted(state)]
        for content in contents:
            shared.put_blob(content, session.seed)
        roots = tuple(tensor_root(content) for content in contents)
        session.call("disputes", disputes.PlaceState(name, key.segment, roots))
        session.journal.event("state_placed", task=name.hex(), segment=key.segment, tensors=len(roots))
        done = True
    return done
