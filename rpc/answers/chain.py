"""Blocks, extrinsics and events."""

from __future__ import annotations

from typing import TypedDict

from rpc.answers.words import AccountJson, AmountJson, BytesJson, HashJson, HeightJson, ObjectJson, TimeJson


class DigestJson(TypedDict):
    """The digest's items, each with its ``kind`` (Slot, BeaconOutput, NextAuthorities, Seal) and its fields."""

    logs: list[ObjectJson]


class HeaderJson(TypedDict):
    """A header; ``encoded`` is what hashes to ``hash``."""

    hash: HashJson
    parentHash: HashJson
    number: HeightJson
    stateRoot: HashJson
    extrinsicsRoot: HashJson
    digest: DigestJson
    encoded: BytesJson


class EraJson(TypedDict):
    """When an extrinsic is valid; period 0 is always."""

    period: AmountJson
    phase: AmountJson


class CallJson(TypedDict):
    """A body item, decoded. ``arguments`` are an object as the metadata describes it, or bytes that do not decode. An
    inherent has no signer, nonce, tip or era."""

    hash: HashJson
    pallet: str
    call: str
    arguments: ObjectJson | BytesJson
    signer: AccountJson | None
    nonce: int | None
    tip: AmountJson | None
    era: EraJson | None


class BlockBodyJson(TypedDict):
    """A header, the encoded items of the body, and the same decoded."""

    header: HeaderJson
    extrinsics: list[BytesJson]
    calls: list[CallJson]


class SignedBlockJson(TypedDict):
    """A block, and the encoded justification that made this very block final where one is kept."""

    block: BlockBodyJson
    justifications: list[list[str]] | None


class ErrorJson(TypedDict):
    """Why a call failed: the pallet's error, as the metadata lists it."""

    pallet: str
    code: str
    message: str


class ReceiptJson(TypedDict):
    """What became of a body item; its events are ``eventCount`` from ``firstEvent`` on."""

    index: int
    hash: HashJson
    ok: bool
    error: ErrorJson | None
    fee: AmountJson
    weight: AmountJson
    firstEvent: int
    eventCount: int


class EmittedJson(TypedDict):
    """An event as a block emitted it. ``extrinsic`` is the place in the body of what caused it, -1 for a hook;
    ``data`` the encoded record, ``fields`` the same decoded, as the metadata describes it."""

    index: int
    extrinsic: int
    pallet: str
    name: str
    data: BytesJson
    fields: ObjectJson


class OutcomeJson(TypedDict):
    """What executing a block gave."""

    receipts: list[ReceiptJson]
    events: list[EmittedJson]


class BlockEventsJson(OutcomeJson):
    """The receipts and events of a block."""

    hash: HashJson
    number: HeightJson


class EventJson(TypedDict):
    """An event with its place on the chain. ``extrinsic`` is the place in the body of what caused it, -1 for a hook."""

    block: HeightJson
    blockHash: HashJson
    time: TimeJson
    index: int
    extrinsic: int
    pallet: str
    name: str
    fields: ObjectJson


class WrittenJson(CallJson):
    """A body item with its length in bytes."""

    length: int


class PendingJson(WrittenJson):
    """An extrinsic that waits in the pool; ``pending`` is true."""

    pending: bool


class ListedExtrinsicJson(WrittenJson):
    """A body item with its place, and what became of it."""

    block: HeightJson
    blockHash: HashJson
    index: int
    time: TimeJson
    ok: bool
    error: ErrorJson | None
    fee: AmountJson
    weight: AmountJson
    finalized: bool


class ExtrinsicJson(ListedExtrinsicJson):
    """A body item with its place, what became of it, and its events."""

    events: list[EventJson]


class BlockSummaryJson(TypedDict):
    """A line about a block: ``extrinsics`` counts the signed ones, ``failed`` those whose call failed."""

    number: HeightJson
    hash: HashJson
    parentHash: HashJson
    time: TimeJson
    author: AccountJson | None
    slot: AmountJson | None
    extrinsics: int
    failed: int
    events: int
    finalized: bool


class BlockNewsJson(BlockSummaryJson):
    """A line about a new best block; ``skipped`` are those before it that were not told of."""

    skipped: int


class BlockDetailJson(BlockSummaryJson):
    """Everything about a block; ``hooks`` are the events that no extrinsic caused, ``length`` the bytes of its body."""

    header: HeaderJson
    weight: AmountJson
    length: int
    body: list[ExtrinsicJson]
    hooks: list[EventJson]


class MomentJson(TypedDict):
    """A block's number and time."""

    block: HeightJson
    time: TimeJson
