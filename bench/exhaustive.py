"""Every float there is, through every function that has one argument: are the kernels' bits the defined ones?

*Correctly rounded* functions (exp, log, sqrt, rsqrt) are held against a reference of other making: NumPy's float64
function, whose error is known to be far below the interval that is put around it. Where both ends of the interval round
to one float32, that is the right answer; the few arguments that stay undecided go to mpmath with 300 bits. *Fixed
programs* (tanh, sigmoid, erf, GELU and its slope) are held, bit for bit, against the same program in NumPy; against the
reference it is counted how often they miss the nearest float32 and by how many floats at most. All instruction sets of
the processor must agree.

Chunks that are done are kept in ``.exhaustive/``, so that a run that is broken off goes on where it was; a change of
the kernels' arithmetic starts anew. ``--quick`` takes every 1,021st float and those around every power of two.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import torch
from rich.progress import Progress as Bar
from rich.progress import ProgressColumn, TimeRemainingColumn

from bench.report import Progress, Report, Table, silent
from ml import numpy_math
from ml.backend import Array, Instruction, Machine
from ml.kernels import INSTRUCTION_SETS, CpuBackend
from ml.placement import Placement
from runtime.vm.opcodes import Opcode
from runtime.vm.operators_map import CODES
from runtime.vm.softfloat import F32, round_to
from runtime.vm.types import TensorType

FOLDER = Path(".exhaustive")
CHUNK, BLOCK = 1 << 24, 1 << 14
CHUNKS = (1 << 32) // CHUNK
SOURCES = (
    "transcendental.h", "approximations.h", "scalars.h", "operations.h", "exact.h", "exact.c", "map.h", "vectors.h",
)  # fmt: skip
EXAMPLES = 5

Reference = Callable[[Array], tuple[Array, Array]]
"""reference(x) -> (y, a bound on the error of y), in float64."""


@dataclass(frozen=True)
class Function:
    """``exact`` is for mpmath. With a ``program`` the function need only be that program; else correctly rounded."""

    opcode: Opcode
    reference: Reference
    exact: Callable[[Any], Any]
    program: Callable[[Array], Array] | None = None


def _relative(y: Array, bits: int) -> tuple[Array, Array]:
    return y, np.abs(y) * 2.0**-bits


def _phi(x: Array) -> Array:
    """The normal distribution function."""
    value: Array = 0.5 * torch.special.erfc(torch.from_numpy(x * -(0.5**0.5))).numpy()
    return value


def _gelu(x: Array) -> tuple[Array, Array]:
    """Far below the smallest normal number x Phi(x) is x / 2 and a trace more: on a tie, what decides is the trace."""
    near = np.maximum(x, -30)
    y, error = _relative(near * _phi(near), 42)
    tiny = (np.abs(x) < 2.0**-100) & (x != 0)
    return np.where(tiny, np.nextafter(x / 2, np.inf), y), np.where(tiny, 0, error)


def _slope(x: Array) -> tuple[Array, Array]:
    x = np.clip(x, -30, 30)  # beyond, float64 underflows and loses the sign
    below, rest = _phi(x), x * np.exp(x * x * -0.5) * 0.3989422804014326779
    return below + rest, (below + np.abs(rest)) * 2.0**-42


def _turn(function: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """Defined as NaN from 2^31 on."""
    return _relative(function(np.where(np.abs(x) < 2.0**31, x, np.nan)), 46)


def _exact_normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


# NumPy's float64 functions err by at most 4 units in the last place, 2^-50, and PyTorch's erf and erfc by little more;
# an argument that was rounded before costs erfc another 2 z^2 units, z being at most 10.5 where the result is not zero.
FUNCTIONS: dict[str, Function] = {
    "exp": Function(Opcode.EXP_F32, lambda x: _relative(np.exp(x), 48), mpmath.exp),
    "log": Function(Opcode.LOG_F32, lambda x: _relative(np.log(x), 48), mpmath.log),
    "rsqrt": Function(Opcode.RSQRT_F32, lambda x: _relative(1 / np.sqrt(x), 50), lambda x: 1 / mpmath.sqrt(x)),
    "tanh": Function(Opcode.TANH_F32, lambda x: _relative(np.tanh(x), 48), mpmath.tanh, numpy_math.tanh),
    "sigmoid": Function(
        Opcode.SIGMOID_F32,
        lambda x: _relative(1 / (1 + np.exp(-x)), 47),
        lambda x: 1 / (1 + mpmath.exp(-x)),
        numpy_math.sigmoid,
    ),
    "gelu": Function(Opcode.GELU_F32, _gelu, lambda x: x * _exact_normal(x), numpy_math.gelu),
    "gelu_slope": Function(
        Opcode.GELU_SLOPE_F32, _slope, lambda x: _exact_normal(x) + x * mpmath.npdf(x), numpy_math.gelu_slope
    ),
    "erf": Function(
        Opcode.ERF_F32,
        lambda x: _relative(torch.special.erf(torch.from_numpy(x)).numpy(), 46),
        mpmath.erf,
        numpy_math.erf,
    ),
    "sin": Function(Opcode.SIN_F32, lambda x: _turn(np.sin, x), mpmath.sin, numpy_math.sine),
    "cos": Function(Opcode.COS_F32, lambda x: _turn(np.cos, x), mpmath.cos, numpy_math.cosine),
    "sqrt": Function(Opcode.SQRT_F32, lambda x: _relative(np.sqrt(x), 50), mpmath.sqrt),
}


@dataclass
class Count:
    """What was found among some arguments. Mutable. ``wrong``: kernels that break the definition, or each other."""

    checked: int = 0
    undecided: int = 0
    wrong: int = 0
    inexact: int = 0
    """Results that are not the nearest float32."""
    farthest: int = 0
    """The most floats between a result and the nearest one."""
    examples: tuple[str, ...] = ()

    def add(self, other: Count) -> None:
        self.checked += other.checked
        self.undecided += other.undecided
        self.wrong += other.wrong
        self.inexact += other.inexact
        self.farthest = max(self.farthest, other.farthest)
        self.examples = (*self.examples, *other.examples)[:EXAMPLES]


@cache
def _machines(name: str) -> list[Machine]:
    """One machine per instruction set: value 1 is the function of value 0."""
    code = (2, 0, 1, 1, 1, CODES.index(FUNCTIONS[name].opcode), 1, 0, 0, 0)
    kind = TensorType("f32", (BLOCK,))
    machines: list[Machine] = []
    for instruction_set in INSTRUCTION_SETS:
        placement = Placement([], schedule=[Instruction("map", (BLOCK,), (0,), (1,), strides=((1,),), code=code)])
        placement.offset = [placement.extend(kind.bytes) for _ in range(2)]
        machines.append(CpuBackend(1, instruction_set).open(placement, [kind, kind]))
    return machines


def check(name: str, words: Array) -> Count:
    """Count what the kernels do with at most `BLOCK` arguments, given as bit patterns."""
    function = FUNCTIONS[name]
    x = np.zeros(BLOCK, np.uint32)
    x[: len(words)] = words
    found = []
    for machine in _machines(name):
        machine.write(0, x.view(np.float32))
        machine.run(0, 1, 0)
        found.append(machine.read(1).view(np.uint32)[: len(words)])
    with np.errstate(all="ignore"):
        nearest, undecided = _nearest(function, words)
        wanted = nearest
        if function.program is not None:
            wanted = numpy_math.canonical(function.program(words.view(np.float32))).view(np.uint32)
    wrong = np.zeros(len(words), bool)
    for result in found:
        wrong |= result != wanted
    missed = found[0] != nearest
    distance = np.abs(_ordered(found[0][missed]) - _ordered(nearest[missed]))
    examples = tuple(f"{words[i]:08x}: {found[0][i]:08x} for {wanted[i]:08x}" for i in np.flatnonzero(wrong)[:EXAMPLES])
    farthest = int(distance.max(initial=0))
    return Count(len(words), undecided, int(wrong.sum()), int(missed.sum()), farthest, examples)


def _nearest(function: Function, words: Array) -> tuple[Array, int]:
    """The bits of the correctly rounded result, and how many of them float64 could not decide."""
    x = words.view(np.float32).astype(np.float64)
    y, error = function.reference(x)
    certain = ~((error > 0) & np.isfinite(y))  # zeros, infinities, NaN
    low, high = (np.where(certain, y, end).astype(np.float32) for end in (y - error, y + error))
    bits = numpy_math.canonical(low).view(np.uint32)
    open_ones = np.flatnonzero(~certain & (bits != high.view(np.uint32)))
    for place in open_ones:
        bits[place] = _round_exactly(function, float(x[place]))
    return bits, len(open_ones)


def _round_exactly(function: Function, x: float) -> int:
    with mpmath.workprec(300):
        sign, mantissa, exponent, _ = mpmath.mpf(function.exact(mpmath.mpf(x)))._mpf_
    return round_to(F32, -int(mantissa) if sign else int(mantissa), int(exponent))


def _ordered(bits: Array) -> Array:
    """Integers in the order of the floats, neighbours one apart."""
    wide = bits.astype(np.int64)
    return np.where(wide >> 31, 0x80000000 - wide, wide)


# -- Whole runs --------------------------------------------------------------------------------------------------------


def check_chunk(name: str, chunk: int) -> Count:
    """All `CHUNK` floats whose bit patterns start at chunk * CHUNK."""
    total = Count()
    for start in range(chunk * CHUNK, (chunk + 1) * CHUNK, BLOCK):
        total.add(check(name, np.arange(start, start + BLOCK, dtype=np.uint32)))
    return total


def sample() -> Array:
    """About four million bit patterns: every 1,021st, and 64 around each power of two, of both signs."""
    powers = np.arange(0, 1 << 32, 1 << 22, dtype=np.uint64)[:, None] + np.arange(-32, 32, dtype=np.int64).astype(
        np.uint64
    )
    return np.concatenate([np.arange(0, 1 << 32, 1021, dtype=np.uint32), powers.astype(np.uint32).ravel()])


def sources_digest() -> str:
    """Of what decides these functions' bits; another one makes earlier results worthless."""
    folder = Path(numpy_math.__file__).parent
    files = [*(folder / "csrc" / name for name in SOURCES), folder / "numpy_math.py", folder / "kernel_build.py"]
    return blake2b(b"".join(path.read_bytes() for path in files), digest_size=8).hexdigest()


