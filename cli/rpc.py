"""``solvent rpc``: any method of a node by hand, and the documents that are made from the method table."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.options import NODE_URL
from cli.output import print_json
from node.config import VERSION
from rpc.methods import TABLE
from rpc.openrpc import build_document, render_markdown
from solvent.client import Client


@click.group(name="rpc")
def command() -> None:
    """Ask a node by hand."""


@command.command()
@NODE_URL
@click.option("--follow", is_flag=True, help="Subscribe, and print each notification.")
@click.argument("method")
@click.argument("params", nargs=-1)
def call(url: str, follow: bool, method: str, params: tuple[str, ...]) -> None:
    """Call METHOD with PARAMS: JSON each, or plain words.

    \b
    solvent rpc call explorer_block 12
    solvent rpc call state_getKeysPaged 0x 5
    solvent rpc call --follow chain_subscribeNewHeads
    """
    values = [parse(text) for text in params]
    with Client(url, patience=2.0) as client:
        if not follow:
            print_json(client.call(method, *values))
            return
        with client.subscribe(method, *values) as subscription:
            for result in subscription:
                print_json(result)


def parse(text: str) -> Any:
    """A parameter from the command line."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@command.command()
@click.option("--openrpc", is_flag=True, help="The OpenRPC document instead.")
def document(openrpc: bool) -> None:
    """Print docs/rpc.md: every method that a node of this release serves."""
    if openrpc:
        print_json(build_document(TABLE, VERSION))
    else:
        click.echo(render_markdown(TABLE), nl=False)
