"""``solvent worker``: run one of the three worker roles against a node, until Ctrl-C or SIGTERM; see what it earned."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cli.options import NODE_URL, SizeType
from cli.output import ACCOUNT, AMOUNT, print_json
from cli.suri import SURI_HELP, read_secret
from cli.worker_config import read_config


def default_work_dir() -> Path:
    """Where workers keep downloads and checkpoints unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "solvent" / "workers"


@click.group(name="worker")
def command() -> None:
    """Earn by training (solver), by checking (verifier), or by checking the checkers (whistleblower).

    \b
    solvent worker solver --suri @solver.key              with the mnemonic in solver.key
    solvent worker verifier --config verifier.toml        every option may stand in a TOML file
    solvent worker earnings 5F...                         what an account earned, paid in fees, and lost

    A worker needs a node to talk to (--url), a key of its own with a few tokens for its bond and fees (--suri), and a
    folder that survives a restart (--work-dir). It may be killed at any moment: started again with the same key and
    folder, it goes on where it was. docs/running-a-worker.md tells the whole story.
    """


def _options(function: Any) -> Any:
    for option in reversed(
        [
            click.option(
                "--config",
                type=click.Path(dir_okay=False, path_type=Path),
                callback=read_config,
                is_eager=True,
                expose_value=False,
                help="TOML file with any of these options under the same names; those given here win.",
            ),
            NODE_URL,
            click.option("--suri", required=True, help=f"Secret of the worker's account, {SURI_HELP}."),
            click.option(
                "--password-file",
                type=click.Path(dir_okay=False, path_type=Path),
                help="File with the password of a key in the keystore; asked for when missing.",
            ),
            click.option(
                "--device",
                default="cpu",
                show_default=True,
                type=click.Choice(["cpu", "cuda"]),
                help="What computes; results are the same bits on every device.",
            ),
            click.option(
                "--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Cores for each job."
            ),
            click.option(
                "--jobs",
                type=click.IntRange(1, 256),
                help="Trainings or replays at a time; the others wait. Default: cores / --threads.",
            ),
            click.option(
                "--max-memory",
                type=SizeType(),
                help="Most memory for all tasks together, as in 12GiB. A task that may need more is refused. "
                "Default: three quarters of the machine's.",
            ),
            click.option(
                "--max-disk",
                default="64GiB",
                show_default=True,
                type=SizeType(),
                help="Most disk space for data and checkpoints; what is left of settled tasks goes first.",
            ),
            click.option(
                "--work-dir",
                type=click.Path(file_okay=False, path_type=Path),
                help="Downloads and checkpoints. Default: ~/.local/share/solvent/workers.",
            ),
            click.option(
                "--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus metrics at 127.0.0.1."
            ),
            click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True),
            click.option(
                "--patience",
                type=click.FloatRange(0),
                help="Seconds after which a node that stays away ends the worker; without, it waits for ever.",
            ),
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
                help="Units (10^-9 SOLV) for a unit of gas, which is a thousand scalar operations.",
            ),
            click.option(
                "--bond",
                default="1000",
                show_default=True,
                type=AMOUNT,
                help="Tokens to stake: they weigh in draws, back the jobs at hand, and pay for wrong or missing work.",
            ),
            click.option(
                "--capacity",
                default=4,
                show_default=True,
                type=click.IntRange(1, 64),
                help="Tasks held at a time, from the draw to the settlement.",
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
    type=click.Choice(["honest", "corrupt", "silent", "withhold"]),
    default="honest",
    help="An adversary to test the market with: one wrong multiplication, defended or not; or states kept back.",
)
@click.option("--corrupt-step", type=click.IntRange(0), default=None, help="Step to break; default: past the middle.")
@click.option("--corrupt-value", type=click.IntRange(0), default=None, help="Value to break; default: the first "
              "layer's weight gradient.")  # fmt: skip
def solver(
    price: int, bond: int, capacity: int, strategy: str, corrupt_step: int | None, corrupt_value: int | None,
    **options: Any,
) -> None:  # fmt: skip
    """Accept tasks, train them exactly, register proofs and defend them.

    A task that is drawn for this worker must be accepted and proved in time, else part of its bond is lost. Checkpoints
    stay in --work-dir until the task is over, because any segment may be disputed until then.
    """
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
    """Replay randomly drawn segments of other people's work, and dispute what differs.

    A verdict that comes too late costs part of the bond, and so does one that is wrong.
    """
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
@click.option(
    "--price",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="What a unit of gas costs you, in units (10^-9 SOLV): proofs are left alone whose check is not expected to "
    "bring more, by how many have proved false on this chain. 0 checks everything.",
)
def whistleblower(extra_segments: int, price: int, **options: Any) -> None:
    """Re-run what verifiers passed, and challenge what they should not have.

    It registers for nothing: the bond of a dispute is all that it stakes, and half of the solver's lock what it wins.
    """
    from ml.workers.whistleblower import Whistleblower

    _serve("whistleblower", options, lambda session: Whistleblower(session, extra_segments, price))


@command.command()
@click.argument("account", type=ACCOUNT)
@NODE_URL
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of tables.")
def earnings(account: bytes, url: str, as_json: bool) -> None:
    """What ACCOUNT earned by task and by role, paid in fees, lost in penalties, and kept.

    ACCOUNT is an address or a development account such as //Solver. The node must keep an index, as `solvent dev` and
    full nodes do.
    """
    from cli.worker_earnings import collect_earnings, print_earnings
    from solvent.client import Client

    with Client(url) as client:
        report = collect_earnings(client, account)
    if as_json:
        print_json(report.document())
    else:
        print_earnings(report)


def _serve(role: str, options: dict[str, Any], build: Any) -> None:
    """Run a worker until it is told to stop; a clear message and exit code 1 when it cannot go on."""
    from ml.devices import open_backend
    from ml.workers.jobs import ThreadedJobs
    from ml.workers.journal import Journal
    from ml.workers.limits import Limits, hold_memory
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
    journal = Journal(role, options["log_format"] == "json")
    try:
        seed = read_secret(options["suri"], options["password_file"])
        open_backend(options["device"])
        account = to_ss58(public_key(seed))
        folder = (options["work_dir"] or default_work_dir()) / role / account
        folder.mkdir(parents=True, exist_ok=True)
        threads = options["threads"]
        jobs = ThreadedJobs(options["jobs"] or max(1, (os.cpu_count() or 1) // threads), journal)
        limits = Limits(options["max_memory"] or _usable_memory(), options["max_disk"])
        hold_memory(limits.memory)
        with claim_folder(folder):
            client = Client(options["url"])
            session = Session(client, seed, folder, journal, jobs, threads, options["device"], lambda: stopping, limits)
            journal.event("started", account=account, url=options["url"], folder=str(folder), jobs=jobs.limit)
            worker = build(session)
            if options["metrics_port"] is not None:
                from cli.worker_metrics import serve_metrics

                journal.event("metrics_served", port=serve_metrics(session, role, options["metrics_port"]))
            run(worker, options["patience"])
            try:
                worker.leave()
            except NodeUnreachable as error:
                journal.warn("left_unannounced", error=str(error))
    except (SolventError, OSError) as error:
        journal.warn("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(1)
    journal.event("stopped")


def _usable_memory() -> int:
    """Three quarters of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 * 3
