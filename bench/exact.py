"""Exact training against PyTorch: time, memory and operators of a step, and what makes it provable costs.

All sides train the same models on the same kind of batches, in processes of their own (`bench.exact_sides`).
Measurements alternate, some steps each; a ratio is the median over neighbours, so that a busy machine slows all alike.
Beside the clock stands the CPU time of all threads, which does not depend on who else runs. The absolute times mean
little on a shared machine; the ratios are what counts.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.architectures import ARCHITECTURES, Architecture
from bench.exact_operators import KINDS
from bench.exact_proof import measure_disputes
from bench.exact_sides import ALL_SIDES, SideError, SideProcess, Spent, prepare_environment
from bench.report import Progress, Report, Table, silent
from ml.devices import open_backend

Row = dict[str, Any]


def measure(sides: dict[str, SideProcess], threads: int, pairs: int, steps: int) -> Row:
    """Seconds a step of each side, and medians of the ratios to the exact one over neighbouring measurements."""
    facts = {name: side.ask("use", threads) for name, side in sides.items()}
    spent: dict[str, list[Spent]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, side in sides.items():
            spent[name].append(side.ask("run", steps))
    row: Row = {"threads": threads, **facts["exact"]}
    for name, found in spent.items():
        row[f"{name}_us"] = 1e6 * median(one.wall for one in found)
        row[f"{name}_cpu_us"] = 1e6 * median(one.cpu for one in found)
        if name != "exact":
            walls = [ours.wall / theirs.wall for ours, theirs in zip(spent["exact"], found, strict=True)]
            row[f"{name}_ratio"], row[f"{name}_ratio_range"] = median(walls), (min(walls), max(walls))
            cpus = [ours.cpu / theirs.cpu for ours, theirs in zip(spent["exact"], found, strict=True)]
            row[f"{name}_cpu_ratio"] = median(cpus)
    return row


def measure_model(architecture: Architecture, names: tuple[str, ...], device: str, pairs: int, steps: int) -> Row:
    """Times with one thread and two, peak memory with one, and the time of each kind of operator."""
    with ExitStack() as stack:
        sides = {name: stack.enter_context(SideProcess(name, architecture.name, device)) for name in names}
        failures = {}
        for name in names[2:]:
            try:
                sides[name].ask("use", 1)
            except SideError as error:
                failures[name] = str(error)
                del sides[name]
        one = measure(sides, 1, pairs, steps)
        memory = {name: side.ask("peak") for name, side in sides.items()}
        operators = {name: sides[name].ask("operators", max(3, steps)) for name in names[:2]}
        proof = sides["exact"].ask("proof")
        two = measure(sides, 2, pairs, steps)
    return {
        "model": architecture.name, "times": [one, two], "peak_bytes": memory, "operators": operators,
        "proof": proof, "failures": failures,
    }  # fmt: skip


def run(
    quick: bool = False, progress: Progress = silent, pairs: int = 0, steps: int = 0, device: str = "cpu"
) -> Report:
    """Measure every model; ``pairs`` and ``steps`` override how long. Quick leaves torch.compile out."""
    open_backend(device)
    names = ALL_SIDES[:2] if quick else ALL_SIDES
    busy = prepare_environment()
    pairs = pairs or (3 if quick else 15)
    models = []
    for architecture in ARCHITECTURES:
        count = steps or max(1, architecture.steps // (2 if quick else 1))
        progress(f"{architecture.name}: {pairs} times {count} steps of {', '.join(names)}; one thread, then two")
        models.append(measure_model(architecture, names, device, pairs, count))
    progress("disputes")
    figures = {
        "device": device,
        "models": models,
        "disputes": measure_disputes(played=2 if quick else 3),
    }
    tables = (_times(models), _memory(models), _operators(models), _proof(models), _disputes(figures))
    return Report("exact", figures, tables, _remarks(models, quick, busy, device))


def _remarks(models: list[Row], quick: bool, busy: bool, device: str) -> tuple[str, ...]:
    failures = sorted({text for row in models for text in row["failures"].values()})
    return (
        "Ratios are exact / PyTorch, medians of neighbouring measurements; CPU counts all threads, spinning ones too.",
        "Targets: 1.0 for the MLP and the transformers, 1.15 for the convolutional networks.",
        "Memory: peak resident bytes on top of what the process held before the model was built, one thread.",
        "Operators: our times by one instruction at a time, PyTorch's by its profiler, which makes small ones longer.",
        *(["On a card, memory is the host's. A PyTorch without CUDA computes on the CPU."] if device != "cpu" else ()),
        *(["Other programs were running, so PyTorch's threads slept instead of spinning."] if busy else ()),
        *(["torch.compile takes up to a minute a model and was left out (--quick)."] if quick else ()),
        *(f"torch.compile failed here: {text}" for text in failures),
    )


def _times(models: list[Row]) -> Table:
    rows = []
    for model in models:
        for row in model["times"]:
            low, high = row["eager_ratio_range"]
            compiled = "compiled_ratio" in row
            rows.append((
                model["model"], f"{row['threads']}", f"{row['exact_us'] / 1e3:.2f}", f"{row['eager_us'] / 1e3:.2f}",
                f"{row['eager_ratio']:.2f}", f"{low:.2f} to {high:.2f}", f"{row['eager_cpu_ratio']:.2f}",
                f"{row['compiled_ratio']:.2f}" if compiled else "-",
                f"{row['compiled_cpu_ratio']:.2f}" if compiled else "-",
                f"{row['nodes']:,}", f"{row['bytes']:,}", f"{row['gas'] / 1e3:,.0f}",
            ))  # fmt: skip
    columns = (
        "model", ">threads", ">exact ms", ">eager ms", ">to eager", "range", ">CPU", ">to compiled", ">CPU",
        ">nodes", ">bytes", ">gas",
    )  # fmt: skip
    return Table("A training step, exact and by PyTorch", columns, tuple(rows))


def _memory(models: list[Row]) -> Table:
    rows = []
    for model in models:
        peak, planned = model["peak_bytes"], model["times"][0]["planned_bytes"]
        ratios = [f"{peak['exact'] / peak[name]:.2f}" if peak.get(name) else "-" for name in ALL_SIDES[1:]]
        sizes = [f"{peak[name] / 1e6:.1f}" if peak.get(name) else "-" for name in ALL_SIDES]
        rows.append((model["model"], f"{planned / 1e6:.1f}", *sizes, *ratios))
    columns = ("model", ">planned MB", ">exact MB", ">eager MB", ">compiled MB", ">to eager", ">to compiled")
    return Table("Peak memory of training", columns, tuple(rows))


def _operators(models: list[Row]) -> Table:
    rows = []
    for model in models:
        ours, theirs = model["operators"]["exact"], model["operators"]["eager"]
        total = sum(ours.values())
        for kind in KINDS:
            mine, other = ours.get(kind, 0.0), theirs.get(kind, 0.0)
            if max(mine / total, other / sum(theirs.values())) < 0.01:
                continue
            ratio = f"{mine / other:.2f}" if mine and other else "-"
            rows.append(
                (model["model"], kind, f"{1e6 * mine:,.0f}", f"{mine / total:.0%}", f"{1e6 * other:,.0f}", ratio)
            )
    columns = ("model", "operators", ">exact us", ">share", ">eager us", ">ratio")
    return Table("Where a step's time goes, one thread", columns, tuple(rows))


def _proof(models: list[Row]) -> Table:
    rows = tuple(
        (
            model["model"], f"{row['state_bytes'] / 1e6:.2f}", f"{row['hash_us'] / 1e3:.2f}",
            f"{row['hash_us'] / row['step_us'] / 100:.2%}", f"{row['value_bytes'] / 1e6:.1f}",
            f"{row['trace_us'] / 1e3:.1f}", f"{row['trace_us'] / row['step_us']:.1f}",
        )
        for model in models
        for row in (model["proof"],)
    )  # fmt: skip
    columns = (
        "model", ">state MB", ">root ms", ">of training, one root in 100 steps", ">values MB", ">trace ms", ">in steps",
    )  # fmt: skip
    return Table("Checkpoints, and the trace of one step on demand (CPU time, one thread)", columns, rows)


def _disputes(figures: Row) -> Table:
    rows = tuple(
        (
            row["model"], f"{row['parameters']:,}", f"{row['moves']}",
            f"{row['played_bytes']:,}" if row["played_bytes"] else "-", f"{row['most_bytes']:,}",
        )
        for row in figures["disputes"]
    )  # fmt: skip
    columns = ("model", ">parameters", ">most moves", ">bytes of a game played", ">bytes at most")
    return Table("Disputes by size of the model, segments of 1,000 steps", columns, rows)
