"""Witnesses: what a verifier knows only because it replayed, and the secret bit that says which of two it must show.

A *witness* is the Merkle root over H(verifier, state root) at up to eight evenly spaced inner steps of every segment
that the verifier drew. The solver published no state inside a segment, and every verifier's hashes are its own, so
there is no witness without a replay (a segment of a single step has none). With a passing verdict a verifier *seals*
two salted hashes, one of the true witness and one of a false one. Once the next beacon is known it opens one: the
false one if the *forcing* secret that it committed to on acceptance says so, which happens with a fixed chance. Nobody
else can tell a forced error from a lie before the secret is opened, so that whoever replays finds something now and
then. After Teutsch and Reitwiessner, "A scalable verification solution for blockchains" (2019).
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import replace
from runtime.drawing import derive_number
from runtime.pallets.tasks.spec import TaskSpec, claim_of, segment_steps
from runtime.trees import Tree, hash_tagged
from runtime.vm.job import Claim

INNER_STEPS = 8


def inner_steps(steps: int) -> tuple[int, ...]:
    """The steps of a segment whose states are witnessed: eight evenly spaced ones, neither the start nor the end."""
    count = min(INNER_STEPS, steps - 1)
    return tuple(number * steps // (count + 1) for number in range(1, count + 1))


def witnessed_steps(spec: TaskSpec, segments: Sequence[int]) -> list[tuple[int, int]]:
    """(segment, step inside it) of every leaf of a witness, in its order."""
    return [(segment, step) for segment in segments for step in inner_steps(segment_steps(spec, segment))]


def witness_root(verifier: bytes, roots: Sequence[bytes]) -> bytes:
    """The witness over these state roots."""
    return Tree([hash_tagged(b"solvent:witness", verifier + root) for root in roots]).root


def witness_seal(witness: bytes, salt: bytes, verifier: bytes, task: bytes) -> bytes:
    """What hides a witness until it is opened."""
    return hash_tagged(b"solvent:seal", verifier + task + witness + salt)


def forcing_commitment(secret: bytes, verifier: bytes, task: bytes) -> bytes:
    """What a verifier posts of its forcing secret when it accepts an audit."""
    return hash_tagged(b"solvent:commit", verifier + task + b"forcing" + secret)


def is_forced(secret: bytes, beacon: bytes, rarity: int) -> bool:
    """Whether the false witness must be opened: once in ``rarity`` audits."""
    return derive_number(beacon + secret, b"forced", rarity) == 0


def jackpot_share(jackpot: int, count: int) -> int:
    """What each of ``count`` whistleblowers earns: J / 2^(count - 1), so that one who poses as two earns no more."""
    return jackpot >> (count - 1)


def inner_claim(
    spec: TaskSpec, checkpoints: Sequence[bytes], segments: Sequence[int], leaf: int, root: bytes
) -> tuple[int, Claim]:
    """What leaf ``leaf`` of a witness says: the segment's job, stopped at that step, ends in ``root``. Returns the
    segment, too."""
    segment, step = witnessed_steps(spec, segments)[leaf]
    job = replace(claim_of(spec, checkpoints, segment).job, steps=step)
    return segment, Claim(job=job, end=root)
