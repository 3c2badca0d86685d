"""The same bits from every compiler, C library, instruction set and processor at hand.

The self-test of every operator and whole training steps (``bench/cross_suite.py``) are replayed by a program without
Python (``bench/cross.c``), compiled by gcc, clang and zig for x86-64, aarch64 and riscv64; foreign processors are
emulated by qemu. What it prints must equal, byte for byte, what the kernels of this machine gave, which passed the
committed self-test.

A tool that is missing is named with the package that brings it, and the run then fails: nothing is skipped in silence.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cross_suite import Suite, record
from bench.report import Progress, Report, Table
from ml.kernel_build import FLAGS, SOURCES
from ml.selftest import DIGEST
from runtime.errors import SolventError

KERNELS = Path(__file__).parents[1] / "ml" / "csrc"
DRIVER = Path(__file__).with_name("cross.c")
LIMIT = 3600
"""Seconds that one compilation or one replay may take."""
X86_SETS = ("avx512", "avx2", "baseline")


class CrossError(SolventError):
    """A compiler or a replay failed."""


@dataclass(frozen=True)
class Build:
    """One way to compile the kernels. ``sets``: the instruction sets of the target, if its processor has them all."""

    target: str
    compiler: str
    arguments: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()
    sets: tuple[str, ...] = X86_SETS
    packages: str = "gcc"
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.compiler}{self.note}"


STATIC = ("-O3", "-static")
BUILDS = (
    Build("x86_64", "gcc", ("-O3",)),
    Build("x86_64", "gcc", ("-O0",), note=" -O0"),
    Build("x86_64", "clang", ("-O3",), packages="clang"),
    # zig's run-time library does not tell what the processor can do, so kernels that it compiled never leave SSE2.
    Build("x86_64", "zig", ("-target", "x86_64-linux-musl", *STATIC), (), ("baseline",), "ziglang", ", musl"),
    Build("x86_64", "gcc", STATIC, ("qemu-x86_64", "-cpu", "Nehalem"), ("baseline",), "qemu-user", ", without AVX"),
    Build("aarch64", "aarch64-linux-gnu-gcc", STATIC, ("qemu-aarch64",), ("neon",), "gcc-aarch64-linux-gnu qemu-user"),
    Build(
        "aarch64",
        "zig",
        ("-target", "aarch64-linux-musl", *STATIC),
        ("qemu-aarch64",),
        ("neon",),
        "ziglang qemu-user",
        ", musl",
    ),
    Build(
        "riscv64", "riscv64-linux-gnu-gcc", STATIC, ("qemu-riscv64",), ("baseline",), "gcc-riscv64-linux-gnu qemu-user"
    ),
    Build(
        "riscv64",
        "zig",
        ("-target", "riscv64-linux-musl", *STATIC),
        ("qemu-riscv64",),
        ("baseline",),
        "ziglang qemu-user",
        ", musl",
    ),
)
QUICK = (BUILDS[0], BUILDS[2])


@dataclass(frozen=True)
class Outcome:
    """One line of the table."""

    build: Build
    instruction_set: str
    threads: int
    result: str
    seconds: float

    @property
    def equal(self) -> bool:
        return self.result == "equal"


def find_compiler(name: str) -> tuple[str, ...] | None:
    """The command that starts a compiler; zig also comes as a Python package."""
    if name == "zig" and importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    path = shutil.which(name)
    if path is None:
        return None
    return (path, "cc") if name == "zig" else (path,)


def missing(build: Build) -> str:
    """What a build lacks on this machine, or ""."""
    lacking = [] if find_compiler(build.compiler) else [build.compiler]
    lacking += [tool for tool in _emulator(build)[:1] if shutil.which(tool) is None]
    if not lacking:
        return ""
    tools = "pip install" if build.packages == "ziglang" else "install"
    return f"NOT RUN: no {' and no '.join(lacking)} ({tools} {build.packages})"


def _emulator(build: Build) -> tuple[str, ...]:
    """None where this machine's own processor is meant."""
    own = platform.machine() == build.target and build.emulator[1:2] != ("-cpu",)
    return () if own else build.emulator or (f"qemu-{build.target}",)


