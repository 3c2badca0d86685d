"""``solvent validator``: what the account behind a validator does: stake, session key, candidacy, and its status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.node import ask_password
from cli.options import NODE_URL
from cli.output import ACCOUNT, AMOUNT, HEX, fail, format_amount, print_json, say
from cli.suri import read_secret
from cli.tx import send, sending_options
from cli.validator_memory import export_command, import_command
from node.keystore import PASSWORD_VARIABLE, open_key
from runtime.crypto import public_key, to_ss58
from runtime.pallets import session, staking, system
from solvent.client import Client


@click.group(name="validator")
def command() -> None:
    """Stake, announce a session key, stand for election, and see how it goes.

    --from is the account with the stake; the node itself only has the session key.
    """


command.add_command(export_command)
command.add_command(import_command)


@command.command()
@sending_options
@click.argument("amount", type=AMOUNT)
def bond(suri: str, tip: int, wait: bool, url: str, as_json: bool, amount: int) -> None:
    """Stake AMOUNT tokens, or that much more."""
    account = public_key(read_secret(suri))
    with Client(url, patience=2.0) as client:
        known = client.read(staking.LEDGERS, account)
    args = staking.Bond(amount) if known is None else staking.BondMore(amount)
    send(url, suri, "staking", args, tip, wait, as_json, f"a stake of {format_amount(amount)}")


@command.command()
@sending_options
@click.argument("amount", type=AMOUNT)
def unbond(suri: str, tip: int, wait: bool, url: str, as_json: bool, amount: int) -> None:
    """Take AMOUNT tokens out of the stake; eras later they may be withdrawn."""
    what = f"the end of a stake of {format_amount(amount)}"
    send(url, suri, "staking", staking.Unbond(amount), tip, wait, as_json, what)


@command.command()
@sending_options
def withdraw(suri: str, tip: int, wait: bool, url: str, as_json: bool) -> None:
    """Free what was unbonded long enough ago."""
    send(url, suri, "staking", staking.Withdraw(), tip, wait, as_json, "the withdrawal")


@command.command(name="rotate-key")
@sending_options
@click.option("--node", "node_url", help="RPC address of the validator's own node, when --url is another one's.")
def rotate_key(suri: str, tip: int, wait: bool, url: str, as_json: bool, node_url: str | None) -> None:
    """Have the node make a session key, and announce it: it counts three sessions later, without a restart.

    The node keeps the key in its keystore. It serves this to its own machine only (author_rotateKeysWithOwner).
    """
    account = public_key(read_secret(suri))
    with Client(node_url or url, patience=2.0) as client:
        made = client.call("author_rotateKeysWithOwner", to_ss58(account))
    key, proof = (bytes.fromhex(made[field].removeprefix("0x")) for field in ("keys", "proof"))
    args = session.SetKeys(key, proof)
    send(url, suri, "session", args, tip, wait, as_json, f"the session key {to_ss58(key)}")


@command.command(name="set-key")
@sending_options
@click.option(
    "--keystore", type=click.Path(file_okay=False, path_type=Path), help="A keystore that holds the new session key."
)
@click.option("--session-key", help="The new session key, when the keystore holds several.")
@click.option(
    "--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar=PASSWORD_VARIABLE,
    help="File with that key's password; asked for when missing.",
)  # fmt: skip
@click.option(
    "--proof",
    type=HEX,
    metavar="0x...",
    help="In place of the keystore: what author_rotateKeysWithOwner returned.",
)
def set_key(
    suri: str, tip: int, wait: bool, url: str, as_json: bool, keystore: Path | None, session_key: str | None,
    password_file: Path | None, proof: bytes | None,
) -> None:  # fmt: skip
    """Announce the session key that the node will make blocks and vote with, three sessions later."""
    account = public_key(read_secret(suri))
    if proof is not None and session_key is not None and keystore is None:
        key = ACCOUNT.convert(session_key, None, None)
    elif proof is None and keystore is not None:
        signer = open_key(keystore, session_key, password_file, ask_password)
        with Client(url, patience=2.0) as client:
            message = session.possession_message(client.genesis_hash(), account)
        key, proof = signer.public, signer.sign(message)
    else:
        raise click.UsageError("give --keystore, or --session-key and --proof")
    args = session.SetKeys(key, proof)
    send(url, suri, "session", args, tip, wait, as_json, f"the session key {to_ss58(key)}")


@command.command()
@sending_options
def start(suri: str, tip: int, wait: bool, url: str, as_json: bool) -> None:
    """Stand for election from now on."""
    send(url, suri, "staking", staking.Validate(), tip, wait, as_json, "the candidacy")


@command.command()
@sending_options
def stop(suri: str, tip: int, wait: bool, url: str, as_json: bool) -> None:
    """Stand for election no more. A set in office is served to its end: let the node run until then."""
    send(url, suri, "staking", staking.Chill(), tip, wait, as_json, "the end of the candidacy")


@command.command()
@click.argument("account", type=ACCOUNT)
@NODE_URL
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(account: bytes, url: str, as_json: bool) -> None:
    """What the chain knows of the validator ACCOUNT: stake, session keys, and whether it is in office."""
    with Client(url, patience=2.0) as client:
        document = describe(client, account)
    if as_json:
        print_json(document)
        return
    say(f"Session   {document['session']} of era {document['era']}, {document['members']} validators in office")
    say(f"Stake     {format_amount(int(document['stake']))}" + (f", slashed {format_amount(int(document['slashed']))}"
        if document["slashed"] != "0" else ""))  # fmt: skip
    for chunk in document["unbonding"]:
        say(f"Unbonding {format_amount(int(chunk['amount']))}, free in era {chunk['era']}")
    say(f"Candidate {'yes' if document['isCandidate'] else 'no'}")
    say(f"In office {'yes, with session key ' + document['activeKey'] if document['activeKey'] else 'no'}")
    if document["key"]:
        is_due = document["session"] >= document["keyEffective"]
        say(f"Key       {document['key']}" + ("" if is_due else f", usable from session {document['keyEffective']}"))
        if document["oldKey"] and not is_due:
            say(f"Old key   {document['oldKey']}, until then")


def describe(client: Client, account: bytes) -> dict[str, Any]:
    """The state of a validator as JSON, all of it as of one block."""
    at = client.finalized_hash()
    if client.read(system.PARAMETERS, at=at).block.instant_finality:
        fail("this is a development chain: one author makes every block, and there are no validators")
    index = client.read(session.INDEX, at=at)
    present = client.read(session.SESSIONS, index, at=at)
    members = client.read(session.MEMBERS, at=at)
    ledger = client.read(staking.LEDGERS, account, at=at) or staking.Ledger(0, (), 0)
    keys = client.read(session.KEYS, account, at=at) or session.Keys(session.NO_KEY, session.NO_KEY, 0)
    active = next((member.key for member in members if member.account == account), session.NO_KEY)
    return {
        "account": to_ss58(account),
        "session": index,
        "era": present.era,
        "members": len(members),
        "stake": str(ledger.stake),
        "slashed": str(ledger.slashed),
        "unbonding": [{"amount": str(chunk.amount), "era": chunk.release} for chunk in ledger.chunks],
        "isCandidate": account in client.read(staking.CANDIDATES, at=at),
        "activeKey": _address(active),
        "key": _address(keys.key),
        "oldKey": _address(keys.old),
        "keyEffective": keys.effective,
    }


def _address(key: bytes) -> str:
    return "" if key == session.NO_KEY else to_ss58(key)
