"""The committed table of weights: integer nanoseconds on the reference core, never measured at run time.

Each figure is the 99th percentile over worst-case inputs, doubled. A call's weight depends on its arguments alone, so
everyone knows it before execution. ``EXTRINSIC`` is what every signed extrinsic costs before its call runs.
"""

from __future__ import annotations

EXTRINSIC = 280_000
"""Decoding, the signature, nonce, era, fee and receipt of one extrinsic."""

PER_BYTE = 4
"""Hashing and decoding one byte of an extrinsic."""

CALLS = {
    "balances.transfer": 150_000,
    "balances.transfer_all": 160_000,
    "balances.transfer_keep_alive": 150_000,
    "disputes.cancel": 1_000_000,
    "disputes.open": 1_000_000,
    "disputes.play": 1_000_000,
    "disputes.play.group": 8_000_000,
    "disputes.timeout": 2_000_000,
    "offences.report_equivocation": 1_000_000,
    "offences.report_equivocation.offender": 400_000,
    "proofs.accept_audit": 300_000,
    "proofs.deadline": 800_000,
    "proofs.register": 400_000,
    "proofs.register.checkpoint": 1_000,
    "proofs.submit_verdict": 600_000,
    "randomness.gather": 20_000,
    "session.purge_keys": 200_000,
    "session.rotate.member": 40_000,
    "session.set_keys": 400_000,
    "staking.bond": 300_000,
    "staking.bond_more": 300_000,
    "staking.chill": 150_000,
    "staking.elect.candidate": 30_000,
    "staking.unbond": 300_000,
    "staking.validate": 8_000_000,
    "staking.withdraw": 300_000,
    "system.note_finalized": 30_000,
    "system.remark": 30_000,
    "tasks.accept": 250_000,
    "tasks.cancel": 500_000,
    "tasks.deadline": 500_000,
    "tasks.heartbeat": 120_000,
    "tasks.submit": 2_000_000,
    "tasks.submit.byte": 2_000,
    "timestamp.set": 40_000,
    "workers.ask": 10_000,
    "workers.bond_more": 300_000,
    "workers.register": 500_000,
    "workers.set_ask": 200_000,
    "workers.unbond": 300_000,
    "workers.withdraw": 300_000,
}
"""Nanoseconds of a call's own code by ``pallet.call``."""


def compute_extrinsic_weight(length: int, call_weight: int) -> int:
    """Weight of a whole signed extrinsic of ``length`` bytes whose call weighs ``call_weight``."""
    return EXTRINSIC + PER_BYTE * length + call_weight
