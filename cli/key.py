"""``solvent key``: make, look at and keep keys. They stay on this machine, encrypted under a password."""

from __future__ import annotations

from pathlib import Path

import click

from cli.output import console, print_json
from cli.paths import default_base_path
from cli.suri import ask_secret
from node.keystore import Keystore, read_password
from runtime.crypto import KeyFormatError, from_ss58, public_key, to_ss58
from solvent.keys import DEFAULT_WORDS, WORD_COUNTS, generate_mnemonic, seed_from_mnemonic

LABELS = {
    "mnemonic": "Mnemonic",
    "seed": "Seed",
    "publicKey": "Public key",
    "address": "Address",
    "file": "File",
}  # fmt: skip
"""Field of the JSON document -> what people are shown."""


@click.group(name="key")
def command() -> None:
    """Make and keep keys.

    A SECRET is a mnemonic (in quotes), a seed (0x and 64 hex digits), or a development key (//Alice). Hard junctions
    (//name) derive further keys from it, a password may follow (///password), and @FILE stands for what a file holds.
    """


def default_keystore() -> Path:
    return default_base_path("keystore")


def read_new_password(password_file: Path | None) -> str:
    """The password for a key file: from a file, or typed in twice."""
    if password_file is not None:
        return read_password(password_file)
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@command.command()
@click.option(
    "--words", default=str(DEFAULT_WORDS), show_default=True, type=click.Choice([str(n) for n in WORD_COUNTS]),
    help="How many; 12 are as hard to guess as the key.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def generate(words: str, as_json: bool) -> None:
    """Make a new key and print it: the mnemonic is the key, so write it down, on paper."""
    mnemonic = generate_mnemonic(int(words))
    seed = seed_from_mnemonic(mnemonic)
    _print({"mnemonic": mnemonic, "seed": "0x" + seed.hex(), **_describe(public_key(seed))}, as_json)


@command.command()
@click.argument("secret", required=False)
@click.option("--public", "is_public", is_flag=True, help="SECRET is none, but a public key in hex.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(secret: str | None, is_public: bool, as_json: bool) -> None:
    """Show the address and public key of a SECRET (asked for when missing), an address, or a public key."""
    text = secret or ""
    if is_public:
        _print(_describe(_parse_public(text)), as_json)
    elif text.startswith("5") and " " not in text:
        _print(_describe(from_ss58(text)), as_json)
    else:
        _print(_describe(public_key(ask_secret(secret))), as_json)


@command.command()
@click.option("--suri", metavar="SECRET", help="The key; asked for when missing, which keeps it out of the history.")
@click.option("--keystore", type=click.Path(file_okay=False, path_type=Path), help="Folder of the key files.")
@click.option(
    "--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password that encrypts it; asked for when missing.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def insert(suri: str | None, keystore: Path | None, password_file: Path | None, as_json: bool) -> None:
    """Encrypt a key under a password and keep it in a file of mode 0600."""
    seed = ask_secret(suri)
    folder = keystore or default_keystore()
    address = Keystore(folder).insert(seed, read_new_password(password_file))
    _print({**_describe(public_key(seed)), "file": str(folder / f"{address}.json")}, as_json)


@command.command(name="list")
@click.option("--keystore", type=click.Path(file_okay=False, path_type=Path), help="Folder of the key files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(keystore: Path | None, as_json: bool) -> None:
    """Show the addresses whose keys are kept in a folder."""
    addresses = Keystore(keystore or default_keystore()).addresses()
    if as_json:
        print_json(addresses)
    for address in () if as_json else addresses:
        console.print(address, soft_wrap=True)


def _parse_public(text: str) -> bytes:
    try:
        public = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        public = b""
    if len(public) != 32:
        raise KeyFormatError("a public key has 64 hex digits")
    return public


def _describe(public: bytes) -> dict[str, str]:
    return {"publicKey": "0x" + public.hex(), "address": to_ss58(public)}


def _print(document: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        for name, value in document.items():
            console.print(f"{LABELS[name]:<10} {value}", soft_wrap=True)
