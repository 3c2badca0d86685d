"""Jobs beside a worker's turns: how many run, which wait, and what becomes of one that fails."""

from __future__ import annotations

import io
import threading

import pytest

from ml.workers import jobs
from ml.workers.jobs import ThreadedJobs
from ml.workers.journal import Journal
from runtime.errors import SolventError
from solvent.client import NodeUnreachable

A, B, C = (bytes([number]) * 32 for number in range(3))
SECONDS = 20.0
"""How long a test waits for another thread before it fails."""


class Gate:
    """A job that waits until it is let through."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        assert self.open.wait(SECONDS)
        return True


@pytest.fixture
def runner() -> ThreadedJobs:
    return ThreadedJobs(1, Journal("solver", stream=io.StringIO()))


def finish(runner: ThreadedJobs, gate: Gate) -> None:
    gate.open.set()
    runner.stop()


def test_heavy_jobs_wait_for_a_place_and_others_do_not(runner: ThreadedJobs) -> None:
    first, second, third = Gate(), Gate(), Gate()
    for task, gate, heavy in ((A, first, True), (B, second, True), (C, third, False)):
        assert not runner.run(task, gate, heavy)
    assert first.begun.wait(SECONDS)
    assert third.begun.wait(SECONDS)
    assert not second.begun.is_set()
    assert runner.heavy == 1
    finish(runner, first)
    runner.run(B, second, heavy=True)
    assert second.begun.wait(SECONDS)
    finish(runner, second)
    finish(runner, third)


def test_a_task_has_one_job_at_a_time(runner: ThreadedJobs) -> None:
    first, second = Gate(), Gate()
    runner.run(A, first)
    assert first.begun.wait(SECONDS)
    runner.run(A, second)
    finish(runner, first)
    assert not second.begun.is_set()


def test_rest_ends_when_a_job_has_done_something(runner: ThreadedJobs) -> None:
    gate = Gate()
    runner.run(A, gate)
    gate.open.set()
    runner.rest(SECONDS)
    runner.stop()
    assert runner.heavy == 0


def failing(error: BaseException, begun: list[int]) -> bool:
    begun.append(1)
    raise error


@pytest.mark.parametrize("error", [SolventError("no"), OSError("disk full"), MemoryError("too much")])
def test_a_job_that_fails_is_told_of_once_and_tried_again_later(
    runner: ThreadedJobs, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    begun: list[int] = []
    for moment, expected in ((0.0, 1), (0.5, 1), (1.5, 2), (2.5, 2), (4.0, 3)):
        now[0] = moment
        runner.run(A, lambda: failing(error, begun))
        runner.stop()
        assert len(begun) == expected, moment
    assert runner._journal.names() == ["refused"]


def test_a_job_that_lost_its_node_is_tried_again_at_once_and_says_nothing(runner: ThreadedJobs) -> None:
    begun: list[int] = []
    for _ in range(2):
        runner.run(A, lambda: failing(NodeUnreachable("gone"), begun))
        runner.stop()
    assert (len(begun), runner._journal.names()) == (2, [])


def test_a_fault_of_the_program_ends_the_worker_and_not_only_the_job(runner: ThreadedJobs) -> None:
    runner.run(A, lambda: failing(ZeroDivisionError("a bug"), []))
    runner.stop()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        runner.run(B, lambda: True)
