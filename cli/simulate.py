"""``solvent simulate``: whole networks of validators in virtual time, one for each seed, on all cores.

A seed that fails is printed with its plan, and with the command that brings its whole history back.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import click

from cli.output import say
from node.simulator import Report, SimulationFailed, simulate


def run_seed(seed: int, slots: int, harsh: bool) -> Report | str:
    """One run; what failed and how to replay it, when it fails."""
    try:
        return simulate(seed, slots, harsh)
    except SimulationFailed as error:
        options = "--harsh" if harsh else f"--slots {slots}"
        return f"{error}\nreplay it with: solvent simulate --seeds 1 --first {seed} {options}"


@click.command(name="simulate")
@click.option("--seeds", default=100, show_default=True, help="How many networks.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option(
    "--slots",
    default=60,
    type=click.IntRange(min=20),
    show_default=True,
    help="Slots of two seconds that each network runs, and blocks that it finalizes.",
)
@click.option("--harsh", is_flag=True, help="Crash every node again and again, one partition after another (90 slots).")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def command(seeds: int, first: int, slots: int, harsh: bool, jobs: int) -> None:
    """Run seeded networks with crashes, partitions and lying validators, and check that they agree."""
    started, failed, reports = time.perf_counter(), 0, []
    with ProcessPoolExecutor(jobs) as pool:
        chosen = range(first, first + seeds)
        for seed, report in zip(chosen, pool.map(run_seed, chosen, [slots] * seeds, [harsh] * seeds), strict=True):
            if isinstance(report, str):
                failed += 1
                say(f"FAILED {report}")
                continue
            reports.append(report)
            say(
                f"seed {seed}: {report.finalized} of {report.blocks} blocks final, {report.sets + 1} authority sets, "
                f"{report.crashes} crashes, {report.lies} lies, {report.slashed} slashed, "
                f"recovered after {report.recovered_after:.0f} s"
            )
    blocks = sum(report.blocks for report in reports)
    seconds = time.perf_counter() - started
    say(f"{len(reports)} of {seeds} seeds passed, {blocks} blocks, {seconds / seeds:.2f} s a seed on {jobs} processes")
    sys.exit(1 if failed else 0)
