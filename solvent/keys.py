"""Secrets as people keep them: BIP-39 mnemonics, turned into keys as Substrate does. The only importer of ``mnemonic``.

A *secret URI* is a mnemonic, a seed in hex, or nothing (the public development phrase), then hard junctions, then a
password: ``<words>//path//0///password``. Substrate stretches the mnemonic's entropy, not its text, so these keys are
those of every Substrate tool, and not those of Bitcoin wallets. No error of this file repeats any part of a secret.
"""

from __future__ import annotations

import hashlib
from functools import cache

from mnemonic import Mnemonic

from runtime.crypto import KeyFormatError, derive_seed

WORD_COUNTS = (12, 15, 18, 21, 24)
DEFAULT_WORDS = 12
"""128 bits of entropy: as much as breaking an Ed25519 key takes."""

DEVELOPMENT_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""Substrate's public development phrase, which ``//Alice`` is derived from. Its keys are worthless."""

PBKDF2_ROUNDS = 2048
MAX_CHARACTERS = 1024


@cache
def _english() -> Mnemonic:
    """The word list, read from the library's file when it is first needed."""
    return Mnemonic("english")


def generate_mnemonic(words: int = DEFAULT_WORDS) -> str:
    """A new mnemonic of 12, 15, 18, 21 or 24 words from the system's entropy."""
    return str(_english().generate(words // 3 * 32))


def entropy_of(phrase: str) -> bytes:
    """The entropy that a mnemonic encodes. Raises `KeyFormatError` for wrong words, their number or the checksum."""
    words = phrase.lower().split()
    if len(words) not in WORD_COUNTS:
        raise KeyFormatError(
            f"a mnemonic has 12, 15, 18, 21 or 24 words, not {len(words)} (other secrets start with //name or 0x)"
        )
    known = set(_english().wordlist)
    if wrong := [str(place) for place, word in enumerate(words, start=1) if word not in known]:
        plural = "s" if len(wrong) > 1 else ""
        raise KeyFormatError(
            f"word{plural} {', '.join(wrong)} of the mnemonic (counted from 1) {'are' if plural else 'is'} not in the "
            "English list of BIP-39; check the spelling"
        )
    try:
        return bytes(_english().to_entropy(words))
    except ValueError:
        raise KeyFormatError(
            "the mnemonic's checksum is wrong: all words exist, but one of them or their order is not as it was"
        ) from None


def seed_from_mnemonic(phrase: str, password: str = "") -> bytes:
    """The 32-byte seed of a mnemonic: PBKDF2-HMAC-SHA512 over its entropy, salted with "mnemonic" and the password."""
    salt = b"mnemonic" + password.encode()
    return hashlib.pbkdf2_hmac("sha512", entropy_of(phrase), salt, PBKDF2_ROUNDS)[:32]


def seed_of(suri: str) -> bytes:
    """The 32-byte seed that any secret URI names. Raises `KeyFormatError`."""
    if len(suri) > MAX_CHARACTERS:
        raise KeyFormatError(f"a secret of {len(suri)} characters; at most {MAX_CHARACTERS} are allowed")
    secret, has_password, password = suri.strip().partition("///")
    phrase, slashes, path = secret.partition("//")
    if phrase.startswith(("0x", "0X")):
        if has_password:
            raise KeyFormatError("only a mnemonic takes a password (///...); a seed in hex is the key itself")
        return derive_seed(secret)
    if not phrase and not path:
        raise KeyFormatError("an empty secret names no key; a development key looks like //Alice")
    if "/" in phrase:
        raise KeyFormatError("only hard junctions such as //name exist for Ed25519 keys, no soft ones such as /name")
    seed = seed_from_mnemonic(phrase or DEVELOPMENT_PHRASE, password)
    return derive_seed(f"0x{seed.hex()}{slashes}{path}")