def compile_driver(build: Build, output: Path) -> None:
    """The replaying program of one build. Raises `CrossError` with what the compiler says."""
    command = find_compiler(build.compiler)
    assert command is not None
    flags = [flag for flag in FLAGS if not flag.startswith("-O")]
    sources = [str(KERNELS / name) for name in SOURCES]
    libraries = ["-pthread", "-lm"]
    _run([*command, *flags, *build.arguments, f"-I{KERNELS}", str(DRIVER), *sources, "-o", str(output), *libraries])


def _run(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise CrossError(f"{command[0]} ended with {done.returncode}: {said[:600]}")
    return done.stdout


def replay(build: Build, driver: Path, suite: Suite, file: Path) -> list[Outcome]:
    """Every instruction set, with one thread and with three; and those that this processor lacks."""
    start = (*_emulator(build), str(driver))
    found = _run(start).decode().split()
    outcomes = []
    for number, name in enumerate(found):
        for threads in (1, 3) if number == 0 else (1,):
            begun = time.monotonic()
            output = _run([*start, str(file), str(number), str(threads)])
            result = "equal" if output == suite.expected else f"DIFFERENT: {suite.locate(output)}"
            outcomes.append(Outcome(build, name, threads, result, time.monotonic() - begun))
    lacking = [name for name in build.sets if name not in found]
    return outcomes + [Outcome(build, name, 1, "NOT RUN: the run-time choice finds none here", 0.0) for name in lacking]


def run(quick: bool, progress: Progress) -> Report:
    """Compile, replay and compare everything; quick: gcc and clang on this machine's processor, and one model."""
    if not KERNELS.exists():
        raise CrossError("the sources of the kernels are not installed: run this in a checkout")
    suite = record(quick, progress)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "suite"
        file.write_bytes(suite.file)
        for number, build in enumerate(QUICK if quick else BUILDS):
            lack = missing(build)
            if lack:
                outcomes.append(Outcome(build, "", 0, lack, 0.0))
                continue
            progress(f"{build.target}: {build.name}")
            driver = Path(folder) / f"driver{number}"
            try:
                compile_driver(build, driver)
                outcomes += replay(build, driver, suite, file)
            except (CrossError, subprocess.TimeoutExpired, OSError) as error:
                outcomes.append(Outcome(build, "", 0, f"FAILED: {error}", 0.0))
            driver.unlink(missing_ok=True)
    return _report(suite, outcomes)


def _report(suite: Suite, outcomes: list[Outcome]) -> Report:
    lines = [
        {
            "target": outcome.build.target,
            "compiler": outcome.build.name,
            "emulator": " ".join(_emulator(outcome.build)),
            "instructions": outcome.instruction_set,
            "threads": outcome.threads,
            "result": outcome.result,
            "seconds": round(outcome.seconds, 1),
        }
        for outcome in outcomes
    ]
    columns = ("processor", "compiler", "emulator", "instructions", ">threads", "bits", ">seconds")
    models = sorted({case.name for case in suite.cases} - {"operators"})
    rows = tuple(tuple(str(value or "") for value in line.values()) for line in lines)
    table = Table(f"The self-test of every operator and training steps of {len(models)} models", columns, rows)
    equal = sum(outcome.equal for outcome in outcomes)
    compared = f"{len(suite.expected):,} bytes each: the self-test {DIGEST}, {', '.join(models)}"
    remarks = (f"{equal} of {len(outcomes)} equal; {compared}",)
    figures = {
        "equal": equal,
        "lines": len(outcomes),
        "bytes_compared": len(suite.expected),
        "selftest": DIGEST,
        "models": models,
        "rows": lines,
    }
    return Report("cross", figures, (table,), remarks)
