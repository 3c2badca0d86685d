"""``solvent export-blocks``: write blocks of a chain to a file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from chain.archive import ArchiveHead, export_blocks, write_block, write_head
from cli.chains import chain_options, existing_chain, progress_bar
from cli.output import fail, say


@click.command(name="export-blocks")
@chain_options
@click.option("--from", "first", type=click.IntRange(1), help="The first block; default: the oldest that is kept.")
@click.option("--to", "last", type=click.IntRange(1), help="The last block; default: the last final one.")
@click.option("--binary/--json", "binary", default=True, help="Compact (the default), or one JSON object a line.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(
    chain: str | None, base_path: Path | None, first: int | None, last: int | None, binary: bool, file: Path
) -> None:
    """Write blocks with the proofs of their finality to FILE, for import-blocks elsewhere. The node must be stopped."""
    if file.exists():
        fail(f"{file} exists already; choose another name, or remove it first")
    with existing_chain(chain, base_path) as ledger:
        oldest = ledger.store.oldest_block()
        start = oldest if first is None else first
        end = ledger.finalized_number if last is None else last
        if not oldest <= start <= end <= ledger.head_number:
            fail(f"there are blocks {oldest} to {ledger.head_number} here, final up to {ledger.finalized_number}")
        proven = 0
        unfinished = file.with_name(f".{file.name}.{os.getpid()}.new")
        try:
            with unfinished.open("wb") as output, progress_bar() as bar:
                write_head(output, ArchiveHead(ledger.genesis_hash, start, end), not binary)
                for data in bar.track(export_blocks(ledger, start, end), end - start + 1, description="Exporting"):
                    write_block(output, data, not binary)
                    proven = data.block.header.number if data.justification else proven
                output.flush()
                os.fsync(output.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
        say(f"Wrote blocks {start} to {end} to {file}")
        if proven and proven < end:
            say(f"What proves them final reaches up to block {proven}; the rest becomes final with its network.")
