"""How a solver computes: honestly, or in one of the ways that the market must catch."""

from __future__ import annotations

from dataclasses import dataclass

from ml.proof import Blobs
from ml.replay import StepRunner
from ml.trace import FaultyRunner
from ml.workers.materials import Materials
from runtime.commitments import tensor_root
from solvent.client import BlobFailed

HONEST = "honest"
CORRUPT = "corrupt"
SILENT = "silent"
WITHHOLD = "withhold"
SOLVER_STRATEGIES = (HONEST, CORRUPT, SILENT, WITHHOLD)

RUBBER_STAMP = "rubber-stamp"
LIE = "lie"
VERIFIER_STRATEGIES = (HONEST, RUBBER_STAMP, LIE)


@dataclass(frozen=True)
class SolverStrategy:
    """``corrupt`` gets one multiplication wrong and defends it; ``silent`` does so and then never answers a dispute.
    ``withhold`` computes rightly, shares none of its states, and does not care when they are demanded.

    ``step`` and ``value`` say where; by default in the first layer's weight gradient, past the middle of the training.
    """

    name: str = HONEST
    step: int | None = None
    value: int | None = None

    @property
    def defends(self) -> bool:
        return self.name != SILENT

    @property
    def shares(self) -> bool:
        """Whether states are put where others can get them."""
        return self.name != WITHHOLD

    @property
    def delivers(self) -> bool:
        """Whether states are placed that are demanded."""
        return self.name != WITHHOLD

    def training_runner(self, materials: Materials) -> StepRunner:
        """What computes the training steps."""
        if self.name in (HONEST, WITHHOLD):
            return materials.trainer
        steps = materials.spec.steps
        step = self.step if self.step is not None else min(steps - 1, steps // 2 + steps // 8)
        return FaultyRunner(materials.trainer, step, self.value)

    def runner(self, materials: Materials, segment: int) -> StepRunner:
        """What computes a segment again, for a dispute."""
        return self.training_runner(materials) if segment else materials.initializer


class Nowhere(Blobs):
    """Where blobs go that nobody shall have."""

    def put_blob(self, data: bytes, seed: bytes) -> bytes:
        return tensor_root(data)

    def get_blob(self, root: bytes, max_bytes: int = 0) -> bytes:
        raise BlobFailed(404, f"blob {root.hex()} is kept from everybody")
