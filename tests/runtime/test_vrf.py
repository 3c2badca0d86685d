"""The VRF against RFC 9381's vectors, and against everything that is almost a proof."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import vrf
from runtime.crypto import PointError, add_points, derive_seed, multiply_point, public_key

# RFC 9381, Appendix B.3, examples 16, 17 and 18: secret key, public key, alpha, proof, output.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
        "26f8a57ccaed74ee1b190bed1f479d97"
        "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
        "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
        "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
        "3bf0864a62558b3ed7f2fea45c92a465"
        "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
        "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
        "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
        "96bb474e53895c362d8628ee9f9ea3c0"
        "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
        "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
        "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    ),
]

SEED = derive_seed("//Alice")
PUBLIC = public_key(SEED)
ALPHA = b"slot 17"
PROOF = vrf.prove(SEED, ALPHA)
FIELD = 2**255 - 19

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",  # the identity
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
    "0000000000000000000000000000000000000000000000000000000000000000",  # order 4
    "0000000000000000000000000000000000000000000000000000000000000080",  # order 4
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
]
NOT_CANONICAL = [
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p + 1, the identity again
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # y = p
    "0100000000000000000000000000000000000000000000000000000000000080",  # the identity with a sign
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",  # order 2 with a sign
]


@pytest.mark.parametrize(("secret", "public", "alpha", "proof", "output"), VECTORS)
def test_the_vectors_of_appendix_b_3_are_reproduced(
    secret: str, public: str, alpha: str, proof: str, output: str
) -> None:
    assert public_key(bytes.fromhex(secret)).hex() == public
    assert vrf.prove(bytes.fromhex(secret), bytes.fromhex(alpha)).hex() == proof
    assert vrf.output(bytes.fromhex(proof)).hex() == output
    verified = vrf.verify(bytes.fromhex(public), bytes.fromhex(alpha), bytes.fromhex(proof))
    assert verified is not None
    assert verified.hex() == output


@given(seed=st.binary(min_size=32, max_size=32), alpha=st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_what_a_key_proves_verifies_and_is_unique(seed: bytes, alpha: bytes) -> None:
    proof = vrf.prove(seed, alpha)
    assert len(proof) == vrf.PROOF_BYTES
    assert vrf.prove(seed, alpha) == proof
    verified = vrf.verify(public_key(seed), alpha, proof)
    assert verified == vrf.output(proof)
    assert verified is not None
    assert len(verified) == vrf.OUTPUT_BYTES


def test_another_key_or_another_input_does_not_verify() -> None:
    assert vrf.verify(public_key(derive_seed("//Bob")), ALPHA, PROOF) is None
    assert vrf.verify(PUBLIC, ALPHA + b"\0", PROOF) is None
    assert vrf.verify(PUBLIC, b"", PROOF) is None


def test_no_flipped_bit_of_a_proof_verifies() -> None:
    for bit in range(8 * vrf.PROOF_BYTES):
        damaged = bytearray(PROOF)
        damaged[bit // 8] ^= 1 << bit % 8
        assert vrf.verify(PUBLIC, ALPHA, bytes(damaged)) is None, bit


def test_a_response_of_the_group_order_or_more_is_refused() -> None:
    """Adding L to s gives the same point: without the check every proof would have a twin."""
    response = int.from_bytes(PROOF[48:], "little")
    for multiple in range(1, 16):
        twin = response + multiple * vrf.GROUP_ORDER
        if twin < 1 << 256:
            assert vrf.verify(PUBLIC, ALPHA, PROOF[:48] + twin.to_bytes(32, "little")) is None


def test_lengths_other_than_80_and_32_are_refused() -> None:
    for length in (0, 1, 79, 81, 160):
        assert vrf.verify(PUBLIC, ALPHA, (PROOF * 2)[:length]) is None
    for length in (0, 31, 33, 64):
        assert vrf.verify((PUBLIC * 2)[:length], ALPHA, PROOF) is None
    with pytest.raises(PointError, match="80 bytes"):
        vrf.output(PROOF[:79])


@pytest.mark.parametrize("point", SMALL_ORDER + NOT_CANONICAL)
def test_odd_points_are_refused_as_keys_and_as_gamma(point: str) -> None:
    odd = bytes.fromhex(point)
    assert vrf.verify(odd, ALPHA, PROOF) is None
    assert vrf.verify(PUBLIC, ALPHA, odd + PROOF[32:]) is None
    assert vrf.verify(odd, ALPHA, odd + bytes(48)) is None


@pytest.mark.parametrize("torsion", SMALL_ORDER[1:])
def test_a_point_with_a_small_order_component_is_refused(torsion: str) -> None:
    """Eight times it is the same point, so the output would not change, but the bytes would."""
    gamma = add_points(PROOF[:32], bytes.fromhex(torsion))
    assert gamma != PROOF[:32]
    assert vrf.output(gamma + PROOF[32:]) == vrf.output(PROOF)
    assert vrf.verify(PUBLIC, ALPHA, gamma + PROOF[32:]) is None
    assert vrf.verify(add_points(PUBLIC, bytes.fromhex(torsion)), ALPHA, PROOF) is None


@pytest.mark.parametrize("torsion", SMALL_ORDER[1:])
def test_no_multiple_hides_a_small_order_component(torsion: str) -> None:
    """`vrf.verify` leaves the check of subgroups to the multiplication, by any scalar."""
    for scalar in (1, 2, 4, 8, 16, vrf.GROUP_ORDER - 8):
        for point in (bytes.fromhex(torsion), add_points(PUBLIC, bytes.fromhex(torsion))):
            with pytest.raises(PointError):
                multiply_point(scalar.to_bytes(32, "little"), point)


def test_zero_scalars_are_refused_and_not_an_error() -> None:
    assert vrf.verify(PUBLIC, ALPHA, PROOF[:48] + bytes(32)) is None
    assert vrf.verify(PUBLIC, ALPHA, PROOF[:32] + bytes(16) + PROOF[48:]) is None
    assert vrf.verify(PUBLIC, ALPHA, bytes(80)) is None


def test_verify_never_raises_whatever_it_is_given() -> None:
    source = random.Random(9381)
    points = [bytes.fromhex(text) for text in SMALL_ORDER + NOT_CANONICAL]
    points += [PUBLIC, PROOF[:32], bytes([255]) * 32, (FIELD - 2).to_bytes(32, "little")]
    for _ in range(3000):
        key = source.choice(points) if source.random() < 0.5 else source.randbytes(32)
        gamma = source.choice(points) if source.random() < 0.5 else source.randbytes(32)
        challenge = PROOF[32:48] if source.random() < 0.3 else source.randbytes(16)
        response = source.choice([PROOF[48:], bytes(32), source.randbytes(31) + b"\x0f", source.randbytes(32)])
        proof = gamma + challenge + response
        if (key, proof) != (PUBLIC, PROOF):
            assert vrf.verify(key, source.randbytes(source.randrange(40)), proof) is None


@given(public=st.binary(max_size=40), alpha=st.binary(max_size=40), proof=st.binary(max_size=100))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_no_proof(public: bytes, alpha: bytes, proof: bytes) -> None:
    assert vrf.verify(public, alpha, proof) is None
