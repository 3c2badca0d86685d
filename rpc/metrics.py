"""``GET /metrics`` for Prometheus, on a port of its own: Substrate's names under the prefix ``solvent_``, and the
market's figures. Everything is read from the node when it is asked for; only calls are counted as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rpc.connections import Gate
from rpc.explorer_methods import DISPUTE_STATUSES, TASK_STATUSES
from rpc.indexes import Indexes
from rpc.view import NodeView
from runtime.pallets import balances, session, workers

PREFIX = "solvent_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NodeCollector:
    """Reads a node when Prometheus asks."""

    def __init__(self, node: NodeView, gate: Gate) -> None:
        self._node, self._gate = node, gate

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present value."""
        yield InfoMetricFamily(
            PREFIX + "build", "The release", {"name": self._node.name, "version": self._node.version}
        )
        yield from self._chain()
        yield from self._market()
        yield from self._rpc()
        if self._node.indexes is not None:
            yield from self._index(self._node.indexes)

    def _chain(self) -> Iterator[Metric]:
        node, ledger = self._node, self._node.ledger
        highest = node.sync_state().highest
        heights = {"best": ledger.head_number, "finalized": ledger.finalized_number, "sync_target": highest}
        yield _by("block_height", "Height of the chain", "status", heights.items())
        yield _gauge("ready_transactions_number", "Extrinsics that wait in the pool", len(node.pool))
        yield _gauge("sub_libp2p_peers_count", "Connected peers", node.peer_count())
        yield _gauge("sub_libp2p_is_major_syncing", "Whether the node catches up with its peers", node.is_syncing())
        yield _gauge("process_start_time_seconds", "When the node started, in Unix seconds", node.started_at)
        state = node.round_state()
        if state is not None and state["best"] is not None:
            yield _gauge("finality_grandpa_round", "The round of the vote on finality", state["best"]["round"])
            yield _gauge("finality_grandpa_set_id", "The set of voters", state["setId"])
        yield _gauge("is_authority", "Whether the node makes blocks or votes", bool(node.session_keys()))

    def _market(self) -> Iterator[Metric]:
        state = self._node.ledger.state()
        yield _gauge("issuance_units", "All units that exist", balances.ISSUANCE.get(state))
        yield _gauge("validators", "Members of the present session", len(session.MEMBERS.get(state)) or 1)
        rosters = [(role, len(workers.ROSTER.get(state, role) or ())) for role in workers.ROLES]
        yield _by("workers", "Accounts with a bond", "role", rosters)

    def _rpc(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(PREFIX + "rpc_calls", "Calls answered", labels=["method", "is_error"])
        for (method, is_error), count in sorted(self._gate.answered.items()):
            calls.add_metric([method, str(is_error).lower()], count)
        yield calls
        yield _gauge("rpc_connections", "Open connections", len(self._gate.open))
        yield _gauge("rpc_sessions", "Open WebSockets", self._gate.sessions)
        yield CounterMetricFamily(PREFIX + "rpc_refused_connections", "Above the limit", self._gate.refused)
        yield _gauge("rpc_held_bytes", "Requests and answers under way", self._gate.held)
        yield CounterMetricFamily(
            PREFIX + "rpc_overdrawn_connections", "Cut off for what they held", self._gate.overdrawn
        )

    def _index(self, indexes: Indexes) -> Iterator[Metric]:
        yield _gauge("index_height", "How far the index is", indexes.cursor.number)
        tasks = [(status, indexes.counter("task:" + status)) for status in TASK_STATUSES]
        yield _by("tasks", "Training tasks", "status", tasks)
        counted = [(status, indexes.counter("dispute:" + status)) for status in DISPUTE_STATUSES]
        yield _by("disputes", "Disputes", "status", counted)
        for name in ("paid", "slashed", "extrinsics"):
            yield CounterMetricFamily(f"{PREFIX}chain_{name}", f"{name} since genesis", indexes.counter(name))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, float(value))


def _by(name: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in values:
        family.add_metric([value], count)
    return family


def build_metrics_app(node: NodeView, gate: Gate) -> Starlette:
    """The application behind the metrics port."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(node, gate))
    ProcessCollector(PREFIX.rstrip("_"), registry=registry)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])
