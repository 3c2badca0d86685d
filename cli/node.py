"""``solvent node``: one node of a network with several validators."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from cli.chains import CHAIN_HELP, load_chain
from cli.dev import base_path_of, run_development
from cli.logs import configure_logging
from cli.options import parse_size
from cli.output import AMOUNT, console, fail, say
from cli.serving import Serving, serving_options
from cli.suri import SURI_HELP, read_secret
from cli.syncing import Syncing, syncing_options
from node.config import NodeConfig, has_one_author
from node.keystore import PASSWORD_VARIABLE, SeedSigner
from node.networks import QUIET_SLOTS, NetworkConfig, development_node_key, development_session
from node.session_keys import SessionKeys, open_session_keys
from p2p.interface import Limits
from runtime.crypto import to_ss58
from runtime.errors import SolventError

F = TypeVar("F", bound=Callable[..., object])

STATUS_SECONDS = 5.0


def ask_password() -> str:
    return str(click.prompt("Password of the session key", hide_input=True))


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


def known_validator(name: str, text: str = "The same.") -> Callable[[F], F]:
    """The option that makes the node a validator whose keys everybody knows."""
    return click.option(f"--{name.lower()}", "known", flag_value=name, help=text)


@click.command(name="node")
@click.option("--chain", help=CHAIN_HELP)
@click.option("--dev", is_flag=True, help="The development chain, as with solvent dev: --chain dev, and --tmp.")
@click.option("--base-path", type=click.Path(file_okay=False, path_type=Path), help="Data directory.")
@click.option("--tmp", "temporary", is_flag=True, help="Use a data directory that is removed at the end.")
@click.option("--validator", is_flag=True, help="Make blocks and vote, with the keys in <base path>/keystore.")
@click.option("--session-key", help="Address of the one to use; else each while it is in office.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=PASSWORD_VARIABLE,
    help="File with the key's password; asked for when missing.",
)
@click.option(
    "--quiet-slots",
    type=click.IntRange(0),
    help="Listen for so many slots before signing, and do not sign if another machine uses the key. By default "
    f"{QUIET_SLOTS} where this data directory has signed nothing yet.",
)
@known_validator("Alice", "Be this validator of --chain local or testnet; everybody knows its key.")
@known_validator("Bob")
@known_validator("Charlie")
@known_validator("Dave")
@known_validator("Eve", "The same; on --chain local it first has to bond and stand for election.")
@known_validator("Ferdie")
@click.option("--name", help="What to call this node on the terminal.")
@click.option("--bootnodes", multiple=True, metavar="ADDRESS", help="Where to enter the network; may be repeated.")
@click.option("--port", default=30333, show_default=True, type=click.IntRange(0, 65535), help="For other nodes.")
@click.option("--listen-addr", metavar="ADDRESS", help="For other nodes, as in /ip4/192.0.2.1/tcp/30333.")
@click.option(
    "--connections-per-address",
    default=Limits().connections_per_address,
    show_default=True,
    type=click.IntRange(1),
    help="Most nodes that may connect from one address; more for a network behind one, as in containers.",
)
@click.option("--rpc-port", default=9944, show_default=True, type=click.IntRange(0, 65535), help="0 takes any.")
@click.option("--rpc-external", is_flag=True, help="Serve RPC on all interfaces, not only on this machine.")
@click.option("--blob-capacity", default="20GiB", show_default=True, help="Most disk space for blobs.")
@click.option(
    "--holder",
    metavar="SECRET",
    help=f"Account that keeps tasks' blobs for others, and earns by it: {SURI_HELP}.",
)
@click.option("--holder-bond", default="1000", show_default=True, type=AMOUNT, help="Tokens to stake as a holder.")
@serving_options
@syncing_options
@click.option("--log-level", default="warning", type=click.Choice(["debug", "info", "warning"]), show_default=True)
def command(
    chain: str | None,
    dev: bool,
    base_path: Path | None,
    temporary: bool,
    validator: bool,
    session_key: str | None,
    password_file: Path | None,
    quiet_slots: int | None,
    known: str | None,
    name: str | None,
    bootnodes: tuple[str, ...],
    port: int,
    listen_addr: str | None,
    connections_per_address: int,
    rpc_port: int,
    rpc_external: bool,
    blob_capacity: str,
    holder: str | None,
    holder_bond: int,
    log_level: str,
    serving: Serving,
    syncing: Syncing,
) -> None:
    """Run one node of a network with several validators.

    Without --validator it follows the chain, answers RPC and passes on what it hears. Never run two nodes on one
    validator's key: they would contradict each other, and the stake is slashed.

    \b
    solvent node --chain genesis.json --bootnodes ADDRESS              follow a network
    solvent node --chain genesis.json --bootnodes ADDRESS --validator  make and finalize its blocks
    solvent node --chain genesis.json --bootnodes ADDRESS --sync warp  join a long chain in seconds
    solvent node --chain genesis.json --bootnodes ADDRESS --holder @KEY  keep tasks' blobs for pay
    solvent node --chain local --alice --tmp                           one of four validators to try things out
    solvent node --dev                                                 a chain of one's own, blocks at once

    Without --base-path the chain is kept in $XDG_DATA_HOME/solvent/<chain id> (~/.local/share/solvent/<chain id>).
    """
    if chain is None and not dev:
        raise click.UsageError("say which network with --chain, or --dev for a development chain")
    if dev and chain not in (None, "dev"):
        raise click.UsageError("--dev is the development chain; leave out --chain")
    chosen = chain or "dev"
    genesis = load_chain(chosen)
    if has_one_author(genesis):
        if validator or bootnodes or known not in (None, "Alice"):
            raise click.UsageError("a development chain has one author, Alice, and no network to join")
        temporary = temporary or (dev and base_path is None)
        run_development(
            genesis, base_path, temporary, rpc_port, rpc_external, blob_capacity, quiet=False, serving=serving
        )
        return
    if known is not None and chosen not in ("local", "testnet"):
        raise click.UsageError(f"--{known.lower()} is a validator of --chain local or testnet only")
    configure_logging(serving.log_format, log_level)
    capacity = parse_size(blob_capacity)
    with base_path_of(base_path, temporary, str(genesis["id"])) as folder:
        try:
            keys = SessionKeys([development_session(known)]) if known else None
            if validator and keys is None:
                keys = open_session_keys(folder / "keystore", session_key, password_file, ask_password)
            config = NetworkConfig(
                NodeConfig(
                    folder,
                    genesis=genesis,
                    rpc_host="0.0.0.0" if rpc_external else "127.0.0.1",
                    rpc_port=rpc_port,
                    blob_capacity=capacity,
                    blob_account_capacity=capacity // 2,
                    index=keys is None if serving.index is None else serving.index,
                    state_window=syncing.state_window,
                    block_window=syncing.block_window,
                    rpc=serving.settings(rpc_external),
                    metrics_host="0.0.0.0" if serving.prometheus_external else "127.0.0.1",
                    metrics_port=serving.prometheus_port,
                    holder=SeedSigner(read_secret(holder)) if holder else None,
                    holder_bond=holder_bond,
                ),
                keys,
                development_node_key(known) if known else None,
                listen_addr or f"/ip4/0.0.0.0/tcp/{port}",
                bootnodes,
                warp=syncing.warp,
                checkpoint=syncing.checkpoint,
                quiet_slots=quiet_slots,
                connections_per_address=connections_per_address,
            )
            _run(config, name or known or folder.name)
        except (SolventError, OSError) as error:
            fail(str(error))
    say("Stopped; everything final is on disk." if not temporary else "Stopped.")


def _run(config: NetworkConfig, name: str) -> None:
    from node.base import run_node
    from node.network_service import NetworkNode  # the network library takes a second to load

    lines = StatusLines()
    node = NetworkNode(config, lambda number, _: lines.show(number, node.ledger.head_number, node.peer_count()))

    def welcome() -> None:
        say(f"{node.chain_name}  solvent {node.version}, genesis 0x{node.ledger.genesis_hash.hex()[:16]}")
        say(f"Name     {name}, {'full node' if config.keys is None else 'validator'}, process {os.getpid()}")
        for signer in config.keys.signers if config.keys else ():
            say(f"Key      {to_ss58(signer.public)}")
        if config.keys is not None and not config.keys.signers:
            say("Key      none yet: make and announce one with solvent validator rotate-key")
        say(f"RPC      http://{config.node.rpc_host}:{node.rpc_port}")
        for address in node.host.addresses():
            say(f"Network  {address}")
        say(f"Data     {config.node.base_path}")
        say(f"Block    {node.ledger.head_number}, of which {node.ledger.finalized_number} are final\n")
        if node.chain.is_quiet and config.keys and config.keys.signers:
            say("Listening for some slots, once there are peers, whether another machine signs with the same key.")
        if node.chain.is_warping:
            say("Warping: no blocks are executed until the state of a final one is here.")

    run_node(node, welcome)
