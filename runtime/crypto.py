"""Ed25519 keys and signatures, development key derivation, and SS58 addresses. The only importer of PyNaCl.

Ed25519 libraries disagree about odd signatures (small-order keys, non-canonical scalars), so libsodium's answer is
the consensus rule here: a signature is valid exactly when ``crypto_sign_open`` accepts it.

A *seed* is the 32-byte Ed25519 secret. A *secret URI* names one: ``//Alice`` is derived from the public development
root, ``0x<64 hex digits>//path`` from a seed of one's own; `solvent.keys` adds mnemonics, whose word list is a file.
Only hard junctions (``//``) exist for Ed25519.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from nacl import pwhash
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
    crypto_secretbox,
    crypto_secretbox_open,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError, CryptoError

from runtime.errors import SolventError

SS58_PREFIX = 42
"""Address type of generic Substrate chains: addresses of Solvent start with a 5."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}


class KeyFormatError(SolventError):
    """A secret URI or an SS58 address cannot be read; the message says what is wrong with it."""


def public_key(seed: bytes) -> bytes:
    """The 32-byte public key, which is also the account id, of a 32-byte seed."""
    public, _ = crypto_sign_seed_keypair(seed)
    return bytes(public)


def sign(seed: bytes, message: bytes) -> bytes:
    """The 64-byte detached signature of ``message`` (RFC 8032, deterministic)."""
    _, secret = crypto_sign_seed_keypair(seed)
    return bytes(crypto_sign(message, secret)[:64])


Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) -> whether the signature is valid. Injected, so that results can be memoised."""


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether libsodium accepts the signature. Lengths other than 32 and 64 bytes are simply invalid."""
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


_DEVELOPMENT_ROOT = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
"""Substrate's public development secret: worthless keys that every tool knows."""


def derive_seed(suri: str) -> bytes:
    """The seed that a secret URI names: ``//Alice``, ``//Alice//stash``, ``0x<64 hex digits>``, ``0x...//path``.

    Hard junctions are derived as in Substrate's Ed25519, so ``//Alice`` is the Alice of every Substrate tool. Raises
    `KeyFormatError`.
    """
    if len(suri) > 1024:
        raise KeyFormatError(f"a secret URI of {len(suri)} characters; at most 1024 are allowed")
    base, *junctions = suri.split("//")
    seed = _DEVELOPMENT_ROOT if not base else _seed_from_hex(base)
    if not base and not junctions:
        raise KeyFormatError("an empty secret URI names no key; a development key looks like //Alice")
    for junction in junctions:
        if not junction or "/" in junction:
            raise KeyFormatError("only hard junctions such as //name exist for Ed25519 keys")
        seed = blake2b(_compact(b"Ed25519HDKD") + seed + _chain_code(junction), digest_size=32).digest()
    return seed


def _chain_code(junction: str) -> bytes:
    """32 bytes for one junction: a decimal number as u64, else a SCALE string, hashed when it is too long."""
    if junction.isascii() and junction.isdigit() and int(junction) < 1 << 64:
        return int(junction).to_bytes(8, "little").ljust(32, b"\0")
    code = _compact(junction.encode())
    return blake2b(code, digest_size=32).digest() if len(code) > 32 else code.ljust(32, b"\0")


def _compact(data: bytes) -> bytes:
    """SCALE's length prefix and the bytes; only key derivation speaks SCALE."""
    if len(data) < 64:
        return bytes([len(data) << 2]) + data
    return (len(data) << 2 | 1).to_bytes(2, "little") + data


def _seed_from_hex(text: str) -> bytes:
    try:
        seed = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        seed = b""
    if not text.startswith("0x") or len(seed) != 32:
        raise KeyFormatError("a secret starts with //name, with 0x and the 64 hex digits of a seed, or is a mnemonic")
    return seed


