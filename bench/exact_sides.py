"""The sides of ``solvent bench exact``, each in a process of its own: the exact kernels, PyTorch eager, torch.compile.

A process is forked from a server that has imported everything and started no thread, so that it begins with the same
memory whatever was measured before, and no side's idle threads take the other's core. It answers requests one by one:
the parent alternates between sides.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.architectures import ARCHITECTURES, Architecture
from bench.exact_operators import EXACT_KINDS, KINDS, torch_kind
from bench.exact_proof import measure_proof
from ml.capture import capture_task, scale_bytes
from ml.data import Dataset
from ml.devices import open_backend
from ml.executor import Executor
from ml.initial import Normal
from ml.instructions import build_instruction
from ml.job import JobInputs, compute_scalars_root
from ml.placement import place_compactly
from runtime.codec import encode
from runtime.commitments import EMPTY_STATE_ROOT
from runtime.vm.job import Job

STEPS = 4096
"""Rows of the table of step scalars; steps are numbered on and on over it."""
ALL_SIDES = ("exact", "eager", "compiled")


class Spent(NamedTuple):
    """Seconds a step: of the clock, and of the processor over all threads of the process."""

    wall: float
    cpu: float


class ExactSide:
    """The captured step on the exact kernels. Mutable."""

    def __init__(self, architecture: Architecture, data: Dataset, device: str = "cpu") -> None:
        self.device = device
        model = architecture.build()
        task = capture_task(
            model,
            architecture.loss,
            architecture.optimizer(model),
            data.layout,
            batch_size=architecture.batch,
            steps=STEPS,
            initial={name: Normal(0.0, 0.02) for name, _ in model.named_parameters()},
        )
        self.train, _, _ = task.check()
        self.size = len(encode(task.train))
        self.job = Job(
            program=self.train.root,
            start=EMPTY_STATE_ROOT,
            first_step=0,
            steps=STEPS,
            seed=1,
            data=data.source(bytes(32), architecture.batch),
            scalar_names=task.scalar_names,
            scalars_root=compute_scalars_root(task.scalars),
            scalar_rows=STEPS,
        )
        self.inputs = JobInputs(self.job, data.fields, task.scalars)
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.state: dict[str, np.ndarray] = {}
        for name, _, kind in self.train.start_state:
            dtype = np.int32 if kind.dtype == "i32" else np.float32
            tensor = tensors.get(name.removeprefix("model."))
            self.state[name] = np.zeros(kind.shape, dtype) if tensor is None else tensor.detach().numpy().astype(dtype)

    def use(self, threads: int) -> None:
        self.executor = Executor(self.train, backend=open_backend(self.device, threads))
        self.executor.load(self.state)

    def step(self, number: int) -> None:
        self.executor.advance(self.job, number, self.inputs.batch(number), self.inputs.scalars(number))

    def facts(self) -> dict[str, int]:
        """Sizes of the program, and the bytes of memory that its placement asks for."""
        nodes = len(self.train.program.nodes)
        planned = place_compactly(self.train, [build_instruction(self.train, node) for node in range(nodes)]).size
        return {"nodes": nodes, "bytes": self.size, "gas": self.train.gas, "planned_bytes": planned}

    def operators(self, steps: int) -> dict[str, float]:
        """Seconds a step by kind of operator, one instruction at a time: the median over some steps."""
        run = self.executor._resident()
        taken: list[list[float]] = [[] for _ in run.placement.schedule]
        for number in range(steps + 1):
            run.load_step(self.job, self.inputs.batch(number), self.inputs.scalars(number))
            for index, times in enumerate(taken):
                start = time.perf_counter()
                run.machine.run(index, index + 1, number)
                times.append(time.perf_counter() - start)
        found: dict[str, float] = defaultdict(float)
        for instruction, times in zip(run.placement.schedule, taken, strict=True):
            found[EXACT_KINDS.get(instruction.op, "element-wise")] += median(times[1:])
        return dict(found)


class TorchSide:
    """The same step in PyTorch as users write it; ``compiled``: model and loss go through torch.compile. Mutable."""

    def __init__(self, architecture: Architecture, data: Dataset, compiled: bool, device: str = "cpu") -> None:
        self.on_card = device == "cuda" and torch.cuda.is_available()
        if self.on_card:
            torch.set_default_device("cuda")
        model = architecture.build()

        def loss_of(given: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return architecture.loss(model(scale_bytes(given)), target)

        self.loss_of = torch.compile(loss_of) if compiled else loss_of
        self.optimizer = architecture.optimizer(model)
        given, target = (data.fields[field.name] for field in data.layout[:2])
        self.given, self.target = torch.as_tensor(given), torch.as_tensor(target).long()
        self.batch = architecture.batch
        self.order = np.random.default_rng(0)

    def use(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def step(self, number: int) -> None:
        rows = torch.as_tensor(self.order.integers(0, len(self.given), self.batch))
        self.optimizer.zero_grad()
        self.loss_of(self.given[rows], self.target[rows]).backward()
        self.optimizer.step()
        if self.on_card:
            torch.cuda.synchronize()

    def facts(self) -> dict[str, int]:
        return {}

    def operators(self, steps: int) -> dict[str, float]:
        """Seconds a step by kind of operator, by PyTorch's own profiler: the median over some steps."""
        taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(steps):
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                self.step(number)
            found: dict[str, float] = defaultdict(float)
            for entry in profile.key_averages():
                found[torch_kind(entry.key)] += entry.self_cpu_time_total / 1e6
            for kind, times in taken.items():
                times.append(found[kind])
        return {kind: median(times) for kind, times in taken.items()}


