"""The verifiable random function ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381, over libsodium's curve operations.

A *proof* (80 bytes) shows that its *output* (64 bytes) is the one pseudorandom value that a key can produce for an
input, called *alpha*. Slot authors draw their lots with it, and the chain's beacon is made of its outputs.

Where the RFC leaves room, the stricter choice is the consensus rule: a key or a proof's point outside the prime-order
subgroup is refused, as is any encoding that is not canonical, so that one output has one proof per nonce and every
node agrees on odd inputs. Honest keys and proofs never meet these rules.
"""

from __future__ import annotations

from hashlib import sha512

from runtime.crypto import (
    PointError,
    add_points,
    multiply_add_scalars,
    multiply_base,
    multiply_point,
    public_key,
    reduce_scalar,
    subtract_points,
)

PROOF_BYTES = 80
OUTPUT_BYTES = 64
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""L, the prime order of the base point; the RFC calls it q."""

_SUITE = b"\x03"
_FIELD = 2**255 - 19
_IDENTITY = b"\x01" + bytes(31)
_MAX_ATTEMPTS = 256
"""The counter of try-and-increment is one byte; each attempt succeeds about half the time."""


def prove(seed: bytes, alpha: bytes) -> bytes:
    """The 80-byte proof of the key of ``seed`` for ``alpha``. Deterministic (section 5.1; nonces of 5.4.2.2)."""
    expanded = sha512(seed).digest()
    secret = bytes([expanded[0] & 248]) + expanded[1:31] + bytes([expanded[31] & 63 | 64])
    public = public_key(seed)
    point = _encode_to_curve(public, alpha)
    gamma = multiply_point(secret, point)
    nonce = reduce_scalar(sha512(expanded[32:] + point).digest())
    challenge = _challenge(public, point, gamma, multiply_base(nonce), multiply_point(nonce, point))
    response = multiply_add_scalars(_widen(challenge), reduce_scalar(secret + bytes(32)), nonce)
    return gamma + challenge + response


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """The 64-byte output that ``proof`` proves for this key and input, or None. Never raises (section 5.3)."""
    if len(public) != 32 or len(proof) != PROOF_BYTES:
        return None
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    if int.from_bytes(response, "little") >= GROUP_ORDER:
        return None
    if not (_is_canonical(public) and _is_canonical(gamma)):
        return None
    try:
        point = _encode_to_curve(public, alpha)
        scalar = _widen(challenge)
        # `multiply_point` refuses a key or gamma outside the prime-order subgroup; a check of its own is not needed.
        left = subtract_points(multiply_base(response), multiply_point(scalar, public))
        right = subtract_points(multiply_point(response, point), multiply_point(scalar, gamma))
    except PointError:
        return None
    return output(proof) if _challenge(public, point, gamma, left, right) == challenge else None


def output(proof: bytes) -> bytes:
    """The output of a proof known to be valid: one's own, or one that `verify` accepted (section 5.2).

    Raises `PointError` for bytes that cannot be a proof.
    """
    if len(proof) != PROOF_BYTES:
        raise PointError(f"a proof has {PROOF_BYTES} bytes, not {len(proof)}")
    return sha512(_SUITE + b"\x03" + _clear_cofactor(proof[:32]) + b"\x00").digest()


def _encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Hash to a point of the prime-order subgroup by try-and-increment (section 5.4.1.1)."""
    for counter in range(_MAX_ATTEMPTS):
        candidate = sha512(_SUITE + b"\x01" + public + alpha + bytes([counter]) + b"\x00").digest()[:32]
        if not _is_canonical(candidate):
            continue
        try:
            point = _clear_cofactor(candidate)
        except PointError:
            continue
        if point != _IDENTITY:
            return point
    raise PointError("no counter leads to a point; this happens with probability 2^-256")


def _clear_cofactor(point: bytes) -> bytes:
    """Eight times a point, by three doublings: libsodium multiplies only points of the prime-order subgroup."""
    for _ in range(3):
        point = add_points(point, point)
    return point


def _is_canonical(point: bytes) -> bool:
    """Whether y is below the field's prime, and no sign bit is set where x is zero (RFC 8032, section 5.1.3)."""
    value = int.from_bytes(point, "little")
    sign, y = value >> 255, value & (1 << 255) - 1
    return y < _FIELD and not (sign and y in (1, _FIELD - 1))


def _challenge(public: bytes, point: bytes, gamma: bytes, left: bytes, right: bytes) -> bytes:
    """16 bytes that bind the five points (section 5.4.3, with the key first as RFC 9381 has it)."""
    return sha512(_SUITE + b"\x02" + public + point + gamma + left + right + b"\x00").digest()[:16]


def _widen(challenge: bytes) -> bytes:
    return challenge + bytes(16)
