"""``solvent bench``: measure, and say what was found; the measurements themselves are in ``bench/``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from bench.report import Progress, Report, machine_line, silent
from cli.output import console, fail, print_json, print_table


@click.group(name="bench")
def command() -> None:
    """Measure."""


def bench_options(function: Any) -> Any:
    """Options that every benchmark has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    return click.option("--quick", is_flag=True, help="End within a minute; rougher figures.")(function)


def measure(name: str, quick: bool, as_json: bool, **options: Any) -> Report:
    """Run ``bench.<name>`` and print its report. The module is imported only now: some need PyTorch."""
    progress: Progress = silent if as_json else lambda line: console.print(line, style="dim")
    report = importlib.import_module(f"bench.{name}").run(quick, progress, **options)
    assert isinstance(report, Report)
    if as_json:
        print_json(report.to_document())
        return report
    for table in report.tables:
        console.print()
        print_table(table.title, table.columns, table.rows)
    console.print()
    for remark in (*report.remarks, machine_line(report.machine)):
        console.print(remark)
    return report


@command.command()
@bench_options
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Of our side.")
def exact(quick: bool, as_json: bool, device: str) -> None:
    """A bit-exact training step against PyTorch: time, memory, operators, and the cost of proving it."""
    from ml.devices import DeviceMissing

    try:
        measure("exact", quick, as_json, device=device)
    except DeviceMissing as error:
        fail(str(error))


@command.command()
@bench_options
def cross(quick: bool, as_json: bool) -> None:
    """The same bits from gcc, clang and zig, from every instruction set, and from emulated aarch64 and riscv64."""
    report = measure("cross", quick, as_json)
    if report.figures["equal"] < report.figures["lines"]:
        fail("not everything ran and gave equal bits: see the lines above")


@command.command()
@bench_options
def sanitize(quick: bool, as_json: bool) -> None:
    """The kernels on the tests' programs under the address, undefined-behaviour and thread sanitizers."""
    report = measure("sanitize", quick, as_json)
    if not report.figures["clean"]:
        fail("a sanitizer found something: see the lines above")


@command.command()
@bench_options
@click.option("--function", "functions", multiple=True, help="Only this one (exp, log, rsqrt, ...); repeatable.")
@click.option("--processes", type=click.IntRange(0, 256), default=0, help="Default: one for each processor.")
def exhaustive(quick: bool, as_json: bool, functions: tuple[str, ...], processes: int) -> None:
    """Every float through every function of one argument: correctly rounded, or the fixed program. Resumable."""
    from bench.exhaustive import FUNCTIONS

    unknown = [name for name in functions if name not in FUNCTIONS]
    if unknown:
        fail(f"no function is named {unknown[0]}; there are {', '.join(FUNCTIONS)}")
    report = measure("exhaustive", quick, as_json, functions=functions, processes=processes)
    wrong = [name for name, figures in report.figures.items() if figures["wrong"]]
    if wrong:
        fail(f"other bits than the definition's: {', '.join(wrong)}")


@command.command()
@bench_options
def estimates(quick: bool, as_json: bool) -> None:
    """What `task compile` says that a task takes, against what it takes."""
    measure("estimates", quick, as_json)


@command.command()
@bench_options
def disputes(quick: bool, as_json: bool) -> None:
    """Moves, bytes and chain time of a dispute, by model size."""
    measure("disputes", quick, as_json)


@command.command()
@bench_options
def detection(quick: bool, as_json: bool) -> None:
    """Published spoofs against plain proof-of-learning and against Solvent; how soon audits meet a cheat."""
    measure("detection", quick, as_json)


@command.command()
@bench_options
def rpc(quick: bool, as_json: bool) -> None:
    """Calls per second by method and transport, and how soon a subscriber hears of a block."""
    measure("rpc", quick, as_json)


@command.command()
@bench_options
def transfers(quick: bool, as_json: bool) -> None:
    """Signed transfers per second: authored, and imported cold and warm."""
    measure("transfers", quick, as_json)


@command.command()
@bench_options
@click.option("--rate", type=click.IntRange(0), default=0, help="Transfers per second; default: 400, quick 100.")
@click.option("--seconds", type=click.IntRange(0), default=0, help="For how long; default: 60, quick 15.")
def network(quick: bool, as_json: bool, rate: int, seconds: int) -> None:
    """Signed transfers per second through four validators, and what one costs each node."""
    measure("network", quick, as_json, rate=rate, seconds=seconds)


@command.command()
@bench_options
@click.option("--docker", is_flag=True, help="On the containers of docker-compose.yml instead of processes.")
def recovery(quick: bool, as_json: bool, docker: bool) -> None:
    """Seconds from a healed fault (kill, pause, disconnect, restart) until finality advances on every node."""
    from bench.cluster import ClusterError

    try:
        measure("recovery", quick, as_json, docker=docker)
    except ClusterError as error:
        fail(str(error))


@command.command()
@bench_options
def sync(quick: bool, as_json: bool) -> None:
    """Empty blocks imported per second low and high on a chain, a warp, and updates of the state tree."""
    measure("sync", quick, as_json)


@command.command()
@bench_options
@click.option("--write", is_flag=True, help="Replace the measured table in runtime/weights.py.")
def weights(quick: bool, as_json: bool, write: bool) -> None:
    """What each call costs in the worst case, against the committed table of weights."""
    target = Path(importlib.import_module("runtime.weights").__file__ or "") if write else None
    measure("weights", quick, as_json, target=target)
