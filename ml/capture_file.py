"""Turns a user's Python file into a bundle: ``python -m ml.capture_file FILE FOLDER [--steps N] [--batch-size N]``.
Likewise a model archive (.pt2, .onnx), with options for what that does not hold; see `ml.archives`.

It runs the file, so it is a process of its own, started by the command line for the user's own files only. The file
has a function ``build`` that returns (model, loss, optimizer) and the variables

- ``DATA``: "mnist", a folder with IDX files, or a function that returns (train, test) mappings of field to array;
- ``BATCH_SIZE``, ``STEPS``; optionally ``LEARNING_RATES`` (one a step, or a function of the step), ``CLIP_NORM`` (bound
  on the norm of all gradients together), ``PREPROCESS``, ``INITIAL``.

``build`` may return a scheduler of ``torch.optim.lr_scheduler`` as its fourth part; it is run through in advance.
See ``examples/mnist.py``. The first field is the model's input, the second the target.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ml.archives import SUFFIXES, Settings, open_archive
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


def capture_file(
    path: Path, folder: Path, steps: int | None = None, batch_size: int | None = None, settings: Settings | None = None
) -> None:
    """Run a task file, capture its model, and write the bundle. Raises `TaskFileError` or the capture's errors."""
    if path.suffix in SUFFIXES:
        names = open_archive(path).names(path, settings or Settings(), steps, batch_size)
    elif settings is not None:
        raise TaskFileError(f"{path} says its loss, optimizer and data itself; the options are for archives")
    else:
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
    model, loss, optimizer, *scheduler = build_parts(build)
    rates = learning_rates(names.get("LEARNING_RATES"), steps)
    if scheduler:
        rates = scheduled_rates(scheduler[0], optimizer, steps)
    evaluation_batch = names.get("EVALUATION_BATCH") or EVALUATION_BATCH
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
        evaluation_batch=evaluation_batch,
        clip_norm=clip_norm(names.get("CLIP_NORM")),
    )
    captured.check()
    record = build_record(captured, train, test, batch_size, steps, evaluation_batch)
    save_bundle(folder, record, train.fields, test.fields, captured.scalars.astype("<f4").tobytes())


def whole_number(names: Mapping[str, Any], name: str, default: int) -> int:
    """A variable of the task file that counts something."""
    value = names.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TaskFileError(f"{name} is {value!r}; it must be a whole number, 1 or more")
    return value


def learning_rates(rates: Any, steps: int) -> list[float | tuple[float, ...]] | None:
    """A rate a step, or a row of one for each parameter group; None where the optimizer's own are meant throughout."""
    if rates is None:
        return None
    try:
        given = [rates(step) for step in range(steps)] if callable(rates) else list(rates)
        numbers = [tuple(map(float, one)) if isinstance(one, tuple | list) else float(one) for one in given]
    except (TypeError, ValueError) as error:
        raise TaskFileError(f"LEARNING_RATES must be a sequence of numbers, one a step: {error}") from None
    if len(numbers) < steps:
        raise TaskFileError(f"LEARNING_RATES has {len(numbers)} rates for {steps} steps")
    return numbers[:steps]


def scheduled_rates(scheduler: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float | tuple[float, ...]]:
    """Every group's rate at every step, from a scheduler that is stepped after each. The optimizer has no gradients
    yet, so that its own steps do nothing."""
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        name = type(scheduler).__name__
        raise TaskFileError(f"{name} is no schedule that is known in advance; use another of torch.optim.lr_scheduler")
    fixed = ("momentum", "betas", "weight_decay")
    before = [{name: group.get(name) for name in fixed} for group in optimizer.param_groups]
    rows: list[float | tuple[float, ...]] = []
    for _ in range(steps):
        rows.append(tuple(float(group["lr"]) for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    for group, old in zip(optimizer.param_groups, before, strict=True):
        for name in fixed:
            if group.get(name) != old[name]:
                raise TaskFileError(
                    f"{type(scheduler).__name__} changes {name} too, which is fixed in a program; OneCycleLR and "
                    "CyclicLR take cycle_momentum=False"
                )
    return rows


def clip_norm(bound: Any) -> float | None:
    """The bound on the gradients' norm, or None."""
    if bound is None or (isinstance(bound, int | float) and not isinstance(bound, bool) and bound > 0):
        return bound
    raise TaskFileError(f"CLIP_NORM is {bound!r}; it must be a number above 0")


def build_parts(build: Callable[[], Any]) -> tuple[Any, ...]:
    """What the task file's ``build`` returns: a module, a loss, an optimizer over the module's parameters, and maybe a
    scheduler."""
    with noting_birthplaces(), noting_draws():
        built = build()
    parts = tuple(built) if isinstance(built, Iterable) and not isinstance(built, torch.nn.Module) else (built,)
    if len(parts) not in (3, 4) or not isinstance(parts[0], torch.nn.Module) or not callable(parts[1]):
        found = ", ".join(type(part).__name__ for part in parts)
        raise TaskFileError(f"build() returned ({found}); it must return (model, loss, optimizer[, scheduler])")
    return parts


def build_record(
    captured: CapturedTask, train: Dataset, test: Dataset, batch_size: int, steps: int, evaluation_batch: int
) -> BundleRecord:
    """The figures of a bundle."""
    return BundleRecord(
        train=encode(captured.train),
        init=encode(captured.init),
        evaluation=encode(captured.evaluation),
        evaluation_batch=evaluation_batch,
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
    parser.add_argument("--archive", metavar="JSON", help="settings of an archive, as ml.archives.Settings has them")
    given = parser.parse_args()
    try:
        settings = Settings(**json.loads(given.archive)) if given.archive else None
        capture_file(given.file, given.folder, given.steps, given.batch_size, settings)
    except SolventError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except SystemExit as error:
        sys.exit(f"{given.file} ended Python by itself (exit code {error.code}) before the model was captured")
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            sys.exit(f"not enough memory on this machine to capture {given.file}; try smaller tensors or batches")
        sys.exit(f"{given.file} raised an error:\n{describe_error(error, given.file)}")


if __name__ == "__main__":
    main()
