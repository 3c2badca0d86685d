"""``solvent query``: read the chain: accounts, blocks, events, any storage item."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.options import NODE_URL
from cli.output import ACCOUNT, BLOCK_HASH, HEX, fail, format_amount, print_json, print_table, say
from runtime import registry
from runtime.block import header_hash
from runtime.crypto import to_ss58
from runtime.pallets import balances
from runtime.state import Map
from solvent import following
from solvent.client import Client
from solvent.light import LightClient


@click.group(name="query")
def command() -> None:
    """Read the chain."""


def reading_options(function: Any) -> Any:
    """Options that every query has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    return NODE_URL(function)


def connect(url: str) -> Client:
    return Client(url, patience=2.0)


@command.command()
@reading_options
@click.argument("account", type=ACCOUNT)
def balance(url: str, as_json: bool, account: bytes) -> None:
    """What ACCOUNT has, free and held."""
    with connect(url) as client:
        found = client.read(balances.ACCOUNTS, account) or balances.EMPTY
    if as_json:
        print_json({"account": to_ss58(account), "free": str(found.free), "held": str(found.held)})
    else:
        say(f"{to_ss58(account)}  free {format_amount(found.free)}  held {format_amount(found.held)}")


@command.command()
@reading_options
@click.argument("account", type=ACCOUNT)
def account(url: str, as_json: bool, account: bytes) -> None:
    """ACCOUNT with its next nonce and what its holds are for."""
    with connect(url) as client:
        at = client.block_hash(client.head().number)
        found = client.read(balances.ACCOUNTS, account, at=at) or balances.EMPTY
        nonce = client.call("system_accountNextIndex", to_ss58(account))
        holds = [(reason, units) for (who, reason), units in client.items(balances.HOLDS, at=at) if who == account]
    if as_json:
        document = {"account": to_ss58(account), "nonce": nonce, "free": str(found.free), "held": str(found.held)}
        print_json({**document, "holds": {_reason(reason): str(units) for reason, units in holds}})
        return
    rows = [("nonce", str(nonce)), ("free", format_amount(found.free)), ("held", format_amount(found.held))]
    print_table(to_ss58(account), ("", ">"), rows + [(f"  {_reason(why)}", format_amount(what)) for why, what in holds])


def _reason(reason: bytes) -> str:
    """A hold's reason: its word, and what follows it in hex."""
    word, colon, rest = reason.partition(b":")
    return word.decode("ascii", "replace") + colon.decode() + rest.hex()


@command.command()
@reading_options
@click.argument("block", required=False)
def block(url: str, as_json: bool, block: str | None) -> None:
    """A block by number or hash, the best one without."""
    with connect(url) as client:
        hash_ = find_block(client, block)
        found = client.call("chain_getBlock", hash_)
        outcome = client.call("chain_getBlockEvents", hash_)
    if as_json:
        print_json({"hash": hash_, **found, "receipts": outcome["receipts"], "events": outcome["events"]})
        return
    header = found["block"]["header"]
    say(f"Block {int(header['number'], 16)}  {hash_}")
    say(f"parent {header['parentHash']}\nstate  {header['stateRoot']}")
    rows = [
        (str(index), f"{call['pallet']}.{call['call']}", call["signer"] or "", result(receipt), fee(receipt))
        for index, (call, receipt) in enumerate(zip(found["block"]["calls"], outcome["receipts"], strict=True))
    ]
    print_table("", ("#", "call", "signer", "result", ">fee"), rows)


def result(receipt: dict[str, Any]) -> str:
    error = receipt["error"]
    return "ok" if error is None else f"{error['pallet']}.{error['code']}"


def fee(receipt: dict[str, Any]) -> str:
    return format_amount(int(receipt["fee"]))


@command.command()
@reading_options
@click.argument("block", required=False)
def events(url: str, as_json: bool, block: str | None) -> None:
    """The events of a block by number or hash, of the best one without."""
    with connect(url) as client:
        found = client.call("chain_getBlockEvents", find_block(client, block))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            "" if event["extrinsic"] < 0 else str(event["extrinsic"]),
            f"{event['pallet']}.{event['name']}",
            "  ".join(f"{name}={_short(value)}" for name, value in event["fields"].items()),
        )
        for event in found["events"]
    ]
    print_table(f"Block {int(found['number'], 16)}", ("#", "event", "fields"), rows)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 48 else text[:20] + "…"


