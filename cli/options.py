"""Options that several families of commands have."""

from __future__ import annotations

import click

NODE_URL = click.option(
    "--url",
    default="http://127.0.0.1:9944",
    envvar="SOLVENT_URL",
    show_default=True,
    show_envvar=True,
    help="The node's RPC address.",
)
"""Which node to talk to."""
