"""The market on a network of four validators: workers as processes, blocks drawn by lot and finalized by votes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import disputes, tasks, treasury
from runtime.pallets.tasks import Task, task_id
from solvent.client import Client
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.network import Network, running_network

SHORT_BEACON = {"consensus": {"beacon_outputs": 3}}
"""Every draw waits for so many blocks; a network that somebody attacks needs sixteen."""
SETTLING_SECONDS = 400.0
SUBMITTER = derive_seed("//Submitter")


def submit(client: Client, salt: int) -> bytes:
    """A tiny task, all of whose segments are audited."""
    tiny = tiny_task(salt)
    for blob in (tiny.data_blob, tiny.scalars_blob):
        client.put_blob(blob, SUBMITTER)
    submission = tasks.Submit(encode(tiny.spec), program_bytes(tiny.program), program_bytes(tiny.init_program))
    outcome = client.submit_and_wait(SUBMITTER, "tasks", submission)
    assert outcome.ok, outcome.error
    return task_id(tiny.spec)


def start_worker(network: Network, name: str, role: str, suri: str, node: int, *options: str) -> None:
    """A worker at one of the nodes."""
    common = ("--url", network.clients[node].url, "--work-dir", str(network.folder / "workers"))
    network.family.start(name, "worker", role, "--suri", suri, *common, *options)


def final_task(client: Client, name: bytes) -> Task | None:
    task: Task | None = client.read(tasks.TASKS, name, client.finalized_hash())
    return task


def has_status(client: Client, name: bytes, *statuses: str) -> bool:
    task = final_task(client, name)
    return task is not None and task.status in statuses


@pytest.mark.slow
def test_a_network_of_validators_settles_an_honest_task_and_catches_a_cheat(tmp_path: Path) -> None:
    with running_network(tmp_path, 4, SHORT_BEACON) as network:
        network.until(lambda: network.all_final(1), "the first block is final on every node")
        start_worker(network, "verifier", "verifier", "//Verifier", 1)
        start_worker(network, "whistleblower", "whistleblower", "//Whistleblower", -1)
        start_worker(network, "solver", "solver", "//Solver", 0)
        settle_over_a_crash(network)
        catch_a_cheat(network)
        assert network.agree()


def settle_over_a_crash(network: Network) -> None:
    """Two nodes, each with a worker, die while the task is on the market; both come back."""
    name = submit(network.full, 1)
    for member in (network.members[-1], network.members[0]):
        network.kill(member)
        network.start(member)
    network.until(lambda: has_status(network.full, name, "settled"), "the task settled", SETTLING_SECONDS)
    task = final_task(network.clients[0], name)
    assert task is not None
    assert (task.solver, task.attempt, task.slashes) == (public_key(derive_seed("//Solver")), 1, ())


def catch_a_cheat(network: Network) -> None:
    """The only solver on the market gets one multiplication wrong and loses its stake over it, on every node."""
    network.family.stop("solver")
    eve = public_key(derive_seed("//Eve"))
    start_worker(network, "cheat", "solver", "//Eve", 0, "--strategy", "corrupt")
    name = submit(network.full, 2)
    network.until(lambda: has_status(network.full, name, "disputed"), "somebody disputes the proof", SETTLING_SECONDS)
    start_worker(network, "solver", "solver", "//Solver", 0)
    network.until(lambda: has_status(network.full, name, "settled"), "the task settled", SETTLING_SECONDS)
    for client in network.clients:
        network.until(lambda one=client: has_status(one, name, "settled"), "every node has it")  # type: ignore[misc]
        task = final_task(client, name)
        assert task is not None
        assert task.solver == public_key(derive_seed("//Solver"))
        assert [slash.account for slash in task.slashes if slash.account == eve] == [eve]
        assert {one.account for one in task.payments if one.role == "treasury"} == {treasury.ACCOUNT}
    verdicts = [verdict for _, verdict in network.full.items(disputes.VERDICTS)]
    assert {verdict.reason for verdict in verdicts} == {"wrong_result"}
