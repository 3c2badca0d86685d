"""Keys at rest: one file a key, encrypted under a password, written so that a crash leaves the old file or the new.

A key file is JSON: the public key, the Argon2id cost and salt, and the seed in a secretbox. It is created with mode
0600 inside a folder of mode 0700. Keys are entered with ``solvent key insert`` and never travel over RPC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runtime import vrf
from runtime.crypto import derive_seed, from_ss58, open_box, public_key, seal_box, sign, stretch_password, to_ss58
from runtime.errors import SolventError

OPERATIONS = 3
MEMORY_BYTES = 64 * 1024 * 1024
"""Argon2id cost of a new key file: RFC 9106's second recommendation, 64 MiB and three passes."""

MAX_MEMORY_BYTES = 1024 * 1024 * 1024
"""A key file that asks for more memory than this is refused rather than obeyed."""


PASSWORD_VARIABLE = "SOLVENT_PASSWORD_FILE"
"""Environment variable that names the file with a key's password."""


class KeystoreError(SolventError):
    """A key file is missing, unreadable or not a key file; the message names the file."""


class Signer(Protocol):
    """What may sign for one account without giving the seed away."""

    @property
    def public(self) -> bytes:
        """The account."""

    def sign(self, message: bytes) -> bytes:
        """The account's signature of ``message``."""


@dataclass(frozen=True, slots=True)
class SeedSigner:
    """A signer whose seed is in memory."""

    seed: bytes
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", public_key(self.seed))

    def sign(self, message: bytes) -> bytes:
        return sign(self.seed, message)

    def prove(self, alpha: bytes) -> bytes:
        """The key's VRF proof for ``alpha``, which lotteries draw with."""
        return vrf.prove(self.seed, alpha)

    def __repr__(self) -> str:
        return f"SeedSigner({to_ss58(self.public)})"


def development_signer(name: str) -> SeedSigner:
    """The signer of a development account such as ``Alice``; everybody knows its seed."""
    return SeedSigner(derive_seed(f"//{name}"))


class Keystore:
    """A folder of key files."""

    def __init__(self, folder: Path, operations: int = OPERATIONS, memory_bytes: int = MEMORY_BYTES) -> None:
        self.folder = folder
        self._operations, self._memory_bytes = operations, memory_bytes

    def insert(self, seed: bytes, password: str) -> str:
        """Store a seed and return its address. Replaces the file of the same key, never another one."""
        address = to_ss58(public_key(seed))
        salt, nonce = os.urandom(16), os.urandom(24)
        key = stretch_password(password.encode(), salt, self._operations, self._memory_bytes)
        document = {
            "address": address,
            "argon2id": {"operations": self._operations, "memory_bytes": self._memory_bytes, "salt": salt.hex()},
            "nonce": nonce.hex(),
            "box": seal_box(key, nonce, seed).hex(),
        }
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._path(address), json.dumps(document, indent=1).encode())
        return address

    def addresses(self) -> list[str]:
        """The addresses that have a file here, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def open(self, address: str, password: str) -> SeedSigner:
        """The signer of ``address``. Raises `KeystoreError`, or `WrongPassword`."""
        path = self._path(address)
        try:
            document = json.loads(path.read_bytes())
            cost = document["argon2id"]
            operations, memory_bytes = int(cost["operations"]), int(cost["memory_bytes"])
            salt, nonce, box = (bytes.fromhex(text) for text in (cost["salt"], document["nonce"], document["box"]))
        except FileNotFoundError:
            raise KeystoreError(f"no key for {address} in {self.folder}; add it with: solvent key insert") from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise KeystoreError(f"{path} is not a key file ({error})") from None
        if not 0 < memory_bytes <= MAX_MEMORY_BYTES or not 0 < operations <= 64 or len(salt) != 16 or len(nonce) != 24:
            raise KeystoreError(f"{path} is not a key file (its encryption parameters are out of range)")
        signer = SeedSigner(open_box(stretch_password(password.encode(), salt, operations, memory_bytes), nonce, box))
        if to_ss58(signer.public) != address:
            raise KeystoreError(f"{path} holds the key of {to_ss58(signer.public)}, not of {address}")
        return signer

    def generate(self, password: str) -> SeedSigner:
        """Make a key that nobody has seen, on the disk before it is used."""
        signer = SeedSigner(os.urandom(32))
        self.insert(signer.seed, password)
        return signer

    def _path(self, address: str) -> Path:
        from_ss58(address)  # an address that is none could name a file elsewhere
        return self.folder / f"{address}.json"


def open_key(folder: Path, address: str | None, password_file: Path | None, ask: Callable[[], str]) -> SeedSigner:
    """The key of that address in a keystore, or the only one; ``ask`` is asked for its password if no file holds it.

    Raises `KeystoreError` or `WrongPassword`.
    """
    keystore = Keystore(folder)
    known = keystore.addresses()
    if address is None and len(known) != 1:
        what = f"{len(known)} keys" if known else "no key"
        advice = "say which with --session-key" if known else f"solvent key insert --keystore {folder}"
        raise KeystoreError(f"there is {what} in {folder}: {advice}")
    return keystore.open(address or known[0], ask() if password_file is None else read_password(password_file))


def read_password(path: Path) -> str:
    """The password in a file: its first line, which is all that a password file may hold. Raises `KeystoreError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeystoreError(f"the password file {path} cannot be read: {error}") from None
    if len(lines) != 1 or not lines[0]:
        raise KeystoreError(f"{path} has {len(lines)} lines; a password file holds one line, the password")
    return lines[0]


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that appears whole or not at all, and is on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
