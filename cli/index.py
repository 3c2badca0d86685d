"""``solvent index``: the node's index of the chain, which can be thrown away and built again at any time."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.progress import Progress

from chain.db import Database
from chain.ledger import Ledger
from chain.store import Store
from cli.output import console, fail, say
from cli.paths import default_base_path
from rpc.indexes import Indexes
from runtime.errors import SolventError


@click.group(name="index")
def command() -> None:
    """The index behind the explorer and the histories."""


@command.command()
@click.option("--base-path", type=click.Path(file_okay=False, path_type=Path), help="Data directory of the node.")
@click.option("--chain", default="dev", show_default=True, help="Id of the chain, where --base-path is left out.")
def rebuild(base_path: Path | None, chain: str) -> None:
    """Throw the index away and build it again from the stored blocks. The node must not run."""
    folder = base_path or default_base_path(chain)
    if not (folder / "db").is_dir():
        fail(f"there is no node's data in {folder}; say where with --base-path")
    try:
        with Database(folder / "db", create=False) as database:
            ledger = Ledger(Store(database))
            shutil.rmtree(folder / "index", ignore_errors=True)
            indexes = Indexes(folder / "index", ledger)
            try:
                with Progress(console=console, transient=True) as progress:
                    bar = progress.add_task("Indexing", total=ledger.head_number)
                    while indexes.advance():
                        progress.update(bar, completed=indexes.cursor.number)
            finally:
                indexes.close()
    except (SolventError, OSError) as error:
        fail(str(error))
    say(f"Indexed {indexes.cursor.number - indexes.cursor.first} blocks, up to block {indexes.cursor.number}.")
