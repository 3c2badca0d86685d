"""``solvent task``: what a training task costs, putting it on the market, following it, and fetching the model."""

from __future__ import annotations

import secrets
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.options import NODE_URL
from cli.output import AMOUNT, console, describe_failure, fail, format_amount, print_json, print_table, say
from cli.suri import SURI_HELP, read_secret
from cli.task_files import keep_bundle, kept_bundle
from cli.task_local import compile_file, opened, run_program
from cli.task_market import cancel, disputes, list_tasks
from cli.task_options import JSON, TASK_ARGUMENT
from cli.task_report import print_payments, task_document
from cli.task_watch import TaskBar, follow, take_snapshot
from runtime.codec import encode, replace
from runtime.errors import SolventError
from runtime.market_parameters import MarketParameters
from runtime.pallets import proofs, system, tasks
from runtime.pallets.tasks import Estimate, TaskSpec, task_id, validate_submission
from runtime.vm.check import check_program, decode_program
from solvent.client import Client

if TYPE_CHECKING:
    from ml.bundle import Bundle, Terms

USUAL_AUDITS = 3
"""Segments that each verifier replays where the submitter does not say."""
TRAINING_BLOCKS = 5000
"""How long training may take where neither the submitter nor the work asks for more."""


@click.group(name="task")
def command() -> None:
    """Have a network trained: compile, run here, estimate, submit, watch, and fetch the result."""


for part in (list_tasks, cancel, disputes):
    command.add_command(part)


command.add_command(compile_file)
command.add_command(run_program)


def task_options(function: Any) -> Any:
    """The task file, or the folder of a compiled one, and the terms."""
    for option in reversed(
        [
            click.argument("file", type=click.Path(exists=True, path_type=Path)),
            click.option("--steps", type=click.IntRange(1), help="Training steps, else the file's STEPS."),
            click.option("--batch-size", type=click.IntRange(1), help="Samples a step, else the file's BATCH_SIZE."),
            click.option("--checkpoint-interval", type=click.IntRange(1), help="Default: a tenth of the steps."),
            click.option(
                "--audits",
                type=click.IntRange(1),
                help="Segments that each verifier replays, besides the initialisation. Default: 3, or as many as it "
                "takes that the usual stake deters a cheat; with fewer, the solver must stake more.",
            ),
            click.option(
                "--verifiers", default=1, show_default=True, type=click.IntRange(1), help="How many audit it."
            ),
            click.option(
                "--price-limit",
                default=100,
                show_default=True,
                type=click.IntRange(1),
                help="Most units (10^-9 SOLV) for a unit of gas.",
            ),
            click.option(
                "--training-blocks",
                type=click.IntRange(1),
                help="Blocks until the proof is due; default: 5000, or thrice the least that the work needs.",
            ),
            click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Of the initial weights; default: random."),
            NODE_URL,
            JSON,
        ]
    ):
        function = option(function)
    return function


