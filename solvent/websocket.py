"""Subscriptions: one WebSocket to a node for each, read by iterating. Leaving the context ends it.

::

    with client.subscribe("chain_subscribeFinalizedHeads") as heads:
        for head in heads:
            print(int(head["number"], 16))
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Message, Ping, RejectConnection, Request
from wsproto.utilities import RemoteProtocolError

from solvent.errors import BadAddress, BadAnswer, NodeUnreachable, SubscriptionEnded, WaitTimedOut, rpc_error

RECEIVE_BYTES = 64 * 1024


class WebSocket:
    """Text messages to and from one node. Mutable; `close` it, or use it as a context."""

    def __init__(self, url: str, timeout: float) -> None:
        """Connect to the node at an ``http`` or ``https`` (or ``ws``, ``wss``) address.

        Raises `BadAddress` or `NodeUnreachable`.
        """
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise BadAddress(f"{url!r} is no address of a node; one is http://127.0.0.1:9944")
        self._url, self._timeout, self._text = url, timeout, ""
        self._messages: deque[str] = deque()
        address = (parts.hostname, parts.port or (443 if secure else 80))
        try:
            self._socket = socket.create_connection(address, timeout)
            if secure:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
        except OSError as error:
            raise NodeUnreachable(f"no node answers at {url} ({error})") from None
        self._connection = WSConnection(ConnectionType.CLIENT)
        try:
            self._write(Request(host=parts.netloc, target=parts.path or "/"))
            self._wait_for_acceptance()
        except BaseException:
            self._socket.close()
            raise

    def _wait_for_acceptance(self) -> None:
        while True:
            for event in self._read(self._timeout):
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise NodeUnreachable(f"{self._url} refused the WebSocket with HTTP status {event.status_code}")

    def send(self, text: str) -> None:
        """Send one message."""
        self._write(Message(data=text))

    def receive(self, timeout: float | None = None) -> str:
        """The next message. Raises `WaitTimedOut` after ``timeout`` seconds, `SubscriptionEnded` when it is closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._messages:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            for event in self._read(left):
                if isinstance(event, Message):
                    self._text += str(event.data)
                    if event.message_finished:
                        self._messages.append(self._text)
                        self._text = ""
                elif isinstance(event, Ping):
                    self._write(event.response())
                elif isinstance(event, CloseConnection):
                    raise SubscriptionEnded(f"{self._url} closed the WebSocket (code {event.code})")
        return self._messages.popleft()

    def _write(self, event: Event) -> None:
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(self._connection.send(event))
        except OSError as error:
            raise NodeUnreachable(f"the connection to {self._url} broke ({error})") from None

    def _read(self, timeout: float | None) -> list[Event]:
        try:
            self._socket.settimeout(timeout)
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise SubscriptionEnded(f"{self._url} closed the connection")
            self._connection.receive_data(data)
            return list(self._connection.events())
        except TimeoutError:
            raise WaitTimedOut(f"{self._url} sent nothing for {timeout:g} seconds") from None
        except OSError as error:
            raise NodeUnreachable(f"the connection to {self._url} broke ({error})") from None
        except RemoteProtocolError as error:
            raise BadAnswer(f"{self._url} does not speak WebSocket: {error}") from None

    def close(self) -> None:
        """Close the connection without waiting for the other side."""
        self._socket.close()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Subscription:
    """What a node tells about one thing, as it happens. Mutable; iterate over it, or take one with `next_within`."""

    def __init__(self, url: str, method: str, params: Sequence[Any], timeout: float) -> None:
        """Subscribe. Raises `RpcFailed` when the node refuses."""
        self._socket = WebSocket(url, timeout)
        try:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
            self._socket.send(json.dumps(request))
            answer = _parse(self._socket.receive(timeout))
            if "error" in answer:
                raise rpc_error(answer["error"])
            self.identity = str(answer.get("result"))
        except BaseException:
            self._socket.close()
            raise

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.next_within(None)

    def next_within(self, seconds: float | None) -> Any:
        """The next result. Raises `WaitTimedOut`, or `SubscriptionEnded` when the node closes the connection."""
        while True:
            params = _parse(self._socket.receive(seconds)).get("params")
            if isinstance(params, dict) and params.get("subscription") == self.identity:
                return params.get("result")

    def close(self) -> None:
        """End the subscription with its connection."""
        self._socket.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parse(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise BadAnswer(f"the node sent {text[:80]!r} where JSON-RPC belongs")
    return message
