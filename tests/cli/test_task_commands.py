"""Looking at tasks and taking one back, against a node process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from runtime.codec import encode
from runtime.crypto import derive_seed
from runtime.pallets import tasks
from runtime.pallets.tasks import task_id
from solvent.client import Client
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.node import dev_process, solvent


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with dev_process("--tmp", "--quiet") as (_, address):
        yield address


def submit(url: str) -> str:
    """Put a tiny task on the market, where no worker waits for it."""
    tiny = tiny_task()
    call = tasks.Submit(encode(tiny.spec), program_bytes(tiny.program), program_bytes(tiny.init_program))
    with Client(url) as client:
        outcome = client.submit_and_wait(derive_seed("//Alice"), "tasks", call)
    assert outcome.ok, outcome.error
    return "0x" + task_id(tiny.spec).hex()


def test_a_task_is_listed_and_taken_back_once(url: str) -> None:
    assert solvent("task", "list", "--url", url).stdout == "No tasks.\n"
    name = submit(url)
    shown = solvent("task", "list", "--submitter", "//Alice", "--url", url)
    assert name in shown.stdout
    assert json.loads(solvent("task", "list", "--submitter", "//Bob", "--json", "--url", url).stdout) == []
    assert solvent("task", "disputes", name, "--url", url).stdout == "Nobody disputes this task.\n"

    refused = solvent("task", "cancel", name, "--suri", "//Bob", "--url", url)
    assert (refused.returncode, "tasks.NotTheSubmitter" in refused.stderr) == (1, True)
    done = solvent("task", "cancel", name, "--suri", "//Alice", "--url", url)
    assert (done.returncode, "came back" in done.stdout) == (0, True)
    again = solvent("task", "cancel", name, "--suri", "//Alice", "--url", url)
    assert (again.returncode, "tasks.WrongStatus" in again.stderr) == (1, True)
    (document,) = json.loads(solvent("task", "list", "--status", "cancelled", "--json", "--url", url).stdout)
    assert document["id"] == name


def test_an_unknown_task_costs_nothing(url: str) -> None:
    for command in (("cancel", "0x" + "12" * 32, "--suri", "//Alice"), ("disputes", "0x" + "12" * 32)):
        done = solvent("task", *command, "--url", url)
        assert (done.returncode, "has no task" in done.stderr) == (1, True)
    assert solvent("task", "disputes", "0x12", "--url", url).returncode == 2
