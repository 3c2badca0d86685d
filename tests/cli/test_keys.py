"""Keys on the command line: made, looked at, kept, and used, without ever being shown where nobody asked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from node.keystore import Keystore
from runtime.crypto import derive_seed, public_key, to_ss58
from solvent.keys import DEVELOPMENT_PHRASE, seed_of
from tests.support.node import dev_process, solvent

ALICE = to_ss58(public_key(derive_seed("//Alice")))


def run_json(*arguments: str, **settings: Any) -> Any:
    done = solvent(*arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_key_is_a_mnemonic_that_brings_it_back(tmp_path: Path) -> None:
    made = run_json("key", "generate", "--words", "24")
    assert len(made["mnemonic"].split()) == 24
    assert seed_of(made["mnemonic"]).hex() == made["seed"].removeprefix("0x")
    for text in (made["mnemonic"], made["seed"], made["address"]):
        shown = run_json("key", "inspect", text)
        assert shown == {"publicKey": made["publicKey"], "address": made["address"]}
    assert run_json("key", "inspect", "--public", made["publicKey"])["address"] == made["address"]


def test_a_secret_may_come_from_a_file_or_the_keyboard(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{DEVELOPMENT_PHRASE}//Alice\n")
    assert run_json("key", "inspect", f"@{tmp_path / 'secret'}")["address"] == ALICE
    typed = solvent("key", "inspect", input=f"{DEVELOPMENT_PHRASE}//Alice\n")
    assert ALICE in typed.stdout
    assert "obey" not in typed.stdout + typed.stderr


def test_a_mnemonic_goes_into_the_keystore_encrypted(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    folder = tmp_path / "keys"
    kept = run_json(
        "key", "insert", "--suri", f"{DEVELOPMENT_PHRASE}//Alice", "--keystore", str(folder),
        "--password-file", str(password),
    )  # fmt: skip
    assert kept["address"] == ALICE
    assert Path(kept["file"]).stat().st_mode & 0o777 == 0o600
    assert Keystore(folder).open(ALICE, "secret").seed == derive_seed("//Alice")
    assert run_json("key", "list", "--keystore", str(folder)) == [ALICE]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("key", "inspect", "hunter2 " * 12), 1, "word"),
        (("key", "inspect", "5nonsense"), 1, "address"),
        (("key", "inspect", "--public", "0x1234"), 1, "64 hex digits"),
        (("key", "inspect", "@/nowhere/at/all"), 1, "/nowhere/at/all"),
        (("key", "generate", "--words", "13"), 2, "12"),
        (("tx", "remark", "--from", "hunter2 " * 12, "x"), 1, "word"),
        (("tx", "transfer", "--from", "//Alice", "--to", "hunter2 " * 12, "1"), 2, "no address"),
    ],
)
def test_a_wrong_secret_is_refused_in_one_line_that_does_not_repeat_it(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = solvent(*arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_the_address_of_a_kept_key_stands_for_its_secret(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    folder = tmp_path / "keys"
    Keystore(folder, operations=1, memory_bytes=8192).insert(derive_seed("//Alice"), "secret")
    environment = {**os.environ, "SOLVENT_KEYSTORE": str(folder), "SOLVENT_PASSWORD_FILE": str(password)}
    bob = to_ss58(public_key(derive_seed("//Bob")))
    with dev_process("--tmp", "--quiet") as (_, url):
        sent = solvent("tx", "remark", "--from", ALICE, "hello", "--url", url, env=environment)
        assert (sent.returncode, "in block" in sent.stdout) == (0, True), sent.stderr
        lone = solvent("validator", "status", ALICE, "--url", url)
        assert (lone.returncode, "development chain" in lone.stderr) == (1, True)
    missing = solvent("tx", "remark", "--from", bob, "hello", env=environment)
    assert (missing.returncode, f"no key for {bob}" in missing.stderr) == (1, True)
    password.write_text("wrong\n")
    wrong = solvent("tx", "remark", "--from", ALICE, "hello", env=environment)
    assert (wrong.returncode, "password is wrong" in wrong.stderr) == (1, True)
