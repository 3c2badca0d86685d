"""What a job's steps read: which samples make the batch of a global step, and which row of scalars.

The order is the one that ``runtime.vm.shuffle`` defines. There one index costs `SHUFFLE_ROUNDS` hashes, as the chain
needs it; here a whole epoch is permuted at once, so that 256 indices share each hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ml.executor import Executor, ExecutorError
from runtime.codec import Hash
from runtime.commitments import tensor_root
from runtime.trees import hash_tagged
from runtime.vm.job import SHUFFLE_ROUNDS, DataSource, Job
from runtime.vm.shuffle import epoch_key

Array = np.ndarray
Arrays = Mapping[str, Array]
_COINS = 256
_TAG = b"solvent:shuffle"


def epoch_order(data: DataSource, epoch: int) -> Array:
    """The samples of one epoch in the order in which a job takes them: int64 of shape (sample_count,)."""
    key = epoch_key(data.order_seed, epoch)
    count = data.sample_count
    index = np.arange(count, dtype=np.int64)
    for shuffle_round in range(SHUFFLE_ROUNDS):
        seed = key + bytes([shuffle_round])
        pivot = int.from_bytes(hash_tagged(_TAG, seed), "little") % count
        mirror = (pivot - index) % count
        blocks = (hash_tagged(_TAG, seed + block.to_bytes(8, "little")) for block in range(-(-count // _COINS)))
        coins = np.unpackbits(np.frombuffer(b"".join(blocks), dtype=np.uint8), bitorder="little")
        index = np.where(coins[np.maximum(index, mirror)] == 1, mirror, index)
    return index


class JobInputs:
    """Batches and scalar rows of a job by global step. Mutable: it remembers the last two epochs' orders.

    ``arrays`` holds each field of every sample, shape (sample_count, *field shape); ``table`` the f32 scalars, shape
    (rows, columns). The caller has checked both against their roots.
    """

    def __init__(self, job: Job, arrays: Arrays, table: Array) -> None:
        self.job = job
        self.table = np.ascontiguousarray(table, dtype=np.float32)
        self.arrays = {field.name: arrays[field.name] for field in job.data.fields}
        for name, array in self.arrays.items():
            if len(array) != job.data.sample_count:
                raise ExecutorError(f"field {name!r} has {len(array)} samples, the job {job.data.sample_count}")
        if self.table.shape != (job.scalar_rows, len(job.scalar_names)):
            raise ExecutorError(
                f"scalar table {list(self.table.shape)}, the job says {job.scalar_rows} rows of {job.scalar_names}"
            )
        self._orders: dict[int, Array] = {}

    def indices(self, step: int) -> Array:
        """Sample numbers of the batch of a global step, row by row."""
        data = self.job.data
        first = step * data.batch_size
        rows: list[Array] = []
        while len(rows) == 0 or first < (step + 1) * data.batch_size:
            epoch, within = divmod(first, data.sample_count)
            part = self._order(epoch)[within : within + (step + 1) * data.batch_size - first]
            rows.append(part)
            first += len(part)
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    def batch(self, step: int) -> dict[str, Array]:
        """The samples of a global step by field: shape (batch_size, *field shape)."""
        if not self.arrays:
            return {}
        indices = self.indices(step)
        return {name: array.take(indices, axis=0) for name, array in self.arrays.items()}

    def scalars(self, step: int) -> Array:
        """The row of step scalars of a global step."""
        return self.table[step] if self.table.size else np.zeros(len(self.job.scalar_names), dtype=np.float32)

    def _order(self, epoch: int) -> Array:
        if epoch not in self._orders:
            if len(self._orders) == 2:
                del self._orders[min(self._orders)]
            self._orders[epoch] = epoch_order(self.job.data, epoch)
        return self._orders[epoch]


OnStep = Callable[[int, dict[str, Array]], None]
"""on_step(global step just done, its metrics)."""


def run_segment(
    executor: Executor, inputs: JobInputs, start: Arrays, on_step: OnStep | None = None, steps: int | None = None
) -> dict[str, Array]:
    """Execute all steps of ``inputs.job`` (or the first ``steps``) from ``start`` and return the state they end in."""
    job = inputs.job
    if executor.checked.root != job.program:
        raise ExecutorError(f"the job runs program {job.program.hex()}, the executor {executor.checked.root.hex()}")
    executor.load(start)
    for step in range(job.first_step, job.first_step + (job.steps if steps is None else steps)):
        metrics = executor.advance(job, step, inputs.batch(step), inputs.scalars(step))
        if on_step is not None:
            on_step(step, metrics)
    return executor.state()


def compute_scalars_root(table: Array) -> Hash:
    """The root that a job commits its table of step scalars with."""
    return tensor_root(np.ascontiguousarray(table, dtype="<f4").tobytes())
