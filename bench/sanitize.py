"""The kernels under the address, undefined-behaviour and thread sanitizers, on the programs of the tests.

The tests of the kernels run with a recording backend (``bench/cross_suite.py``); what they executed, random shapes and
hostile attributes included, is replayed by a program that gcc compiled with sanitizers. There each value of a program
lies between guards, so that the first byte read or written outside of it ends the run, and so does an overflowing
integer, a misaligned access or a conversion out of range; with three threads, a data race. Needs a checkout with its
tests.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest

from bench import cross
from bench.cross_suite import Recorder, Suite, suite_of
from bench.report import Progress, Report, Table
from ml import selftest
from ml.kernels import CpuBackend

ROOT = Path(__file__).parents[1]
TESTS = ("kernels", "kernels_convolution", "kernels_elementary", "kernels_general", "hostile_programs")
COMMON = ("-O1", "-g", "-fno-sanitize-recover=all")
SANITIZERS = {
    "address, undefined": (*COMMON, "-fsanitize=address,undefined,float-cast-overflow"),
    "thread": (*COMMON, "-fsanitize=thread"),
}


class TestsFailed(cross.CrossError):
    """The tests must pass before their programs are worth replaying."""


def record(quick: bool, progress: Progress) -> Suite:
    """The self-test, and every program that the tests of the kernels ran."""
    from tests.ml import kernel_cases

    recorder = Recorder(CpuBackend(), "self-test")
    selftest.check(recorder.backend)
    selftest.compute_digests(recorder)
    recorder.title, recorder.guarded = "a program of the tests", True
    usual, kernel_cases.BACKENDS = kernel_cases.BACKENDS, (recorder,)
    try:
        for name in TESTS[-1:] if quick else TESTS:
            progress(f"recording tests/ml/test_{name}.py")
            if pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", str(ROOT / f"tests/ml/test_{name}.py")]):
                raise TestsFailed(f"tests/ml/test_{name}.py fails")
    finally:
        kernel_cases.BACKENDS = usual
    return suite_of(recorder)


def run(quick: bool, progress: Progress) -> Report:
    """Replay under each sanitizer, by every instruction set. quick: the hostile programs alone, no races."""
    suite = record(quick, progress)
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        file, driver = Path(folder) / "suite", Path(folder) / "driver"
        file.write_bytes(suite.file)
        for name, arguments in list(SANITIZERS.items())[: 1 if quick else None]:
            build = dataclasses.replace(cross.BUILDS[0], arguments=arguments)
            progress(f"compiling with sanitizers: {name}")
            try:
                cross.compile_driver(build, driver)
                progress(f"replaying {len(suite.cases):,} programs")
                for outcome in cross.replay(build, driver, suite, file):
                    rows.append((name, outcome.instruction_set, str(outcome.threads), outcome.result))
            except cross.CrossError as error:
                rows.append((name, "", "", f"FOUND: {error}"))
    columns = ("sanitizer", "instructions", ">threads", "result")
    table = Table(f"{len(suite.cases):,} programs under sanitizers", columns, tuple(rows))
    figures = {"programs": len(suite.cases), "clean": all(row[-1] == "equal" for row in rows), "rows": rows}
    return Report("sanitize", figures, (table,))
