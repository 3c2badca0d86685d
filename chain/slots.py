"""Slots: when a block may be made, who may make it, and how everybody else checks that.

Time is cut into *slots* of equal length, numbered from the Unix epoch. Each authority evaluates its VRF on a slot's
input. Outputs below a threshold, set by its share of the stake, make it a *primary* author of the slot; in a slot
without primaries the hash of the slot names one *secondary* author. Both put the VRF's output and proof into the
header. Nothing in the header says which of the two it was: that follows from the output. (BABE; see `runtime.lottery`.)

Who takes part, with what weight and randomness, is an `Epoch`, read from the state of the block's *parent*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from runtime import lottery, vrf
from runtime.block import BeaconOutput, Header, Slot, slot_of
from runtime.crypto import to_ss58
from runtime.errors import InvalidBlock
from runtime.pallets import randomness, system
from runtime.pallets.randomness import Epoch
from runtime.parameters import ConsensusParameters
from runtime.state import State

EARLY_SLOTS = 2
"""A block from so many slots ahead waits for its slot; one from further ahead is dropped, without blame: clocks err."""

Reason = Literal["wrong author", "vrf", "not its turn", "slot not above parent's", "digest"]
Timing = Literal["due", "early", "too early"]


class InvalidSlot(InvalidBlock):
    """The header's claim on its slot is false. ``reason`` says in which way."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class SlotSigner(Protocol):
    """What may draw lots and sign for one session key without giving its seed away."""

    @property
    def public(self) -> bytes:
        """The session key."""

    def sign(self, message: bytes) -> bytes:
        """The key's signature of ``message``."""

    def prove(self, alpha: bytes) -> bytes:
        """The key's 80-byte VRF proof for ``alpha``."""


@dataclass(frozen=True, slots=True)
class SlotClock:
    """Slots of one network in seconds since the Unix epoch."""

    slot_milliseconds: int

    def slot_at(self, now: float) -> int:
        """The slot that ``now`` lies in."""
        return int(now * 1000) // self.slot_milliseconds

    def start_of(self, slot: int) -> float:
        """When a slot begins."""
        return self.milliseconds_of(slot) / 1000

    def milliseconds_of(self, slot: int) -> int:
        """The time that a block of this slot carries."""
        return slot * self.slot_milliseconds

    def judge(self, slot: int, now: float) -> Timing:
        """Whether a block of that slot may be looked at now, must wait for its slot, or comes from another time."""
        ahead = slot - self.slot_at(now)
        if ahead <= 0:
            return "due"
        return "early" if ahead <= EARLY_SLOTS else "too early"


@dataclass(frozen=True, slots=True)
class Claim:
    """A right to author in a slot, with the proof of it."""

    slot: Slot
    output: BeaconOutput
    primary: bool


def claim_slot(epoch: Epoch, consensus: ConsensusParameters, slot: int, signer: SlotSigner) -> Claim | None:
    """Draw the signer's lot for a slot, which lies above the parent's; None when the signer is not its author."""
    weight = _weight_of(epoch, signer.public)
    if weight is None:
        return None
    proof = signer.prove(lottery.slot_input(epoch.randomness, epoch.index, slot))
    output = vrf.output(proof)
    primary = lottery.is_primary(output, _threshold(epoch, consensus, weight))
    if not primary and lottery.secondary_author(epoch.randomness, slot, epoch.authorities).key != signer.public:
        return None
    return Claim(Slot(slot, signer.public), BeaconOutput(output, proof), primary)


def verify_slot(header: Header, parent: Header, epoch: Epoch, consensus: ConsensusParameters) -> bool:
    """Whether a header's author was a primary of its slot. Raises `InvalidSlot` when it was no author at all.

    The seal (`runtime.seals.validate_seal`) and the time are for the caller to check.
    """
    claim = slot_of(header.digest)
    before = slot_of_header(parent)
    if claim.slot <= before:
        raise InvalidSlot("slot not above parent's", f"block {header.number} claims slot {claim.slot} after {before}")
    weight = _weight_of(epoch, claim.author)
    if weight is None:
        raise InvalidSlot("wrong author", f"{to_ss58(claim.author)} is no authority in epoch {epoch.index}")
    stated = _beacon_output(header)
    output = _verify_lot(claim.author, lottery.slot_input(epoch.randomness, epoch.index, claim.slot), stated.proof)
    if output is None or output != stated.output:
        raise InvalidSlot("vrf", f"block {header.number} does not prove its VRF output for slot {claim.slot}")
    if lottery.is_primary(output, _threshold(epoch, consensus, weight)):
        return True
    expected = lottery.secondary_author(epoch.randomness, claim.slot, epoch.authorities).key
    if expected != claim.author:
        raise InvalidSlot(
            "not its turn",
            f"{to_ss58(claim.author)} did not win slot {claim.slot}, whose secondary author is {to_ss58(expected)}",
        )
    return False


def is_primary(header: Header, state: State) -> bool:
    """Whether a *verified* header's author won its slot outright, judged on its parent's state; fork choice counts it.

    Where the genesis names the one author there is no lottery, and no block is primary.
    """
    outputs = [item for item in header.digest if isinstance(item, BeaconOutput)]
    if system.has_one_author(state) or not outputs:
        return False
    claim = slot_of(header.digest)
    epoch = randomness.epoch_at(state, claim.slot)
    weight = _weight_of(epoch, claim.author)
    consensus = system.parameters(state).consensus
    return weight is not None and lottery.is_primary(outputs[0].output, _threshold(epoch, consensus, weight))


def slot_of_header(header: Header) -> int:
    """A header's slot; genesis, which nobody authored, lies before all slots."""
    return slot_of(header.digest).slot if header.number else -1


def _beacon_output(header: Header) -> BeaconOutput:
    outputs = [item for item in header.digest if isinstance(item, BeaconOutput)]
    if len(outputs) != 1 or header.digest[1] is not outputs[0]:
        raise InvalidSlot("digest", f"block {header.number} does not state one VRF output right after its slot")
    return outputs[0]


def _weight_of(epoch: Epoch, key: bytes) -> int | None:
    return next((authority.weight for authority in epoch.authorities if authority.key == key), None)


def _threshold(epoch: Epoch, consensus: ConsensusParameters, weight: int) -> int:
    total = sum(authority.weight for authority in epoch.authorities)
    return lottery.threshold(weight, total, consensus.primary_numerator, consensus.primary_denominator)


@lru_cache(maxsize=1024)
def _verify_lot(public: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """`vrf.verify` remembered: a header is checked when announced and again when imported, and by simulated peers."""
    return vrf.verify(public, alpha, proof)
