"""A *bundle*: everything a submitter holds of one task, in one folder, so that no user code runs after the capture.

``bundle.task`` is a canonical record with the three programs and the figures; ``data.safetensors`` and
``test.safetensors`` hold the samples, ``scalars.bin`` the table of step scalars. ``ml.capture_file`` writes bundles
from Python files, in a process of its own; the command line reads them without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.artifacts import ArtifactError, Tensors, decode_tensors, encode_tensors, write_atomically
from ml.executor import Executor
from runtime.codec import U63, U64, Hash, Record, decode, encode
from runtime.commitments import EMPTY_STATE_ROOT, tensor_root
from runtime.errors import CodecError
from runtime.pallets.tasks import TaskSpec
from runtime.vm.check import CheckedProgram, check_program, decode_program
from runtime.vm.job import DataSource, Field, Job

DATA_FILE, TEST_FILE, SCALARS_FILE, RECORD_FILE = "data.safetensors", "test.safetensors", "scalars.bin", "bundle.task"


class ModelTensor(Record):
    """A tensor of the training state that belongs to the model, and its name in PyTorch's ``state_dict``."""

    state: str
    name: str


class BundleRecord(Record):
    """The figures of a bundle. Programs are canonical bytes; ``inputs`` is the field that the model reads."""

    train: bytes
    init: bytes
    evaluation: bytes
    evaluation_batch: U63
    data_root: Hash
    samples: U63
    test_samples: U63
    fields: tuple[Field, ...]
    batch_size: U63
    steps: U63
    scalar_names: tuple[str, ...]
    model_tensors: tuple[ModelTensor, ...]


class Terms(Record):
    """What a submitter chooses for one submission, beside the bundle."""

    salt: Hash
    seed: U64
    order_seed: Hash
    checkpoint_interval: U63
    audits: U63
    verifiers: U63
    price_limit: U63
    training_blocks: U63


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk."""

    folder: Path
    record: BundleRecord

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Read a bundle's record. Raises `ArtifactError` where there is none."""
        try:
            return cls(folder, decode((folder / RECORD_FILE).read_bytes(), BundleRecord))
        except (OSError, CodecError) as error:
            raise ArtifactError(f"no task bundle in {folder}: {error}") from None

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    @property
    def data(self) -> bytes:
        return self.read(DATA_FILE)

    @property
    def scalars(self) -> bytes:
        return self.read(SCALARS_FILE)

    def spec(self, terms: Terms) -> TaskSpec:
        """The task that a submission under these terms asks for."""
        record = self.record
        scalars_root = tensor_root(self.scalars)
        source = DataSource(record.data_root, record.samples, record.fields, terms.order_seed, record.batch_size)
        return TaskSpec(
            salt=terms.salt,
            program=check_program(decode_program(record.train)).root,
            init_program=check_program(decode_program(record.init)).root,
            seed=terms.seed,
            data=source,
            data_blob=tensor_root(self.data),
            scalar_names=record.scalar_names,
            scalars_root=scalars_root,
            scalars_blob=scalars_root,
            scalar_rows=record.steps,
            steps=record.steps,
            checkpoint_interval=terms.checkpoint_interval,
            mode="exact",
            audits=terms.audits,
            verifiers=terms.verifiers,
            price_limit=terms.price_limit,
            training_blocks=terms.training_blocks,
        )

    def export(self, state: Mapping[str, np.ndarray]) -> Tensors:
        """The model's tensors under the names of PyTorch's ``state_dict``."""
        return {tensor.name: state[tensor.state] for tensor in self.record.model_tensors}

    def accuracy(self, state: Mapping[str, np.ndarray], threads: int = 1) -> float | None:
        """The part of the test samples that the model classifies rightly; None without a test set."""
        record = self.record
        if record.test_samples == 0:
            return None
        layout = {field.name: (field.dtype, (record.test_samples, *field.shape)) for field in record.fields}
        test = decode_tensors(self.read(TEST_FILE), layout)
        given, target = (test[field.name] for field in record.fields[:2])
        found = predict(check_program(decode_program(record.evaluation)), state, record, given, threads)
        return float((found.reshape(-1) == target.reshape(-1)).mean())


def save_bundle(
    folder: Path, record: BundleRecord, data: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], scalars: bytes
) -> None:
    """Write a bundle; the record comes last, so that a folder with one is whole."""
    write_atomically(folder / DATA_FILE, encode_tensors(data))
    write_atomically(folder / TEST_FILE, encode_tensors(test))
    write_atomically(folder / SCALARS_FILE, scalars)
    write_atomically(folder / RECORD_FILE, encode(record))


def predict(
    evaluation: CheckedProgram, state: Mapping[str, np.ndarray], record: BundleRecord, given: np.ndarray, threads: int
) -> np.ndarray:
    """The class with the largest logit (last dimension) for each sample, or place of one, by the exact kernels."""
    size, name = record.evaluation_batch, record.fields[0].name
    job = Job(
        program=evaluation.root,
        start=EMPTY_STATE_ROOT,
        first_step=0,
        steps=1,
        seed=0,
        data=DataSource(EMPTY_STATE_ROOT, 0, (), EMPTY_STATE_ROOT, 0),
        scalar_names=(),
        scalars_root=EMPTY_STATE_ROOT,
        scalar_rows=0,
    )
    executor = Executor(evaluation, threads)
    classes = []
    for first in range(0, len(given), size):
        rows = given[first : first + size]
        batch = np.zeros((size, *given.shape[1:]), given.dtype)
        batch[: len(rows)] = rows
        result = executor.run_step(state, job, 0, {name: batch}, ())
        classes.append(result.metrics["logits"][: len(rows)].argmax(axis=-1))
    return np.concatenate(classes)