def open_side(side: str, architecture: Architecture, device: str) -> ExactSide | TorchSide:
    torch.manual_seed(0)
    data = architecture.data()
    if side == "exact":
        return ExactSide(architecture, data, device)
    return TorchSide(architecture, data, side != "eager", device)


def resident_bytes(field: str) -> int:
    """VmRSS (now) or VmHWM (the most so far) of this process; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def forget_peak() -> int:
    """Give freed memory back, begin to count the peak anew, and return the bytes that are resident now."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return 0
    return resident_bytes("VmRSS")


def serve(connection: Connection, side: str, architecture: str, device: str) -> None:
    """Answer requests (method, arguments) until the parent hangs up. An exception is answered by its last line."""
    worker = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            worker = worker or _Worker(side, next(one for one in ARCHITECTURES if one.name == architecture), device)
            connection.send((True, getattr(worker, method)(*arguments)))
        except Exception:
            connection.send((False, traceback.format_exc().strip().splitlines()[-1]))


class _Worker:
    """What a side's process answers. Mutable: steps are numbered on from request to request."""

    def __init__(self, side: str, architecture: Architecture, device: str) -> None:
        self.before = forget_peak() if side != "exact" else 0
        self.side = open_side(side, architecture, device)
        self.before = self.before or forget_peak()
        self.number = 0

    def use(self, threads: int) -> dict[str, int]:
        """Make ready for that many threads, run two steps, and say what is known of the program."""
        self.side.use(threads)
        self.run(2)
        return self.side.facts()

    def run(self, steps: int) -> Spent:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.side.step(self.number % STEPS)
            self.number += 1
        return Spent((time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps)

    def peak(self) -> int:
        """Bytes that training took at most, on top of what the process held before it: 0 where nobody knows."""
        return max(0, resident_bytes("VmHWM") - self.before) if self.before else 0

    def operators(self, steps: int) -> dict[str, float]:
        return self.side.operators(steps)

    def proof(self) -> dict[str, float]:
        assert isinstance(self.side, ExactSide)
        return measure_proof(self.side)


class SideError(RuntimeError):
    """A side cannot do what it was asked for; the message is its exception's."""


def prepare_environment() -> bool:
    """Settings that libraries read when they are loaded; call it before the first side starts.

    On a machine with other work PyTorch's idle threads must sleep instead of spinning: they would wait for a core that
    another program holds, and a step would take ten times as long. Returns whether that was needed.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    busy = os.getloadavg()[0] > 0.5
    if busy:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return busy


@dataclass
class SideProcess:
    """The parent's end of one side. Use it as a context manager."""

    side: str
    architecture: str
    device: str = "cpu"

    def __enter__(self) -> SideProcess:
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.side, self.architecture, self.device))
        self.process.start()
        theirs.close()
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.terminate()

    def ask(self, method: str, *arguments: Any) -> Any:
        """The answer to one request. Raises `SideError`."""
        self.connection.send((method, arguments))
        try:
            done, answer = self.connection.recv()
        except (EOFError, ConnectionError):
            raise SideError(f"the process of {self.side} ended (exit code {self.process.exitcode})") from None
        if not done:
            raise SideError(answer)
        return answer
