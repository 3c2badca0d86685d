"""Keys, addresses, and libsodium's answers to odd signatures, which are the consensus rule."""

from __future__ import annotations

from hashlib import sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.crypto import KeyFormatError, derive_seed, from_ss58, public_key, sign, to_ss58, verify

# RFC 8032, section 7.1, tests 1 to 3: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]

# --- a minimal Edwards curve, to construct keys that no honest signer has

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(first: Point, second: Point) -> Point:
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def recover(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return None if (x * x - square) % P else (x, y)


def compress(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def find_torsion() -> Point:
    """A point of order 8."""
    for y in range(2, 100):
        point = recover(y)
        if point is not None and multiply(4, torsion := multiply(L, point)) != (0, 1):
            return torsion
    raise AssertionError("no point of order 8 was found")


TORSION = find_torsion()
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_hold(seed: str, public: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature
    assert verify(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 511))
def test_no_bit_of_a_signature_can_be_changed(seed: bytes, message: bytes, bit: int) -> None:
    public, signature = public_key(seed), sign(seed, message)
    assert verify(public, signature, message)
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not verify(public, bytes(changed), message)
    assert not verify(public, signature, message + b"\0")


def test_wrong_lengths_are_invalid_not_errors() -> None:
    public, signature = public_key(bytes(32)), sign(bytes(32), b"")
    for length in (0, 31, 33):
        assert not verify(bytes(length), signature, b"")
    for length in (0, 63, 65, 128):
        assert not verify(public, (signature * 2)[:length], b"")


def test_a_scalar_that_is_not_reduced_is_refused() -> None:
    public, signature = public_key(bytes(32)), sign(bytes(32), b"m")
    scalar = int.from_bytes(signature[32:], "little")
    for multiple in (1, 2, 8):
        malleable = scalar + multiple * L
        assert not verify(public, signature[:32] + malleable.to_bytes(32, "little"), b"m")


def test_keys_and_commitments_of_small_order_are_refused() -> None:
    """With S = 0 and a small-order key the group equation alone would hold for one message in eight, or for all."""
    small = [multiply(k, TORSION) for k in range(8)]
    assert len(set(small)) == 8
    encodings = [compress(point) for point in small]
    encodings += [(point[1] + P).to_bytes(32, "little") for point in small if point[1] + P < 2**255]
    assert len(encodings) > 8
    public, signature = public_key(bytes(32)), sign(bytes(32), b"m")
    for key in encodings:
        assert not verify(key, signature, b"m")
        for commitment in encodings:
            for message in (b"", b"a", b"b", b"c"):
                assert not verify(key, commitment + bytes(32), message)
    for commitment in encodings:
        assert not verify(public, commitment + signature[32:], b"m")


def test_keys_that_are_no_canonical_point_are_refused() -> None:
    signature = sign(bytes(32), b"m")
    not_on_curve = next(y for y in range(2, 50) if recover(y) is None)
    for y in (not_on_curve, P + 3, 2**255 - 1):
        assert not verify(y.to_bytes(32, "little"), signature, b"m")


def test_a_key_with_a_torsion_part_follows_the_equation_without_cofactor() -> None:
    """A mixed-order key A + T verifies exactly when the challenge is a multiple of T's order, as libsodium decides."""
    secret, nonce = 1234567, 7654321
    key = compress(add(multiply(secret, BASE), TORSION))
    commitment = compress(multiply(nonce, BASE))
    answers = set()
    for number in range(40):
        message = b"message %d" % number
        challenge = int.from_bytes(sha512(commitment + key + message).digest(), "little") % L
        signature = commitment + ((nonce + challenge * secret) % L).to_bytes(32, "little")
        answer = verify(key, signature, message)
        assert answer == (challenge % 8 == 0)
        answers.add(answer)
    assert answers == {True, False}


@given(st.binary(min_size=32, max_size=32))
def test_addresses_read_back(account: bytes) -> None:
    address = to_ss58(account)
    assert address.startswith("5")
    assert from_ss58(address) == account


def test_the_address_of_a_known_account_is_that_of_other_substrate_chains() -> None:
    alice = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
    assert to_ss58(alice) == "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_mistyped_address_is_noticed(account: bytes, data: st.DataObject) -> None:
    letters = list(to_ss58(account))
    position = data.draw(st.integers(0, len(letters) - 1))
    letters[position] = data.draw(
        st.sampled_from("123ABCabcz0OIl é").filter(lambda letter: letter != letters[position])
    )
    with pytest.raises(KeyFormatError):
        from_ss58("".join(letters))


@pytest.mark.parametrize(
    "text", ["", "5", "1" * 48, "z" * 50, "5" * 400, "12bzRJfh7arnnfPPUZHeJUaE62QLEwhK48QnH9LXeK2m1iZU"]
)
def test_what_is_no_address_of_this_network_is_refused(text: str) -> None:
    with pytest.raises(KeyFormatError):
        from_ss58(text)


def test_an_account_id_has_32_bytes() -> None:
    with pytest.raises(KeyFormatError):
        to_ss58(bytes(31))


def test_secret_uris_name_seeds() -> None:
    own = "0x" + "11" * 32
    seeds = [derive_seed(suri) for suri in ("//Alice", "//Bob", "//Alice//stash", own, own + "//Alice")]
    assert len(set(seeds)) == 5
    assert derive_seed(own) == b"\x11" * 32
    assert derive_seed("//Alice") == derive_seed("//Alice")


def test_development_accounts_are_those_of_substrate() -> None:
    alice = public_key(derive_seed("//Alice"))
    assert alice.hex() == "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"
    assert to_ss58(alice) == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"


def test_long_and_numeric_junctions_derive_keys_of_their_own() -> None:
    seeds = {derive_seed("//" + junction) for junction in ("0", "00", "1", "a" * 31, "a" * 32, "a" * 64, "é" * 40)}
    assert len(seeds) == 6  # "0" and "00" are the same number


@pytest.mark.parametrize(
    "suri", ["", "Alice", "/Alice", "//", "//Alice/soft", "//Alice///password", "0x11", "11" * 32, "//" + "a" * 2000]
)
def test_secret_uris_that_name_nothing_are_refused(suri: str) -> None:
    with pytest.raises(KeyFormatError):
        derive_seed(suri)
