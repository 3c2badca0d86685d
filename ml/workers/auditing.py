"""Replaying segments of other people's proofs, and disputing those that differ, for verifiers and whistleblowers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ml.artifacts import Tensors
from ml.dispute import Challenger, Defender
from ml.replay import StepRunner, replay_roots
from ml.trace import ExecutorTracer
from ml.workers.disputing import play_disputes
from ml.workers.materials import Materials, fetch_materials
from ml.workers.notebook import Notebook
from ml.workers.session import Session
from ml.workers.withheld import fetch_start
from runtime.codec import encode
from runtime.dispute.records import Game
from runtime.pallets import disputes, proofs
from runtime.pallets.disputes import Dispute
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
        self._players: dict[tuple[bytes, bytes, str], Challenger | Defender] = {}
        self.notebook = Notebook(session.folder)

    def prepare(self, name: bytes, spec: TaskSpec) -> None:
        """Fetch what replaying takes, before anything is promised. Raises `TaskRefused` where it does not fit."""
        self._materials_of(name, spec)

    def holds(self, name: bytes, spec: TaskSpec, proof: Proof, segment: int) -> bool:
        """Whether replaying a segment ends in the registered checkpoint."""
        return self._replay(name, spec, proof, segment)[-1] == proof.checkpoints[segment]

    def roots(self, name: bytes, spec: TaskSpec, proof: Proof, segments: Sequence[int]) -> tuple[bytes, ...]:
        """The state roots behind the witness of these segments."""
        return tuple(root for segment in segments for root in self._replay(name, spec, proof, segment)[:-1])

    def _replay(self, name: bytes, spec: TaskSpec, proof: Proof, segment: int) -> list[bytes]:
        """The state roots at a segment's inner steps and at its end, computed once and noted."""
        note = f"roots-{proof.attempt}-{segment}"
        noted = self.notebook.read(name, note)
        if noted is None:
            job = claim_of(spec, proof.checkpoints, segment).job
            start, runner = self._start(name, spec, proof, segment), self._runner(name, spec, segment)
            end, inner = replay_roots(runner, job, start, proofs.inner_steps(job.steps))
            noted = b"".join((*inner, end))
            self.notebook.write(name, note, noted)
            same = end == proof.checkpoints[segment]
            self.session.journal.event(
                "segment_replayed", task=name.hex(), segment=segment, steps=job.steps, same=same, root=end.hex()
            )
        return [noted[place : place + 32] for place in range(0, len(noted), 32)]

    def open_dispute(self, name: bytes, segment: int) -> None:
        """Follow up this verifier's failed verdict."""
        self.session.call("disputes", disputes.Open(name, segment))
        self.session.journal.event("dispute_opened", task=name.hex(), segment=segment)

    def play(self, name: bytes, spec: TaskSpec, proof: Proof) -> bool:
        """Make this account's moves in the disputes about a task and its witnesses. Whether any was made."""
        return play_disputes(self.session, name, partial(self._player, name, spec, proof))

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

    def _player(self, name: bytes, spec: TaskSpec, proof: Proof, dispute: Dispute, game: Game) -> Challenger | Defender:
        side = Defender if dispute.defender == self.session.account else Challenger
        key = (name, hash_tagged(b"solvent:claim", encode(game.claim)), side.__name__)
        if key not in self._players:
            start = self._start(name, spec, proof, dispute.segment)
            runner = self._runner(name, spec, dispute.segment)
            self._players[key] = side(ExecutorTracer(runner, game.claim.job, start))
        return self._players[key]
