"""How commands are given secrets: on the command line, in a file, or typed in. No error repeats one."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.paths import default_base_path
from node.keystore import PASSWORD_VARIABLE, open_key
from runtime.crypto import KeyFormatError, derive_seed
from runtime.errors import SolventError

SURI_HELP = (
    "such as //Alice, a mnemonic in quotes, 0x<seed>, each with //path; @FILE that holds it; or the address of a key "
    "in the keystore"
)
KEYSTORE_VARIABLE = "SOLVENT_KEYSTORE"
"""Environment variable that names another keystore than the default one."""


class UnreadableSecret(SolventError):
    """The file that should hold a secret does not; the message names the file."""


def read_secret(suri: str, password_file: Path | None = None) -> bytes:
    """The seed that a secret on the command line names, or the one in ``@FILE``, which no process list shows.

    The address of a key stands for the one in the keystore, whose password is asked for unless ``password_file``
    or the environment names the file that holds it. Raises `KeyFormatError`, `UnreadableSecret`,
    `KeystoreError` or `WrongPassword`.
    """
    if suri.startswith("5") and " " not in suri:
        given = password_file or os.environ.get(PASSWORD_VARIABLE)
        folder = Path(os.environ.get(KEYSTORE_VARIABLE) or default_base_path("keystore"))
        return open_key(folder, suri, Path(given) if given else None, _ask_password).seed
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


def _ask_password() -> str:
    return str(click.prompt("Password of the key", hide_input=True))


def ask_secret(suri: str | None, what: str = "Secret (mnemonic, 0x<seed> or //name)") -> bytes:
    """As `read_secret`; typed in unseen when it is not given, which keeps it out of the shell's history."""
    return read_secret(suri or click.prompt(what, hide_input=True))
