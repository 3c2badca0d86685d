"""``solvent worker``: run one of the three worker roles against a node, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cli.options import NODE_URL
from cli.output import AMOUNT
from cli.suri import SURI_HELP, read_secret


def default_work_dir() -> Path:
    """Where workers keep downloads and checkpoints unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "solvent" / "workers"


@click.group(name="worker")
def command() -> None:
    """Earn by training (solver), by checking (verifier), or by checking the checkers (whistleblower)."""


def _options(function: Any) -> Any:
    for option in reversed(
        [
            NODE_URL,
            click.option("--suri", required=True, help=f"Secret of the worker's account, {SURI_HELP}."),
            click.option(
                "--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Of the kernels."
            ),
            click.option("--work-dir", type=click.Path(path_type=Path), default=None, help="Downloads, checkpoints."),
            click.option("--json-log", is_flag=True, help="One JSON object a line instead of text."),
            click.option("--patience", default=120.0, show_default=True, help="Seconds to wait for a lost node."),
        ]
    ):
        function = option(function)
    return function


def _offer_options(function: Any) -> Any:
    for option in reversed(
        [
            click.option(
                "--price",
                default=1,
                show_default=True,
                type=click.IntRange(1),
                help="Units (10^-9 SOLV) for a unit of gas.",
            ),
            click.option("--bond", default="1000", show_default=True, type=AMOUNT, help="Tokens to stake."),
            click.option(
                "--capacity", default=4, show_default=True, type=click.IntRange(1, 64), help="Jobs at a time."
            ),
        ]
    ):
        function = option(function)
    return function


@command.command()
@_options
@_offer_options
@click.option(
    "--strategy",
    type=click.Choice(["honest", "corrupt", "silent"]),
    default="honest",
    help="An adversary to test the market with: one wrong multiplication, defended or not.",
)
@click.option("--corrupt-step", type=click.IntRange(0), default=None, help="Step to break; default: past the middle.")
@click.option("--corrupt-value", type=click.IntRange(0), default=None, help="Value to break; default: the first "
              "layer's weight gradient.")  # fmt: skip
def solver(
    price: int, bond: int, capacity: int, strategy: str, corrupt_step: int | None, corrupt_value: int | None,
    **options: Any,
) -> None:  # fmt: skip
    """Accept tasks, train them exactly, register proofs and defend them."""
    from ml.workers.registration import Offer
    from ml.workers.solver import Solver
    from ml.workers.strategies import SolverStrategy

    offer = Offer(price, bond, capacity)
    _serve(
        "solver", options, lambda session: Solver(session, offer, SolverStrategy(strategy, corrupt_step, corrupt_value))
    )


@command.command()
@_options
@_offer_options
@click.option(
    "--strategy",
    type=click.Choice(["honest", "rubber-stamp", "lie"]),
    default="honest",
    help="An adversary to test the market with: pass everything unseen, or accuse the honest.",
)
def verifier(price: int, bond: int, capacity: int, strategy: str, **options: Any) -> None:
    """Replay randomly drawn segments of other people's work, and dispute what differs."""
    from ml.workers.registration import Offer
    from ml.workers.verifier import Verifier

    offer = Offer(price, bond, capacity)
    _serve("verifier", options, lambda session: Verifier(session, offer, strategy))


@command.command()
@_options
@click.option(
    "--extra-segments",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Unaudited segments to re-run as well.",
)
def whistleblower(extra_segments: int, **options: Any) -> None:
    """Re-run what verifiers passed, and dispute what they should not have."""
    from ml.workers.whistleblower import Whistleblower

    _serve("whistleblower", options, lambda session: Whistleblower(session, extra_segments))


def _serve(role: str, options: dict[str, Any], build: Any) -> None:
    """Run a worker until it is told to stop; a clear message and exit code 1 when it cannot go on."""
    from ml.workers.journal import Journal
    from ml.workers.session import Session, claim_folder, run
    from runtime.crypto import public_key, to_ss58
    from runtime.errors import SolventError
    from solvent.client import Client, NodeUnreachable

    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    journal = Journal(role, options["json_log"])
    try:
        seed = read_secret(options["suri"])
        account = to_ss58(public_key(seed))
        folder = (options["work_dir"] or default_work_dir()) / role / account
        folder.mkdir(parents=True, exist_ok=True)
        with claim_folder(folder):
            session = Session(Client(options["url"]), seed, folder, journal, options["threads"], lambda: stopping)
            journal.event("started", account=account, url=options["url"], folder=str(folder))
            worker = build(session)
            run(worker, options["patience"])
            try:
                worker.leave()
            except NodeUnreachable as error:
                journal.event("left_unannounced", error=str(error))
    except (SolventError, OSError) as error:
        journal.event("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(1)
    journal.event("stopped")
