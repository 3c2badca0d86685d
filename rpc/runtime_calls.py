"""``state_call`` and ``system_dryRun``: functions of the runtime, asked of the state after any recent block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpc.answers.node import DryRunJson
from rpc.answers.words import BytesJson
from rpc.author_methods import invalid
from rpc.errors import UNAVAILABLE, InvalidParameter, RpcError
from rpc.kinds import HASH, HEX, TEXT, optional
from rpc.metadata import runtime_version
from rpc.render import hex_of, render_error, render_event
from rpc.state_methods import state_at
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.block import Header, Seal, Slot
from runtime.codec import AccountId, decode, encode
from runtime.errors import CodecError, InvalidBlock, InvalidExtrinsic
from runtime.executive import apply_extrinsic, build_inherents, initialize_block
from runtime.pallets import system, timestamp
from runtime.state import State
from runtime.validity import validate_extrinsic

TABLE = MethodTable()


def _account_nonce(state: State, header: Header, data: bytes) -> Any:
    return system.nonce(state, decode(data, AccountId))


def _query_info(state: State, header: Header, data: bytes) -> Any:
    validity = validate_extrinsic(state, header, data, verified=True)
    return validity.weight, "operational" if validity.operational else "normal", validity.fee


def _validate(state: State, header: Header, data: bytes) -> Any:
    validity = validate_extrinsic(state, header, data)
    return validity.priority, validity.requires, validity.provides, validity.longevity


def _version(state: State, header: Header, data: bytes) -> Any:
    version = runtime_version()
    return version["specName"], version["specVersion"], version["transactionVersion"]


FUNCTIONS: dict[str, Callable[[State, Header, bytes], Any]] = {
    "Core_version": _version,
    "AccountNonceApi_account_nonce": _account_nonce,
    "TransactionPaymentApi_query_info": _query_info,
    "TaggedTransactionQueue_validate_transaction": _validate,
}
"""Name of a runtime function -> what computes it from (state, header, argument bytes)."""


@TABLE.method("state_call", method=TEXT, data=HEX, at=optional(HASH))
def state_call(node: NodeView, method: str, data: bytes, at: bytes | None) -> BytesJson:
    """Call a function of the runtime; the result is its encoded value. ``Core_version`` takes no data,
    ``AccountNonceApi_account_nonce`` an encoded account, ``TransactionPaymentApi_query_info`` and
    ``TaggedTransactionQueue_validate_transaction`` an extrinsic."""
    function = FUNCTIONS.get(method)
    if function is None:
        raise InvalidParameter("method", f"there is no runtime function {method!r}; there are {', '.join(FUNCTIONS)}")
    state, header = _block(node, at)
    try:
        return hex_of(encode(function(state, header, data)))
    except InvalidExtrinsic as error:
        raise invalid(error) from None
    except CodecError as error:
        raise InvalidParameter("data", str(error)) from None


def _block(node: NodeView, at: bytes | None) -> tuple[State, Header]:
    hash_ = at or node.ledger.head
    state, header = State(state_at(node, hash_)), node.ledger.header(hash_)
    assert header is not None
    return state, header


@TABLE.method("system_dryRun", unsafe=True, extrinsic=HEX, at=optional(HASH))
def dry_run(node: NodeView, extrinsic: bytes, at: bytes | None) -> DryRunJson:
    """What a signed extrinsic would do in a block of its own on top of ``at``: its error or events, and its fee.
    Nothing is kept."""
    state, parent = _block(node, at)
    try:
        context = initialize_block(state, parent, _next_digest(state, parent))
        for raw in _inherents(state, context.slot, parent.number):
            apply_extrinsic(context, raw)
        receipt = apply_extrinsic(context, extrinsic)
    except InvalidExtrinsic as error:
        raise invalid(error) from None
    except InvalidBlock as error:
        raise RpcError(UNAVAILABLE, f"no block can be tried on this one: {error}") from None
    events = range(receipt.first_event, receipt.first_event + receipt.event_count)
    return {
        "ok": receipt.ok,
        "error": render_error(receipt),
        "fee": str(receipt.fee),
        "weight": str(receipt.weight),
        "events": [render_event(index, context.events[index]) for index in events],
    }


def _next_digest(state: State, parent: Header) -> tuple[Any, ...]:
    """The digest of the parent, one slot later."""
    slots = [item for item in parent.digest if isinstance(item, Slot)]
    if not slots:
        raise RpcError(UNAVAILABLE, "nothing can be tried on the genesis block: wait for the first one")
    rest = [item for item in parent.digest if not isinstance(item, Slot | Seal)]
    return (Slot(slots[0].slot + 1, slots[0].author), *rest[:1])


def _inherents(state: State, slot: int, parent_number: int) -> tuple[bytes, ...]:
    if system.has_one_author(state):
        return build_inherents(timestamp.earliest_next(state))
    return build_inherents(timestamp.slot_start(state, slot), system.finalized(state, parent_number))
