"""What a worker refuses to take, what it deletes to make room, and what it never deletes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml.workers.journal import Journal
from ml.workers.limits import Limits, Need, Room, TaskRefused, compute_need
from ml.workers.materials import fetch_materials
from ml.workers.session import Session
from runtime.codec import replace
from solvent.client import BlobFailed
from tests.scenarios.market import AtOnce, DirectChain, Market
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.chain import seed
from tests.support.node import ROOT

TINY = tiny_task()
NEED = compute_need(TINY.spec, (TINY.program, TINY.init_program))


def name_of(number: int) -> bytes:
    return bytes([number]) * 32


def put(folder: Path, number: int, size: int, age: int) -> Path:
    """The folder of a task with one file, last used so many seconds ago."""
    path = folder / name_of(number).hex()
    path.mkdir()
    (path / "step-000000000-00.safetensors").write_bytes(bytes(size))
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_tasks_that_do_not_fit_into_memory_together_are_refused_with_the_sums(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(memory=100 * 2**20, disk=2**30))
    room.admit(name_of(1), Need(60 * 2**20, 10))
    with pytest.raises(
        TaskRefused, match=r"60\.0 MiB of memory; the limit is 100\.0 MiB .* 1 other task may take 60\.0"
    ):
        room.admit(name_of(2), Need(60 * 2**20, 10))
    room.admit(name_of(3), Need(40 * 2**20, 10))
    assert room.reserved_memory() == 100 * 2**20
    room.hold([name_of(3)])
    room.admit(name_of(2), Need(60 * 2**20, 10))


def test_what_settled_tasks_left_goes_oldest_first_and_only_as_far_as_needed(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(memory=10, disk=1000))
    oldest, newer = put(tmp_path, 1, 300, age=50), put(tmp_path, 2, 300, age=10)
    room.admit(name_of(3), Need(0, 600))
    assert not oldest.exists()
    assert newer.exists()
    assert room.used_disk() == 300


def test_the_files_of_a_task_at_hand_are_never_deleted(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(memory=10, disk=1000))
    kept = put(tmp_path, 1, 700, age=50)
    room.hold([name_of(1)])
    with pytest.raises(TaskRefused, match="disk"):
        room.admit(name_of(2), Need(0, 400))
    assert kept.exists()
    room.hold([])
    room.admit(name_of(2), Need(0, 400))
    assert not kept.exists()


def test_downloads_that_a_task_at_hand_uses_stay_and_others_go(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(memory=10, disk=100))
    (tmp_path / "blobs").mkdir()
    used, unused = tmp_path / "blobs" / name_of(8).hex(), tmp_path / "blobs" / name_of(9).hex()
    used.write_bytes(bytes(40))
    unused.write_bytes(bytes(40))
    room.admit(name_of(1), Need(0, 40, (name_of(8),)))
    room.admit(name_of(2), Need(0, 60, (name_of(8),)))
    assert used.exists()
    assert not unused.exists()


def test_a_task_that_was_taken_before_stays_when_the_limit_is_lowered(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(memory=1, disk=1))
    room.admit(name_of(1), Need(60, 60), is_taken=True)
    assert room.reserved_memory() == 60


def session_of(folder: Path, limits: Limits) -> Session:
    """A solver on a chain that knows the tiny task's programs, and no blob at all."""
    chain = DirectChain()
    programs = {checked.root: program_bytes(checked) for checked in (TINY.program, TINY.init_program)}
    chain.read = lambda descriptor, key, at=None: programs[key]  # type: ignore[method-assign, assignment, misc]
    return Session(chain, seed("//Solver1"), folder, Journal("solver", stream=io.StringIO()), AtOnce(), limits=limits)


def test_nothing_is_fetched_for_a_task_that_does_not_fit(tmp_path: Path) -> None:
    greedy = replace(TINY.spec, data=replace(TINY.spec.data, sample_count=2**40))
    with pytest.raises(TaskRefused, match="memory"):
        fetch_materials(session_of(tmp_path, Limits(NEED.memory, 2**30)), name_of(1), greedy)
    assert not list(tmp_path.iterdir())


def test_a_task_that_fits_gets_as_far_as_its_download(tmp_path: Path) -> None:
    with pytest.raises(BlobFailed):
        fetch_materials(session_of(tmp_path, Limits(NEED.memory, NEED.disk)), name_of(1), TINY.spec)


def test_a_solver_refuses_a_task_and_says_why(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.verifier("//Verifier1")
    solver = market.solver("//Solver1", limits=Limits(memory=1000, disk=2**30))
    name = market.submit(tiny_task())
    with pytest.raises(TaskRefused, match=r"MiB of memory; the limit is 0\.0 MiB \(--max-memory\)"):
        market.run_until(name, "training")
    assert market.task(name).status == "assigned"
    assert not list(solver.session.folder.glob("blobs/*"))


HUNGRY = """
from ml.workers.limits import PROGRAM_BYTES, hold_memory
import numpy as np
hold_memory(2**28)
fits = np.ones(2**28, np.uint8)
try:
    np.ones(2**28 + PROGRAM_BYTES, np.uint8)
except MemoryError:
    print("refused")
"""


def test_the_system_refuses_memory_beyond_the_limit() -> None:
    done = subprocess.run([sys.executable, "-c", HUNGRY], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr


def test_a_step_takes_no_more_memory_than_it_was_counted_with() -> None:
    step = max(sum(value.bytes for value in checked.values) for checked in (TINY.program, TINY.init_program))
    assert NEED.memory > 3 * step
    assert NEED.disk >= len(TINY.data_blob) + len(TINY.scalars_blob)
