"""JSON-RPC 2.0: bytes in, bytes out. Whatever comes, the answer is JSON-RPC and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from chain.db import DatabaseError
from rpc.encoding import decode_json, encode_json
from rpc.errors import (
    ANSWER_TOO_BIG,
    BATCH_TOO_BIG,
    INTERNAL_ERROR,
    PARSE_ERROR,
    RATE_LIMITED,
    TOO_BIG,
    InvalidRequest,
    RpcError,
)
from rpc.table import MethodTable, Sessions
from rpc.view import NodeView

MAX_BATCH = 256
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""When the answers of a batch have come to that size, the rest of its calls is refused."""
PAUSE_CALLS = 4
"""Calls of a batch between which nobody else gets a turn."""

logger = logging.getLogger("solvent.rpc")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: whether there is still something left of its rate, whether it may do what is for operators only, and
    where its subscriptions live."""

    address: str = ""
    may_call: Callable[[str], bool] = lambda address: True
    allows_unsafe: bool = True
    session: Sessions | None = None
    count: Callable[[str, bool], None] = lambda method, is_error: None


ANYBODY = Caller()


async def answer(
    table: MethodTable,
    node: NodeView,
    body: bytes,
    pause: Callable[[], Awaitable[None]],
    caller: Caller = ANYBODY,
    max_batch: int = MAX_BATCH,
) -> bytes | None:
    """The response to one HTTP body; None when it held only notifications.

    ``pause`` is awaited between the calls of a batch, so that a long batch does not keep others waiting.
    """
    try:
        message = _parse(body)
    except RpcError as error:
        return encode_json(_failure(None, error))
    if not isinstance(message, list):
        single = _answer_one(table, node, message, caller)
        return None if single is None else encode_json(single)
    if not message:
        return encode_json(_failure(None, InvalidRequest("an empty batch")))
    if len(message) > max_batch:
        reason = f"The batch has {len(message)} calls; at most {max_batch} are allowed"
        return encode_json(_failure(None, RpcError(BATCH_TOO_BIG, reason)))
    responses: list[bytes] = []
    room = MAX_ANSWER_BYTES
    for number, item in enumerate(message, 1):
        response = _answer_one(table, node, item, caller) if room > 0 else _no_room(item)
        if response is not None:
            responses.append(encode_json(response))
            room -= len(responses[-1])
        if number % PAUSE_CALLS == 0:
            await pause()
    return b"[" + b",".join(responses) + b"]" if responses else None


def _no_room(request: Any) -> dict[str, Any]:
    """The answer to a call of a batch whose answers are too big already."""
    identity = request.get("id") if isinstance(request, dict) else None
    reason = f"Response is too big: the calls before this one took {MAX_ANSWER_BYTES} bytes; ask for less at once"
    return _failure(identity, RpcError(ANSWER_TOO_BIG, reason))


def too_big(most: int) -> bytes:
    """The answer to a body above the bound."""
    return encode_json(_failure(None, RpcError(TOO_BIG, f"Request is too big; at most {most} bytes are allowed")))


def _parse(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError as error:
        raise RpcError(PARSE_ERROR, f"Parse error: {str(error)[:200]}") from None


def _answer_one(table: MethodTable, node: NodeView, request: Any, caller: Caller) -> dict[str, Any] | None:
    identity = request.get("id") if isinstance(request, dict) else None
    if isinstance(identity, bool | float) or not isinstance(identity, str | int | None):
        return _failure(None, InvalidRequest("id must be a string, an integer or null"))
    try:
        result = _call(table, node, request, caller)
        response: dict[str, Any] = {"jsonrpc": "2.0", "result": result, "id": identity}
    except InvalidRequest as error:
        return _failure(identity, error)
    except RpcError as error:
        response = _failure(identity, error)
    except DatabaseError as error:
        logger.error("%s", error)
        response = _failure(identity, RpcError(INTERNAL_ERROR, f"Internal error: {error}"))
    except Exception:
        logger.exception("a method failed unexpectedly")
        response = _failure(identity, RpcError(INTERNAL_ERROR, "Internal error; the node's log has the details"))
    name = request.get("method")
    caller.count(name if name in table.methods else "unknown", "error" in response)
    return response if "id" in request else None


def _call(table: MethodTable, node: NodeView, request: Any, caller: Caller) -> Any:
    if not isinstance(request, dict):
        raise InvalidRequest("a request is an object")
    if request.get("jsonrpc") != "2.0":
        raise InvalidRequest('jsonrpc must be "2.0"')
    name = request.get("method")
    if not isinstance(name, str):
        raise InvalidRequest("method must be a string")
    params = request.get("params")
    if params is not None and not isinstance(params, list | dict):
        raise InvalidRequest("params must be a list or an object")
    if not caller.may_call(caller.address):
        raise RpcError(RATE_LIMITED, "Rate limit exceeded: wait a minute, or send fewer calls")
    return table.call(node, name, params, caller.session, caller.allows_unsafe)


def _failure(identity: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.to_json(), "id": identity}
