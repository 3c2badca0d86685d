"""What nodes tell each other: every message of the network, its bounds, and its decoding.

*Topics* are gossiped to everybody: block announcements (`Announce`), extrinsics (`Extrinsics`), votes (`Votes`).
*Protocols* are asked of one peer, a request against an answer: `Status`, blocks, justifications, catching up with the
voters, warp proofs, state, pools and blobs. All of it is canonical MessagePack, so there is one way to write each
message, and a message that decodes is within its bounds: `decode_message` looks at the length before anything is
allocated, and no sequence is longer than its type says. What a message *means* is for the receiver to judge.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from chain.grandpa.messages import CatchUpRequest
from runtime.block import Block, Header
from runtime.codec import U63, Bounds, Hash, Record, decode, encode
from runtime.errors import CodecError

BLOCKS, EXTRINSICS, VOTES = "blocks", "extrinsics", "votes"
"""Names of the topics; the host adds the genesis hash."""

STATUS, BLOCK_RANGE, FINALITY, CATCH_UP, WARP, STATE, POOL = (
    "status/1",
    "blocks/1",
    "finality/1",
    "catch-up/1",
    "warp/1",
    "state/1",
    "pool/1",
)
"""Names of the protocols; the host adds the genesis hash."""
BLOB_SIZE, BLOB_UNITS = "blob-size/1", "blob-units/1"
"""Protocols about blobs. The first is a request and its answer; the second is answered by a stream of units."""

MAX_ANNOUNCE_BYTES = 256 * 1024
"""A header is small, unless it announces a large authority set."""
MAX_EXTRINSICS_BYTES = 5 * 1024 * 1024 + 1024
"""One extrinsic may be as long as a block; batches stop well below it."""
MAX_VOTES_BYTES = 2 * 1024 * 1024 + 1024
MAX_REQUEST_BYTES = 512
MAX_RANGE = 64
"""Blocks that one request may ask for."""
MAX_RESPONSE_BYTES = 6 * 1024 * 1024
"""An answer stops before the block that would make it longer, but holds at least one."""
MAX_BATCH = 64
"""Extrinsics of one message. Checking them keeps a node from everything else for some milliseconds."""
SHORT_HASH_BYTES = 8
MAX_KNOWN = 8192
"""Extrinsics that a node says it has, when it asks for those of a peer's pool."""
MAX_WARP_STEPS = 64
MAX_STATE_ENTRIES = 1024
"""About as many as a node reads and proves in a twentieth of a second."""
MAX_PROOF_ITEMS = 1024
UNIT_BYTES = 256 * 1024
"""In which blobs are handed over; `node.blob_units` says how one is proven."""
MAX_UNITS = 16
"""Units that one request may ask for."""
MAX_UNIT_PATH = 40
MAX_UNIT_MESSAGE_BYTES = UNIT_BYTES + MAX_UNIT_PATH * 34 + 64


class MalformedMessage(CodecError):
    """A peer sent bytes that are no message of the kind expected, or one beyond its bounds."""


class Announce(Record):
    """The sender has checked this header, and has the block or is about to."""

    header: Header


class Extrinsics(Record):
    """Signed extrinsics for the pool."""

    items: Annotated[tuple[bytes, ...], Bounds(min_length=1, max_length=MAX_BATCH)]


class Votes(Record):
    """A message of the voters on finality (`chain.grandpa.messages`), as they encode it.

    ``slot`` is when it is said: what got lost is said again, and gossip takes it for a new message then.
    """

    data: bytes
    slot: U63


class Status(Record):
    """Who the sender is on the network: asked of a new peer, and again from time to time. The answer is its own."""

    genesis: Hash
    best_hash: Hash
    best_number: U63
    finalized_hash: Hash
    finalized_number: U63
    oldest_block: U63
    """From this height on the sender has all blocks."""


class FromHash(Record):
    """Start at this block, and go towards genesis."""

    hash: Hash


class FromNumber(Record):
    """Start at this height of the sender's best chain, and go upwards."""

    number: U63


class BlockRequest(Record):
    """Asks for up to ``count`` consecutive blocks. The answer is ascending in both directions."""

    start: FromHash | FromNumber
    count: Annotated[int, Bounds(ge=1, le=MAX_RANGE)]


class BlockData(Record):
    """A block, with the justification that the sender keeps for it, if any."""

    block: Block
    justification: bytes


class BlockResponse(Record):
    """The blocks that the sender has of those asked for, ascending; fewer when they are many, or long."""

    blocks: Annotated[tuple[BlockData, ...], Bounds(max_length=MAX_RANGE)]


