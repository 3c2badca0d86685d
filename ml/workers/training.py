"""Training a task: from the last checkpoint on disk to the end, with heartbeats on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.proof import checkpoint_steps
from ml.replay import StepRunner, replay
from ml.workers.journal import Journal
from ml.workers.materials import Materials
from runtime.commitments import EMPTY_STATE_ROOT
from runtime.pallets.tasks import segment_job

HEARTBEAT_SECONDS = (0.2, 30.0)
"""Shortest and longest time between heartbeats; in between, a tenth of the time trained so far: each costs a fee."""

Heartbeat = Callable[[int, int], None]
"""heartbeat(steps done, bits of the last loss)."""


@dataclass(frozen=True)
class Trainer:
    """Trains one task; ``runner`` decides how a step is computed (honestly, or not)."""

    materials: Materials
    runner: StepRunner
    journal: Journal
    heartbeat: Heartbeat
    stopped: Callable[[], bool]

    def train(self) -> bool:
        """Bring the checkpoints on disk up to the last step; False when told to stop before. Resumable at any time."""
        store, spec = self.materials.store, self.materials.spec
        wanted = checkpoint_steps(spec)
        last = store.last()
        if last is None:
            step, state = 0, self._initial_state()
            store.save(0, state)
        else:
            step, _, state = last
            self.journal.event("resumed", step=step, steps=spec.steps)
        self.runner.load(state)
        began = beat = time.monotonic()
        shortest, longest = HEARTBEAT_SECONDS
        while step < spec.steps:
            if self.stopped():
                self.journal.event("stopped_training", step=step)
                return False
            metrics = self.runner.advance(step)
            step += 1
            now = time.monotonic()
            if now - beat > min(longest, max(shortest, (now - began) / 10)) or step in (1, spec.steps):
                beat = now
                self.heartbeat(step, loss_bits(metrics))
            if step in wanted:
                root = store.save(step, self.runner.state())
                self.journal.event("checkpoint", step=step, root=root.hex(), loss=loss_of(metrics))
        return True

    def _initial_state(self) -> dict[str, np.ndarray]:
        job = segment_job(self.materials.spec, (EMPTY_STATE_ROOT,), 0)
        return replay(self.materials.initializer, job, {})


def loss_of(metrics: dict[str, np.ndarray]) -> float:
    """The metric ``loss``, else the first one; NaN where a program reports none."""
    if not metrics:
        return float("nan")
    value = metrics["loss"] if "loss" in metrics else next(iter(metrics.values()))
    return float(np.asarray(value).reshape(-1)[0])


def loss_bits(metrics: dict[str, np.ndarray]) -> int:
    """The loss as f32 bits, which heartbeats carry."""
    return int(np.float32(loss_of(metrics)).view(np.uint32))
