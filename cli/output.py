"""How the command line speaks: tables and short lines for people, one JSON document for programs, errors on stderr.

Every command ends with exit code 0, or with 1 and one line that says what to do; wrong usage is 2, as click has it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from runtime.crypto import derive_seed, from_ss58, public_key
from runtime.errors import SolventError
from runtime.executive import Failure

UNITS = 10**9
"""Units in one token."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
"""A pipe or a file has no width: whoever copies ids from it gets every line whole."""


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit code 1."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """Write a sentence, which no terminal's width and no pipe may break: people copy ids from it."""
    console.print(text, soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console = console) -> None:
    """Write a table; columns whose name starts with ``>`` are right-aligned."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def format_amount(units: int) -> str:
    """Units as tokens, with as many decimals as needed."""
    whole, rest = divmod(abs(units), UNITS)
    sign = "-" if units < 0 else ""
    decimals = f"{rest:09d}".rstrip("0")
    return f"{sign}{whole:,}{'.' + decimals if decimals else ''} SOLV"


def describe_failure(failure: Failure | None) -> str:
    """Why the chain refused a call, for people."""
    return "no reason given" if failure is None else f"{failure.pallet}.{failure.code}: {failure.message}"


class AmountType(click.ParamType[int]):
    """Tokens with up to nine decimals, read into units without floating point."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        whole, _, decimals = str(value).replace("_", "").partition(".")
        if not (whole + decimals).isascii() or not (whole + decimals).isdigit() or len(decimals) > 9:
            self.fail(f"{value!r} is not an amount such as 1.5 (at most nine decimals)", param, ctx)
        units = int(whole or "0") * UNITS + int(decimals.ljust(9, "0") or "0")
        if units >= 2**63:
            self.fail(f"{value} is more than can exist", param, ctx)
        return units


class AccountType(click.ParamType[bytes]):
    """An SS58 address, 0x and 64 hex digits, or a development account such as //Bob."""

    name = "account"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            if value.startswith("//"):
                return public_key(derive_seed(value))
            if value.startswith("0x") and len(value) == 66:
                return bytes.fromhex(value[2:])
            if " " in value.strip():
                self.fail("this is no address; if it is a mnemonic, it belongs nowhere but where a secret is asked for")
            return from_ss58(value)
        except (SolventError, ValueError) as error:
            self.fail(str(error), param, ctx)


class HexType(click.ParamType[bytes]):
    """Bytes as 0x hex."""

    name = "hex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            self.fail(f"{value!r} is not hex", param, ctx)


class BlockHashType(click.ParamType[bytes]):
    """The 32 bytes of a block's hash in hex."""

    name = "HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        try:
            data = bytes.fromhex(str(value).removeprefix("0x"))
        except ValueError:
            data = b""
        if len(data) != 32:
            self.fail(f"{value!r} is not the hash of a block: 0x and 64 hex digits", param, ctx)
        return data


AMOUNT, ACCOUNT, HEX, BLOCK_HASH = AmountType(), AccountType(), HexType(), BlockHashType()
