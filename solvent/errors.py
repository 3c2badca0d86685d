"""What can go wrong between a program and a node.

::

    ClientError
    ├── BadAddress           that is no URL of a node
    ├── NodeUnreachable      nobody answers at that address, also after the retries
    ├── RpcFailed            the node answered with an error object: code, message, data
    │   └── SubmissionRefused    the pool did not take the extrinsic; ``reason`` names why
    ├── BadAnswer            the answer is not what the protocol says, or a proof does not hold
    │   └── StaleHead            what the node proves to be final is old
    ├── ExtrinsicExpired     the extrinsic can no longer be included; sign a new one
    ├── SubscriptionEnded    the node closed the WebSocket
    ├── WaitTimedOut         it was not included in time, but still may be
    └── BlobFailed           a blob cannot be stored or read
"""

from __future__ import annotations

from typing import Any

from runtime.errors import SolventError

SUBMISSION_CODES = range(1010, 1020)


class ClientError(SolventError):
    """Base of the client's errors."""


class BadAddress(ClientError):
    """The address is not an HTTP URL."""


class NodeUnreachable(ClientError):
    """No node answers at this address."""


class RpcFailed(ClientError):
    """The node answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class SubmissionRefused(RpcFailed):
    """The pool did not take the extrinsic. ``reason`` is the runtime's code (``unaffordable``), empty for the rest."""

    @property
    def reason(self) -> str:
        return str(self.data.get("code", "")) if isinstance(self.data, dict) else ""


class BadAnswer(ClientError):
    """The node's answer breaks the protocol."""


class StaleHead(BadAnswer):
    """The newest block that the node proves to be final is old."""


class ExtrinsicExpired(ClientError):
    """The extrinsic's era ended before a block included it: it never will be."""


class WaitTimedOut(ClientError):
    """No block included the extrinsic in the time allowed; a later one still may."""


class SubscriptionEnded(ClientError):
    """The node closed the WebSocket, or stopped: subscribe again, and ask for what was missed."""


class BlobFailed(ClientError):
    """The node did not store or give the blob. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def rpc_error(error: Any) -> ClientError:
    """The exception for a JSON-RPC error object."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return BadAnswer(f"the node answered with a malformed error: {str(error)[:200]}")
    kind = SubmissionRefused if error["code"] in SUBMISSION_CODES else RpcFailed
    return kind(error["code"], str(error.get("message", "")), error.get("data"))
