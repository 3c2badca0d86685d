"""Workers that are killed, a node that restarts and a chain that changes forks in the middle of audits and disputes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.demo_processes import Family, free_port
from ml.workers.session import Worker
from ml.workers.solver import Solver
from ml.workers.verifier import Verifier
from ml.workers.whistleblower import Whistleblower
from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import disputes, tasks
from runtime.pallets.disputes import CHALLENGER_WON, Dispute
from runtime.pallets.tasks import task_id
from solvent.client import Client
from tests.scenarios.market import Market
from tests.scenarios.test_processes import answers, start_node, wait
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.chain import TestChain, account


class Mortal(Market):
    """A market whose workers are killed after every single turn: they begin anew with their folder and the chain."""

    def run(self, until: Callable[[], bool], rounds: int = 1500) -> None:
        def killed_after_its_turn() -> bool:
            self.workers = {suri: reborn(worker) for suri, worker in self.workers.items()}
            return until()

        super().run(killed_after_its_turn, rounds)


def reborn(worker: Worker) -> Worker:
    """What a restarted process knows: its options and its folder."""
    if isinstance(worker, Solver):
        return Solver(worker.session, worker.offer, worker.strategy)
    if isinstance(worker, Verifier):
        return Verifier(worker.session, worker.offer, worker.strategy)
    assert isinstance(worker, Whistleblower)
    return Whistleblower(worker.session, worker.extra_segments, worker.price)


class Snapshot:
    """A block of a test's chain to which it can go back."""

    def __init__(self, chain: TestChain) -> None:
        self.kept = dict(chain.backend.entries), dict(chain.nodes), chain.head, list(chain.blocks)

    def restore(self, chain: TestChain) -> None:
        entries, nodes, chain.head, blocks = self.kept
        chain.backend.entries, chain.nodes, chain.blocks = dict(entries), dict(nodes), list(blocks)


def test_workers_killed_after_every_turn_still_audit_dispute_and_settle(tmp_path: Path) -> None:
    market = Mortal(tmp_path)
    market.verifier("//Verifier1")
    market.solver("//Mallory", "corrupt")
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.task(name).slashes))
    assert (market.dispute().status, market.dispute().challenger) == (CHALLENGER_WON, account("//Verifier1"))
    market.solver("//Solver1")
    market.verifier("//Verifier2")
    task = market.run_until(name, "settled")
    assert task.solver == account("//Solver1")
    assert set(market.slashes(name)) == {account("//Mallory")}


def test_a_chain_that_changes_forks_in_the_middle_of_a_dispute_ends_in_the_same_verdict(tmp_path: Path) -> None:
    """Every few blocks the last ones are abandoned with the moves in them; the workers go on from what is left."""
    market = Market(tmp_path)
    market.verifier("//Verifier1")
    market.solver("//Mallory", "corrupt")
    name = market.submit(tiny_task())
    market.run(lambda: bool(market.chain.items(disputes.DISPUTES)))
    chain, undone = market.chain.chain, 0
    kept: list[Snapshot] = []

    def abandon() -> bool:
        nonlocal undone
        kept.append(Snapshot(chain))
        if len(kept) % 3 == 0 and market.dispute().moves and undone < 6:
            moves = market.dispute().moves
            kept[-2].restore(chain)
            undone += moves - market.dispute().moves
        return market.dispute().status == CHALLENGER_WON

    market.run(abandon)
    assert undone >= 3
    assert market.slashes(name)[account("//Mallory")] == market.task(name).estimate.solver_lock
    assert market.chain.read(disputes.VERDICTS, 0).reason == "wrong_result"


@pytest.mark.slow
def test_both_sides_killed_and_the_node_restarted_in_the_middle_of_a_dispute(tmp_path: Path) -> None:
    port = free_port()
    with Family(tmp_path / "logs") as family, Client(f"http://127.0.0.1:{port}", patience=0.5) as client:
        start_node(family, tmp_path, port)
        wait(lambda: answers(client))
        tell_of_a_dispute(family, client, tmp_path, port)


def tell_of_a_dispute(family: Family, client: Client, folder: Path, port: int) -> None:
    common = ("--url", client.url, "--work-dir", str(folder / "workers"))

    def start(name: str, role: str, *options: str) -> None:
        family.start(name, "worker", role, *options, *common)

    def dispute() -> Dispute | None:
        found: Dispute | None = client.read(disputes.DISPUTES, 0) if answers(client) else None
        return found

    sides = (("verifier", "verifier", "--suri", "//Verifier"), ("eve", "solver", "--suri", "//Eve", *CORRUPT))
    for side in sides:
        start(*side)
    name = submit_tiny(client)
    wait(lambda: (found := dispute()) is not None and found.moves >= 3, 60.0, family.children["eve"].tail)
    for side in sides:
        family.children[side[0]].signal(signal.SIGKILL)
        family.children[side[0]].process.wait()
    family.stop("node")
    start_node(family, folder, port)
    wait(lambda: answers(client))
    before = dispute()
    assert before is not None
    assert before.status == "open"
    for side in sides:
        start(*side)
    wait(lambda: (found := dispute()) is not None and found.status != "open", 90.0, family.children["verifier"].tail)
    found = dispute()
    assert found is not None
    assert (found.status, found.defender) == (CHALLENGER_WON, public_key(derive_seed("//Eve")))
    assert client.read(disputes.VERDICTS, 0).reason == "wrong_result"
    assert client.read(tasks.TASKS, name).slashes


CORRUPT = ("--strategy", "corrupt")


def submit_tiny(client: Client) -> bytes:
    """A tiny task, all of whose segments are audited."""
    tiny, seed = tiny_task(), derive_seed("//Submitter")
    for blob in (tiny.data_blob, tiny.scalars_blob):
        client.put_blob(blob, seed)
    submission = tasks.Submit(encode(tiny.spec), program_bytes(tiny.program), program_bytes(tiny.init_program))
    outcome = client.submit_and_wait(seed, "tasks", submission)
    assert outcome.ok, outcome.error
    return task_id(tiny.spec)
