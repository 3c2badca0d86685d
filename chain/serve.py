"""Answering peers: what this node gives of its chain, each answer bounded in count and bytes."""

from __future__ import annotations

from typing import Protocol

from chain.db import DatabaseCorrupt
from chain.grandpa.messages import CatchUpRequest
from chain.ledger import Ledger, StatePruned, UnknownBlock
from chain.messages import (
    BLOCK_RANGE,
    CATCH_UP,
    FINALITY,
    MAX_RANGE,
    MAX_RESPONSE_BYTES,
    MAX_WARP_STEPS,
    STATE,
    WARP,
    BlockData,
    BlockRequest,
    BlockResponse,
    FinalityRequest,
    FinalityResponse,
    FromHash,
    StateEntry,
    StateRequest,
    StateResponse,
    Status,
    WarpRequest,
    WarpResponse,
    WarpStep,
    decode_message,
    encode_message,
)
from chain.store import changes_authorities
from runtime.block import Header
from runtime.codec import Record, encode
from runtime.merkle_range import leaves_between, prove_range

MAX_SCANNED = 1024
"""Justifications that one warp request makes this node look at."""
ENTRY_OVERHEAD = 32
"""Bytes that the encoding of an item of an answer adds at most."""
STATE_PROOF_BYTES = 64 * 1024
"""Room for the proof of an answer with entries of a state."""


def build_status(ledger: Ledger) -> Status:
    """Who this node is on the network."""
    oldest = ledger.store.oldest_block()
    if oldest > 1 and ledger.store.block_window is not None:
        oldest = min(oldest + MAX_RANGE, ledger.finalized_number + 1)  # those below may be gone when they are asked for
    return Status(
        ledger.genesis_hash, ledger.head, ledger.head_number, ledger.finalized, ledger.finalized_number, oldest
    )


class Catcher(Protocol):
    """What can tell a peer the votes of a round."""

    def on_catch_up_request(self, request: CatchUpRequest) -> bytes:
        """The answer, empty when there is none."""


def answer(ledger: Ledger, voter: Catcher, protocol: str, data: bytes) -> bytes | None:
    """The answer to a request of any protocol but status; None refuses it. Raises `MalformedMessage`."""
    response: Record | None = None
    if protocol == BLOCK_RANGE:
        response = answer_blocks(ledger, decode_message(BlockRequest, data))
    elif protocol == FINALITY:
        response = answer_finality(ledger, decode_message(FinalityRequest, data))
    elif protocol == WARP:
        response = answer_warp(ledger, decode_message(WarpRequest, data))
    elif protocol == STATE:
        response = answer_state(ledger, decode_message(StateRequest, data))
    elif protocol == CATCH_UP:
        return voter.on_catch_up_request(decode_message(CatchUpRequest, data))
    return None if response is None else encode_message(response)


def answer_blocks(ledger: Ledger, request: BlockRequest) -> BlockResponse:
    """The blocks asked for, as far as they are known and fit; ascending."""
    hashes = _descending(ledger, request) if isinstance(request.start, FromHash) else _ascending(ledger, request)
    chosen: list[BlockData] = []
    room = MAX_RESPONSE_BYTES - ENTRY_OVERHEAD
    for hash_ in hashes:
        block = ledger.block(hash_)
        if block is None:
            break
        data = BlockData(block, _justification_of(ledger, hash_, block.header.number))
        room -= len(encode(data)) + ENTRY_OVERHEAD
        if room < 0 and chosen:
            break
        chosen.append(data)
    if isinstance(request.start, FromHash):
        chosen.reverse()
    return BlockResponse(tuple(chosen))


def _ascending(ledger: Ledger, request: BlockRequest) -> list[bytes]:
    assert not isinstance(request.start, FromHash)
    first, last = request.start.number, min(request.start.number + request.count - 1, ledger.head_number)
    hashes: list[bytes] = []
    for number in range(first, last + 1):
        hash_ = ledger.hash_at(number)
        if hash_ is None or number == 0:
            break
        hashes.append(hash_)
    return hashes


def _descending(ledger: Ledger, request: BlockRequest) -> list[bytes]:
    assert isinstance(request.start, FromHash)
    hashes: list[bytes] = []
    hash_ = request.start.hash
    while len(hashes) < request.count:
        header = ledger.header(hash_)
        if header is None or header.number == 0:
            break
        hashes.append(hash_)
        hash_ = header.parent
    return hashes


def _justification_of(ledger: Ledger, hash_: bytes, number: int) -> bytes:
    if number > ledger.finalized_number or ledger.store.hash_at(number) != hash_:
        return b""
    return ledger.store.justification(number) or b""


def answer_finality(ledger: Ledger, request: FinalityRequest) -> FinalityResponse:
    """The first kept justification at that height or above."""
    found = ledger.store.next_justification(request.number)
    return FinalityResponse(found[1] if found else b"")


def answer_warp(ledger: Ledger, request: WarpRequest) -> WarpResponse:
    """The changes of authorities after a height, each with its justification, then the last justification seen."""
    steps: list[WarpStep] = []
    number, room = request.number + 1, MAX_RESPONSE_BYTES - ENTRY_OVERHEAD
    latest: tuple[WarpStep, ...] = ()
    for _ in range(MAX_SCANNED):
        found = ledger.store.next_justification(number)
        header = _final_header(ledger, found[0]) if found else None
        if found is None or header is None:
            return WarpResponse((*steps, *latest), complete=True)
        step = WarpStep(header, found[1])
        room -= len(encode(step)) + ENTRY_OVERHEAD
        if len(steps) == MAX_WARP_STEPS - 1 or (room < 0 and steps):
            break
        latest = () if changes_authorities(header) else (step,)
        if latest:
            room += len(encode(step)) + ENTRY_OVERHEAD
        else:
            steps.append(step)
        number = found[0] + 1
    return WarpResponse((*steps, *latest), complete=False)


def _final_header(ledger: Ledger, number: int) -> Header | None:
    hash_ = ledger.store.hash_at(number)
    return ledger.header(hash_) if hash_ else None


def answer_state(ledger: Ledger, request: StateRequest) -> StateResponse | None:
    """Entries of a state by place; None when this node does not keep that state, or the places are in disorder."""
    first, last = int.from_bytes(request.first, "big"), int.from_bytes(request.last, "big")
    header = ledger.header(request.block)
    if first > last or header is None or header.number > ledger.finalized_number:
        return None
    try:
        state = ledger.state_at(request.block)
    except (UnknownBlock, StatePruned):
        return None
    entries: list[StateEntry] = []
    room = MAX_RESPONSE_BYTES - STATE_PROOF_BYTES
    end = complete = None
    for place, _ in leaves_between(state.get_node, first, last):
        key = ledger.store.columns.key_at(place.to_bytes(32, "big"))
        value = None if key is None else state.get(key)
        if key is None or value is None:
            raise DatabaseCorrupt(f"the state of block {header.number} has a leaf without an entry; sync again")
        room -= len(key) + len(value) + ENTRY_OVERHEAD
        if len(entries) == request.count or (room < 0 and entries):
            complete = False
            break
        entries.append(StateEntry(key, value))
        end = place
    if complete is None or end is None:
        complete, end = True, last
    proof = prove_range(state.get_node, first, end)
    return StateResponse(tuple(entries), proof.items, complete)
