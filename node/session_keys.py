"""The session keys of one validator: those in its keystore, and how it makes another while it runs.

All keys of the keystore that the password opens are used, each while it is in office, so that a node that stops between
the making of a key and the session in which it counts comes back with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from node.keystore import Keystore, KeystoreError, SeedSigner, read_password
from runtime.crypto import WrongPassword
from runtime.errors import SolventError

MAX_KEYS = 16
"""Keys that one validator keeps; each takes a tenth of a second to open."""


class RotationRefused(SolventError):
    """This node makes no session key; the message says why, and what to do."""


class SessionKeys:
    """Mutable: `generate` adds a key."""

    def __init__(self, signers: Sequence[SeedSigner], keystore: Keystore | None = None, password: str = "") -> None:
        """Without a keystore these are all keys there will ever be."""
        self.signers = list(signers)
        self._keystore, self._password = keystore, password

    def generate(self) -> SeedSigner:
        """Make a key and keep it. Raises `RotationRefused`."""
        if self._keystore is None:
            raise RotationRefused("its key was named when it was started; leave --session-key, --alice and so on out")
        if len(self._keystore.addresses()) >= MAX_KEYS:
            raise RotationRefused(
                f"there are {MAX_KEYS} keys in {self._keystore.folder}; remove the files of those that are not in "
                "office and not announced (solvent validator status)"
            )
        signer = self._keystore.generate(self._password)
        self.signers.append(signer)
        return signer


def open_session_keys(
    folder: Path, address: str | None, password_file: Path | None, ask: Callable[[], str]
) -> SessionKeys:
    """The key of that address in a keystore, or all of them, of which there may be none yet.

    ``ask`` is asked for the password if no file holds it. Raises `KeystoreError`, and `WrongPassword` if it opens none.
    """
    keystore = Keystore(folder)
    password = ask() if password_file is None else read_password(password_file)
    if address is not None:
        return SessionKeys([keystore.open(address, password)])
    known, signers = keystore.addresses(), []
    if len(known) > MAX_KEYS:
        raise KeystoreError(f"there are {len(known)} keys in {folder}: say which one signs with --session-key")
    for candidate in known:
        try:
            signers.append(keystore.open(candidate, password))
        except WrongPassword:
            continue
    if known and not signers:
        raise WrongPassword(f"the password opens none of the {len(known)} keys in {folder}")
    return SessionKeys(signers, keystore, password)
