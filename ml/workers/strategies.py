"""How a solver computes: honestly, or in one of the ways that the market must catch."""

from __future__ import annotations

from dataclasses import dataclass

from ml.replay import StepRunner
from ml.trace import FaultyRunner
from ml.workers.materials import Materials

HONEST = "honest"
CORRUPT = "corrupt"
SILENT = "silent"
SOLVER_STRATEGIES = (HONEST, CORRUPT, SILENT)

RUBBER_STAMP = "rubber-stamp"
LIE = "lie"
VERIFIER_STRATEGIES = (HONEST, RUBBER_STAMP, LIE)


@dataclass(frozen=True)
class SolverStrategy:
    """``corrupt`` gets one multiplication wrong and defends it; ``silent`` does so and then never answers a dispute.

    ``step`` and ``value`` say where; by default in the first layer's weight gradient, past the middle of the training.
    """

    name: str = HONEST
    step: int | None = None
    value: int | None = None

    @property
    def defends(self) -> bool:
        return self.name != SILENT

    def training_runner(self, materials: Materials) -> StepRunner:
        """What computes the training steps."""
        if self.name == HONEST:
            return materials.trainer
        steps = materials.spec.steps
        step = self.step if self.step is not None else min(steps - 1, steps // 2 + steps // 8)
        return FaultyRunner(materials.trainer, step, self.value)

    def runner(self, materials: Materials, segment: int) -> StepRunner:
        """What computes a segment again, for a dispute."""
        return self.training_runner(materials) if segment else materials.initializer
