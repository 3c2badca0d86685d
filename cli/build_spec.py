"""``solvent build-spec``: the genesis file of a network, whole, to be looked at, filled in, and handed around."""

from __future__ import annotations

import click

from cli.chains import CHAIN_HELP, load_chain
from cli.output import fail
from runtime import merkle
from runtime.block import genesis_header, header_hash
from runtime.errors import SolventError
from runtime.genesis import build_genesis, build_parameters, canonical_json, expand_parameters, raw_genesis


@click.command(name="build-spec")
@click.option("--chain", default="dev", show_default=True, help=CHAIN_HELP)
@click.option("--raw", is_flag=True, help="The state itself, which makes the same chain with every later release.")
def command(chain: str, raw: bool) -> None:
    """Print the genesis file of a network, with every parameter spelled out.

    The presets: dev has one author and blocks at once, testnet six validators whose keys everybody knows, epochs of 30
    slots and short deadlines. canary and mainnet are templates with the numbers for tokens of value: their founder adds
    authorities and balances, checks the file with build-spec --chain FILE, and hands it to everybody.
    """
    genesis = load_chain(chain, template=True)
    if "raw" not in genesis:
        parameters = build_parameters(genesis["preset"], genesis["parameters"])
        genesis = {**genesis, "parameters": expand_parameters(parameters)}
        if not genesis["authorities"]:
            if raw:
                fail(f"{chain} is a template without authorities, so it has no state yet")
            click.echo(canonical_json(genesis), nl=False)
            click.echo("This is a template: no node starts with it before it has authorities and balances.", err=True)
            return
    try:
        root = merkle.update(lambda path: None, build_genesis(genesis).changes()).root
        document = raw_genesis(genesis) if raw else genesis
    except SolventError as error:
        fail(f"{chain}: {error}")
    click.echo(canonical_json(document), nl=False)
    click.echo(f"Genesis 0x{header_hash(genesis_header(root)).hex()}", err=True)
