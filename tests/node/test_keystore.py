"""Key files: encrypted, private, whole or not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.keystore import Keystore, KeystoreError, write_private
from runtime.crypto import WrongPassword, derive_seed, public_key, to_ss58, verify

ALICE = derive_seed("//Alice")


def keystore(folder: Path) -> Keystore:
    """With libsodium's cheapest Argon2id, so that the tests are quick."""
    return Keystore(folder / "keys", operations=1, memory_bytes=8192)


def test_a_key_comes_back_under_its_password(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    address = keys.insert(ALICE, "correct horse")
    signer = keys.open(address, "correct horse")
    assert signer.public == public_key(ALICE)
    assert verify(signer.public, signer.sign(b"message"), b"message")
    assert keys.addresses() == [address]
    assert ALICE.hex() not in repr(signer)


def test_files_are_private_and_hold_no_seed_in_the_clear(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    path = keys.folder / f"{keys.insert(ALICE, 'x')}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert ALICE.hex() not in path.read_text()
    assert list(keys.folder.iterdir()) == [path]


def test_a_wrong_password_and_a_damaged_box_do_not_open(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    address = keys.insert(ALICE, "right")
    with pytest.raises(WrongPassword):
        keys.open(address, "wrong")
    path = keys.folder / f"{address}.json"
    document = json.loads(path.read_text())
    document["box"] = "00" + document["box"][2:]
    path.write_text(json.dumps(document))
    with pytest.raises(WrongPassword):
        keys.open(address, "right")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"argon2id": {"operations": 1, "memory_bytes": 99999999999, "salt": ""}}'],
)
def test_a_file_that_is_no_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    keys = keystore(tmp_path)
    address = keys.insert(ALICE, "x")
    (keys.folder / f"{address}.json").write_bytes(content)
    with pytest.raises(KeystoreError, match=address):
        keys.open(address, "x")


def test_a_key_file_cannot_demand_all_memory(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    address = keys.insert(ALICE, "x")
    path = keys.folder / f"{address}.json"
    document = json.loads(path.read_text())
    document["argon2id"]["memory_bytes"] = 2**40
    path.write_text(json.dumps(document))
    with pytest.raises(KeystoreError, match="out of range"):
        keys.open(address, "x")


def test_a_missing_key_says_how_to_add_it(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="solvent key insert"):
        keystore(tmp_path).open(to_ss58(public_key(ALICE)), "x")


def test_a_key_moved_to_another_name_is_noticed(tmp_path: Path) -> None:
    keys = keystore(tmp_path)
    address = keys.insert(ALICE, "x")
    other = to_ss58(public_key(derive_seed("//Bob")))
    (keys.folder / f"{address}.json").rename(keys.folder / f"{other}.json")
    with pytest.raises(KeystoreError, match=other):
        keys.open(other, "x")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
