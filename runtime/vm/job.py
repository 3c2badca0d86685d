"""A job: what a claim is about. (program, start state root, inputs, steps) -> end state root.

Initialisation, training, and later profiling and merging are all jobs, and a claim on any of them is disputed by
the same game (`runtime.dispute`).
"""

from __future__ import annotations

from runtime.codec import U63, U64, Hash, Record

SHUFFLE_ROUNDS = 24


class Field(Record):
    """One field of every sample: e.g. ``pixels`` u8 (784,) or ``label`` i32 ()."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class DataSource(Record):
    """Where batches come from: the root over (sample, field) tensor roots, and the order samples are taken in.

    Row r of step t is position p = t * batch_size + r; in epoch p // sample_count, sample
    ``shuffle.sample_at(p % sample_count, ...)`` with a key derived from ``order_seed`` and the epoch.
    """

    root: Hash
    sample_count: U63
    fields: tuple[Field, ...]
    order_seed: Hash
    batch_size: U63


class Job(Record):
    """Everything that fixes a segment's end state, given its start state.

    ``first_step`` is the global number of the job's first step, so step k of the job uses row first_step + k of the
    scalar table and the batch of that global step. ``scalars_root`` is the tensor root of the f32 table of shape
    (total_steps, len(scalar_names)). ``seed`` is the Philox key: words (seed & 0xffffffff, seed >> 32).
    """

    program: Hash
    start: Hash
    first_step: U63
    steps: U63
    seed: U64
    data: DataSource
    scalar_names: tuple[str, ...]
    scalars_root: Hash
    scalar_rows: U63


class Claim(Record):
    """The statement that running ``job`` ends in the state with root ``end``."""

    job: Job
    end: Hash
