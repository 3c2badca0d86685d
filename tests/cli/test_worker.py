"""Workers' options, their file, what they refuse before they start, their metrics and their earnings."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from cli import worker
from cli.worker_earnings import collect_earnings, print_earnings
from cli.worker_metrics import MetricsPortTaken, serve_metrics
from ml.workers.figures import TaskProgress
from ml.workers.journal import Journal
from ml.workers.limits import Limits, Need
from ml.workers.session import Session
from runtime.crypto import to_ss58
from runtime.pallets import balances
from runtime.pallets.workers import Worker
from tests.rpc.story import LedgerChain
from tests.rpc.test_protocol import View, ask
from tests.scenarios.market import BALANCE, AtOnce, Market
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account, seed
from tests.support.node import solvent


def options_of(tmp_path: Path, text: str, *arguments: str) -> dict[str, Any]:
    """What ``solvent worker solver`` would run with, given a file and arguments."""
    path = tmp_path / "worker.toml"
    path.write_text(text)
    context = worker.solver.make_context("solver", ["--config", str(path), *arguments])
    return context.params


def test_a_file_may_hold_any_option_and_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    text = 'suri = "//Solver"\nprice = 7\nbond = 12.5\nmax-memory = "2GiB"\nlog-format = "json"\nmetrics-port = 9616\n'
    found = options_of(tmp_path, text, "--price", "8")
    assert (found["suri"], found["price"], found["bond"]) == ("//Solver", 8, 12_500_000_000)
    assert (found["max_memory"], found["log_format"], found["metrics_port"]) == (2 * 2**30, "json", 9616)
    assert found["max_disk"] == 64 * 2**30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prize = 7", "worker.toml: prize is no option of solvent worker solver; did you mean price?"),
        ("max_disk = '1GiB'", "worker.toml: max_disk is no option of solvent worker solver; did you mean max-disk?"),
        ("extra-segments = 1", "worker.toml: extra-segments is no option of solvent worker solver"),
        ("price = 0", "worker.toml: price: 0 is not in the range x>=1"),
        ("price = 'cheap'", "worker.toml: price: 'cheap' is not a valid integer"),
        ("max-memory = '2GB'", "worker.toml: max-memory: '2GB' is not a size such as 20GiB or 500MiB"),
        ("device = 'tpu'", "worker.toml: device: 'tpu' is not one of 'cpu', 'cuda'"),
        ("price = true", "worker.toml: price is no switch, not True"),
        ("price = [1]", "worker.toml: price takes one value, not [1]"),
        ("[solver]\nprice = 1", "worker.toml: solver is no option"),
        ("price = ", "worker.toml is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        options_of(tmp_path, text, "--suri", "//Solver")
    assert message in caught.value.message


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(worker.command, ["solver", "--config", str(tmp_path / "none.toml")])
    assert done.exit_code == 2
    assert "none.toml cannot be read: [Errno 2]" in done.output


def test_a_device_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = solvent("worker", "solver", "--suri", "//Solver", "--device", "cuda", "--work-dir", str(tmp_path))
    assert done.returncode == 1
    assert "DeviceMissing" in done.stdout
    assert not list(tmp_path.iterdir())


def session_of(folder: Path) -> Session:
    chain: Any = None
    journal = Journal("solver", stream=io.StringIO())
    return Session(chain, seed("//Solver1"), folder, journal, AtOnce(), limits=Limits(1000, 2000))


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Every sample that a worker serves, by name and label values."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    families = list(text_string_to_metric_families(text))
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_metrics_tell_of_tasks_money_and_limits(tmp_path: Path) -> None:
    session = session_of(tmp_path)
    figures = session.figures
    figures.record = Worker(account("//Solver1"), "solver", 1, 4, 500, 200, 0, (bytes(32),), 0, 1, 30)
    figures.earned, figures.slashed, figures.fees = 70, 30, 5
    figures.ended["settled"] += 2
    figures.calls["tasks.Accept", True] += 3
    figures.progress[bytes(32)] = TaskProgress(40, 100, 0.5)
    session.room.admit(bytes(32), Need(600, 700))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "data").write_bytes(bytes(123))
    found = scrape(serve_metrics(session, "solver", 0))
    prefix = "solvent_worker_"
    expected = {
        ("info", session.address, "solver"): 1,
        ("node_is_away",): 0,
        ("earned_units_total",): 70,
        ("penalty_units_total",): 30,
        ("fee_units_total",): 5,
        ("bond_units",): 500,
        ("locked_units",): 200,
        ("slashed_units",): 30,
        ("tasks",): 1,
        ("jobs_running",): 0,
        ("tasks_ended_total", "settled"): 2,
        ("calls_total", "tasks.Accept", "true"): 3,
        ("task_steps", "done", "00" * 32): 40,
        ("task_steps", "all", "00" * 32): 100,
        ("task_loss", "00" * 32): 0.5,
        ("memory_reserved_bytes",): 600,
        ("memory_limit_bytes",): 1000,
        ("disk_bytes",): 123,
        ("disk_limit_bytes",): 2000,
    }
    assert {key: found[prefix + key[0], *key[1:]] for key in expected} == expected


def test_a_port_that_is_taken_is_refused_by_its_option(tmp_path: Path) -> None:
    port = serve_metrics(session_of(tmp_path), "solver", 0)
    with pytest.raises(MetricsPortTaken, match=f"port {port} of --metrics-port"):
        serve_metrics(session_of(tmp_path), "solver", port)


class Asked:
    """The RPC of a node that keeps an index, as the report's client sees it."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def call(self, method: str, *params: Any) -> Any:
        return ask(self._view, method, *params)["result"]


