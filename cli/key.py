"""``solvent key``: make, look at and keep keys. They stay on this machine, encrypted under a password."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.dev import default_base_path
from cli.output import console, print_json
from node.keystore import Keystore, read_password
from runtime.crypto import derive_seed, from_ss58, public_key, to_ss58


@click.group(name="key")
def command() -> None:
    """Make and keep keys."""


def default_keystore() -> Path:
    return default_base_path("keystore")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def generate(as_json: bool) -> None:
    """Make a new key from the system's randomness and print it. Write the seed down: it is the key."""
    _print_key("0x" + os.urandom(32).hex(), as_json, reveal=True)


@command.command()
@click.argument("suri")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(suri: str, as_json: bool) -> None:
    """The address and public key of a secret such as //Alice or 0x<seed>//path, or of an address."""
    if suri.startswith(("//", "0x")):
        _print_key(suri, as_json, reveal=False)
        return
    public = from_ss58(suri)
    _print({"address": suri, "publicKey": "0x" + public.hex()}, as_json)


@command.command()
@click.option("--suri", help="The secret; asked for when missing, so that it stays out of the shell's history.")
@click.option("--keystore", type=click.Path(file_okay=False, path_type=Path), help="Folder of the key files.")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def insert(suri: str | None, keystore: Path | None, password_file: Path | None, as_json: bool) -> None:
    """Encrypt a key under a password and keep it in a file of mode 0600."""
    secret = suri or click.prompt("Secret (0x... or //name)", hide_input=True)
    seed = derive_seed(secret)
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    folder = keystore or default_keystore()
    address = Keystore(folder).insert(seed, password)
    _print({"address": address, "file": str(folder / f"{address}.json")}, as_json)


def _print_key(suri: str, as_json: bool, reveal: bool) -> None:
    seed = derive_seed(suri)
    public = public_key(seed)
    document = {"address": to_ss58(public), "publicKey": "0x" + public.hex()}
    _print({"seed": "0x" + seed.hex(), **document} if reveal else document, as_json)


def _print(document: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        for name, value in document.items():
            console.print(f"{name:<10} {value}", soft_wrap=True)
