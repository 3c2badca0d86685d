"""Errors that a caller of JSON-RPC sees, with the codes of JSON-RPC 2.0 and of Substrate.

::

    RpcError
    ├── InvalidRequest        -32600  not a JSON-RPC 2.0 request
    ├── MethodNotFound        -32601  no such method
    ├── InvalidParameter      -32602  which parameter is wrong, and why
    ├── UnknownBlock          -32001  the block, or its state, is not kept here
    └── TransactionRefused     1010.. the pool does not take the extrinsic (Substrate's author_* codes)
"""

from __future__ import annotations

from typing import Any

from runtime.errors import SolventError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
UNKNOWN_BLOCK = -32001
UNAVAILABLE = -32002
TOO_BIG = -32007
ANSWER_TOO_BIG = -32008
BATCH_TOO_BIG = -32010
TOO_MANY_SUBSCRIPTIONS = -32006
RATE_LIMITED = -32999

INVALID_TRANSACTION = 1010
UNKNOWN_VALIDITY = 1011
TEMPORARILY_BANNED = 1012
ALREADY_IMPORTED = 1013
TOO_LOW_PRIORITY = 1014
IMMEDIATELY_DROPPED = 1016


class RpcError(SolventError):
    """An answer with an error object. ``data`` is JSON that explains it to programs."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def to_json(self) -> dict[str, Any]:
        """The error object of a JSON-RPC response."""
        answer: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            answer["data"] = self.data
        return answer


class InvalidRequest(RpcError):
    def __init__(self, reason: str) -> None:
        super().__init__(INVALID_REQUEST, f"Invalid request: {reason}")


class MethodNotFound(RpcError):
    def __init__(self, name: str, suggestion: str | None) -> None:
        hint = f"; did you mean {suggestion}?" if suggestion else "; rpc_methods lists all"
        super().__init__(METHOD_NOT_FOUND, f"Method not found: {name[:80]}{hint}")


class InvalidParameter(RpcError):
    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(INVALID_PARAMS, f"Invalid params: {parameter}: {reason}", {"parameter": parameter})


class UnknownBlock(RpcError):
    def __init__(self, reason: str) -> None:
        super().__init__(UNKNOWN_BLOCK, reason)
