"""``solvent import-blocks``: take blocks from a file into a chain, checking everything."""

from __future__ import annotations

import time
from pathlib import Path

import click

from chain.archive import ArchiveImport, read_archive, survey
from chain.db import Database
from chain.effects import Commit
from chain.ledger import Ledger, open_ledger
from chain.slots import is_primary
from chain.store import Store
from cli.chains import chain_options, data_of, load_chain, progress_bar
from cli.output import fail, say
from node.config import DEVELOPMENT_WINDOW
from runtime.errors import SolventError


@click.command(name="import-blocks")
@chain_options
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(chain: str | None, base_path: Path | None, file: Path) -> None:
    """Check and execute the blocks in FILE, as export-blocks wrote it. The node must be stopped.

    Seals, slots, state roots and the proofs of finality are all checked, so FILE may come from anybody. Interrupted,
    it continues where it was when called again.
    """
    folder = data_of(chain, base_path)
    is_new = not (folder / "db").is_dir()
    if is_new and chain is None:
        fail(f"{folder} holds no chain yet; name its genesis file with --chain")
    try:
        genesis = load_chain(chain or "dev") if chain is not None or base_path is None else None
        with Database(folder / "db") as database:
            if genesis is not None:
                ledger = open_ledger(database, genesis, DEVELOPMENT_WINDOW, is_primary)
            else:
                ledger = Ledger(Store(database, DEVELOPMENT_WINDOW), is_primary)
            import_file(ledger, database, file)
    except (SolventError, OSError) as error:
        fail(str(error))


def import_file(ledger: Ledger, database: Database, file: Path) -> None:
    """Take in what is new, and say how far it came. A damaged file is used up to the damage, which is an error."""
    with file.open("rb") as source:
        contents = survey(source)
    job = ArchiveImport(ledger, contents)
    head = contents.head
    start = ledger.head_number
    left_to_network = 0
    with file.open("rb") as source, progress_bar() as bar:
        _, blocks = read_archive(source)
        task = bar.add_task("Importing", total=contents.last - head.first + 1)
        for _ in range(head.first, contents.last + 1):
            data = next(blocks)
            effects = job.take(data, time.time())
            if effects is None:
                left_to_network = data.block.header.number
                break
            for effect in effects:
                if isinstance(effect, Commit):
                    database.write(effect.batch, sync=data.justification != b"")
            bar.advance(task)
    database.write({}, sync=True)
    if start >= head.first:
        say(f"Continued after block {start}, which was known here")
    say(f"Imported {job.imported} blocks: best #{ledger.head_number}, final #{ledger.finalized_number}")
    if left_to_network:
        say(f"Blocks from {left_to_network} on are too fresh to be taken from a file: the network brings them.")
    if contents.broken:
        fail(f"{file} is damaged: {contents.broken}; what came before is imported")
