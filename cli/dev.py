"""``solvent dev``: one node, all roles, blocks as soon as there is something to put in them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.chains import load_chain
from cli.logs import configure_logging
from cli.options import parse_size
from cli.output import console, fail, format_amount
from cli.paths import default_base_path
from cli.serving import Serving, serving_options
from node.config import DEVELOPMENT_ACCOUNTS, DEVELOPMENT_BALANCE, NodeConfig, require_development_genesis
from node.keystore import development_signer
from node.service import BlockReport, Node, run_node
from runtime.crypto import to_ss58
from runtime.errors import SolventError


@contextlib.contextmanager
def base_path_of(base_path: Path | None, temporary: bool, chain_id: str) -> Iterator[Path]:
    """The data directory; a temporary one is removed at the end."""
    if temporary and base_path is not None:
        raise click.UsageError("--tmp chooses a directory by itself; leave out --base-path")
    if not temporary:
        yield base_path or default_base_path(chain_id)
        return
    with tempfile.TemporaryDirectory(prefix=f"solvent-{chain_id}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def print_report(report: BlockReport) -> None:
    """The status line of a block."""
    content = f"{report.extrinsics} extrinsic{'' if report.extrinsics == 1 else 's'}" if report.extrinsics else "empty"
    failed = f", {report.failed} failed" if report.failed else ""
    waiting = f", {report.pool} waiting" if report.pool else ""
    milliseconds = round(report.seconds * 1000)
    console.print(f"#{report.number:<6} 0x{report.hash.hex()[:8]}  {content}{failed}{waiting}  ({milliseconds} ms)")


def print_welcome(node: Node, base_path: Path) -> None:
    """What a newcomer needs to know of the node that just started."""
    console.print(
        f"[bold]{node.chain_name}[/bold]  solvent {node.version}, genesis 0x{node.ledger.genesis_hash.hex()[:16]}"
    )
    console.print(f"RPC      http://{node.config.rpc_host}:{node.rpc_port}")
    console.print(f"Data     {base_path}")
    if node.ledger.head_number:
        console.print(f"Resumes  at block {node.ledger.head_number}")
    else:
        console.print(f"Accounts {format_amount(DEVELOPMENT_BALANCE)} each, keys known to everybody:")
        for name in DEVELOPMENT_ACCOUNTS:
            console.print(f"         //{name:<14} {to_ss58(development_signer(name).public)}")
    console.print("Ctrl-C stops the node.\n")


@click.command(name="dev")
@click.option("--base-path", type=click.Path(file_okay=False, path_type=Path), help="Data directory.")
@click.option("--tmp", "temporary", is_flag=True, help="Use a data directory that is removed at the end.")
@click.option("--chain", default="dev", help="A genesis file of the dev preset, as solvent build-spec prints it.")
@click.option("--rpc-port", default=9944, show_default=True, type=click.IntRange(0, 65535), help="0 takes any.")
@click.option("--rpc-external", is_flag=True, help="Serve RPC on all interfaces, not only on this machine.")
@click.option("--blob-capacity", default="20GiB", show_default=True, help="Most disk space for blobs.")
@serving_options
@click.option("--quiet", is_flag=True, help="No line for each block.")
def command(
    base_path: Path | None,
    temporary: bool,
    chain: str,
    rpc_port: int,
    rpc_external: bool,
    blob_capacity: str,
    quiet: bool,
    serving: Serving,
) -> None:
    """Run a development chain: one node, blocks at once.

    One author makes a block when a transaction arrives and every second otherwise, and each block is final at once.
    Nothing here is secret or secure: everybody knows the keys.

    \b
    solvent dev --tmp                        try something, leave nothing behind
    solvent dev --base-path DIR              keep the chain; the same command resumes it
    solvent purge-chain --base-path DIR      start over

    Without --base-path the chain is kept in $XDG_DATA_HOME/solvent/dev (~/.local/share/solvent/dev).
    """
    genesis = load_chain(chain)
    run_development(genesis, base_path, temporary, rpc_port, rpc_external, blob_capacity, quiet, serving)


def run_development(
    genesis: dict[str, Any],
    base_path: Path | None,
    temporary: bool,
    rpc_port: int,
    rpc_external: bool,
    blob_capacity: str,
    quiet: bool,
    serving: Serving,
) -> None:
    """Run the one node of a development chain until it is told to stop."""
    configure_logging(serving.log_format)
    capacity = parse_size(blob_capacity)
    with base_path_of(base_path, temporary, str(genesis["id"])) as folder:
        try:
            require_development_genesis(genesis)
            config = NodeConfig(
                folder,
                rpc_host="0.0.0.0" if rpc_external else "127.0.0.1",
                rpc_port=rpc_port,
                blob_capacity=capacity,
                blob_account_capacity=capacity // 2,
                genesis=genesis,
                index=serving.index is not False,
                rpc=serving.settings(rpc_external),
                metrics_host="0.0.0.0" if serving.prometheus_external else "127.0.0.1",
                metrics_port=serving.prometheus_port,
            )
            node = Node(config, (lambda report: None) if quiet else print_report)
            run_node(node, lambda: print_welcome(node, folder))
        except (SolventError, OSError) as error:
            fail(str(error))
        console.print("Stopped; everything final is on disk." if not temporary else "Stopped.")
