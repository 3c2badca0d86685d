"""What every compiler and processor has to compute alike: the operators' self-test and whole training steps, as a file
that a program without Python replays (``bench/cross.c``).

A suite is recorded: the ordinary self-test and executor run on a `Recorder`, a backend that passes everything on to the
kernels of this machine and keeps what was written, run and read.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from bench.architectures import ARCHITECTURES, Architecture
from ml import selftest
from ml.backend import ALIGNMENT, Array, Backend, Machine
from ml.capture import capture_task
from ml.executor import Executor
from ml.initial import Normal
from ml.job import JobInputs, compute_scalars_root, run_segment
from ml.kernels import CpuBackend, Plan, ffi
from ml.placement import Placement
from runtime.vm.job import Job
from runtime.vm.types import TensorType

MAGIC = 0x736F6C76
WRITE, RUN, READ, GUARD = range(4)
SEED = 0x0123456789ABCDEF


Action = tuple[int, int, int, int, bytes]
"""(kind, three arguments, bytes that follow)."""


@dataclass
class Case:
    """One machine's life. Mutable."""

    name: str
    placement: Placement
    actions: list[Action] = field(default_factory=list)
    expected: list[bytes] = field(default_factory=list)
    """What the reads gave."""

    def encode(self) -> bytes:
        """The case as bench/cross.c reads it; pointers are 1 + a place, code is an index."""
        plan = Plan([*self.placement.once, *self.placement.schedule], [place + 1 for place in self.placement.offset])
        words: list[int] = []
        for record, code in zip(plan.records, plan.codes, strict=False):
            record.code = ffi.cast("int32_t *", len(words))
            words += list(code)
        parts = [struct.pack("<4q", self.placement.size, plan.length, len(words), len(self.actions))]
        parts.append(bytes(ffi.buffer(plan.records))[: plan.length * ffi.sizeof("struct solvent_instruction")])
        parts.append(_padded(struct.pack(f"<{len(words)}i", *words)))
        for kind, first, second, third, data in self.actions:
            parts += [struct.pack("<4q", kind, first, second, third), _padded(data)]
        return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


@dataclass
class Recorder:
    """A backend that runs on another one and keeps the cases. Mutable. With ``guarded``, values that have buffers
    of their own get room between them, which a replay under the address sanitizer must not touch."""

    backend: Backend
    title: str = ""
    guarded: bool = False
    cases: list[Case] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.backend.name

    def open(self, placement: Placement, types: Sequence[TensorType]) -> RecordedMachine:
        case = Case(self.title, placement)
        if self.guarded and len(set(placement.offset)) == len(placement.offset) == len(types):
            case = Case(self.title, *_spread(placement, types))
        self.cases.append(case)
        return RecordedMachine(self.backend.open(placement, types), case)


def _spread(placement: Placement, types: Sequence[TensorType]) -> tuple[Placement, list[Action]]:
    """The same placement with a gap after each value, and the guards of the gaps."""
    apart = Placement([], schedule=placement.schedule, once=placement.once)
    guards = []
    for kind in types:
        offset = apart.extend(kind.bytes + ALIGNMENT)
        apart.offset.append(offset)
        guards.append((GUARD, offset + kind.bytes, apart.size - offset - kind.bytes, 0, b""))
    return apart, guards


class RecordedMachine:
    """Writes everything down (`ml.backend.Machine`). Mutable."""

    def __init__(self, machine: Machine, case: Case) -> None:
        self.machine, self.case = machine, case
        self.once = len(case.placement.once)
        self._note(RUN, 0, self.once, 0)

    def _note(self, kind: int, first: int, second: int, third: int = 0, data: bytes = b"") -> None:
        self.case.actions.append((kind, first, second, third, data))

    def write(self, value: int, array: Array) -> None:
        data = np.ascontiguousarray(array).tobytes()
        self._note(WRITE, self.case.placement.offset[value], len(data), 0, data)
        self.machine.write(value, array)

    def read(self, value: int) -> Array:
        array = self.machine.read(value)
        self._note(READ, self.case.placement.offset[value], array.nbytes)
        self.case.expected.append(array.tobytes())
        return array

    def run(self, first: int, last: int, step: int) -> None:
        self._note(RUN, self.once + first, self.once + last, step)
        self.machine.run(first, last, step)


@dataclass(frozen=True)
class Suite:
    """Cases, the file that holds them, and what a replay must print."""

    cases: tuple[Case, ...]
    file: bytes
    expected: bytes

    def locate(self, output: bytes) -> str:
        """Where an output first differs, in words."""
        place = 0
        for case in self.cases:
            for number, data in enumerate(case.expected):
                if output[place : place + len(data)] != data:
                    at = next((i for i, (a, b) in enumerate(zip(output[place:], data, strict=False)) if a != b), 0)
                    return f"{case.name}, value {number} that is read, byte {at} of {len(data)}"
                place += len(data)
        return f"{len(output)} bytes instead of {len(self.expected)}"


def _train(architecture: Architecture, steps: int, backend: Backend) -> None:
    """Initial weights and some steps of training; everything that is left is read."""
    torch.manual_seed(0)
    model, data = architecture.build(), architecture.data()
    initial = {name: Normal(0.0, 0.02) for name, _ in model.named_parameters()}
    optimizer, batch = architecture.optimizer(model), architecture.batch
    task = capture_task(
        model, architecture.loss, optimizer, data.layout, batch_size=batch, steps=steps, initial=initial
    )
    train, init, _ = task.check()
    job = Job(
        program=train.root, start=bytes(32), first_step=0, steps=steps, seed=SEED, data=data.source(bytes(32), batch),
        scalar_names=task.scalar_names, scalars_root=compute_scalars_root(task.scalars), scalar_rows=steps,
    )  # fmt: skip
    inputs = JobInputs(job, data.fields, task.scalars)
    start = Executor(init, backend=backend).run_step({}, job, 0, {}, inputs.scalars(0)).state
    run_segment(Executor(train, backend=backend), inputs, start)


BATCHES = (16, 8, 2, 2, 2, 1)
"""Smaller than in the benchmark of speed: emulated processors are slow."""


def record(quick: bool, progress: Callable[[str], None]) -> Suite:
    """Every operator, and training steps of one model (quick) or of all."""
    recorder = Recorder(CpuBackend())
    recorder.title = "operators"
    selftest.check(recorder.backend)
    selftest.compute_digests(recorder)
    for architecture, batch in list(zip(ARCHITECTURES, BATCHES, strict=True))[: 1 if quick else None]:
        progress(f"recording: {architecture.name}")
        recorder.title = architecture.name
        _train(dataclasses.replace(architecture, batch=batch), 3 if batch > 2 else 2, recorder)
    return suite_of(recorder)


def suite_of(recorder: Recorder) -> Suite:
    """Everything that was recorded."""
    cases = tuple(recorder.cases)
    header = struct.pack("<3q", MAGIC, ffi.sizeof("struct solvent_instruction"), len(cases))
    file = header + b"".join(case.encode() for case in cases)
    return Suite(cases, file, b"".join(data for case in cases for data in case.expected))
