"""Turns a user's Python file into a bundle: ``python -m ml.capture_file FILE FOLDER [--steps N] [--batch-size N]``.

It runs the file, so it is a process of its own, started by the command line for the user's own files only. The file
has a function ``build`` that returns (model, loss, optimizer) and the variables

- ``DATA``: "mnist", a folder with IDX files, or a function that returns (train, test) mappings of field to array;
- ``BATCH_SIZE``, ``STEPS``; optionally ``LEARNING_RATES`` (one a step), ``PREPROCESS``, ``INITIAL``.

See ``examples/mnist.py``. The first field is the model's input, the second the target.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ml.bundle import BundleRecord, ModelTensor, save_bundle
from ml.capture import CapturedTask, capture_task
from ml.data import Dataset, load_mnist
from runtime.codec import encode
from runtime.errors import SolventError

EVALUATION_BATCH = 250


class TaskFileError(SolventError):
    """The task file lacks something; the message says what, and shows where an example is."""


def capture_file(path: Path, folder: Path, steps: int | None = None, batch_size: int | None = None) -> None:
    """Run a task file, capture its model, and write the bundle. Raises `TaskFileError` or the capture's errors."""
    names = runpy.run_path(str(path))
    build = names.get("build")
    if not callable(build):
        raise TaskFileError(f"{path} has no function build() -> (model, loss, optimizer); see examples/mnist.py")
    train, test = load_data(names.get("DATA", "mnist"), path.parent)
    steps = steps or int(names.get("STEPS", 1000))
    batch_size = batch_size or int(names.get("BATCH_SIZE", 64))
    rates = names.get("LEARNING_RATES")
    model, loss, optimizer = build()
    captured = capture_task(
        model,
        loss,
        optimizer,
        train.layout,
        batch_size=batch_size,
        steps=steps,
        learning_rates=None if rates is None else list(rates)[:steps],
        preprocess=names.get("PREPROCESS"),
        initial=names.get("INITIAL"),
        evaluation_batch=EVALUATION_BATCH,
    )
    record = build_record(captured, train, test, batch_size, steps)
    save_bundle(folder, record, train.fields, test.fields, captured.scalars.astype("<f4").tobytes())


def build_record(captured: CapturedTask, train: Dataset, test: Dataset, batch_size: int, steps: int) -> BundleRecord:
    """The figures of a bundle."""
    return BundleRecord(
        train=encode(captured.train),
        init=encode(captured.init),
        evaluation=encode(captured.evaluation),
        evaluation_batch=EVALUATION_BATCH,
        data_root=train.root,
        samples=len(train),
        test_samples=len(test),
        fields=train.layout,
        batch_size=batch_size,
        steps=steps,
        scalar_names=captured.scalar_names,
        model_tensors=tuple(ModelTensor(state, name) for state, name in sorted(captured.model_tensors.items())),
    )


def load_data(source: Any, beside: Path) -> tuple[Dataset, Dataset]:
    """(train, test) from what a task file calls ``DATA``."""
    if source == "mnist":
        return load_mnist()
    if isinstance(source, str | Path):
        return load_mnist(beside / source)
    if callable(source):
        train, test = source()
        return as_dataset(train), as_dataset(test)
    raise TaskFileError(f'DATA is {type(source).__name__}; use "mnist", a folder, or a function giving (train, test)')


def as_dataset(fields: Any) -> Dataset:
    """A data set from a mapping of field to array or tensor."""
    if isinstance(fields, Dataset):
        return fields
    if not isinstance(fields, Mapping):
        raise TaskFileError(f"data are {type(fields).__name__}; give a mapping of field name to array")
    return Dataset({name: np.ascontiguousarray(np.asarray(array)) for name, array in fields.items()})


def main() -> None:
    """Exit code 1 and one line on stderr when the file cannot be captured."""
    parser = argparse.ArgumentParser(prog="python -m ml.capture_file")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    given = parser.parse_args()
    try:
        capture_file(given.file, given.folder, given.steps, given.batch_size)
    except SolventError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except Exception:
        sys.exit(f"{given.file} raised an error:\n{traceback.format_exc(limit=-3)}")


if __name__ == "__main__":
    main()
