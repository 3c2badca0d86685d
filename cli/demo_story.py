"""The demo's story: an honest task, then one that meets a cheat. What happened is always read from the chain.

The stage is one development chain on a real database, and three or four worker processes. In the second act the honest
solver is off the market, so that the corrupt one is the only candidate; nothing else is arranged.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from cli.demo_processes import NODE, Child, Family, free_port
from cli.dispute_report import DisputeRecord, read_disputes
from cli.task import TRAINING_BLOCKS, allow_time, fetch_result, price, submit_bundle
from cli.task_watch import Snapshot, TaskBar, describe, follow, take_snapshot
from ml.bundle import Bundle, Terms
from runtime.crypto import derive_seed, public_key
from runtime.errors import SolventError
from runtime.pallets import disputes, proofs, treasury, workers
from runtime.pallets.proofs import Board
from runtime.pallets.proofs.storage import PASSED
from runtime.pallets.tasks import Estimate, Task, TaskSpec
from runtime.pallets.workers import Worker
from solvent.client import Client

SUBMITTER, SOLVER, CHEAT = "//Submitter", "//Solver", "//Eve"
VERIFIER, WHISTLEBLOWER = "//Verifier", "//Whistleblower"
NAMES = {public_key(derive_seed(suri)): suri.strip("/") for suri in (SUBMITTER, SOLVER, CHEAT, VERIFIER, WHISTLEBLOWER)}
NAMES[treasury.ACCOUNT] = "treasury"
STEP_SECONDS = 90.0
"""How long any one thing in the story may take."""


class StoryFailed(SolventError):
    """Something that the story needs did not happen; ``log`` is the tail of the process that owed it."""

    def __init__(self, message: str, child: Child | None = None) -> None:
        super().__init__(message)
        self.child = child
        self.log = child.tail() if child else ""


def account(suri: str) -> bytes:
    return public_key(derive_seed(suri))


@dataclass(frozen=True)
class Act:
    """A finished task: its record, its id, its audits, the test accuracy, and where the model lies."""

    name: bytes
    task: Task
    accuracy: float
    model: Path
    estimate: Estimate
    board: Board


@dataclass
class Stage:
    """The running processes and the client. Mutable: children come and go, timings are collected."""

    folder: Path
    output: Path
    console: Console
    family: Family
    port: int = field(default_factory=free_port)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_node(self) -> Client:
        """Start the chain and wait until it answers."""
        base = str(self.folder / "chain")
        node = self.family.start(NODE, "dev", "--base-path", base, "--rpc-port", str(self.port))
        client = Client(self.url, patience=1.0)
        self.wait("the node answers", lambda: _answers(client), node)
        return client

    def start_worker(self, name: str, role: str, suri: str, *options: str) -> Child:
        """Start a worker process that logs JSON lines."""
        common = ("--url", self.url, "--suri", suri, "--work-dir", str(self.folder / "workers"), "--log-format", "json")
        return self.family.start(name, "worker", role, *common, *options)

    def wait(self, what: str, happened: Callable[[], bool], child: Child | None = None) -> None:
        """Wait until something is true, every child alive. Raises `StoryFailed`."""
        deadline = time.monotonic() + STEP_SECONDS
        while not happened():
            self.require_alive()
            if time.monotonic() > deadline:
                raise StoryFailed(f"it did not happen within {STEP_SECONDS:.0f} seconds that {what}", child)
            time.sleep(0.1)

    def wait_for_worker(self, client: Client, suri: str, role: str, child: Child) -> None:
        """Wait until a worker is registered on chain."""
        self.wait(f"the {role} registers", lambda: worker_record(client, suri, role) is not None, child)

    def require_alive(self) -> None:
        for child in self.family.dead():
            raise StoryFailed(f"{child.name} ended by itself with exit code {child.process.returncode}", child)

    def events(self, name: str, event: str) -> list[dict[str, object]]:
        """The events of one kind that a worker has logged so far."""
        path = self.family.log_folder / f"{name}.log"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one for one in found if one["event"] == event]


def _answers(client: Client) -> bool:
    try:
        client.head()
    except SolventError:
        return False
    return True


def worker_record(client: Client, suri: str, role: str) -> Worker | None:
    found: Worker | None = client.read(workers.WORKERS, (account(suri), role))
    return found


def make_terms(bundle: Bundle, audits: int, segments: int = 10) -> Terms:
    """Random salts and seeds; ``segments`` checkpoints, of which ``audits`` segments are replayed."""
    interval = max(1, -(-bundle.record.steps // segments))
    count = -(-bundle.record.steps // interval)
    return Terms(
        salt=secrets.token_bytes(32),
        seed=secrets.randbits(63),
        order_seed=secrets.token_bytes(32),
        checkpoint_interval=interval,
        audits=min(audits, count),
        verifiers=1,
        price_limit=100,
        training_blocks=TRAINING_BLOCKS,
    )


def submit(client: Client, bundle: Bundle, terms: Terms) -> tuple[bytes, TaskSpec, Estimate]:
    """Price and submit a bundle for the submitter."""
    spec = allow_time(client, bundle, bundle.spec(terms))
    estimate = price(client, bundle, spec)
    return submit_bundle(client, derive_seed(SUBMITTER), bundle, spec), spec, estimate


def watch(stage: Stage, client: Client, name: bytes, label: str, on_change: Callable[[Snapshot], None]) -> Task:
    """Follow a task to its end with a progress bar. Raises `StoryFailed` unless it settles."""
    snapshot = take_snapshot(client, name)
    with TaskBar(stage.console, label, snapshot.task.spec.steps) as bar:
        for snapshot in follow(client, name, timeout=2 * STEP_SECONDS):
            stage.require_alive()
            bar.show(snapshot, dispute_note(client, name, snapshot))
            on_change(snapshot)
    if snapshot.task.status != "settled":
        child = stage.family.children.get("solver") or stage.family.children.get("cheat")
        raise StoryFailed(f"{label} did not settle: {describe(snapshot)}", child)
    return snapshot.task


def dispute_note(client: Client, name: bytes, snapshot: Snapshot) -> str:
    """Where an open dispute stands, for the progress bar."""
    line = client.read(disputes.LINES, name) if snapshot.task.status == "disputed" else None
    game = client.read(disputes.GAMES, line.first) if line else None
    if game is None:
        return ""
    return f"dispute at level {game.cursor.level}, {game.cursor.width} leaves"


def honest_act(stage: Stage, client: Client, bundle: Bundle, name: bytes, estimate: Estimate) -> Act:
    """Act one: an honest solver, a verifier, a whistleblower who confirms."""
    task = watch(stage, client, name, "task 1", lambda snapshot: None)
    whistleblower = stage.family.children["whistleblower"]
    stage.wait("the whistleblower reports", lambda: bool(findings(stage, name)), whistleblower)
    if task.solver != account(SOLVER) or task.slashes:
        raise StoryFailed("the honest task was not settled by the honest solver without a slash")
    if not findings(stage, name)[0]["confirmed"]:
        raise StoryFailed("the whistleblower did not confirm the honest task", whistleblower)
    return finish(stage, client, bundle, name, task, estimate, "model-1.safetensors")


def findings(stage: Stage, name: bytes) -> list[dict[str, object]]:
    """What the whistleblower found out about a task."""
    return [one for one in stage.events("whistleblower", "finding") if one["task"] == name.hex()]


def cheated_act(stage: Stage, client: Client, bundle: Bundle) -> tuple[Act, DisputeRecord]:
    """Act two: the corrupt solver gets the task, is found out, and an honest one finishes it."""
    stage.family.stop("solver")
    paused = worker_record(client, SOLVER, workers.SOLVER)
    if paused is None or paused.capacity:
        raise StoryFailed("the honest solver did not leave the market")
    cheat = stage.start_worker("cheat", "solver", CHEAT, "--strategy", "corrupt")
    stage.wait_for_worker(client, CHEAT, workers.SOLVER, cheat)
    name, spec, estimate = submit(client, bundle, make_terms(bundle, audits=1024))
    stage.console.print(
        f"Task 2 asks for an audit of all {spec.audits} segments. The only solver on the market is Eve, "
        "who gets one multiplication wrong."
    )

    def on_change(snapshot: Snapshot) -> None:
        met_cheat = snapshot.task.solver == account(CHEAT) and snapshot.task.status != "assigned"
        if met_cheat and "solver" not in stage.family.children:
            stage.start_worker("solver", "solver", SOLVER)

    task = watch(stage, client, name, "task 2", on_change)
    decided = read_disputes(client, name)
    record = require_caught(stage, task, decided)
    return finish(stage, client, bundle, name, task, estimate, "model-2.safetensors"), record


def require_caught(stage: Stage, task: Task, decided: list[DisputeRecord]) -> DisputeRecord:
    """The dispute that the cheat lost in a scalar operation. Raises `StoryFailed` unless the chain shows all of it."""
    cheat = stage.family.children["cheat"]
    record = next((one for one in decided if one.loser == account(CHEAT)), None)
    if record is None or record.verdict is None:
        raise StoryFailed("no dispute was decided against the cheat", stage.family.children["verifier"])
    reason, evidence = record.verdict.reason, record.verdict.evidence
    if reason != "wrong_result" or not evidence.opcode or evidence.claimed == evidence.computed:
        raise StoryFailed(f"the dispute ended by {reason}, not in a scalar operation", cheat)
    if not any(one.account == account(CHEAT) and one.amount for one in task.slashes):
        raise StoryFailed("the cheat was not slashed", cheat)
    if not any(one.role == "challenger" and one.amount for one in task.payments):
        raise StoryFailed("the challenger was not rewarded", stage.family.children["verifier"])
    if task.solver != account(SOLVER):
        raise StoryFailed("the task was not finished by the honest solver", stage.family.children.get("solver"))
    return record


def finish(
    stage: Stage, client: Client, bundle: Bundle, name: bytes, task: Task, estimate: Estimate, model: str
) -> Act:
    """Fetch the settled model and score it."""
    path = stage.output / model
    accuracy, _ = fetch_result(client, name, bundle, path, threads=2)
    if accuracy is None:
        raise StoryFailed("there is no test set to score the model on")
    board: Board | None = client.read(proofs.AUDITS, name)
    if board is None or not any(audit.status == PASSED for audit in board.audits):
        raise StoryFailed("no audit of the settled proof passed", stage.family.children["verifier"])
    if not any(one.role == workers.VERIFIER for one in task.payments):
        raise StoryFailed("the verifier was not paid", stage.family.children["verifier"])
    return Act(name, task, accuracy, path, estimate, board)
