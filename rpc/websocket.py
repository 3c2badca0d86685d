"""JSON-RPC over a WebSocket: requests in order, and notifications of subscriptions in between.

Nothing is queued for a connection. The answer to a request is sent before the next one is read, so whoever does not
read answers cannot ask for more; notifications are made from the chain's present when there is room for them
(`rpc.subscriptions`). A reader that stops altogether is cut off by `rpc.connections`.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from rpc.connections import Gate, GuardedStream, take
from rpc.draining import STREAM
from rpc.encoding import EncodedOnce
from rpc.errors import TOO_MANY_SUBSCRIPTIONS, RpcError
from rpc.protocol import Caller, answer
from rpc.subscriptions import Subscription
from rpc.table import Method, MethodTable
from rpc.view import NodeView

_shared = EncodedOnce()
"""Results that many subscribers hear, such as a header."""
PAUSE_SECONDS = 0.005
"""How long a connection rests between two looks at its subscriptions."""


class Session:
    """One WebSocket connection and its subscriptions. Mutable."""

    def __init__(self, table: MethodTable, node: NodeView, gate: Gate, websocket: WebSocket, caller: Caller) -> None:
        self._table, self._node, self._gate, self._websocket = table, node, gate, websocket
        self._caller = replace(caller, session=self)
        self._subscriptions: dict[str, tuple[Method, Subscription[Any]]] = {}
        self._fresh: list[tuple[str, Method, Subscription[Any]]] = []
        self._stream: GuardedStream = websocket.scope["state"][STREAM]
        self._lock = trio.Lock()
        self._wake = trio.Event()

    async def run(self) -> None:
        """Serve until either side closes."""
        await self._websocket.accept()
        self._gate.sessions += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notify)
                with suppress(WebSocketDisconnect):
                    await self._read()
                nursery.cancel_scope.cancel()
        finally:
            self._gate.sessions -= 1

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            body = text.encode() if text is not None else message.get("bytes") or b""
            pause, batch = trio.lowlevel.checkpoint, self._gate.limits.batch
            response = await answer(self._table, self._node, body, pause, self._caller, batch)
            if response is not None:
                await self._send(response)
            self._start_fresh()

    async def _send(self, data: bytes) -> None:
        await take(self._lock)
        try:
            await self._websocket.send_text(data.decode())
        finally:
            self._lock.release()

    # --- subscriptions

    def subscribe(self, method: Method, subscription: Subscription[Any]) -> str:
        """Take a subscription; it speaks only after the answer that names it. Raises `RpcError` when there are too
        many."""
        if len(self._subscriptions) + len(self._fresh) >= self._gate.limits.subscriptions:
            reason = f"at most {self._gate.limits.subscriptions} subscriptions are allowed on one connection"
            raise RpcError(TOO_MANY_SUBSCRIPTIONS, f"Too many subscriptions: {reason}")
        identity = secrets.token_urlsafe(12)
        self._fresh.append((identity, method, subscription))
        return identity

    def unsubscribe(self, method: Method, identity: str) -> bool:
        """End a subscription of the kind that ``method`` ends; whether there was one."""
        for name, (begun, _) in self._subscriptions.items():
            if name == identity and begun.unsubscribe == method.name:
                del self._subscriptions[name]
                return True
        return False

    def _start_fresh(self) -> None:
        if self._fresh:
            for identity, method, subscription in self._fresh:
                self._subscriptions[identity] = (method, subscription)
            self._fresh.clear()
            self._wake.set()

    async def _notify(self) -> None:
        """Ask every subscription for news whenever the chain changed, and send all of them together."""
        self._node.bell.listeners.add(self._ring)
        try:
            while True:
                self._wake = trio.Event()
                with self._stream.corked():
                    for identity, (method, subscription) in list(self._subscriptions.items()):
                        await self._poll(identity, method, subscription)
                    await self._stream.uncork()
                await trio.sleep(PAUSE_SECONDS)
                await self._wake.wait()
        finally:
            self._node.bell.listeners.discard(self._ring)

    def _ring(self) -> None:
        self._wake.set()

    async def _poll(self, identity: str, method: Method, subscription: Subscription[Any]) -> None:
        for turn in count():
            if identity not in self._subscriptions:
                return
            if turn > 1:
                await trio.lowlevel.checkpoint()
            results = subscription.poll(self._node)
            for result in results:
                await self._send(_notification(method.notification, identity, result))
            if subscription.is_over:
                self._subscriptions.pop(identity, None)
            if not results:
                return


def _notification(method: str, identity: str, result: Any) -> bytes:
    head = f'{{"jsonrpc":"2.0","method":"{method}","params":{{"subscription":"{identity}","result":'
    return head.encode() + _shared.encode(result) + b"}}"
