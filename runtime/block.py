"""What blocks are made of: calls, eras, extrinsics, inherents, digests, headers and blocks, and their hashes.

An *extrinsic* is a call signed by an account; an *inherent* is an unsigned fact that the block's author states (the
time). An *era* bounds how long an extrinsic may wait: its signature covers the hash of the era's *birth* block, so it
dies with its era and on every fork that does not contain that block.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import U32, U63, AccountId, Hash, Record, Signature, decode, encode
from runtime.crypto import public_key, sign
from runtime.errors import CodecError, InvalidBlock, InvalidExtrinsic
from runtime.trees import Tree, hash_tagged

MIN_ERA_PERIOD = 4
MAX_ERA_PERIOD = 65_536
ZERO_HASH = bytes(32)
"""Parent of the genesis block."""


class Call(Record):
    """What to do: a pallet, one of its calls, and the canonical bytes of that call's argument record."""

    pallet: str
    name: str
    arguments: bytes


class Era(Record):
    """When an extrinsic is valid, as in Substrate. Period 0 is immortal; else a power of two from 4 to 65,536 blocks.

    A mortal era is born at the last block whose number is ``phase`` modulo ``period`` and dies ``period`` later.
    """

    period: U32
    phase: U32

    def is_valid(self) -> bool:
        """Whether the pair can be written by `mortal_era` or is `IMMORTAL`."""
        if self.period == 0:
            return self.phase == 0
        power_of_two = self.period & (self.period - 1) == 0
        in_range = MIN_ERA_PERIOD <= self.period <= MAX_ERA_PERIOD and self.phase < self.period
        return power_of_two and in_range and self.phase % _quantum(self.period) == 0

    def birth(self, number: int) -> int:
        """The block whose hash an extrinsic of this era signs when it is included in block ``number``."""
        if self.period == 0:
            return 0
        return (max(number, self.phase) - self.phase) // self.period * self.period + self.phase

    def death(self, number: int) -> int | None:
        """The first block that can no longer include it; None for the immortal era."""
        return None if self.period == 0 else self.birth(number) + self.period


IMMORTAL = Era(0, 0)


def _quantum(period: int) -> int:
    return max(period >> 12, 1)


