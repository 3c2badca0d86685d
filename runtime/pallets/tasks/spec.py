"""What a submitter asks for: the canonical spec of a task, the rules it must meet, and how it is cut into segments.

Segment 0 is the *initialisation*: one step of the init program, from the empty state. Segment k >= 1 is training
steps (k - 1) * checkpoint_interval up to the next checkpoint; the last one may be shorter. Every hyperparameter is
in the spec or in something the spec names by its root, so that no proof can bring its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import U32, U63, U64, Hash, Record, encode, replace
from runtime.commitments import EMPTY_STATE_ROOT, ITEM_BYTES
from runtime.errors import ProgramError
from runtime.market_parameters import MarketParameters
from runtime.trees import hash_tagged
from runtime.vm.check import CheckedProgram, StateEntry, check_job
from runtime.vm.job import Claim, DataSource, Job
from runtime.vm.types import TensorType

EXACT = "exact"
"""The mode in which replays must be bit-identical."""
MAXIMUM_RANK = 8
MAXIMUM_NAME = 256


class SpecError(ProgramError):
    """The spec breaks a bound or does not fit its programs; the message names the field and both values."""


class TaskSpec(Record):
    """One training task. Its canonical bytes are hashed into the task id; ``salt`` tells equal tasks apart.

    ``data_blob`` and ``scalars_blob`` are the blob roots of the packed samples and of the table of step scalars. The
    audit draws ``audits`` segments besides the initialisation for each of ``verifiers`` verifiers. ``price_limit``
    is the most that is paid for a unit of gas; ``training_blocks`` is the time from acceptance to the proof.
    """

    salt: Hash
    program: Hash
    init_program: Hash
    seed: U64
    data: DataSource
    data_blob: Hash
    scalar_names: tuple[str, ...]
    scalars_root: Hash
    scalars_blob: Hash
    scalar_rows: U63
    steps: U63
    checkpoint_interval: U63
    mode: str
    audits: U32
    verifiers: U32
    price_limit: U63
    training_blocks: U63


def task_id(spec: TaskSpec) -> bytes:
    """The name of a task: the hash of its canonical spec."""
    return hash_tagged(b"solvent:task", encode(spec))


def segment_count(spec: TaskSpec) -> int:
    """Segments of the whole task: the initialisation and one for each checkpoint after it."""
    return 1 + -(-spec.steps // spec.checkpoint_interval)


def segment_steps(spec: TaskSpec, segment: int) -> int:
    """Steps of a segment. Raises `SpecError` for a segment that the task does not have."""
    if not 0 <= segment < segment_count(spec):
        raise SpecError(f"segment {segment} of a task with {segment_count(spec)} segments")
    if segment == 0:
        return 1
    first = (segment - 1) * spec.checkpoint_interval
    return min(spec.checkpoint_interval, spec.steps - first)


def segment_job(spec: TaskSpec, checkpoints: Sequence[bytes], segment: int) -> Job:
    """The job of a segment, started from the checkpoint before it (the empty state for the initialisation)."""
    steps = segment_steps(spec, segment)
    return Job(
        program=spec.program if segment else spec.init_program,
        start=checkpoints[segment - 1] if segment else EMPTY_STATE_ROOT,
        first_step=(segment - 1) * spec.checkpoint_interval if segment else 0,
        steps=steps,
        seed=spec.seed,
        data=spec.data,
        scalar_names=spec.scalar_names,
        scalars_root=spec.scalars_root,
        scalar_rows=spec.scalar_rows,
    )


def claim_of(spec: TaskSpec, checkpoints: Sequence[bytes], segment: int) -> Claim:
    """What a proof says about a segment: its job ends in checkpoint ``segment``."""
    return Claim(job=segment_job(spec, checkpoints, segment), end=checkpoints[segment])


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SpecError(message)


def validate_bounds(spec: TaskSpec, parameters: MarketParameters) -> None:
    """Check every figure of the spec against the chain's bounds. Raises `SpecError`."""
    _require(spec.mode == EXACT, f"mode {spec.mode!r}: this chain trains in mode {EXACT!r} only")
    _require(1 <= spec.steps <= parameters.maximum_steps, f"{spec.steps} steps: 1 to {parameters.maximum_steps}")
    _require(1 <= spec.checkpoint_interval <= spec.steps, f"a checkpoint every {spec.checkpoint_interval} steps")
    segments = segment_count(spec) - 1
    most = parameters.maximum_segments
    _require(segments <= most, f"{segments} checkpoints: at most {most}, so lengthen checkpoint_interval")
    audits = min(segments, parameters.maximum_audits)
    _require(1 <= spec.audits <= audits, f"{spec.audits} audited segments: 1 to {audits} for this task")
    most = parameters.maximum_verifiers
    _require(1 <= spec.verifiers <= most, f"{spec.verifiers} verifiers: 1 to {most}")
    _require(spec.price_limit >= 1, "a price limit of 0: nobody works for nothing")
    low, high = parameters.minimum_training_blocks, parameters.maximum_training_blocks
    _require(low <= spec.training_blocks <= high, f"{spec.training_blocks} training blocks: {low} to {high}")
    _require(spec.scalar_rows >= spec.steps, f"{spec.scalar_rows} rows of scalars for {spec.steps} steps")
    _validate_names("scalar", spec.scalar_names, parameters)
    _validate_data(spec.data, parameters)


