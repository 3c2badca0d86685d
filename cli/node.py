"""``solvent node``: one node of a network with several validators."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import click

from cli.dev import default_base_path, parse_size
from cli.output import console, fail, say
from node.config import NodeConfig
from node.keystore import Keystore, SeedSigner, read_password
from node.networks import NetworkConfig, development_node_key, development_session, local_genesis
from runtime.crypto import to_ss58
from runtime.errors import SolventError
from runtime.genesis import parse_genesis

PASSWORD_VARIABLE = "SOLVENT_PASSWORD_FILE"
STATUS_SECONDS = 5.0


def load_chain(chain: str) -> dict[str, Any]:
    """The genesis of a network: ``local``, or a file."""
    if chain == "local":
        return local_genesis()
    path = Path(chain)
    if not path.is_file():
        raise click.BadParameter(f"{chain!r} is neither a genesis file nor 'local'", param_hint="--chain")
    return parse_genesis(path.read_bytes())


def open_session_key(base_path: Path, address: str | None, password_file: Path | None) -> SeedSigner:
    """The key in ``<base path>/keystore`` that this validator makes blocks and votes with."""
    keystore = Keystore(base_path / "keystore")
    known = keystore.addresses()
    if address is None and len(known) != 1:
        what = f"{len(known)} keys" if known else "no key"
        advice = "say which with --session-key" if known else f"solvent key insert --keystore {keystore.folder}"
        raise click.UsageError(f"there is {what} in {keystore.folder}: {advice}")
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = click.prompt("Password of the session key", hide_input=True)
    return keystore.open(address or known[0], password)


class StatusLines:
    """A line on the terminal now and then: how high the chain is, and how much of it is final. Mutable."""

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, number: int, best: int, peers: int) -> None:
        """Print, unless a line was printed a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + STATUS_SECONDS
        clock = time.strftime("%H:%M:%S")
        console.print(f"{clock}  best #{best}, final #{number}, {peers} peer{'' if peers == 1 else 's'}")


@click.command(name="node")
@click.option("--chain", required=True, help="The network's genesis file, or 'local' for the one of Alice to Dave.")
@click.option("--base-path", type=click.Path(file_okay=False, path_type=Path), help="Data directory.")
@click.option("--validator", is_flag=True, help="Make blocks and vote, with the key in <base path>/keystore.")
@click.option("--session-key", help="Address of that key, when the keystore holds several.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=PASSWORD_VARIABLE,
    help="File with the key's password; asked for when missing.",
)
@click.option("--alice", "known", flag_value="Alice", help="Be this validator of the local network.")
@click.option("--bob", "known", flag_value="Bob", help="The same.")
@click.option("--charlie", "known", flag_value="Charlie", help="The same.")
@click.option("--dave", "known", flag_value="Dave", help="The same.")
@click.option("--eve", "known", flag_value="Eve", help="Be a node of that network that may become a validator.")
@click.option("--ferdie", "known", flag_value="Ferdie", help="The same.")
@click.option("--name", help="What to call this node on the terminal.")
@click.option("--bootnodes", multiple=True, metavar="ADDRESS", help="Where to enter the network; may be repeated.")
@click.option("--port", default=30333, show_default=True, type=click.IntRange(0, 65535), help="For other nodes.")
@click.option("--listen-addr", metavar="ADDRESS", help="For other nodes, as in /ip4/192.0.2.1/tcp/30333.")
@click.option("--rpc-port", default=9944, show_default=True, type=click.IntRange(0, 65535), help="0 takes any.")
@click.option("--rpc-external", is_flag=True, help="Serve RPC on all interfaces, not only on this machine.")
@click.option("--blob-capacity", default="20GiB", show_default=True, help="Most disk space for blobs.")
@click.option("--log-level", default="warning", type=click.Choice(["debug", "info", "warning"]), show_default=True)
def command(
    chain: str,
    base_path: Path | None,
    validator: bool,
    session_key: str | None,
    password_file: Path | None,
    known: str | None,
    name: str | None,
    bootnodes: tuple[str, ...],
    port: int,
    listen_addr: str | None,
    rpc_port: int,
    rpc_external: bool,
    blob_capacity: str,
    log_level: str,
) -> None:
    """Run one node of a network with several validators.

    Without --validator it follows the chain, answers RPC and passes on what it hears. Never run two nodes on one
    validator's key: they would contradict each other, and the stake is slashed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("solvent").setLevel(log_level.upper())
    logging.getLogger("p2p").setLevel(log_level.upper())
    genesis = load_chain(chain)
    if known is not None and chain != "local":
        raise click.UsageError(f"--{known.lower()} is a validator of --chain local only")
    folder = base_path or default_base_path(str(genesis["id"]))
    capacity = parse_size(blob_capacity)
    try:
        signer = development_session(known) if known else None
        if validator and signer is None:
            signer = open_session_key(folder, session_key, password_file)
        config = NetworkConfig(
            NodeConfig(
                folder,
                genesis=genesis,
                rpc_host="0.0.0.0" if rpc_external else "127.0.0.1",
                rpc_port=rpc_port,
                blob_capacity=capacity,
                blob_account_capacity=capacity // 2,
            ),
            signer,
            development_node_key(known) if known else None,
            listen_addr or f"/ip4/0.0.0.0/tcp/{port}",
            bootnodes,
        )
        _run(config, name or known or folder.name)
    except (SolventError, OSError) as error:
        fail(str(error))
    say("Stopped; everything final is on disk.")


def _run(config: NetworkConfig, name: str) -> None:
    from node.base import run_node
    from node.network_service import NetworkNode  # the network library takes a second to load

    lines = StatusLines()
    node = NetworkNode(config, lambda number, _: lines.show(number, node.ledger.head_number, node.peer_count()))

    def welcome() -> None:
        say(f"{node.chain_name}  solvent {node.version}, genesis 0x{node.ledger.genesis_hash.hex()[:16]}")
        role = "full node" if config.signer is None else f"validator with session key {to_ss58(config.signer.public)}"
        say(f"Name     {name}, {role}, process {os.getpid()}")
        say(f"RPC      http://{config.node.rpc_host}:{node.rpc_port}")
        for address in node.host.addresses():
            say(f"Network  {address}")
        say(f"Data     {config.node.base_path}")
        say(f"Block    {node.ledger.head_number}, of which {node.ledger.finalized_number} are final\n")

    run_node(node, welcome)
