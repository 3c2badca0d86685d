"""The runtime's pallets, in dependency order: a pallet imports only those before it, and hooks run in this order."""

from __future__ import annotations

from runtime.codec import Record
from runtime.pallet import CallDefinition, EventRecord, Pallet
from runtime.pallets import (
    balances,
    blobs,
    disputes,
    jackpot,
    offences,
    proofs,
    randomness,
    session,
    staking,
    system,
    tasks,
    timestamp,
    transaction_payment,
    treasury,
    workers,
)

PALLETS: tuple[Pallet, ...] = (
    system.PALLET,
    timestamp.PALLET,
    balances.PALLET,
    transaction_payment.PALLET,
    session.PALLET,
    staking.PALLET,
    offences.PALLET,
    randomness.PALLET,
    treasury.PALLET,
    blobs.PALLET,
    workers.PALLET,
    tasks.PALLET,
    proofs.PALLET,
    disputes.PALLET,
    jackpot.PALLET,
)

BY_NAME = {pallet.name: pallet for pallet in PALLETS}


def find_call(pallet: str, name: str) -> CallDefinition | None:
    """The call of that name, or None."""
    return BY_NAME[pallet].calls.get(name) if pallet in BY_NAME else None


def find_inherent(pallet: str, name: str) -> CallDefinition | None:
    """The inherent of that name, or None."""
    return BY_NAME[pallet].inherents.get(name) if pallet in BY_NAME else None


def decode_event(event: EventRecord) -> Record:
    """The record that an event of a block carries."""
    return BY_NAME[event.pallet].decode_event(event)
