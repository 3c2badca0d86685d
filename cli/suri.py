"""How commands are given secrets: on the command line, in a file, or typed in. No error repeats one."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.crypto import KeyFormatError, derive_seed
from runtime.errors import SolventError

SURI_HELP = "such as //Alice, a mnemonic in quotes, 0x<seed>, each with //path; or @FILE that holds it"


class UnreadableSecret(SolventError):
    """The file that should hold a secret does not; the message names the file."""


def read_secret(suri: str) -> bytes:
    """The seed that a secret on the command line names, or the one in ``@FILE``, which no process list shows.

    Raises `KeyFormatError` or `UnreadableSecret`.
    """
    if suri.startswith("@"):
        path = Path(suri[1:])
        try:
            suri = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableSecret(f"no secret can be read from {path}: {error}") from None
    if not suri.isprintable():
        raise KeyFormatError("a secret is one line of text")
    if suri.startswith("//") and "///" not in suri:
        return derive_seed(suri)  # spares a development key the time to load the mnemonics' word list
    from solvent.keys import seed_of

    return seed_of(suri)


def ask_secret(suri: str | None, what: str = "Secret (mnemonic, 0x<seed> or //name)") -> bytes:
    """As `read_secret`; typed in unseen when it is not given, which keeps it out of the shell's history."""
    return read_secret(suri or click.prompt(what, hide_input=True))
