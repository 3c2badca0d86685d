"""``solvent tx``: sign a transaction and send it; by default wait until it is in a block."""

from __future__ import annotations

from typing import Any

import click

from cli.options import NODE_URL
from cli.output import ACCOUNT, AMOUNT, describe_failure, fail, format_amount, print_json, say
from cli.suri import SURI_HELP, read_secret
from runtime.codec import Record
from runtime.crypto import to_ss58
from runtime.pallets import balances, system
from solvent.client import Client, Outcome


@click.group(name="tx")
def command() -> None:
    """Sign and send transactions."""


def sending_options(function: Any) -> Any:
    """Options that every transaction has."""
    for option in reversed(
        [
            click.option("--from", "suri", required=True, metavar="SURI", help=f"Secret of the sender, {SURI_HELP}."),
            click.option("--tip", type=AMOUNT, default="0", help="Tokens on top of the fee, for an earlier place."),
            click.option("--wait/--no-wait", default=True, help="Wait until a block includes it (the default)."),
            NODE_URL,
            click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        ]
    ):
        function = option(function)
    return function


@command.command()
@sending_options
@click.option("--to", "to", required=True, type=ACCOUNT, help="Address, or a development account such as //Bob.")
@click.option("--keep-alive", is_flag=True, help="Fail rather than close the sender's account.")
@click.argument("amount", type=AMOUNT)
def transfer(
    suri: str, tip: int, wait: bool, url: str, as_json: bool, to: bytes, keep_alive: bool, amount: int
) -> None:
    """Send AMOUNT tokens to an account."""
    args = balances.TransferKeepAlive(to, amount) if keep_alive else balances.Transfer(to, amount)
    what = f"{format_amount(amount)} to {to_ss58(to)}"
    send(url, suri, "balances", args, tip, wait, as_json, what)


@command.command(name="transfer-all")
@sending_options
@click.option("--to", "to", required=True, type=ACCOUNT, help="Address, or a development account such as //Bob.")
@click.option("--keep-alive", is_flag=True, help="Leave the existential deposit, so that the account stays.")
def transfer_all(suri: str, tip: int, wait: bool, url: str, as_json: bool, to: bytes, keep_alive: bool) -> None:
    """Send everything that is free to an account."""
    args = balances.TransferAll(to, keep_alive)
    send(url, suri, "balances", args, tip, wait, as_json, f"everything to {to_ss58(to)}")


@command.command()
@sending_options
@click.argument("text")
def remark(suri: str, tip: int, wait: bool, url: str, as_json: bool, text: str) -> None:
    """Put TEXT on the chain, where it means nothing to anybody but people."""
    send(url, suri, "system", system.Remark(text.encode()), tip, wait, as_json, "a remark")


def send(url: str, suri: str, pallet: str, args: Record, tip: int, wait: bool, as_json: bool, what: str) -> None:
    """Submit, wait if asked, print what became of it; exit code 1 when the call failed."""
    seed = read_secret(suri)
    with Client(url, patience=2.0) as client:
        submitted = client.submit(seed, pallet, args, tip)
        document: dict[str, Any] = {"hash": "0x" + submitted.hash.hex(), "nonce": submitted.nonce}
        if not wait:
            if as_json:
                print_json(document)
            else:
                say(f"Submitted {what}: 0x{submitted.hash.hex()}")
            return
        outcome = client.wait(submitted)
    if as_json:
        print_json({**document, **describe(outcome)})
        if not outcome.ok:
            click.get_current_context().exit(1)
    elif outcome.error is not None:
        fail(f"{describe_failure(outcome.error)} (fee {format_amount(outcome.fee)})")
    else:
        say(f"Sent {what} in block {outcome.block_number}, fee {format_amount(outcome.fee)}")


def describe(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON."""
    error = outcome.error
    return {
        "ok": outcome.ok,
        "blockNumber": outcome.block_number,
        "blockHash": "0x" + outcome.block_hash.hex(),
        "index": outcome.index,
        "fee": str(outcome.fee),
        "error": None if error is None else {"pallet": error.pallet, "code": error.code, "message": error.message},
        "events": [f"{pallet}.{name}" for pallet, name, _ in outcome.events],
    }
