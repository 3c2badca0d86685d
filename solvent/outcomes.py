"""What became of an extrinsic, read from what a node says about its block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime import registry
from runtime.codec import Record, decode
from runtime.executive import Failure
from solvent.errors import BadAnswer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an included extrinsic. ``error`` is None when it succeeded; fees are in units."""

    block_number: int
    block_hash: bytes
    index: int
    ok: bool
    error: Failure | None
    fee: int
    events: list[tuple[str, str, Record]]


def read_outcome(number: int, block_hash: bytes, receipt: dict[str, Any], events: list[dict[str, Any]]) -> Outcome:
    """The outcome that a receipt and the events of its block tell, as `chain_getBlockEvents` gives them."""
    first = receipt["firstEvent"]
    mine = events[first : first + receipt["eventCount"]]
    error = receipt["error"]
    return Outcome(
        block_number=number,
        block_hash=block_hash,
        index=receipt["index"],
        ok=receipt["ok"],
        error=None if error is None else Failure(error["pallet"], error["code"], error["message"]),
        fee=int(receipt["fee"]),
        events=[decode_event(event) for event in mine],
    )


def decode_event(event: dict[str, Any]) -> tuple[str, str, Record]:
    """(pallet, name, record) of an event as `chain_getBlockEvents` gives it."""
    pallet = registry.BY_NAME.get(event["pallet"])
    if pallet is None or event["name"] not in pallet.events:
        raise BadAnswer(f"unknown event {event['pallet']}.{event['name']}; this program is older than the chain")
    return event["pallet"], event["name"], decode(bytes_of_hex(event["data"]), pallet.events[event["name"]])


def bytes_of_hex(text: Any) -> bytes:
    """What a hex string of the node's says. Raises `BadAnswer`."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except (ValueError, AttributeError):
        raise BadAnswer(f"the node sent {str(text)[:80]!r} where hex belongs") from None
