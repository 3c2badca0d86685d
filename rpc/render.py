"""How chain values look in JSON: hashes and bytes as 0x hex, accounts as SS58, other integers as decimal strings.

Block numbers are 0x hex, as in Substrate. Records become objects with their field names.
"""

from __future__ import annotations

from typing import Any

from chain.store import Outcome
from rpc.answers.chain import CallJson, EmittedJson, ErrorJson, HeaderJson, OutcomeJson, ReceiptJson
from runtime import registry
from runtime.block import Extrinsic, Header, decode_extrinsic, extrinsic_hash, header_hash
from runtime.codec import Record, decode, encode
from runtime.crypto import to_ss58
from runtime.errors import SolventError
from runtime.executive import Receipt
from runtime.pallet import EventRecord


def hex_of(data: bytes) -> str:
    return "0x" + data.hex()


def render_value(value: Any) -> Any:
    """Any encodable value as JSON."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, bytes):
        return hex_of(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Record):
        return render_record(value)
    return [render_value(item) for item in value]


def render_record(record: Record) -> dict[str, Any]:
    """A record's fields. Fields annotated as accounts are shown as addresses."""
    annotations = _annotations(type(record))
    rendered = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        is_account = annotations.get(name) == "AccountId" and isinstance(value, bytes) and len(value) == 32
        rendered[name] = to_ss58(value) if is_account else render_value(value)
    return rendered


def _annotations(kind: type) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        merged.update(vars(base).get("__annotations__", {}))
    return merged


def render_header(header: Header) -> HeaderJson:
    """A header as Substrate shows it; ``encoded`` is what hashes to the block's hash."""
    return {
        "hash": hex_of(header_hash(header)),
        "parentHash": hex_of(header.parent),
        "number": hex(header.number),
        "stateRoot": hex_of(header.state_root),
        "extrinsicsRoot": hex_of(header.extrinsics_root),
        "digest": {"logs": [{"kind": type(item).__name__, **render_record(item)} for item in header.digest]},
        "encoded": hex_of(encode(header)),
    }


def render_call(raw: bytes) -> CallJson:
    """A body item, decoded: hash, call, arguments, and who signed it with what."""
    item = decode_extrinsic(raw)
    signed = item if isinstance(item, Extrinsic) else None
    return {
        "hash": hex_of(extrinsic_hash(raw)),
        "pallet": item.call.pallet,
        "call": item.call.name,
        "arguments": _render_arguments(item.call.pallet, item.call.name, item.call.arguments),
        "signer": to_ss58(signed.signer) if signed else None,
        "nonce": signed.nonce if signed else None,
        "tip": str(signed.tip) if signed else None,
        "era": {"period": str(signed.era.period), "phase": str(signed.era.phase)} if signed else None,
    }


def _render_arguments(pallet: str, name: str, data: bytes) -> Any:
    definition = registry.find_call(pallet, name) or registry.find_inherent(pallet, name)
    if definition is None:
        return hex_of(data)
    try:
        return render_record(decode(data, definition.arguments))
    except SolventError:
        return hex_of(data)


def render_event(index: int, event: EventRecord) -> EmittedJson:
    """An event, decoded; ``data`` is the record's bytes."""
    return {
        "index": index,
        "extrinsic": event.extrinsic,
        "pallet": event.pallet,
        "name": event.name,
        "data": hex_of(event.data),
        "fields": render_record(registry.decode_event(event)),
    }


def render_error(receipt: Receipt) -> ErrorJson | None:
    """Why an extrinsic's call failed; None when it did not."""
    error = receipt.error
    return None if receipt.ok else {"pallet": error.pallet, "code": error.code, "message": error.message}


def render_outcome(outcome: Outcome, body: tuple[bytes, ...]) -> OutcomeJson:
    """Receipts, each with its extrinsic's hash, and events of a block."""
    receipts: list[ReceiptJson] = [
        {
            "index": index,
            "hash": hex_of(extrinsic_hash(raw)),
            "ok": receipt.ok,
            "error": render_error(receipt),
            "fee": str(receipt.fee),
            "weight": str(receipt.weight),
            "firstEvent": receipt.first_event,
            "eventCount": receipt.event_count,
        }
        for index, (receipt, raw) in enumerate(zip(outcome.receipts, body, strict=True))
    ]
    events = [render_event(index, event) for index, event in enumerate(outcome.events)]
    return {"receipts": receipts, "events": events}