def _validate_names(what: str, names: Sequence[str], parameters: MarketParameters) -> None:
    most = parameters.maximum_blob_fields
    _require(len(names) <= most, f"{len(names)} {what} names: at most {most}")
    _require(len(frozenset(names)) == len(names), f"a {what} name occurs twice in {', '.join(names)}")
    for name in names:
        _require(1 <= len(name) <= MAXIMUM_NAME, f"a {what} name of {len(name)} characters: 1 to {MAXIMUM_NAME}")


def _validate_data(data: DataSource, parameters: MarketParameters) -> None:
    _require(data.sample_count >= 1 and data.batch_size >= 1, "no samples, or batches of none")
    _validate_names("field", [field.name for field in data.fields], parameters)
    for field in data.fields:
        _require(field.dtype in ITEM_BYTES, f"field {field.name!r} has dtype {field.dtype!r}")
        _require(len(field.shape) <= MAXIMUM_RANK, f"field {field.name!r} has {len(field.shape)} dimensions")
        _require(all(size >= 1 for size in field.shape), f"field {field.name!r} has shape {field.shape}")


def validate_programs(spec: TaskSpec, program: CheckedProgram, init: CheckedProgram) -> None:
    """Check that the programs fit the spec and each other. Raises `ProgramError`.

    The state that training reads and leaves, and the state that the init program leaves, have the same names, dtypes
    and shapes; the init program reads the seed's key and nothing else, so that the seed alone fixes the first state.
    """
    _require(program.root == spec.program, f"the program hashes to {program.root.hex()}, the spec names another")
    _require(init.root == spec.init_program, f"the init program hashes to {init.root.hex()}, the spec names another")
    for given in init.program.inputs:
        _require(given.kind == "key", f"the init program reads {given.kind} {given.name!r}; it may read the key only")
    read, left, first = map(_layout, (program.start_state, program.state, init.state))
    _require(bool(read), "the program reads no state: there is nothing to train")
    _compare_layouts("a training step leaves", left, read)
    _compare_layouts("the init program leaves", first, read)
    whole = replace(segment_job(spec, (bytes(32), bytes(32)), 1), first_step=0, steps=spec.steps)
    check_job(program, whole)
    check_job(init, segment_job(spec, (), 0))


def _layout(entries: Sequence[StateEntry]) -> list[tuple[str, TensorType]]:
    return [(name, tensor) for name, _, tensor in entries]


def _compare_layouts(what: str, left: list[tuple[str, TensorType]], read: list[tuple[str, TensorType]]) -> None:
    lefts, reads = frozenset(left), frozenset(read)
    differing = [entry for entry in left if entry not in reads] + [entry for entry in read if entry not in lefts]
    for name, tensor in differing[:1]:
        raise SpecError(f"{what} another state than the training program reads: see {name!r}, {tensor}")
