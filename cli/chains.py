"""Which chain a command is about: a name or a genesis file, the directory of its data, and that it could be started."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chain.db import Database
from chain.ledger import Ledger, WrongGenesis
from chain.slots import is_primary
from chain.store import Store
from cli.output import fail
from cli.paths import default_base_path
from node.config import DEVELOPMENT_WINDOW
from node.networks import CHAINS
from runtime import merkle
from runtime.block import genesis_header, header_hash
from runtime.errors import SolventError
from runtime.genesis import NoAuthorities, build_genesis, canonical_json, parse_genesis

F = TypeVar("F", bound=Callable[..., object])
CHAIN_HELP = f"A genesis file, or one of {', '.join(CHAINS)}."


def load_chain(chain: str, template: bool = False) -> dict[str, Any]:
    """The genesis of a chain; ``template`` allows one that nobody can start. Ends the command when there is none."""
    if chain not in CHAINS and not Path(chain).is_file():
        raise click.BadParameter(f"{chain!r} is neither a genesis file nor one of {', '.join(CHAINS)}")
    try:
        text = canonical_json(CHAINS[chain]()) if chain in CHAINS else Path(chain).read_bytes()
        return parse_genesis(text, template)
    except NoAuthorities as error:
        advice = f"solvent build-spec --chain {chain} > genesis.json, fill it in, then use --chain genesis.json"
        fail(f"{error} ({advice})" if chain in CHAINS else f"{chain}: {error}")
    except (SolventError, OSError) as error:
        fail(f"{chain}: {error}")


def chain_options(function: F) -> F:
    """The options that say whose data a command is about."""
    base_path = click.option(
        "--base-path", type=click.Path(file_okay=False, path_type=Path), help="Data directory; default: the chain's."
    )
    return click.option("--chain", help=CHAIN_HELP + " Default: dev.")(base_path(function))


def data_of(chain: str | None, base_path: Path | None) -> Path:
    """The data directory that the options name."""
    return base_path or default_base_path(str(load_chain(chain or "dev", template=True)["id"]))


@contextlib.contextmanager
def existing_chain(chain: str | None, base_path: Path | None) -> Iterator[Ledger]:
    """The chain in a data directory, while no node runs on it; errors end the command with one line."""
    folder = data_of(chain, base_path)
    if not (folder / "db").is_dir():
        fail(f"there is no chain in {folder}; name the data directory with --base-path, or the network with --chain")
    try:
        with Database(folder / "db", create=False) as database:
            ledger = Ledger(Store(database, DEVELOPMENT_WINDOW), is_primary)
            if chain is not None:
                require_genesis(ledger, load_chain(chain))
            yield ledger
    except (SolventError, OSError) as error:
        fail(str(error))


def require_genesis(ledger: Ledger, genesis: dict[str, Any]) -> None:
    """Raises `WrongGenesis` unless the database holds the chain of that genesis file."""
    root = merkle.update(lambda path: None, build_genesis(genesis).changes()).root
    if header_hash(genesis_header(root)) != ledger.genesis_hash:
        raise WrongGenesis(
            f"{ledger.store.database.path} holds another chain, with genesis 0x{ledger.genesis_hash.hex()[:16]}..."
        )


def progress_bar() -> Progress:
    """A bar on stderr, for long work; nothing when nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
