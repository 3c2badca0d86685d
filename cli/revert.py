"""``solvent revert``: take blocks back that are not final."""

from __future__ import annotations

from pathlib import Path

import click

from chain.maintenance import revert
from cli.chains import chain_options, existing_chain
from cli.output import say


@click.command(name="revert")
@chain_options
@click.argument("blocks", type=click.IntRange(1), metavar="N")
def command(chain: str | None, base_path: Path | None, blocks: int) -> None:
    """Forget the N highest blocks, none of which may be final. The node must be stopped.

    For when a release could not go on from its best block: the network brings the blocks again.
    """
    with existing_chain(chain, base_path) as ledger:
        before = ledger.head_number
        target, batch = revert(ledger, blocks)
        ledger.store.database.write(batch, sync=True)
        say(f"Reverted {before - target} blocks: best #{target}, final #{ledger.finalized_number}")
