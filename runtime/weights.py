"""The committed table of weights: integer nanoseconds on the reference core, never measured at run time.

Each figure is the 99th percentile over worst-case inputs, doubled. A call's weight depends on its arguments alone, so
everyone knows it before execution. ``EXTRINSIC`` is what every signed extrinsic costs before its call runs.
"""

from __future__ import annotations

EXTRINSIC = 250_000
"""Decoding, the signature, nonce, era, fee and receipt of one extrinsic."""

PER_BYTE = 4
"""Hashing and decoding one byte of an extrinsic."""

CALLS = {
    "balances.transfer": 180_000,
    "balances.transfer_all": 200_000,
    "balances.transfer_keep_alive": 180_000,
    "system.remark": 40_000,
    "timestamp.set": 40_000,
}
"""Nanoseconds of a call's own code by ``pallet.call``."""


def compute_extrinsic_weight(length: int, call_weight: int) -> int:
    """Weight of a whole signed extrinsic of ``length`` bytes whose call weighs ``call_weight``."""
    return EXTRINSIC + PER_BYTE * length + call_weight
