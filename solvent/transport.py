"""HTTP to one node: JSON-RPC calls and raw requests, with bounded retries while the node restarts."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import httpx

from solvent.errors import BadAddress, BadAnswer, NodeUnreachable, rpc_error

T = TypeVar("T")

RETRY_SECONDS = 0.1
Call = tuple[str, Sequence[Any]]
"""A method and its parameters."""


class Transport:
    """A connection to one node. Mutable: it keeps connections open. ``patience`` is how many seconds it retries."""

    def __init__(self, url: str, timeout: float, patience: float) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        try:
            self.http = httpx.Client(base_url=self.url, timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)))
        except httpx.InvalidURL as error:
            raise BadAddress(f"{url!r} is no address of a node ({error}); one is http://127.0.0.1:9944") from None
        if self.http.base_url.scheme not in ("http", "https") or not self.http.base_url.host:
            raise BadAddress(f"{url!r} is no address of a node; one is http://127.0.0.1:9944")
        self._identities = itertools.count(1)

    def close(self) -> None:
        self.http.close()

    def retry(self, attempt: Callable[[], T]) -> T:
        """Run ``attempt``, again while the node cannot be reached, for at most ``patience`` seconds.

        Raises `NodeUnreachable` with the last reason.
        """
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return attempt()
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
                if time.monotonic() >= deadline:
                    raise NodeUnreachable(
                        f"no node answers at {self.url} ({reason}); is it running? `solvent dev` starts one"
                    ) from None
                time.sleep(RETRY_SECONDS)
            except httpx.InvalidURL as error:
                raise NodeUnreachable(f"{self.url!r} is not an address of a node: {error}") from None

    def call(self, method: str, *params: Any) -> Any:
        """The result of one JSON-RPC call. Raises `RpcFailed` for an error object."""
        return self.retry(lambda: self.call_once(method, *params))

    def call_once(self, method: str, *params: Any) -> Any:
        """As `call`, without a retry: raises ``httpx.TransportError`` when the node cannot be reached."""
        [result] = self._post([(method, params)])
        return result

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results of several calls in one request, in order. The first error object raises."""
        return self.retry(lambda: self._post(calls)) if calls else []

    def _post(self, calls: Sequence[Call]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": next(self._identities), "method": method, "params": list(params)}
            for method, params in calls
        ]
        body = requests[0] if len(requests) == 1 else requests
        response = self.http.post("/", content=json.dumps(body), headers={"Content-Type": "application/json"})
        answers = _parse(response)
        by_identity = {answer.get("id"): answer for answer in answers}
        return [_result(by_identity.get(request["id"]) or answers[0]) for request in requests]


def _parse(response: httpx.Response) -> list[dict[str, Any]]:
    try:
        parsed = response.json()
    except ValueError:
        raise BadAnswer(f"{response.url} answered HTTP {response.status_code} without JSON; is it a node?") from None
    answers = parsed if isinstance(parsed, list) else [parsed]
    if not answers or not all(isinstance(answer, dict) for answer in answers):
        raise BadAnswer(f"{response.url} did not answer with JSON-RPC; is it a node?")
    return answers


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise rpc_error(answer["error"])
    if "result" not in answer:
        raise BadAnswer("the node's answer has neither result nor error")
    return answer["result"]
