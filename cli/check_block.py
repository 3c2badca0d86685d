"""``solvent check-block``: execute stored blocks again, and compare."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from chain.ledger import Ledger
from chain.maintenance import check_block
from cli.chains import chain_options, existing_chain, progress_bar
from cli.output import fail, print_json, say


def parse_blocks(ledger: Ledger, text: str) -> Iterator[bytes]:
    """The hashes that ``0x...``, ``7`` or ``1..7`` name."""
    if text.startswith("0x") and len(text) == 66:
        yield bytes.fromhex(text[2:])
        return
    first, _, last = text.partition("..")
    if not (first.isdecimal() and (not last or last.isdecimal())):
        raise click.BadParameter(f"{text!r} is neither a height, nor FIRST..LAST, nor 0x and 64 hex digits")
    for number in range(int(first), int(last or first) + 1):
        hash_ = ledger.hash_at(number)
        if hash_ is None or number == 0:
            fail(f"there are blocks 1 to {ledger.head_number} here, and no block {number} to be executed")
        yield hash_


@click.command(name="check-block")
@chain_options
@click.argument("block")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(chain: str | None, base_path: Path | None, block: str, as_json: bool) -> None:
    """Execute BLOCK again on its parent's state, and compare the state root, the receipts and the events.

    BLOCK is a height, a hash, or heights FIRST..LAST. States older than the pruning window are gone; export-blocks and
    import-blocks into another directory check such blocks. The node must be stopped.
    """
    with existing_chain(chain, base_path) as ledger, progress_bar() as bar:
        hashes = list(parse_blocks(ledger, block))
        documents = []
        for hash_ in bar.track(hashes, description="Checking"):
            started = time.perf_counter()
            layer = check_block(ledger, hash_)
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            header, outcome = layer.header, layer.outcome
            documents.append(
                {
                    "number": header.number,
                    "hash": "0x" + hash_.hex(),
                    "stateRoot": "0x" + header.state_root.hex(),
                    "extrinsics": len(layer.block.body),
                    "events": len(outcome.events),
                    "milliseconds": milliseconds,
                    "final": header.number <= ledger.finalized_number,
                }
            )
        if as_json:
            print_json(documents if ".." in block else documents[0])
            return
        for document in documents if len(documents) <= 20 else ():
            say("Block {number} {hash}: the same root, {extrinsics} extrinsics, {events} events, "
                "{milliseconds} ms".format(**document))  # fmt: skip
        if len(documents) > 20:
            total = sum(float(str(document["milliseconds"])) for document in documents)
            say(f"{len(documents)} blocks give the same roots, receipts and events again ({total / 1000:.1f} s)")
