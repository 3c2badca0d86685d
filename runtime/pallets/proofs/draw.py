"""Which segments a verifier replays: drawn from the chain's randomness and a secret it committed to before.

Neither the solver (who registered its proof first) nor the verifier (whose secret was committed before the beacon
existed) chooses. The initialisation is always among them: it is cheap, and everything rests on it.
"""

from __future__ import annotations

from runtime.drawing import derive_number
from runtime.pallets.proofs.storage import Audit
from runtime.pallets.tasks.spec import TaskSpec, segment_count, task_id
from runtime.trees import hash_tagged


def draw_commitment(secret: bytes, verifier: bytes, task: bytes) -> bytes:
    """What a verifier posts when it accepts an audit. Bound to account and task: copying another's is useless."""
    return hash_tagged(b"solvent:commit", verifier + task + secret)


def draw_randomness(beacon: bytes, secret: bytes, verifier: bytes, task: bytes) -> bytes:
    """The random string behind one verifier's segments."""
    return hash_tagged(b"solvent:draw", beacon + verifier + task + secret)


def draw_segments(randomness: bytes, count: int, audits: int) -> tuple[int, ...]:
    """Segment 0 and ``audits`` different ones of 1 .. count - 1, ascending. All of them where there are no more."""
    left = list(range(1, count))
    drawn: list[int] = []
    while left and len(drawn) < audits:
        index = derive_number(randomness, b"segment" + len(drawn).to_bytes(4, "big"), len(left))
        drawn.append(left[index])
        left[index] = left[-1]
        left.pop()
    return (0, *sorted(drawn))


def audit_segments(spec: TaskSpec, audit: Audit, secret: bytes) -> tuple[int, ...]:
    """The segments that a verifier must replay, once its audit is opened. Chain and verifier both compute this."""
    randomness = draw_randomness(audit.beacon, secret, audit.verifier, task_id(spec))
    return draw_segments(randomness, segment_count(spec), spec.audits)
