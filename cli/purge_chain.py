"""``solvent purge-chain``: delete a node's blocks and state, and keep its keys."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from chain.db import Batch, Database, DatabaseError, DatabaseLocked
from chain.signing_memory import signing_memory
from cli.chains import chain_options, data_of
from cli.output import fail, say

GOES = ("db", "index", "blobs")
STAYS = ("keystore", "network", "account", "password")


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def rescue_memory(database: Path) -> Batch | None:
    """What a validator signed; None when the database is too damaged to tell. Raises `DatabaseLocked`."""
    try:
        with Database(database, create=False) as opened:
            return signing_memory(opened)
    except DatabaseLocked:
        raise
    except DatabaseError:
        return None


@click.command(name="purge-chain")
@chain_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(chain: str | None, base_path: Path | None, yes: bool) -> None:
    """Delete blocks, state, index and blobs of a node, which then syncs again from its peers. Keys stay.

    So does what a validator has signed, so that it cannot contradict itself; unless the database is too damaged to be
    read: then give the validator a new session key (docs/running-a-validator.md).
    """
    folder = data_of(chain, base_path)
    doomed = [folder / name for name in GOES if (folder / name).is_dir()]
    if not doomed:
        fail(f"there is no chain in {folder}")
    try:
        memory = rescue_memory(folder / "db") if (folder / "db").is_dir() else {}
        for path in doomed:
            say(f"Deletes  {path} ({size_of(path) / 2**20:.1f} MiB)")
        for path in (folder / name for name in STAYS if (folder / name).exists()):
            say(f"Keeps    {path}")
        if memory:
            say(f"Keeps    what this validator has signed ({len(memory)} records)")
        if memory is None and any((folder / "keystore").glob("*.json")):
            say(
                "The database is damaged: what this validator signed is lost. Give it a new session key before it runs."
            )
        if not yes and not click.confirm("Go on?"):
            fail("nothing was deleted")
        for path in doomed:
            # A directory that is half deleted must not look like a chain.
            gone = path.with_name(f".{path.name}.purged.{os.getpid()}")
            path.rename(gone)
            shutil.rmtree(gone)
        if memory:
            with Database(folder / "db") as fresh:
                fresh.write(memory, sync=True)
    except (DatabaseError, OSError) as error:
        fail(str(error))
    say("Deleted.")
