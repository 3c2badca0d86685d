"""``solvent demo``: the whole story on this machine, from a submitted task to a cheat caught in one multiplication."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from cli.demo_processes import ROOT, Family
from cli.dispute_report import DisputeRecord, dispute_document, print_leaf, print_moves
from cli.output import format_amount, print_json
from cli.task_report import print_payments, task_document
from runtime.errors import SolventError
from solvent.client import Client

if TYPE_CHECKING:
    from cli.demo_story import Act, Stage

EXAMPLE = ROOT / "examples" / "mnist.py"
BATCH_SIZE = 128
"""More samples than a group has operations, so that the dispute also descends into an element's registers."""


@click.command(name="demo")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object on stdout.")
@click.option("--steps", default=300, show_default=True, type=click.IntRange(10), help="Training steps of each task.")
@click.option(
    "--output", default="demo-output", show_default=True, type=click.Path(file_okay=False, path_type=Path),
    help="Where the two models go.",
)  # fmt: skip
@click.option("--stay", is_flag=True, help="Leave the chain running at the end, for its explorer, until Ctrl-C.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep chain and logs here.")
def command(as_json: bool, steps: int, output: Path, stay: bool, keep: Path | None) -> None:
    """Train a network on real digits, then catch a solver that gets one multiplication wrong.

    Starts a development chain and its workers as processes of their own, and stops them all at the end. Exit code 0
    only if everything happened, as read from the chain. In the JSON object, dispute.moves lists every move of both
    parties; dispute.rounds counts the challenger's among them, each of which narrows the claim down.
    """
    console = Console(stderr=as_json, highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        require_writable(output)
        with workplace(keep) as folder:
            document = tell(console, folder, output, steps, stay, keep is not None)
    except SolventError as error:
        report_failure(console, error, as_json)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nStopped; every process of the demo has ended.")
        if as_json:
            print_json({"ok": False, "error": "interrupted", "log": ""})
        sys.exit(130)
    if as_json:
        print_json(document)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class NoOutput(SolventError):
    """The models could not be written where they should go."""


def require_writable(output: Path) -> None:
    """Find out before the story begins, not at its end, that the models cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise NoOutput(f"cannot write models to {output}: {error}; choose another folder with --output") from None


@contextmanager
def workplace(keep: Path | None) -> Iterator[Path]:
    """The folder that everything happens in; a temporary one unless it is to be kept."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix="run-", dir=keep))
        return
    with tempfile.TemporaryDirectory(prefix="solvent-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def report_failure(console: Console, error: SolventError, as_json: bool) -> None:
    """Say what did not happen, and show the end of the log of whoever owed it."""
    log = getattr(error, "log", "")
    console.print(f"[red]The demo failed:[/red] {error}", markup=True)
    if log:
        console.print(f"\nThe end of that process's log:\n{log}", markup=False)
    if as_json:
        print_json({"ok": False, "error": str(error), "log": log})


def tell(console: Console, folder: Path, output: Path, steps: int, stay: bool, kept: bool) -> dict[str, Any]:
    """Run the story; returns the JSON document. Raises `SolventError` when something did not happen."""
    from cli.demo_story import Stage, cheated_act, honest_act, make_terms, submit

    began = time.monotonic()
    with Family(folder / "logs") as family:
        stage = Stage(folder, output, console, family)
        client, bundle = prepare(stage, steps)
        stage.timings["setup"] = time.monotonic() - began
        console.rule("[bold]1. An honest task", align="left")
        name, spec, estimate = submit(client, bundle, make_terms(bundle, audits=3))
        console.print(
            f"{spec.steps} steps of {spec.data.batch_size} digits: {estimate.gas:,} gas, "
            f"{format_amount(estimate.escrow)} in escrow, at most {format_amount(estimate.solver_fee)} of it for the "
            f"solver and {format_amount(estimate.verifier_fee)} for the verifier."
        )
        first = honest_act(stage, client, bundle, name, estimate)
        stage.timings["honest_task"] = time.monotonic() - began - sum(stage.timings.values())
        show_act(stage, first)
        console.rule("[bold]2. A solver that cheats", align="left")
        second, record = cheated_act(stage, client, bundle)
        stage.timings["cheated_task"] = time.monotonic() - began - sum(stage.timings.values())
        show_dispute(stage, record)
        show_act(stage, second)
        chain = read_chain(client)
        client.close()
        stage.timings["total"] = time.monotonic() - began
        document = build_document(stage, (first, second), record, chain)
        if stay:
            wait_for_visitor(console, stage.url, record.number)
    console.print(f"\nDone in {stage.timings['total']:.0f} seconds, {chain['height']} blocks, every process stopped.")
    if kept:
        console.print(f"Chain and logs are in {folder}")
    return document


def wait_for_visitor(console: Console, url: str, dispute: int) -> None:
    """Keep the chain for whoever wants to look at it, until Ctrl-C."""
    console.print(f"\nThe chain stays at {url}/ and the dispute at {url}/#/dispute/{dispute}; Ctrl-C stops everything.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def prepare(stage: Stage, steps: int) -> tuple[Client, Any]:
    """Start the chain and the honest workers while the model is captured."""
    from cli.demo_story import SOLVER, VERIFIER, WHISTLEBLOWER
    from cli.task_files import capture

    status = stage.console.status("Starting a chain and three workers, capturing the model ...")
    with status, ThreadPoolExecutor(1) as pool:
        captured = pool.submit(capture, EXAMPLE, stage.folder / "bundle", steps, BATCH_SIZE)
        client = stage.start_node()
        started = {
            role: stage.start_worker(role, role, suri) for role, suri in (("verifier", VERIFIER), ("solver", SOLVER))
        }
        stage.start_worker("whistleblower", "whistleblower", WHISTLEBLOWER)
        for suri, role in ((VERIFIER, "verifier"), (SOLVER, "solver")):
            stage.wait_for_worker(client, suri, role, started[role])
        bundle = captured.result()
    stage.console.print(f"A development chain at {stage.url}, and a solver, a verifier and a whistleblower beside it.")
    return client, bundle


def show_act(stage: Stage, act: Act) -> None:
    """How a task ended, for people."""
    from cli.demo_story import NAMES, findings

    for audit in act.board.audits:
        what = f"segments {list(audit.segments)} of {NAMES[act.task.solver]}'s proof"
        stage.console.print(f"{NAMES[audit.verifier]} replayed {what}: {audit.status}.")
    for finding in findings(stage, act.name):
        word = "all equal" if finding["confirmed"] else f"segments {finding['wrong']} differ"
        stage.console.print(f"The whistleblower re-ran segments {finding['segments']}: {word}.")
    print_payments(act.task, NAMES, stage.console)
    stage.console.print(
        f"Test accuracy [bold]{act.accuracy:.1%}[/bold] after {act.task.spec.steps} steps; model: {act.model}, "
        f"state root 0x{act.task.final_root.hex()[:16]}…"
    )


def show_dispute(stage: Stage, record: DisputeRecord) -> None:
    """The descent, move by move, and the operation at its end."""
    from cli.demo_story import NAMES

    assert record.verdict is not None
    loser, winner = NAMES[record.dispute.defender], NAMES[record.dispute.challenger]
    sizes = " > ".join(f"{one.level} {one.leaf} of {one.width}" for one in record.verdict.trail)
    stage.console.print(f"{winner} replayed segment {record.dispute.segment} and got another state. The dispute:")
    print_moves(stage.console, record, NAMES)
    stage.console.print(f"Descended: {sizes}")
    print_leaf(stage.console, record.verdict.evidence, (loser, winner))
    stage.console.print(
        f"The chain decided for {winner}, who receives {format_amount(record.dispute.reward)}; {loser} lost its stake, "
        "and the task went to an honest solver."
    )


def read_chain(client: Client) -> dict[str, Any]:
    head = client.head()
    return {
        "height": head.number,
        "finalized": client.finalized_number(),
        "state_root": "0x" + head.state_root.hex(),
        "genesis": "0x" + client.genesis_hash().hex(),
    }


def build_document(stage: Stage, acts: tuple[Act, ...], record: DisputeRecord, chain: dict[str, Any]) -> dict[str, Any]:
    """The JSON object."""
    from cli.demo_story import NAMES, findings

    slashes = [slash for act in acts for slash in act.task.slashes]
    return {
        "ok": True,
        "tasks": [
            {**task_document(act.name, act.task, NAMES), "accuracy": act.accuracy, "model": str(act.model)}
            for act in acts
        ],
        "dispute": dispute_document(record, slashes, NAMES),
        "whistleblower": [finding for act in acts for finding in findings(stage, act.name)],
        "chain": chain,
        "timings": {name: round(seconds, 2) for name, seconds in stage.timings.items()},
    }
