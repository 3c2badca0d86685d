"""The committed table of weights: integer nanoseconds on the reference core, never measured at run time.

Each figure is the 99th percentile over worst-case inputs, doubled, as ``solvent bench weights --write`` measures it;
what that cannot set up keeps a figure set by hand, and says so. A call's weight depends on its arguments alone, so
everyone knows it before execution. ``EXTRINSIC`` is what every signed extrinsic costs before its call runs.
"""

from __future__ import annotations

EXTRINSIC = 380_000
"""Decoding, the signature, nonce, era, fee and receipt of one extrinsic."""

PER_BYTE = 6
"""Hashing and decoding one byte of an extrinsic."""

CALLS = {
    "balances.transfer": 210_000,
    "balances.transfer_all": 230_000,
    "balances.transfer_keep_alive": 210_000,
    "blobs.challenge_chunk": 900_000,  # set by hand
    "blobs.deadline": 6_000_000,  # set by hand
    "blobs.holder": 19_000,  # set by hand
    "blobs.leave_holder": 700_000,  # set by hand
    "blobs.post_chunk": 1_500_000,  # set by hand
    "blobs.register_holder": 800_000,  # set by hand
    "blobs.sign_receipt": 1_000_000,  # set by hand
    "disputes.cancel": 720_000,
    "disputes.commit": 1_400_000,
    "disputes.open": 4_100_000,
    "disputes.demand_state": 4_000_000,  # set by hand
    "disputes.place_state": 4_000_000,  # set by hand
    "disputes.place_state.tensor": 30_000,  # set by hand
    "disputes.play": 1_800_000,
    "disputes.play.group": 27_000_000,
    "disputes.reveal": 4_000_000,
    "disputes.timeout": 22_000_000,
    "offences.report_equivocation": 1_000_000,  # set by hand
    "offences.report_equivocation.offender": 400_000,  # set by hand
    "proofs.accept_audit": 1_200_000,
    "proofs.deadline": 12_000_000,
    "jackpot.commit": 2_500_000,  # set by hand
    "jackpot.deadline": 20_000_000,  # set by hand
    "jackpot.expose": 4_000_000,  # set by hand
    "jackpot.reveal": 5_000_000,  # set by hand
    "proofs.open_witness": 1_800_000,  # set by hand
    "proofs.register": 1_400_000,
    "proofs.register.checkpoint": 150,
    "proofs.submit_verdict": 1_800_000,
    "randomness.gather": 20_000,  # set by hand
    "session.purge_keys": 200_000,  # set by hand
    "session.rotate.member": 40_000,  # set by hand
    "session.set_keys": 400_000,  # set by hand
    "staking.bond": 300_000,  # set by hand
    "staking.bond_more": 300_000,  # set by hand
    "staking.chill": 150_000,  # set by hand
    "staking.elect.candidate": 30_000,  # set by hand
    "staking.unbond": 300_000,  # set by hand
    "staking.validate": 8_000_000,  # set by hand
    "staking.withdraw": 300_000,  # set by hand
    "system.note_finalized": 30_000,  # set by hand
    "system.remark": 25_000,
    "tasks.accept": 1_100_000,
    "tasks.cancel": 2_200_000,
    "tasks.deadline": 4_000_000,
    "tasks.heartbeat": 420_000,
    "tasks.place_data": 1_500_000,  # set by hand
    "tasks.submit": 850_000,
    "tasks.submit.byte": 3_200,
    "timestamp.set": 43_000,
    "workers.ask": 19_000,
    "workers.bond_more": 750_000,
    "workers.register": 800_000,
    "workers.set_ask": 580_000,
    "workers.unbond": 700_000,
    "workers.withdraw": 390_000,
}
"""Nanoseconds of a call's own code by ``pallet.call``."""


def compute_extrinsic_weight(length: int, call_weight: int) -> int:
    """Weight of a whole signed extrinsic of ``length`` bytes whose call weighs ``call_weight``."""
    return EXTRINSIC + PER_BYTE * length + call_weight
