"""What makes a training step provable costs: checkpoint roots, the trace of a step, and the longest dispute."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.disputes import SHAPES, count_model, play_model
from ml.artifacts import compute_state_root
from ml.trace import kept_values
from runtime.codec import encode
from runtime.commitments import tensor_root
from runtime.dispute.moves import Reveal, Select
from runtime.trees import FAN_LEVELS, Tree

if TYPE_CHECKING:
    from bench.exact_sides import ExactSide

PLAYED_STEPS = 8
"""Steps of the segments that games are played about here; `bench.disputes` plays longer ones."""
OPENINGS, OPENING_BYTES = 3, 4700
"""Moves of a game that carry a chunk of 4 KiB and its path: the disputed chunk, a group of operations, an operand."""


def cpu_seconds(work: Callable[[], object], times: int) -> float:
    """Median CPU time of doing it, all threads together."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken)


def measure_proof(side: ExactSide, times: int = 5) -> dict[str, float]:
    """CPU microseconds of a step, of the state's root, and of the trace of one step: replayed, kept and hashed."""
    executor, job = side.executor, side.job
    state = executor.state()
    batch, scalars = side.inputs.batch(0), side.inputs.scalars(0)

    def trace() -> list[bytes]:
        values = kept_values(executor.run_step(state, job, 0, batch, scalars, keep_values=True))
        Tree([tensor_root(value) for value in values])
        return values

    size = sum(len(value) for value in trace())
    executor.load(state)
    return {
        "step_us": 1e6 * cpu_seconds(lambda: side.step(0), times),
        "state_bytes": sum(array.nbytes for array in state.values()),
        "hash_us": 1e6 * cpu_seconds(lambda: compute_state_root(state), times),
        "value_bytes": size,
        "trace_us": 1e6 * cpu_seconds(trace, times),
    }


def measure_disputes(played: int) -> list[dict[str, Any]]:
    """The most moves and bytes of a dispute by size of the model; of the first ``played`` models a game is played."""
    reveal = len(encode(Reveal((bytes(32),) * 2**FAN_LEVELS)))
    select = len(encode(Select(2**FAN_LEVELS - 1)))
    rows = []
    for number, shape in enumerate(SHAPES):
        row = count_model(shape)
        games = play_model(shape, PLAYED_STEPS, 1) if number < played else []
        bound = row["moves"] // 2 * (reveal + select) + OPENINGS * OPENING_BYTES
        rows.append({**row, "played_bytes": max((sum(game.sizes) for game in games), default=0), "most_bytes": bound})
    return rows
