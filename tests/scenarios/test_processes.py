"""Real processes: a node and workers that are killed and restarted, and the demo as a user starts it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.demo_processes import Child, Family, free_port, solvent_command
from runtime.codec import encode, replace
from runtime.commitments import tensor_root
from runtime.crypto import derive_seed
from runtime.errors import SolventError
from runtime.pallets import tasks
from runtime.pallets.tasks import Task, task_id
from solvent.client import Client
from tests.scenarios.tiny import program_bytes, tiny_task

STEPS, INTERVAL = 30_000, 2_000


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    with Family(tmp_path / "logs") as children:
        yield children


def wait(happened: Callable[[], bool], seconds: float = 60.0, log: Callable[[], str] = str) -> None:
    """Poll other processes until something is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log()
        time.sleep(0.05)


def answers(client: Client) -> bool:
    try:
        client.head()
    except SolventError:
        return False
    return True


def submit_long_task(client: Client, salt: int = 0) -> bytes:
    """A tiny model trained for several seconds."""
    tiny = tiny_task(salt)
    scalars = tiny.scalars_blob[:4] * STEPS
    root = tensor_root(scalars)
    longer = {"steps": STEPS, "scalar_rows": STEPS, "checkpoint_interval": INTERVAL, "audits": 2}
    spec = replace(tiny.spec, scalars_root=root, scalars_blob=root, **longer)
    seed = derive_seed("//Submitter")
    for blob in (tiny.data_blob, scalars):
        client.put_blob(blob, seed)
    submission = tasks.Submit(encode(spec), program_bytes(tiny.program), program_bytes(tiny.init_program))
    outcome = client.submit_and_wait(seed, "tasks", submission)
    assert outcome.ok, outcome.error
    return task_id(spec)


def start_node(family: Family, folder: Path, port: int) -> Child:
    return family.start("node", "dev", "--base-path", str(folder / "chain"), "--rpc-port", str(port), "--quiet")


def test_a_solver_killed_in_training_and_a_restarted_node_cost_no_task(family: Family, tmp_path: Path) -> None:
    port = free_port()
    start_node(family, tmp_path, port)
    client = Client(f"http://127.0.0.1:{port}", patience=0.5)
    with client:
        tell_of_a_crash(client, family, tmp_path, port)


def tell_of_a_crash(client: Client, family: Family, tmp_path: Path, port: int) -> None:
    wait(lambda: answers(client))
    common = ("--url", client.url, "--work-dir", str(tmp_path / "workers"), "--log-format", "json")
    family.start("verifier", "worker", "verifier", "--suri", "//Verifier", *common)
    solver = family.start("solver", "worker", "solver", "--suri", "//Solver", *common)
    name = submit_long_task(client)
    wait(lambda: "checkpoint" in solver.tail(100), log=solver.tail)

    solver.signal(signal.SIGKILL)
    solver.process.wait()
    family.stop("node")
    start_node(family, tmp_path, port)
    again = family.start("solver", "worker", "solver", "--suri", "//Solver", *common)

    def settled() -> bool:
        if not answers(client):
            return False
        task: Task | None = client.read(tasks.TASKS, name)
        return task is not None and task.status == "settled"

    wait(settled, 120.0, lambda: again.tail() + family.children["verifier"].tail())
    events = [json.loads(line) for line in again.tail(1000).splitlines() if line.startswith("{")]
    assert next(event["step"] for event in events if event["event"] == "resumed") >= INTERVAL
    task: Task = client.read(tasks.TASKS, name)
    assert (task.attempt, task.slashes) == (1, ())


@pytest.mark.slow
def test_workers_killed_at_random_moments_cost_no_task(family: Family, tmp_path: Path) -> None:
    """Twelve times one of two workers is killed, wherever it is: fetching, training two tasks, uploading, replaying."""
    port = free_port()
    start_node(family, tmp_path, port)
    with Client(f"http://127.0.0.1:{port}", patience=5.0) as client:
        wait(lambda: answers(client))
        common = ("--url", client.url, "--work-dir", str(tmp_path / "workers"), "--log-format", "json", "--jobs", "2")

        def start(role: str) -> Child:
            return family.start(role, "worker", role, "--suri", f"//{role.title()}", *common)

        running = {role: start(role) for role in ("solver", "verifier")}
        names = [submit_long_task(client, salt) for salt in (1, 2)]
        chance = random.Random(7)
        for number in range(12):
            role = ("solver", "solver", "verifier")[number % 3]
            time.sleep(chance.uniform(0.1, 5.0))  # not a wait for anything: the moment of the kill
            running[role].signal(signal.SIGKILL)
            running[role].process.wait()
            running[role] = start(role)

        def settled() -> bool:
            return all(client.read(tasks.TASKS, name).status == "settled" for name in names)

        wait(settled, 240.0, lambda: running["solver"].tail() + running["verifier"].tail())
        for name in names:
            task: Task = client.read(tasks.TASKS, name)
            assert (task.attempt, task.slashes) == (1, ())
        assert not list(tmp_path.glob("workers/**/.*")), "a half-written file was left behind"


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom cli.demo_processes import Family\n"
        "child = Family(Path(sys.argv[1])).start('node', 'dev', '--tmp', '--rpc-port', sys.argv[2])\n"
        "print(child.process.pid, flush=True)\ntime.sleep(600)"
    )
    command = [*solvent_command()[:1], "-c", script, str(tmp_path), str(port)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    wait(gone, 10.0)


def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    command = solvent_command("demo", "--json", "--steps", "40", "--output", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    document = json.loads(done.stdout)
    assert [task["status"] for task in document["tasks"]] == ["settled", "settled"]
    assert all(task["accuracy"] > 0.5 and Path(task["model"]).is_file() for task in document["tasks"])
    dispute = document["dispute"]
    assert (dispute["winner"], dispute["loser"], dispute["reason"]) == ("Verifier", "Eve", "wrong_result")
    assert dispute["leaf"]["op"] == "FMA_F32"
    assert dispute["leaf"]["claimed"] != dispute["leaf"]["computed"]
    assert [level["level"] for level in dispute["level_sizes"]] == ["segment", "step", "tensor", "trace"]
    assert document["chain"]["height"] == document["chain"]["finalized"] > 0


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    command = solvent_command("demo", "--keep", str(tmp_path), "--output", str(tmp_path))
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    marker = str(tmp_path)

    def processes() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if marker in words and path.parent.name != str(demo.pid):
                found.append(words)
        return found

    wait(lambda: any("solver" in words for words in processes()))
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130
    wait(lambda: not processes(), 5.0)
