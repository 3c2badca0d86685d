"""Which chain a command is about: a name or a genesis file, the directory of its data, and that it could be started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from cli.output import fail
from node.networks import CHAINS
from runtime.errors import SolventError
from runtime.genesis import NoAuthorities, canonical_json, parse_genesis

CHAIN_HELP = f"A genesis file, or one of {', '.join(CHAINS)}."


def default_base_path(chain_id: str) -> Path:
    """Where a chain's data lies unless told otherwise."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "solvent" / chain_id


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
