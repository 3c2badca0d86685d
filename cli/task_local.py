"""``solvent task compile`` and ``solvent task run``: a task on one's own machine, without a node."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.output import console, fail, print_json, print_table, say
from cli.task_files import capture

if TYPE_CHECKING:
    from ml.bundle import Bundle

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
LOSSES = ("cross-entropy", "mse", "l1", "huber", "binary-cross-entropy")
LARGE_PROGRAM = 120_000
"""Bytes above which checking a program takes more than a block has time for."""


def capture_options(function: Any) -> Any:
    """What may be said instead of a task file's variables, and beside a model archive."""
    for option in (
        click.option("--data", help='An archive\'s samples: "mnist", a folder of IDX files, or an .npz file.'),
        click.option("--weight-decay", type=click.FloatRange(0), help="An archive's weight decay."),
        click.option("--momentum", type=click.FloatRange(0), help="An archive's momentum, of sgd."),
        click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="An archive's learning rate."),
        click.option("--optimizer", type=click.Choice(("sgd", "adam", "adamw")), help="An archive's optimizer."),
        click.option("--loss", type=click.Choice(LOSSES), help="An archive's loss."),
        click.option("--batch-size", type=click.IntRange(1), help="Samples a step, else the file's BATCH_SIZE."),
        click.option("--steps", type=click.IntRange(1), help="Training steps, else the file's STEPS."),
    ):
        function = option(function)
    return function


@click.command("compile")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@capture_options
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Keep the bundle in this folder.")
@JSON
def compile_file(
    file: Path, steps: int | None, batch_size: int | None, out: Path | None, as_json: bool, **archive: Any
) -> None:
    """Lower FILE to a program and say what it takes: operators, memory, gas, time. Nothing is submitted.

    FILE is a Python file, or a model archive of torch.export (.pt2) or ONNX (.onnx), beside which loss, optimizer and
    data may be said.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = capture(file, out or Path(folder), steps, batch_size, archive)
        from ml.local_run import outline

        found = outline(bundle)
    if as_json:
        print_json(asdict(found))
        return
    print_table("", ["operator", ">nodes"], [[name, f"{count:,}"] for name, count in found.operators.items()])
    rows = [
        ["nodes", f"{found.nodes:,}"],
        ["program", f"{found.program_bytes:,} bytes, and {found.init_bytes:,} of initialisation"],
        ["memory of a step", f"{found.memory / 1e6:,.1f} MB, of which the state is {found.state / 1e6:,.1f}"],
        ["gas of a step", f"{found.gas_of_step:,}"],
        ["gas of the task", f"{found.gas:,} for {found.steps:,} steps of {found.batch_size:,} samples"],
        ["time on one core", describe_time(found.seconds, found.timed)],
    ]
    print_table("", ["", ""], rows)
    if max(found.program_bytes, found.init_bytes) > LARGE_PROGRAM:
        say(f"Programs above {LARGE_PROGRAM:,} bytes do not fit a block: use fewer layers or shorter sequences.")
    if out:
        say(f"Run it here: solvent task run {out}")


def describe_time(seconds: float, timed: bool) -> str:
    """How long a task takes, and how that is known."""
    return f"about {describe_seconds(seconds)}, " + ("by steps timed here" if timed else "guessed from its gas")


def describe_seconds(seconds: float) -> str:
    """A duration for people."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else f"{seconds:.1f} seconds"


@contextmanager
def opened(program: Path, steps: int | None, batch_size: int | None, archive: Mapping[str, Any]) -> Iterator[Bundle]:
    """The bundle in a folder, or that of a Python file or archive, which is captured first."""
    from ml.bundle import Bundle

    if program.is_dir():
        if steps or batch_size or any(value is not None for value in archive.values()):
            fail("a compiled program is fixed; give the file that it was compiled from to change anything but --seed")
        yield Bundle.open(program)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield capture(program, Path(folder), steps, batch_size, archive)


@click.command("run")
@click.argument("program", type=click.Path(exists=True, path_type=Path))
@capture_options
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 256))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of weights and order.")
@click.option("--model", type=click.Path(dir_okay=False, path_type=Path), help="Write the model as safetensors.")
@JSON
def run_program(
    program: Path, steps: int | None, batch_size: int | None, device: str, threads: int, seed: int, model: Path | None,
    as_json: bool, **archive: Any,
) -> None:  # fmt: skip
    """Train PROGRAM (a Python file, a model archive, or a folder that `compile --out` wrote); print the state root."""
    from ml.artifacts import encode_tensors, write_atomically
    from ml.devices import DeviceMissing, open_backend
    from ml.local_run import run_locally

    try:
        open_backend(device, threads)
    except DeviceMissing as error:
        fail(str(error))
    with opened(program, steps, batch_size, archive) as bundle:
        began = time.perf_counter()
        losses: list[float] = []
        bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(), console=console, disable=as_json,
        )  # fmt: skip
        with bar:
            line = bar.add_task("training", total=bundle.record.steps, loss="")

            def on_step(step: int, metrics: Any) -> None:
                losses.append(float(metrics["loss"]))
                bar.update(line, advance=1, loss=f"{losses[-1]:.4f}")

            root, state = run_locally(bundle, seed, threads, on_step, device)
        seconds = time.perf_counter() - began
        accuracy = bundle.accuracy(state, threads)
        if model:
            write_atomically(model, encode_tensors(bundle.export(state)))
    broken = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), None)
    if as_json:
        document = {"root": "0x" + root.hex(), "device": device, "steps": len(losses), "seed": seed}
        first, last = (loss if math.isfinite(loss) else None for loss in (losses[0], losses[-1]))
        print_json({**document, "first_loss": first, "last_loss": last, "broken_from": broken, "accuracy": accuracy})
        return
    if broken is not None:
        say(f"From step {broken} on the loss is {losses[broken]}, and that is the exact result.")
        say("Lower the learning rate, or bound the gradients with CLIP_NORM.")
    say(f"{len(losses):,} steps in {describe_seconds(seconds)}; loss from {losses[0]:.4f} to {losses[-1]:.4f}.")
    if accuracy is not None:
        say(f"Test accuracy {accuracy:.1%}.")
    if model:
        say(f"Wrote the model to {model}.")
    say(f"State root 0x{root.hex()}")
