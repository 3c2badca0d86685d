"""Mnemonics: the keys that every Substrate tool makes of them, and errors that never repeat a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from runtime.crypto import KeyFormatError, derive_seed, public_key, to_ss58
from solvent.keys import (
    DEVELOPMENT_PHRASE,
    WORD_COUNTS,
    entropy_of,
    generate_mnemonic,
    seed_from_mnemonic,
    seed_of,
)

ABANDON = "abandon " * 11 + "about"


@pytest.mark.parametrize(
    ("phrase", "entropy", "seed"),
    [
        (ABANDON, "00" * 16, "44e9d125f037ac1d51f0a7d3649689d422c2af8b1ec8e00d71db4d7bf6d127e3"),
        (
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "7f" * 16,
            "4313249608fe8ac10fd5886c92c4579007272cb77c21551ee5b8d60b78041685",
        ),
        (
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
            "80" * 16,
            "27f3eb595928c60d5bc91a4d747da40ed236328183046892ed6cd5aa9ae38122",
        ),
        ("zoo " * 11 + "wrong", "ff" * 16, "227d6256fd4f9ccaf06c45eaa4b2345969640462bbb00c5f51f43cb43418c7a7"),
    ],
)
def test_the_published_vectors_of_substrate_bip39_hold(phrase: str, entropy: str, seed: str) -> None:
    assert entropy_of(phrase).hex() == entropy
    assert seed_from_mnemonic(phrase, "Substrate").hex() == seed
    assert seed_of(f"{phrase}///Substrate").hex() == seed


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("//Alice", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        ("//Bob", "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"),
        ("//Charlie", "5DbKjhNLpqX3zqZdNBc9BGb4fHU1cRBaDhJUskrvkwfraDi6"),
        ("//Dave", "5ECTwv6cZ5nJQPk6tWfaTrEk8YH2L7X1VT4EL5Tx2ikfFwb7"),
        ("//Eve", "5Ck2miBfCe1JQ4cY3NDsXyBaD6EcsgiVmEFTWwqNSs25XDEq"),
    ],
)
def test_the_development_accounts_are_those_of_every_substrate_tool(path: str, address: str) -> None:
    """Ed25519 addresses that other tools publish for the development phrase."""
    assert to_ss58(public_key(seed_of(DEVELOPMENT_PHRASE + path))) == address
    assert to_ss58(public_key(seed_of(path))) == address


def test_the_development_phrase_is_the_root_that_the_runtime_knows() -> None:
    assert seed_of(DEVELOPMENT_PHRASE).hex() == "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e"
    assert seed_of("//Alice//stash") == derive_seed("//Alice//stash")
    assert seed_of("0x" + "11" * 32 + "//a") == derive_seed("0x" + "11" * 32 + "//a")


def test_a_password_makes_another_key_and_may_hold_anything() -> None:
    seeds = {
        seed_of(f"{ABANDON}//a{rest}") for rest in ("", "///x", "///X", "///x ", "///x/y", "///x//y", "///é", "////x")
    }
    assert len(seeds) == 7  # spaces around a secret come from copying it, so they do not count
    assert seed_of("//Alice///x") == seed_of(f"{DEVELOPMENT_PHRASE}//Alice///x") != seed_of("//Alice")


@pytest.mark.parametrize("count", WORD_COUNTS)
def test_new_mnemonics_differ_and_can_be_read_back(count: int) -> None:
    first, second = generate_mnemonic(count), generate_mnemonic(count)
    assert first != second
    assert len(first.split()) == count
    assert len(entropy_of(first)) == count // 3 * 4
    assert entropy_of(f"  {first.upper()}\t ".replace(" ", "  ")) == entropy_of(first)


@given(st.binary(min_size=16, max_size=16))
def test_every_entropy_survives_its_mnemonic(entropy: bytes) -> None:
    assert entropy_of(Mnemonic("english").to_mnemonic(entropy)) == entropy


@pytest.mark.parametrize(
    ("suri", "message"),
    [
        ("", "empty"),
        ("///pw", "empty"),
        ("Alice", "12, 15, 18, 21 or 24 words, not 1"),
        ("abandon " * 11 + "abandon", "checksum"),
        ("abandon " * 12 + "about", "not 13"),
        ("abandon " * 10 + "hunter2 about", "word 11 of the mnemonic"),
        ("hunter2 " + "abandon " * 9 + "hunter3 about", "words 1, 11 of the mnemonic"),
        (ABANDON + "/pw", "hard junctions"),
        (ABANDON + "//a/pw", "hard junctions"),
        (ABANDON + "//", "hard junctions"),
        ("0x" + "12" * 31, "64 hex digits"),
        ("0x" + "12" * 32 + "///pw", "only a mnemonic takes a password"),
        ("abandon " * 300, "1024"),
    ],
)
def test_wrong_secrets_are_refused_without_being_repeated(suri: str, message: str) -> None:
    with pytest.raises(KeyFormatError, match=message) as caught:
        seed_of(suri)
    shown = str(caught.value) + repr(caught.value)
    for part in ("abandon", "hunter", "1212", "pw"):
        assert part not in shown
    assert caught.value.__cause__ is None
