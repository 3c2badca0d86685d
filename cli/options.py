"""Options that several families of commands have."""

from __future__ import annotations

from typing import Any

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
BYTES_OF_UNIT = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def parse_size(text: str) -> int:
    """Bytes of a size such as ``20GiB``."""
    number = text.rstrip("KMGTiB")
    unit = BYTES_OF_UNIT.get(text[len(number) :]) if number.isdecimal() else None
    if unit is None:
        raise click.BadParameter(f"{text!r} is not a size such as 20GiB or 500MiB")
    return int(number) * unit


class SizeType(click.ParamType[int]):
    """A number of bytes, as in ``20GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return value if isinstance(value, int) else parse_size(str(value))
