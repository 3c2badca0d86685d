"""Proofs: the solver's checkpoints, the verifiers that audit them, the challenge window, and settlement.

A proof is registered, then verifiers are drawn, then each commits a secret, then the segments follow from the next
beacon and that secret. `storage` is what is kept, `draw` the pure rules, `calls` what people do, `appointments` what
the hook does, `board` how audits move, and `challenges` what the outcome of a dispute means.
"""

from runtime.pallets.proofs.appointments import process_appointments
from runtime.pallets.proofs.board import LIVE_STATUSES, find_audit, require_board
from runtime.pallets.proofs.calls import AcceptAudit, RegisterProof, SubmitVerdict
from runtime.pallets.proofs.challenges import (
    on_challenger_lost,
    on_challenger_won,
    on_dispute_cancelled,
    on_dispute_opened,
    segment_claim,
)
from runtime.pallets.proofs.draw import audit_segments, draw_commitment, draw_randomness, draw_segments
from runtime.pallets.proofs.storage import (
    APPOINTMENTS,
    AUDITS,
    DISPUTES,
    PALLET,
    PROOFS,
    Appointment,
    Audit,
    Board,
    DisputeKey,
    Proof,
    ProofRegistered,
    ProofVoided,
    VerdictGiven,
    VerifierDrawn,
    VerifierReplaced,
    WindowOpened,
)

__all__ = [
    "APPOINTMENTS",
    "AUDITS",
    "DISPUTES",
    "LIVE_STATUSES",
    "PALLET",
    "PROOFS",
    "AcceptAudit",
    "Appointment",
    "Audit",
    "Board",
    "DisputeKey",
    "Proof",
    "ProofRegistered",
    "ProofVoided",
    "RegisterProof",
    "SubmitVerdict",
    "VerdictGiven",
    "VerifierDrawn",
    "VerifierReplaced",
    "WindowOpened",
    "audit_segments",
    "draw_commitment",
    "draw_randomness",
    "draw_segments",
    "find_audit",
    "on_challenger_lost",
    "on_challenger_won",
    "on_dispute_cancelled",
    "on_dispute_opened",
    "process_appointments",
    "require_board",
    "segment_claim",
]
