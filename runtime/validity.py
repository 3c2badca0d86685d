"""Whether an extrinsic may be included: one set of checks for the block author, the importer and the pool.

Cheap checks come first and the signature last, so that junk costs a node little. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime import crypto, registry
from runtime.block import Era, Extrinsic, Header, Inherent, decode_extrinsic, header_hash, signing_message
from runtime.codec import Record, decode, encode
from runtime.errors import CodecError, InvalidExtrinsic, SolventError
from runtime.pallet import CallDefinition
from runtime.pallets import system, transaction_payment
from runtime.parameters import PARTS
from runtime.state import State
from runtime.weights import compute_extrinsic_weight

FOREVER = 2**63 - 1
"""Longevity of an immortal extrinsic."""


@dataclass(frozen=True, slots=True)
class CheckedExtrinsic:
    """A decoded extrinsic that passed every check except whether the block still has room."""

    extrinsic: Extrinsic
    definition: CallDefinition
    arguments: Record
    length: int
    weight: int
    fee: int
    operational: bool
    longevity: int


@dataclass(frozen=True, slots=True)
class Validity:
    """What the pool needs to order extrinsics, as in Substrate. Tags are opaque bytes.

    ``priority`` compares extrinsics of one class only: tips do not count among ``operational`` ones. ``longevity`` is
    for how many blocks the answer holds.
    """

    priority: int
    requires: tuple[bytes, ...]
    provides: tuple[bytes, ...]
    longevity: int
    operational: bool
    length: int
    weight: int
    fee: int


def validate_extrinsic(state: State, parent: Header, raw: bytes, verified: bool = False) -> Validity:
    """What the pool should know about an extrinsic for the block after ``parent``, whose state this is.

    A nonce in the future is fine here: the extrinsic then requires its predecessor's tag. Raises `InvalidExtrinsic`.
    """
    limits = system.parameters(state).block
    if len(raw) > limits.length_limit:
        raise InvalidExtrinsic("too_long", f"{len(raw)} bytes; a block holds {limits.length_limit}")
    item = decode_extrinsic(raw)
    if isinstance(item, Inherent):
        raise InvalidExtrinsic("inherent", "an inherent is made by a block's author and cannot be submitted")
    checked = check_extrinsic(state, parent.number + 1, header_hash(parent), raw, item, verified)
    room = min(limits.weight_limit // checked.weight, limits.length_limit // checked.length)
    before = system.nonce(state, item.signer)
    return Validity(
        priority=room if checked.operational else room * (item.tip + 1),
        requires=(nonce_tag(item.signer, item.nonce - 1),) if item.nonce > before else (),
        provides=(nonce_tag(item.signer, item.nonce),),
        longevity=checked.longevity,
        operational=checked.operational,
        length=checked.length,
        weight=checked.weight,
        fee=checked.fee,
    )


def nonce_tag(signer: bytes, nonce: int) -> bytes:
    """The tag that an extrinsic provides, and that its successor requires."""
    return encode((signer, nonce))


def signature_of(state: State, number: int, parent_hash: bytes, item: Extrinsic) -> tuple[bytes, bytes, bytes]:
    """(public key, signature, message) that must verify for ``item`` to be in block ``number``.

    The message names chain, version and fork, so an answer for this triple stays true for ever and may be remembered.
    Raises `InvalidExtrinsic` as `birth_hash` does.
    """
    genesis_hash = _genesis_hash(state, number, parent_hash)
    era_hash = birth_hash(state, number, parent_hash, item.era)
    return item.signer, item.signature, signing_message(item, genesis_hash, era_hash, system.SPEC_VERSION)


def birth_hash(state: State, number: int, parent_hash: bytes, era: Era) -> bytes:
    """The hash of the block that an era was born at, for block ``number``; genesis for the immortal one.

    Raises `InvalidExtrinsic`: with code ``malformed`` for no era, ``expired`` when that block is no known ancestor.
    """
    if not era.is_valid():
        raise InvalidExtrinsic("malformed", f"no era has period {era.period} and phase {era.phase}")
    if not era.period:
        return _genesis_hash(state, number, parent_hash)
    birth = era.birth(number)
    hash_ = parent_hash if birth == number - 1 else system.block_hash(state, birth)
    if hash_ is None or birth >= number:
        raise InvalidExtrinsic("expired", f"its era starts at block {birth}, which is no known ancestor of {number}")
    return hash_


def _genesis_hash(state: State, number: int, parent_hash: bytes) -> bytes:
    return parent_hash if number == 1 else system.GENESIS_HASH.get(state)


def check_extrinsic(
    state: State, number: int, parent_hash: bytes, raw: bytes, item: Extrinsic, verified: bool
) -> CheckedExtrinsic:
    """Every check that does not depend on the room left in the block; cheap ones before the signature."""
    definition, arguments = _resolve(item)
    expected = system.nonce(state, item.signer)
    if item.nonce < expected:
        raise InvalidExtrinsic("stale_nonce", f"nonce {item.nonce} was used; the next is {expected}")
    public, signature, message = signature_of(state, number, parent_hash, item)
    weight, operational = _classify(state, item.signer, definition, arguments, len(raw))
    fee = transaction_payment.compute_fee(state, len(raw), weight, item.tip)
    try:
        transaction_payment.require_means(state, item.signer, fee)
    except transaction_payment.Unaffordable as error:
        raise InvalidExtrinsic("unaffordable", str(error)) from None
    if not verified and not crypto.verify(public, signature, message):
        raise InvalidExtrinsic(
            "bad_signature", "the signature does not match the call, nonce, era, tip, chain and version"
        )
    death = item.era.death(number)
    longevity = FOREVER if death is None else death - number
    return CheckedExtrinsic(item, definition, arguments, len(raw), weight, fee, operational, longevity)


def _resolve(item: Extrinsic) -> tuple[CallDefinition, Record]:
    definition = registry.find_call(item.call.pallet, item.call.name)
    if definition is None:
        raise InvalidExtrinsic("unknown_call", f"there is no call {item.call.pallet}.{item.call.name}"[:200])
    try:
        arguments: Record = decode(item.call.arguments, definition.arguments)
    except CodecError as error:
        raise InvalidExtrinsic("malformed", f"arguments of {definition.pallet}.{definition.name}: {error}") from None
    return definition, arguments


def _classify(
    state: State, signer: bytes, definition: CallDefinition, arguments: Record, length: int
) -> tuple[int, bool]:
    """Weight and class of an extrinsic; one that no block has room for is refused here."""
    try:
        weight = compute_extrinsic_weight(length, definition.compute_weight(arguments))
        operational = definition.is_operational(state, signer, arguments)
    except SolventError as error:
        raise InvalidExtrinsic("malformed", f"arguments of {definition.pallet}.{definition.name}: {error}") from None
    weight_limit, length_limit = class_limits(state, operational)
    if weight > weight_limit:
        raise InvalidExtrinsic("too_heavy", f"{weight} ns of work; an extrinsic of its class may do {weight_limit}")
    if length > length_limit:
        raise InvalidExtrinsic("too_long", f"{length} bytes; an extrinsic of its class may have {length_limit}")
    return weight, operational


def class_limits(state: State, operational: bool) -> tuple[int, int]:
    limits = system.parameters(state).block
    if operational:
        return limits.weight_limit, limits.length_limit
    return limits.weight_limit * limits.normal_share // PARTS, limits.length_limit * limits.normal_share // PARTS