def mortal_era(period: int, number: int) -> Era:
    """The era of about ``period`` blocks (rounded up to a power of two) that is born at or just before ``number``."""
    rounded = min(max(1 << max(period - 1, 0).bit_length(), MIN_ERA_PERIOD), MAX_ERA_PERIOD)
    quantum = _quantum(rounded)
    return Era(rounded, number % rounded // quantum * quantum)


class SigningPayload(Record):
    """Everything a signature covers. It is never stored: both sides derive it."""

    call: Call
    signer: AccountId
    nonce: U63
    era: Era
    tip: U63
    genesis_hash: Hash
    era_hash: Hash
    spec_version: U32


class Extrinsic(Record):
    """A signed call. ``nonce`` counts the signer's extrinsics from 0, ``tip`` is paid on top of the fee."""

    call: Call
    signer: AccountId
    nonce: U63
    era: Era
    tip: U63
    signature: Signature


class Inherent(Record):
    """An unsigned call by the block's author; inherents come before all extrinsics."""

    call: Call


class Slot(Record):
    """Digest item: the slot this block was made in, and the authority that made it."""

    slot: U63
    author: AccountId


class BeaconOutput(Record):
    """Digest item: the author's VRF output and proof, from which the beacon is made."""

    output: bytes
    proof: bytes


class Authority(Record):
    """One member of an authority set: its session key, and the stake that its votes and its lottery chances weigh."""

    key: AccountId
    weight: U63


class NextAuthorities(Record):
    """Digest item that execution adds to a session's first block: who votes on finality after it.

    The set before still finalizes this block; set ``set_id`` starts with the next one, in round 0.
    """

    set_id: U63
    authorities: tuple[Authority, ...]


class Seal(Record):
    """Digest item, always last: the author's signature of the header without it."""

    signature: Signature


DigestItem = Slot | BeaconOutput | NextAuthorities | Seal


class Header(Record):
    """A block's header. ``state_root`` is the root after the block."""

    parent: Hash
    number: U63
    state_root: Hash
    extrinsics_root: Hash
    digest: tuple[DigestItem, ...]


class Block(Record):
    """A header and the canonical bytes of its inherents and extrinsics, in order."""

    header: Header
    body: tuple[bytes, ...]


def signing_message(extrinsic: Extrinsic, genesis_hash: bytes, era_hash: bytes, spec_version: int) -> bytes:
    """The 32 bytes that are signed. They name chain, version and fork, so a verified message stays verified."""
    payload = SigningPayload(
        extrinsic.call,
        extrinsic.signer,
        extrinsic.nonce,
        extrinsic.era,
        extrinsic.tip,
        genesis_hash,
        era_hash,
        spec_version,
    )
    return hash_tagged(b"solvent:sign", encode(payload))


def sign_extrinsic(
    seed: bytes, call: Call, nonce: int, tip: int, era: Era, genesis_hash: bytes, era_hash: bytes, spec_version: int
) -> Extrinsic:
    """Sign a call. ``era_hash`` is the hash of the era's birth block, the genesis hash for the immortal era."""
    unsigned = Extrinsic(call, public_key(seed), nonce, era, tip, bytes(64))
    signature = sign(seed, signing_message(unsigned, genesis_hash, era_hash, spec_version))
    return Extrinsic(call, unsigned.signer, nonce, era, tip, signature)


def decode_extrinsic(raw: bytes) -> Extrinsic | Inherent:
    """One item of a block's body. Raises `InvalidExtrinsic` with code ``malformed``."""
    try:
        item: Extrinsic | Inherent = decode(raw, Extrinsic | Inherent)
    except CodecError as error:
        raise InvalidExtrinsic("malformed", f"these {len(raw)} bytes are no extrinsic: {error}") from None
    return item


def extrinsic_hash(raw: bytes) -> bytes:
    """The hash by which an extrinsic is known to the pool, the RPC and people."""
    return hash_tagged(b"solvent:xt", raw)


def extrinsics_root(body: Sequence[bytes]) -> bytes:
    """Commitment of a header to its body: the Merkle root over the extrinsics' hashes, bound to their number."""
    return hash_tagged(b"solvent:body", encode((len(body), Tree([extrinsic_hash(raw) for raw in body]).root)))


def header_hash(header: Header) -> bytes:
    """The block's hash, seal included."""
    return hash_tagged(b"solvent:header", encode(header))


def seal_message(header: Header, genesis_hash: bytes) -> bytes:
    """What the author signs: the hash of the header without its seal, on the chain with that genesis.

    Naming the chain keeps a key that serves two networks from looking like one that made two blocks for a slot.
    """
    digest = tuple(item for item in header.digest if not isinstance(item, Seal))
    unsealed = Header(header.parent, header.number, header.state_root, header.extrinsics_root, digest)
    return hash_tagged(b"solvent:seal", encode((genesis_hash, unsealed)))


def slot_of(digest: Sequence[DigestItem]) -> Slot:
    """The slot item of a digest, which must come first and only once. Raises `InvalidBlock`."""
    slots = [item for item in digest if isinstance(item, Slot)]
    if len(slots) != 1 or digest[0] is not slots[0]:
        raise InvalidBlock(f"a digest starts with its only slot; this one holds {len(slots)}")
    return slots[0]


def output_of(digest: Sequence[DigestItem]) -> bytes:
    """The VRF output in a digest, empty where it has none. Raises `InvalidBlock` for a second one."""
    outputs = [item.output for item in digest if isinstance(item, BeaconOutput)]
    if len(outputs) > 1:
        raise InvalidBlock(f"a digest holds at most one VRF output; this one holds {len(outputs)}")
    return outputs[0] if outputs else b""


def logs_of(digest: Sequence[DigestItem]) -> tuple[DigestItem, ...]:
    """What execution added to a digest: everything after the author's slot and VRF output and before the seal."""
    stated = 0
    while stated < len(digest) and isinstance(digest[stated], Slot | BeaconOutput):
        stated += 1
    sealed = bool(digest) and isinstance(digest[-1], Seal)
    return tuple(digest[stated : len(digest) - int(sealed)])


def genesis_header(state_root: bytes) -> Header:
    """The header of block 0, which nobody signs: everyone derives it from the genesis file."""
    return Header(ZERO_HASH, 0, state_root, extrinsics_root(()), ())
