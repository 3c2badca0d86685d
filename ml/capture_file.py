"""Turns a user's Python file into a bundle: ``python -m ml.capture_file FILE FOLDER [--steps N] [--batch-size N]``.

It runs the file, so it is a process of its own, started by the command line for the user's own files only. The file
has a function ``build`` that returns (model, loss, optimizer) and the variables

- ``DATA``: "mnist", a folder with IDX files, or a function that returns (train, test) mappings of field to array;
- ``BATCH_SIZE``, ``STEPS``; optionally ``LEARNING_RATES`` (one a step, or a function of the step), ``CLIP_NORM`` (bound
  on the norm of all gradients together), ``PREPROCESS``, ``INITIAL``.

See ``examples/mnist.py``. The first field is the model's input, the second the target.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ml.bundle import BundleRecord, ModelTensor, save_bundle
from ml.capture import CapturedTask, capture_task
from ml.data import Dataset, load_mnist
from ml.initial import noting_draws
from ml.locations import noting_birthplaces
from runtime.codec import encode
from runtime.errors import SolventError

EVALUATION_BATCH = 250
MAXIMUM_STEPS = 2**31 - 1
"""As the chain has it; see ``maximum_steps`` of its market."""


class TaskFileError(SolventError):
    """The task file lacks something; the message says what, and shows where an example is."""


def capture_file(path: Path, folder: Path, steps: int | None = None, batch_size: int | None = None) -> None:
    """Run a task file, capture its model, and write the bundle. Raises `TaskFileError` or the capture's errors."""
    names = runpy.run_path(str(path))
    build = names.get("build")
    if not callable(build):
        raise TaskFileError(f"{path} has no function build() -> (model, loss, optimizer); see examples/mnist.py")
    steps = steps or whole_number(names, "STEPS", 1000)
    batch_size = batch_size or whole_number(names, "BATCH_SIZE", 64)
    train, test = load_data(names.get("DATA", "mnist"), path.parent)
    if steps > MAXIMUM_STEPS:
        raise TaskFileError(f"{steps} steps: 1 to {MAXIMUM_STEPS}")
    if batch_size > len(train):
        raise TaskFileError(f"batches of {batch_size} from {len(train)} samples: use at most {len(train)}")
    rates = learning_rates(names.get("LEARNING_RATES"), steps)
    model, loss, optimizer = build_parts(build)
    captured = capture_task(
        model,
        loss,
        optimizer,
        train.layout,
        batch_size=batch_size,
        steps=steps,
        learning_rates=rates,
        preprocess=names.get("PREPROCESS"),
        initial=names.get("INITIAL"),
        evaluation_batch=EVALUATION_BATCH,
        clip_norm=clip_norm(names.get("CLIP_NORM")),
    )
    record = build_record(captured, train, test, batch_size, steps)
    save_bundle(folder, record, train.fields, test.fields, captured.scalars.astype("<f4").tobytes())


def whole_number(names: Mapping[str, Any], name: str, default: int) -> int:
    """A variable of the task file that counts something."""
    value = names.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TaskFileError(f"{name} is {value!r}; it must be a whole number, 1 or more")
    return value


def learning_rates(rates: Any, steps: int) -> list[float] | None:
    """One rate a step, or None where the optimizer's own is meant throughout."""
    if rates is None:
        return None
    try:
        numbers = [float(rates(step)) for step in range(steps)] if callable(rates) else [float(rate) for rate in rates]
    except (TypeError, ValueError) as error:
        raise TaskFileError(f"LEARNING_RATES must be a sequence of numbers, one a step: {error}") from None
    if len(numbers) < steps:
        raise TaskFileError(f"LEARNING_RATES has {len(numbers)} rates for {steps} steps")
    return numbers[:steps]


def clip_norm(bound: Any) -> float | None:
    """The bound on the gradients' norm, or None."""
    if bound is None or (isinstance(bound, int | float) and not isinstance(bound, bool) and bound > 0):
        return bound
    raise TaskFileError(f"CLIP_NORM is {bound!r}; it must be a number above 0")


def build_parts(build: Callable[[], Any]) -> tuple[Any, Any, Any]:
    """What the task file's ``build`` returns: a module, a loss, an optimizer over the module's parameters."""
    with noting_birthplaces(), noting_draws():
        built = build()
    parts = tuple(built) if isinstance(built, Iterable) and not isinstance(built, torch.nn.Module) else (built,)
    if len(parts) != 3 or not isinstance(parts[0], torch.nn.Module) or not callable(parts[1]):
        found = ", ".join(type(part).__name__ for part in parts)
        raise TaskFileError(f"build() returned ({found}); it must return (model, loss, optimizer)")
    return parts


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


def describe_error(error: BaseException, path: Path) -> str:
    """An error of the user's code as Python shows it, from the user's file on."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) != path:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace, chain=False)).rstrip()


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
    except SystemExit as error:
        sys.exit(f"{given.file} ended Python by itself (exit code {error.code}) before the model was captured")
    except MemoryError:
        sys.exit(f"not enough memory on this machine to capture {given.file}; try fewer steps or smaller batches")
    except Exception as error:
        sys.exit(f"{given.file} raised an error:\n{describe_error(error, given.file)}")


if __name__ == "__main__":
    main()