class Journal:
    """The chunks of one function that are done, a line each. Mutable."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}-{sources_digest()}-{'-'.join(INSTRUCTION_SETS)}.jsonl"
        self.done: dict[int, Count] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the line that was being written when the run ended
            record["count"]["examples"] = tuple(record["count"]["examples"])
            self.done[record["chunk"]] = Count(**record["count"])

    def add(self, chunk: int, count: Count) -> None:
        self.done[chunk] = count
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"chunk": chunk, "count": vars(count)}) + "\n")

    def total(self) -> Count:
        result = Count()
        for count in self.done.values():
            result.add(count)
        return result


def run(
    quick: bool, progress: Progress, functions: tuple[str, ...] = (), processes: int = 0, folder: Path = FOLDER
) -> Report:
    """Check some functions, or all, over every float; ``processes`` of 0 takes all processors."""
    names = functions or tuple(FUNCTIONS)
    started = time.process_time()
    counts: dict[str, Count] = {}
    if quick:
        words = sample()
        for name in names:
            progress(f"{name}: {len(words):,} of 4,294,967,296 floats")
            counts[name] = Count()
            for start in range(0, len(words), BLOCK):
                counts[name].add(check(name, words[start : start + BLOCK]))
    else:
        journals = {name: Journal(folder, name) for name in names}
        todo = [(name, chunk) for name in names for chunk in range(CHUNKS) if chunk not in journals[name].done]
        for name, chunk, count in _work(todo, len(names) * CHUNKS, processes or os.cpu_count() or 1, progress):
            journals[name].add(chunk, count)
        counts = {name: journal.total() for name, journal in journals.items()}
    return _report(counts, time.process_time() - started)


def _work(
    todo: list[tuple[str, int]], total: int, processes: int, progress: Progress
) -> Iterator[tuple[str, int, Count]]:
    """Results of the chunks in order, from several processes, under a progress bar (unless nobody looks)."""
    columns: tuple[str | ProgressColumn, ...] = (
        *Bar.get_default_columns()[:3],
        TimeRemainingColumn(),
        "{task.fields[wrong]} wrong",
    )
    context = multiprocessing.get_context("spawn")
    with (
        Bar(*columns, disable=progress is silent) as bar,
        ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool,
    ):
        task = bar.add_task("", total=total, completed=total - len(todo), wrong=0)
        wrong = 0
        names, chunks = [name for name, _ in todo], [chunk for _, chunk in todo]
        for (name, chunk), count in zip(todo, pool.map(check_chunk, names, chunks), strict=True):
            wrong += count.wrong
            bar.update(task, advance=1, description=name, wrong=wrong)
            yield name, chunk, count


def _report(counts: dict[str, Count], seconds: float) -> Report:
    rows, figures, remarks = [], {}, []
    for name, count in counts.items():
        program = FUNCTIONS[name].program is not None
        figures[name] = {
            "defined_as": "fixed program" if program else "correctly rounded", "checked": count.checked,
            "all": count.checked == 1 << 32, "wrong": count.wrong, "not_nearest": count.inexact,
            "floats_off_at_most": count.farthest, "undecided_in_float64": count.undecided,
            "examples": list(count.examples),
        }  # fmt: skip
        rows.append(
            (
                name, "fixed program" if program else "correctly rounded", f"{count.checked:,}", f"{count.wrong:,}",
                f"{count.inexact:,}", str(count.farthest), f"{count.undecided:,}",
            )
        )  # fmt: skip
        remarks += [f"{name} of {example}" for example in count.examples]
    columns = ("function", "defined as", ">floats checked", ">wrong", ">not the nearest", ">floats off", ">by mpmath")
    table = Table(f"Kernels ({', '.join(INSTRUCTION_SETS)}) against the definition", columns, tuple(rows))
    remarks.append(f"{seconds:.0f} s of this process's time; 4,294,967,296 floats are all there are")
    return Report("exhaustive", figures, (table,), tuple(remarks))