def find_block(client: Client, block: str | None) -> str:
    """The hash of the block that the user named by number or hash."""
    if block is not None and block.startswith("0x"):
        hash_ = block
        known = client.call("chain_getHeader", hash_) is not None
    elif block is None or block.isdecimal():
        hash_ = client.call("chain_getBlockHash", None if block is None else int(block))
        known = hash_ is not None
    else:
        raise click.UsageError(f"{block!r} is neither a block number nor a hash")
    if not known:
        fail(f"there is no block {block} on this chain yet")
    return str(hash_)


@command.command()
@reading_options
@click.argument("item")
@click.argument("key", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Entries of a map to show.")
def storage(url: str, as_json: bool, item: str, key: str | None, limit: int) -> None:
    """A storage ITEM such as balances.issuance, or balances.accounts with a KEY; raw keys as 0x hex work too."""
    with connect(url) as client:
        if item.startswith("0x"):
            raw = client.call("state_getStorage", "0x" + HEX.convert(item, None, None).hex())
            print_json(raw)
            return
        pallet_name, _, name = item.partition(".")
        pallet = registry.BY_NAME.get(pallet_name)
        descriptor = pallet.storage.get(name) if pallet else None
        if descriptor is None:
            fail(f"there is no storage item {item}; solvent query items lists all")
        if not isinstance(descriptor, Map):
            values = {"": client.read(descriptor)}
        elif key is not None:
            values = {key: client.read(descriptor, parse_key(key))}
        else:
            values = {}
            for found, value in client.items(descriptor):
                if len(values) == limit:
                    break
                values[show(found)] = value
    if as_json:
        print_json({shown: show(value) for shown, value in values.items()} if isinstance(descriptor, Map)
                   else show(values[""]))  # fmt: skip
        return
    print_table(item, ("key", "value"), [(shown, show(value)) for shown, value in values.items()])


@command.command()
def items() -> None:
    """All storage items by pallet."""
    rows = [
        (f"{pallet.name}.{name}", "map" if isinstance(descriptor, Map) else "value")
        for pallet in registry.PALLETS
        for name, descriptor in pallet.storage.items()
    ]
    print_table("", ("item", "kind"), rows)


def parse_key(text: str) -> Any:
    """A map's key from the command line: a number, 0x bytes, an account, or a word."""
    if text.isdecimal():
        return int(text)
    if text.startswith("0x"):
        return HEX.convert(text, None, None)
    if text.startswith("//") or 46 <= len(text) <= 50:
        return ACCOUNT.convert(text, None, None)
    return text


def show(value: Any) -> str:
    """Any decoded value on one line; 32 bytes as hex."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return "(" + ", ".join(show(item) for item in value) + ")"
    if hasattr(value, "__struct_fields__"):
        fields = ", ".join(f"{name}={show(getattr(value, name))}" for name in value.__struct_fields__)
        return f"{type(value).__name__}({fields})"
    return str(value)


# --- the market and its history, from a node with an index


def tell(url: str, as_json: bool, method: str, *params: Any) -> Any:
    """A method's result; with ``--json`` it is printed and None is returned."""
    with connect(url) as client:
        found = client.call(method, *params)
    if as_json:
        print_json(found)
        return None
    return found


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as rows; lists by their length."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, f"{len(value)} items" if isinstance(value, list) else str(value)))
    return rows


@command.command()
@reading_options
def stats(url: str, as_json: bool) -> None:
    """The network in figures."""
    found = tell(url, as_json, "explorer_statistics")
    if found is not None:
        print_table(found["chain"], ("", ">"), flat(found))


@command.command()
@reading_options
@click.argument("text")
def search(url: str, as_json: bool, text: str) -> None:
    """What a number, an address, a hash or its first digits stand for."""
    found = tell(url, as_json, "explorer_search", text)
    if found is not None:
        print_table("", ("kind", "id"), [(match["kind"], match["id"]) for match in found])


@command.command()
@reading_options
@click.argument("account", type=ACCOUNT)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
def history(url: str, as_json: bool, account: bytes, limit: int) -> None:
    """What ACCOUNT signed and what named it, the newest first."""
    found = tell(url, as_json, "explorer_accountHistory", to_ss58(account), limit)
    if found is None:
        return
    rows = []
    for item in found["items"]:
        call = item["extrinsic"]
        what = f"{call['pallet']}.{call['call']}" if call else "(block)"
        events = ", ".join(f"{event['pallet']}.{event['name']}" for event in item["events"])
        rows.append((str(int(item["block"], 16)), what, "signed" if item["signed"] else "", events))
    print_table(to_ss58(account), (">block", "call", "", "events"), rows)


@command.command()
@reading_options
@click.argument("dispute", type=click.IntRange(0))
def dispute(url: str, as_json: bool, dispute: int) -> None:
    """DISPUTE number so much, move by move down to the operation that decided it."""
    found = tell(url, as_json, "disputes_get", dispute)
    if as_json:
        return
    if found is None:
        fail(f"there is no dispute {dispute}")
    say(f"Dispute {dispute} about segment {found['segment']} of task {found['task']}: {found['status']}")
    levels = [(level["label"], str(level["width"]), str(level["leafLabel"] or "...")) for level in found["levels"]]
    print_table("Descent", ("tree", ">leaves", "disputed"), levels)
    rows = [
        (str(move["number"]), move["mover"], move["kind"], str(int(move["block"], 16)), move["next"])
        for move in found["moves"]
    ]
    print_table("Moves", (">#", "by", "move", ">block", "then"), rows)
    leaf = found["leaf"]
    if leaf is not None:
        claimed = f"{leaf['claimed']} ({leaf['claimedDecimal']})"
        computed = f"{leaf['computed']} ({leaf['computedDecimal']})"
        opcode = found["verdict"]["evidence"]["opcode"] or found["verdict"]["reason"]
        say(f"Decided by {opcode}: claimed {claimed}, the chain computed {computed}")
    for kind, name in (("slashes", "lost"), ("payments", "received")):
        for item in found[kind]:
            say(f"{item['account']} {name} {format_amount(int(item['amount']))} ({item['role']})")


@command.command()
@reading_options
@click.argument("task", type=HEX)
@click.option("--follow", is_flag=True, help="Go on until the task is over.")
def timeline(url: str, as_json: bool, task: bytes, follow: bool) -> None:
    """All that happened to TASK, the oldest first."""
    with connect(url) as client:
        entries = following.follow_task(client, task) if follow else following.timeline(client, task)
        for entry in entries:
            if as_json:
                click.echo(json.dumps(entry))
                continue
            loss = f"step {entry['step']}, loss {entry['loss']}" if entry["kind"] == "heartbeat" else ""
            say(f"{int(entry['block'], 16):>7}  {entry['attempt']}  {entry['kind']:<18} {loss}")


@command.command()
@reading_options
@click.option("--genesis", type=BLOCK_HASH, help="The network's genesis hash; else the node's is believed.")
@click.option("--checkpoint", type=BLOCK_HASH, help="A recent block that you trust, on an old network.")
@click.argument("account", type=ACCOUNT)
def prove(url: str, as_json: bool, genesis: bytes | None, checkpoint: bytes | None, account: bytes) -> None:
    """ACCOUNT's balance, proved rather than believed: from the genesis hash to the voters, from their signatures to the
    newest final block, and from its state root to the balance."""
    with connect(url) as client:
        light = LightClient(client, genesis or client.genesis_hash(), checkpoint)
        head = light.follow()
        found = client.verify_storage(balances.ACCOUNTS, account, at=header_hash(head)) or balances.EMPTY
    at = header_hash(head)
    if as_json:
        document = {"account": to_ss58(account), "free": str(found.free), "held": str(found.held)}
        print_json({**document, "block": head.number, "hash": "0x" + at.hex()})
    else:
        say(f"{to_ss58(account)}  free {format_amount(found.free)}  held {format_amount(found.held)}")
        say(f"proved under the final block {head.number} 0x{at.hex()} of the network 0x{light.genesis_hash.hex()}")
