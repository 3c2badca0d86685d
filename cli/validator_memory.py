"""``solvent validator export-memory`` and ``import-memory``: what a validator has signed, from machine to machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from chain.db import Database, DatabaseError
from chain.signing_memory import MemoryRefused, export_memory, import_memory
from cli.chains import CHAIN_HELP, chain_options, existing_chain, load_chain
from cli.output import fail, say
from node.keystore import write_private
from runtime import merkle
from runtime.block import genesis_header, header_hash
from runtime.crypto import to_ss58
from runtime.genesis import build_genesis


@click.command(name="export-memory")
@chain_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_command(chain: str | None, base_path: Path | None, file: Path) -> None:
    """Write what this machine's session keys have signed to FILE, after the node's last stop here.

    The machine that gets the keys has to import it before it starts, or they may contradict themselves there.
    """
    with existing_chain(chain, base_path) as ledger:
        document = export_memory(ledger.store.database, ledger.genesis_hash)
    try:
        write_private(file, json.dumps(document, indent=1).encode())
    except OSError as error:
        fail(str(error))
    say(f"Wrote {file}: {len(document['signed'])} votes, last block in slot {document['lastSlot']}.")
    say("Never start this node again with these keys.")


@click.command(name="import-memory")
@click.option("--chain", required=True, help=CHAIN_HELP)
@click.option("--base-path", required=True, type=click.Path(file_okay=False, path_type=Path), help="Data directory.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_command(chain: str, base_path: Path, file: Path) -> None:
    """Have the node in a data directory remember what FILE says that its keys have signed, before its first start."""
    root = merkle.update(lambda path: None, build_genesis(load_chain(chain)).changes()).root
    try:
        document = json.loads(file.read_bytes())
        (base_path / "db").mkdir(parents=True, exist_ok=True, mode=0o700)
        with Database(base_path / "db") as database:
            batch, keys = import_memory(database, document, header_hash(genesis_header(root)))
            database.write(batch, sync=True)
    except (ValueError, MemoryRefused) as error:
        fail(f"{file}: {error}")
    except (DatabaseError, OSError) as error:
        fail(str(error))
    say(f"Imported. Remembers what {', '.join(sorted(map(to_ss58, keys))) or 'no key'} signed.")