def terms_of(client: Client, bundle: Bundle, options: dict[str, Any]) -> Terms:
    """The terms of a submission, with the defaults that depend on the task."""
    from ml.bundle import Terms

    steps = bundle.record.steps
    interval = min(options["checkpoint_interval"] or max(1, -(-steps // 10)), steps)
    segments, verifiers = -(-steps // interval), options["verifiers"]
    enough = max(USUAL_AUDITS, tasks.enough_audits(segments, verifiers, market_of(client)))
    return Terms(
        salt=secrets.token_bytes(32),
        seed=secrets.randbits(63) if options["seed"] is None else options["seed"],
        order_seed=secrets.token_bytes(32),
        checkpoint_interval=interval,
        audits=min(options["audits"] or enough, segments),
        verifiers=verifiers,
        price_limit=options["price_limit"],
        training_blocks=options["training_blocks"] or TRAINING_BLOCKS,
    )


def spec_of(client: Client, bundle: Bundle, options: dict[str, Any]) -> TaskSpec:
    """The spec of a submission; unless told how long training may take, long enough for a slow solver."""
    spec = bundle.spec(terms_of(client, bundle, options))
    return spec if options["training_blocks"] else allow_time(client, bundle, spec)


def allow_time(client: Client, bundle: Bundle, spec: TaskSpec) -> TaskSpec:
    """The spec with thrice the shortest training deadline that the chain accepts, where that is more than it has."""
    market = market_of(client)
    train, init = (check_program(decode_program(data)) for data in (bundle.record.train, bundle.record.init))
    least = tasks.minimum_training_blocks(spec, train, init, market)
    blocks = max(spec.training_blocks, 3 * least)
    return replace(spec, training_blocks=min(blocks, market.maximum_training_blocks))


def price(client: Client, bundle: Bundle, spec: TaskSpec) -> Estimate:
    """The chain's estimate, by the very function that the chain prices a submission with."""
    market = market_of(client)
    return validate_submission(encode(spec), bundle.record.train, bundle.record.init, market)[1]


def market_of(client: Client) -> MarketParameters:
    """The figures of the market on the client's network."""
    return cast(MarketParameters, client.read(system.PARAMETERS).market)


def show_estimate(spec: TaskSpec, estimate: Estimate) -> None:
    """The fee, part by part, for people."""
    print_table(
        "",
        ["", ">gas", ">fee"],
        [
            ["training and initialisation", f"{estimate.gas:,}", format_amount(estimate.solver_fee)],
            [
                f"{spec.verifiers} audit{'s' if spec.verifiers > 1 else ''} of {spec.audits} segments each",
                f"{spec.verifiers * estimate.audit_gas:,}",
                format_amount(spec.verifiers * estimate.verifier_fee),
            ],
            ["treasury", "", format_amount(estimate.treasury_fee)],
            ["pot, which pays whoever finds verifiers out", "", format_amount(estimate.jackpot_fee)],
            ["listing, kept if the task expires or is cancelled", "", format_amount(estimate.listing_fee)],
            [
                "[bold]escrow, what is not needed comes back[/bold]",
                "",
                f"[bold]{format_amount(estimate.escrow)}[/bold]",
            ],
        ],
    )


def estimate_document(spec: TaskSpec, estimate: Estimate) -> dict[str, Any]:
    return {
        "steps": spec.steps,
        "gas": str(estimate.gas),
        "audit_gas": str(estimate.audit_gas),
        "solver_fee": str(estimate.solver_fee),
        "verifier_fee": str(estimate.verifier_fee),
        "treasury_fee": str(estimate.treasury_fee),
        "jackpot_fee": str(estimate.jackpot_fee),
        "listing_fee": str(estimate.listing_fee),
        "escrow": str(estimate.escrow),
        "solver_lock": str(estimate.solver_lock),
        "verifier_lock": str(estimate.verifier_lock),
        "training_blocks": spec.training_blocks,
        "least_training_blocks": estimate.training_blocks,
    }


@command.command()
@task_options
def estimate(file: Path, steps: int | None, batch_size: int | None, url: str, as_json: bool, **options: Any) -> None:
    """Say what training FILE costs, before anything is paid."""
    with opened(file, steps, batch_size, {}) as bundle, Client(url) as client:
        spec = spec_of(client, bundle, options)
        priced = price(client, bundle, spec)
    if as_json:
        print_json(estimate_document(spec, priced))
    else:
        show_estimate(spec, priced)


def submit_bundle(client: Client, seed: bytes, bundle: Bundle, spec: TaskSpec) -> bytes:
    """Upload a bundle's blobs, submit the task, and have holders keep its data where the network asks for that; returns
    the task's id. Raises `SubmissionFailed`."""
    client.put_blob(bundle.data, seed)
    if bundle.scalars:
        client.put_blob(bundle.scalars, seed)
    submission = tasks.Submit(encode(spec), bundle.record.train, bundle.record.init)
    outcome = client.submit_and_wait(seed, "tasks", submission)
    if not outcome.ok:
        raise SubmissionFailed(f"the chain refused the task: {describe_failure(outcome.error)}")
    if client.read(system.PARAMETERS).blobs.receipts:
        placing = tasks.PlaceData(task_id(spec), len(bundle.data))
        outcome = client.submit_and_wait(seed, "tasks", placing)
        if not outcome.ok:
            raise SubmissionFailed(
                f"task 0x{task_id(spec).hex()} waits for its data to be placed, and the chain refused that: "
                f"{describe_failure(outcome.error)}; `solvent task cancel` takes it back"
            )
    return task_id(spec)


class SubmissionFailed(SolventError):
    """The chain refused a task."""


@command.command()
@task_options
@click.option("--suri", required=True, help=f"Secret of the account that pays, {SURI_HELP}.")
@click.option("--max-fee", type=AMOUNT, help="Refuse to submit if the escrow would be more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def submit(
    file: Path, steps: int | None, batch_size: int | None, url: str, as_json: bool, suri: str, max_fee: int | None,
    yes: bool, **options: Any,
) -> None:  # fmt: skip
    """Put FILE on the market; the fee is shown first and held in escrow."""
    seed = read_secret(suri)
    with opened(file, steps, batch_size, {}) as bundle, Client(url) as client:
        spec = spec_of(client, bundle, options)
        priced = price(client, bundle, spec)
        if max_fee is not None and priced.escrow > max_fee:
            fail(f"the escrow would be {format_amount(priced.escrow)}, more than --max-fee {format_amount(max_fee)}")
        if not as_json:
            show_estimate(spec, priced)
            if not yes:
                click.confirm(f"Hold {format_amount(priced.escrow)} and submit?", abort=True)
        name = submit_bundle(client, seed, bundle, spec)
        kept = keep_bundle(bundle, name)
    if as_json:
        print_json({"task": "0x" + name.hex(), "bundle": str(kept.folder), **estimate_document(spec, priced)})
    else:
        say(f"Submitted task 0x{name.hex()}")
        say(f"Follow it: solvent task watch 0x{name.hex()}")


@command.command()
@TASK_ARGUMENT
@click.option("--timeout", type=float, help="Give up after so many seconds.")
@NODE_URL
@JSON
def watch(name: bytes, timeout: float | None, url: str, as_json: bool) -> None:
    """Follow TASK until it is over; exit code 0 only if it settled."""
    with Client(url) as client:
        snapshot = take_snapshot(client, name)
        if as_json:
            snapshot = deque(follow(client, name, timeout), maxlen=1).pop()
            print_json({**task_document(name, snapshot.task), "step": snapshot.step, "loss": snapshot.loss})
        else:
            with TaskBar(console, f"task {name.hex()[:8]}", snapshot.task.spec.steps) as bar:
                for snapshot in follow(client, name, timeout):
                    bar.show(snapshot)
            print_payments(snapshot.task)
    if snapshot.task.status != "settled":
        fail(f"the task is {snapshot.task.status}")


@command.command()
@TASK_ARGUMENT
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("model.safetensors"), show_default=True
)
@click.option("--bundle", "folder", type=click.Path(path_type=Path), help="Else the one kept at submission.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 256), help="For scoring the model.")
@NODE_URL
@JSON
def result(name: bytes, out: Path, folder: Path | None, threads: int, url: str, as_json: bool) -> None:
    """Write the trained model of TASK as safetensors, checked against the chain, and say its test accuracy."""
    from ml.bundle import Bundle

    bundle = Bundle.open(folder) if folder else kept_bundle(name)
    with Client(url) as client:
        accuracy, tensors = fetch_result(client, name, bundle, out, threads)
    if as_json:
        print_json({"task": "0x" + name.hex(), "model": str(out), "tensors": tensors, "accuracy": accuracy})
        return
    say(f"Wrote {tensors} tensors to {out}; its state has the root that the chain settled.")
    say("Test accuracy unknown: no test set here." if accuracy is None else f"Test accuracy {accuracy:.1%}")


def fetch_result(
    client: Client, name: bytes, bundle: Bundle | None, out: Path, threads: int = 1
) -> tuple[float | None, int]:
    """Fetch the settled model and write it; returns (test accuracy, number of tensors). Raises `SolventError`."""
    from ml.artifacts import encode_tensors, write_atomically
    from ml.proof import fetch_manifest, fetch_state, state_layout

    record = take_snapshot(client, name).task
    proof = client.read(proofs.PROOFS, name)
    if record.status != "settled" or proof is None:
        raise NoResult(f"task {name.hex()} is {record.status}; there is a model once it is settled")
    checked = check_program(decode_program(client.read(tasks.PROGRAMS, record.spec.program)))
    manifest = fetch_manifest(client, proof.manifest, name, record.spec, proof.checkpoints)
    if manifest.states[-1].root != record.final_root:
        raise NoResult(f"the proof ends in another state than the chain settled: {record.final_root.hex()}")
    state = fetch_state(client, manifest.states[-1], state_layout(checked))
    model = bundle.export(state) if bundle else {key: state[key] for key in state if key.startswith("model.")}
    write_atomically(out, encode_tensors(model))
    return (bundle.accuracy(state, threads) if bundle else None), len(model)


class NoResult(SolventError):
    """The task has no model yet, or never will."""