def to_ss58(account: bytes) -> str:
    """The SS58 address of a 32-byte account id: base58 of prefix, account and a two-byte checksum."""
    if len(account) != 32:
        raise KeyFormatError(f"an account id has 32 bytes, not {len(account)}")
    body = bytes([SS58_PREFIX]) + account
    number = int.from_bytes(body + _checksum(body), "big")
    letters = []
    while number:
        number, digit = divmod(number, 58)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def from_ss58(text: str) -> bytes:
    """The account id of an SS58 address with prefix 42; `KeyFormatError` for anything else."""
    if not 46 <= len(text) <= 50:
        raise KeyFormatError(f"an address has about 48 characters, not {len(text)}: {text[:60]!r}")
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise KeyFormatError(f"{letter!r} cannot appear in an address: {text!r}")
        number = number * 58 + _VALUES[letter]
    if number.bit_length() > 280:
        raise KeyFormatError(f"the address holds more than 35 bytes: {text!r}")
    data = number.to_bytes(35, "big")
    if data[0] != SS58_PREFIX:
        raise KeyFormatError(f"the address is for network {data[0]}, not {SS58_PREFIX}: {text!r}")
    if _checksum(data[:33]) != data[33:]:
        raise KeyFormatError(f"the checksum is wrong, so the address was mistyped: {text!r}")
    return data[1:33]


def _checksum(body: bytes) -> bytes:
    return blake2b(b"SS58PRE" + body).digest()[:2]


class WrongPassword(SolventError):
    """The password does not open this box, or the box was damaged: the two cannot be told apart."""


def stretch_password(password: bytes, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    """A 32-byte key from a password by Argon2id (RFC 9106), with a 16-byte salt and a stated cost."""
    return bytes(pwhash.argon2id.kdf(32, password, salt, opslimit=operations, memlimit=memory_bytes))


def seal_box(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """XSalsa20-Poly1305 (libsodium's secretbox). The 24-byte nonce must never repeat under one key."""
    return bytes(crypto_secretbox(plaintext, nonce, key))


def open_box(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """The plaintext of `seal_box`; raises `WrongPassword` unless key, nonce and every byte are as sealed."""
    try:
        return bytes(crypto_secretbox_open(ciphertext, nonce, key))
    except CryptoError:
        raise WrongPassword("the password is wrong, or the key file was damaged") from None


class PointError(SolventError):
    """libsodium refuses this curve point or this scalar (`runtime.vrf` turns it into an invalid proof)."""


def add_points(left: bytes, right: bytes) -> bytes:
    """The sum of two points of the curve, of any order; `PointError` when either is no point."""
    try:
        return bytes(crypto_core_ed25519_add(left, right))
    except CryptoError:
        raise PointError(f"not two points of edwards25519: {left.hex()}, {right.hex()}") from None


def subtract_points(left: bytes, right: bytes) -> bytes:
    """The difference of two points of the curve, of any order; `PointError` when either is no point."""
    try:
        return bytes(crypto_core_ed25519_sub(left, right))
    except CryptoError:
        raise PointError(f"not two points of edwards25519: {left.hex()}, {right.hex()}") from None


def multiply_point(scalar: bytes, point: bytes) -> bytes:
    """``scalar`` (32 bytes, little-endian) times a point of the prime-order subgroup, in constant time.

    Raises `PointError` for points outside the prime-order subgroup, and when the product is the identity.
    """
    try:
        return bytes(crypto_scalarmult_ed25519_noclamp(scalar, point))
    except CryptoError:
        raise PointError(f"libsodium does not multiply the point {point.hex()}") from None


def multiply_base(scalar: bytes) -> bytes:
    """``scalar`` times the base point; `PointError` when the scalar is zero."""
    try:
        return bytes(crypto_scalarmult_ed25519_base_noclamp(scalar))
    except CryptoError:
        raise PointError("the scalar is zero") from None


def reduce_scalar(wide: bytes) -> bytes:
    """A 64-byte little-endian integer modulo the group order, as 32 bytes."""
    return bytes(crypto_core_ed25519_scalar_reduce(wide))


def multiply_add_scalars(factor: bytes, other: bytes, addend: bytes) -> bytes:
    """``factor * other + addend`` modulo the group order, in constant time: a secret may be among them."""
    return bytes(crypto_core_ed25519_scalar_add(crypto_core_ed25519_scalar_mul(factor, other), addend))
