"""Replaying segments of other people's proofs, and disputing those that differ, for verifiers and whistleblowers."""

from __future__ import annotations

from collections.abc import Callable

from ml.artifacts import Tensors
from ml.dispute import Challenger
from ml.replay import StepRunner, replay_claim
from ml.trace import ExecutorTracer
from ml.workers.disputing import play_disputes
from ml.workers.materials import Materials, fetch_materials
from ml.workers.session import Session
from ml.workers.withheld import fetch_start
from runtime.codec import encode
from runtime.pallets import disputes
from runtime.pallets.proofs import Proof
from runtime.pallets.tasks import TaskSpec, claim_of
from runtime.trees import hash_tagged

RunnerOf = Callable[[Materials, int], StepRunner]
"""How an auditor computes a segment: honestly, unless it is an adversary."""


def honest_runner(materials: Materials, segment: int) -> StepRunner:
    return materials.runner(segment)


class Auditor:
    """Replays segments and plays challengers. Mutable: it keeps materials and players, which can all be rebuilt."""

    def __init__(self, session: Session, runner_of: RunnerOf = honest_runner) -> None:
        self.session = session
        self.runner_of = runner_of
        self._materials: dict[bytes, Materials] = {}
        self._runners: dict[tuple[bytes, int], StepRunner] = {}
        self._players: dict[tuple[bytes, bytes, int], Challenger] = {}

    def prepare(self, name: bytes, spec: TaskSpec) -> None:
        """Fetch what replaying takes, before anything is promised. Raises `TaskRefused` where it does not fit."""
        self._materials_of(name, spec)

    def holds(self, name: bytes, spec: TaskSpec, proof: Proof, segment: int) -> bool:
        """Whether replaying a segment ends in the registered checkpoint."""
        claim = claim_of(spec, proof.checkpoints, segment)
        start = self._start(name, spec, proof, segment)
        same, found = replay_claim(self._runner(name, spec, segment), claim, start)
        self.session.journal.event(
            "segment_replayed", task=name.hex(), segment=segment, steps=claim.job.steps, same=same, root=found.hex()
        )
        return same

    def open_dispute(self, name: bytes, segment: int) -> None:
        """Follow up this verifier's failed verdict."""
        self.session.call("disputes", disputes.Open(name, segment))
        self.session.journal.event("dispute_opened", task=name.hex(), segment=segment)

    def play(self, name: bytes, spec: TaskSpec, proof: Proof) -> bool:
        """Make this account's moves in the disputes about a task that it challenges. Whether any was made."""
        return play_disputes(self.session, name, lambda dispute: self._player(name, spec, proof, dispute.segment))

    def forget(self, names: set[bytes]) -> None:
        """Drop what is kept of all tasks but these."""
        for name in [name for name in self._materials if name not in names]:
            del self._materials[name]
        for task in [key for key in self._runners if key[0] not in names]:
            del self._runners[task]
        for player in [key for key in self._players if key[0] not in names]:
            del self._players[player]

    def _materials_of(self, name: bytes, spec: TaskSpec) -> Materials:
        if name not in self._materials:
            self._materials[name] = fetch_materials(self.session, name, spec)
        return self._materials[name]

    def _runner(self, name: bytes, spec: TaskSpec, segment: int) -> StepRunner:
        key = (name, min(segment, 1))
        if key not in self._runners:
            self._runners[key] = self.runner_of(self._materials_of(name, spec), segment)
        return self._runners[key]

    def _start(self, name: bytes, spec: TaskSpec, proof: Proof, segment: int) -> Tensors:
        """The registered state that a segment starts from, fetched and checked; nothing before the initialisation.
        Raises `StateMissing`."""
        if segment == 0:
            return {}
        return fetch_start(self.session, name, spec, proof, segment, self._materials_of(name, spec).layout)

    def _player(self, name: bytes, spec: TaskSpec, proof: Proof, segment: int) -> Challenger:
        key = (name, hash_tagged(b"solvent:proof", encode(proof)), segment)
        if key not in self._players:
            job = claim_of(spec, proof.checkpoints, segment).job
            start = self._start(name, spec, proof, segment)
            self._players[key] = Challenger(ExecutorTracer(self._runner(name, spec, segment), job, start))
        return self._players[key]
