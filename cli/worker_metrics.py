"""A worker's ``/metrics`` for Prometheus: its tasks and how far they are, its money, and what it takes of the machine.

Everything is read when it is asked for, on the thread of the small server that `prometheus_client` brings.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ml.workers.session import Session
from runtime.errors import SolventError

PREFIX = "solvent_worker_"


class MetricsPortTaken(SolventError):
    """Nothing can listen at the port of ``--metrics-port``."""


class WorkerCollector:
    """Reads a worker's figures when Prometheus asks."""

    def __init__(self, session: Session, role: str) -> None:
        self._session, self._role = session, role

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present value; the account and role are labels of ``solvent_worker_info``."""
        session, figures = self._session, self._session.figures
        info = GaugeMetricFamily(PREFIX + "info", "Who this is", labels=["role", "account"])
        info.add_metric([self._role, session.address], 1)
        yield info
        yield _gauge("node_is_away", "Whether the node does not answer", figures.node_is_away)
        yield from self._money()
        yield from self._tasks()
        room = session.room
        yield _gauge("disk_bytes", "Data and checkpoints on the disk", room.used_disk())
        yield _gauge("disk_limit_bytes", "The limit of --max-disk", room.limits.disk)
        yield _gauge("memory_reserved_bytes", "What the tasks at hand may need", room.reserved_memory())
        yield _gauge("memory_limit_bytes", "The limit of --max-memory", room.limits.memory)

    def _money(self) -> Iterator[Metric]:
        figures = self._session.figures
        yield CounterMetricFamily(PREFIX + "earned_units", "Paid by tasks that ended", figures.earned)
        yield CounterMetricFamily(PREFIX + "penalty_units", "Slashed by tasks that ended", figures.slashed)
        yield CounterMetricFamily(PREFIX + "fee_units", "Fees of calls whose block was awaited", figures.fees)
        if figures.record is not None:
            yield _gauge("bond_units", "The bond", figures.record.bond)
            yield _gauge("locked_units", "The part of the bond that tasks lock", figures.record.locked)
            yield _gauge("slashed_units", "All that was ever slashed of the bond", figures.record.slashed)

    def _tasks(self) -> Iterator[Metric]:
        figures = self._session.figures
        held = len(figures.record.jobs) if figures.record else 0
        yield _gauge("tasks", "Tasks at hand", held)
        yield _gauge("jobs_running", "Trainings and replays that run now", self._session.jobs.heavy)
        ended = CounterMetricFamily(PREFIX + "tasks_ended", "Tasks that are over", labels=["status"])
        for status, count in sorted(figures.ended.items()):
            ended.add_metric([status], count)
        yield ended
        calls = CounterMetricFamily(PREFIX + "calls", "Calls that reached a block", labels=["call", "ok"])
        for (call, ok), count in sorted(figures.calls.items()):
            calls.add_metric([call, str(ok).lower()], count)
        yield calls
        steps = GaugeMetricFamily(
            PREFIX + "task_steps", "Steps of the training, by what is done", labels=["task", "is"]
        )
        loss = GaugeMetricFamily(PREFIX + "task_loss", "The last loss of the training", labels=["task"])
        for task, progress in sorted(figures.progress.items()):
            steps.add_metric([task.hex(), "done"], progress.step)
            steps.add_metric([task.hex(), "all"], progress.steps)
            loss.add_metric([task.hex()], progress.loss)
        yield steps
        yield loss


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, float(value))


def serve_metrics(session: Session, role: str, port: int) -> int:
    """Serve the worker's metrics at 127.0.0.1; the port that was taken, for a ``port`` of 0 any."""
    registry = CollectorRegistry()
    registry.register(WorkerCollector(session, role))
    ProcessCollector(PREFIX.rstrip("_"), registry=registry)
    try:
        server, _ = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise MetricsPortTaken(f"port {port} of --metrics-port: {error.strerror}; choose another, or 0") from None
    return int(server.server_port)