@pytest.fixture(scope="module")
def cheated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LedgerChain, Asked]]:
    """A task whose first solver cheated and lost, and whose second one was paid."""
    folder = tmp_path_factory.mktemp("cheated")
    market: Any = Market(folder, chain=LedgerChain())  # type: ignore[arg-type]
    market.verifier("//Verifier1")
    market.solver("//Mallory", "corrupt")
    name = market.submit(tiny_task())
    market.run_until(name, "training", "proved")
    market.verifier("//Verifier2")
    market.solver("//Solver1")
    market.run_until(name, "settled")
    view = View(market.chain, folder)
    while view.indexes.advance():
        pass
    yield market.chain, Asked(view)
    view.indexes.close()


@pytest.mark.parametrize("suri", ["//Solver1", "//Mallory", "//Verifier1", "//Verifier2"])
def test_the_net_of_an_earnings_report_is_what_the_account_has_more_or_less(
    cheated: tuple[LedgerChain, Asked], suri: str
) -> None:
    chain, asked = cheated
    report = collect_earnings(asked, account(suri))  # type: ignore[arg-type]
    money = balances.account(chain.state, account(suri))
    assert report.net == money.free + money.held - BALANCE
    assert report.fees.total() > 0
    document = report.document()
    assert int(document["net"]) == sum(
        int(document[key]) * sign for key, sign in (("earned", 1), ("fees", -1), ("penalties", -1))
    )


def test_an_earnings_report_names_tasks_roles_and_penalties(
    cheated: tuple[LedgerChain, Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    _, asked = cheated
    honest, cheat = (collect_earnings(asked, account(suri)) for suri in ("//Solver1", "//Mallory"))  # type: ignore[arg-type]
    assert set(honest.roles) == {"solver"}
    assert (honest.penalties, cheat.roles.total()) == (0, 0)
    assert cheat.penalties > 0
    print_earnings(honest)
    shown = capsys.readouterr().out
    assert to_ss58(account("//Solver1")) in shown
    assert next(iter(honest.tasks)) in shown
    assert "earned as solver" in shown