class FinalityRequest(Record):
    """Asks for the first kept justification of a block at this height or above."""

    number: U63


class FinalityResponse(Record):
    """A justification; empty when the sender has none that far."""

    justification: bytes


class WarpRequest(Record):
    """Asks for the proofs of every change of authorities after this height."""

    number: U63


class WarpStep(Record):
    """A header that is final by its justification: one that changes the authorities, or the last one of an answer."""

    header: Header
    justification: bytes


class WarpResponse(Record):
    """Steps, ascending. ``complete`` when the last one is the sender's latest justification."""

    steps: Annotated[tuple[WarpStep, ...], Bounds(max_length=MAX_WARP_STEPS)]
    complete: bool


class StateRequest(Record):
    """Asks for the entries of the state after a block from one *place* of its tree to another, both included.

    An entry's place is the hash of its key (`runtime.merkle`); what is between two places can be proved to be all.
    """

    block: Hash
    first: Hash
    last: Hash
    count: Annotated[int, Bounds(ge=1, le=MAX_STATE_ENTRIES)]


class StateEntry(Record):
    """A storage key and its value."""

    key: bytes
    value: bytes


class StateResponse(Record):
    """Entries by ascending place, and the `runtime.merkle_range.RangeProof` that there are no others.

    ``complete`` when they reach to the last place asked for; else they end with the last entry.
    """

    entries: Annotated[tuple[StateEntry, ...], Bounds(max_length=MAX_STATE_ENTRIES)]
    proof: Annotated[tuple[bytes, ...], Bounds(max_length=MAX_PROOF_ITEMS)]
    complete: bool


class PoolRequest(Record):
    """Asks for extrinsics that wait in the peer's pool. ``known`` are the first 8 bytes of the hash of each it has."""

    known: Annotated[bytes, Bounds(max_length=SHORT_HASH_BYTES * MAX_KNOWN)]


class PoolResponse(Record):
    """Extrinsics that the asker lacks; a full answer means that there may be more."""

    items: Annotated[tuple[bytes, ...], Bounds(max_length=MAX_BATCH)]


class BlobSizeRequest(Record):
    """Asks whether the sender holds a whole blob; who does not refuses."""

    root: Hash


class BlobSize(Record):
    """The sender holds the blob, which has so many bytes."""

    size: U63


class BlobUnitsRequest(Record):
    """Asks for consecutive units of 256 KiB of a blob, from unit ``first`` on."""

    root: Hash
    first: U63
    count: Annotated[int, Bounds(ge=1, le=MAX_UNITS)]


class BlobUnit(Record):
    """One unit, and the siblings on the way from its node up to the blob's root."""

    path: Annotated[tuple[Hash, ...], Bounds(max_length=MAX_UNIT_PATH)]
    data: Annotated[bytes, Bounds(max_length=UNIT_BYTES)]


M = TypeVar("M", bound=Record)

MAX_BYTES: dict[type[Record], int] = {
    Announce: MAX_ANNOUNCE_BYTES,
    Extrinsics: MAX_EXTRINSICS_BYTES,
    Votes: MAX_VOTES_BYTES,
    Status: MAX_REQUEST_BYTES,
    BlockRequest: MAX_REQUEST_BYTES,
    CatchUpRequest: MAX_REQUEST_BYTES,
    BlockResponse: MAX_RESPONSE_BYTES,
    FinalityRequest: MAX_REQUEST_BYTES,
    FinalityResponse: MAX_VOTES_BYTES,
    WarpRequest: MAX_REQUEST_BYTES,
    WarpResponse: MAX_RESPONSE_BYTES,
    StateRequest: MAX_REQUEST_BYTES,
    StateResponse: MAX_RESPONSE_BYTES,
    PoolRequest: SHORT_HASH_BYTES * MAX_KNOWN + 64,
    PoolResponse: MAX_EXTRINSICS_BYTES,
    BlobSizeRequest: MAX_REQUEST_BYTES,
    BlobSize: MAX_REQUEST_BYTES,
    BlobUnitsRequest: MAX_REQUEST_BYTES,
    BlobUnit: MAX_UNIT_MESSAGE_BYTES,
}
"""The longest encoding of each message that anybody looks at."""


def encode_message(message: Record) -> bytes:
    """The bytes of a message."""
    return encode(message)


def decode_message(kind: type[M], data: bytes) -> M:
    """The message of that kind. Raises `MalformedMessage`, and nothing else, whatever the bytes are."""
    try:
        return decode(data, kind, MAX_BYTES[kind])
    except CodecError as error:
        raise MalformedMessage(str(error)) from None
