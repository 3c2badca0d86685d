"""What an ASGI application leaves unread must still be taken from hypercorn, whose reader waits for room in a short
queue, and would wait for ever behind an application that has answered already and reads no more. Here, too, what a
connection makes the node hold is settled once the application is done with it."""

from __future__ import annotations

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rpc.connections import LAST_SECONDS

STREAM = "stream"
"""Where a scope's state has the connection's `rpc.connections.GuardedStream`."""


def is_call(scope: Scope) -> bool:
    """Whether it is a call of JSON-RPC by ``POST``, whose body is collected whole."""
    return bool(scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/")


def drained(app: ASGIApp) -> ASGIApp:
    """The same application, whose leftovers are thrown away."""

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        gone, stream = trio.Event(), scope["state"][STREAM]
        is_whole = False

        async def receive_noting() -> Message:
            """What the application had before is settled: it has stored or answered that."""
            nonlocal is_whole
            if not is_call(scope):
                stream.settle()
            message = await receive()
            if message["type"].endswith(".disconnect"):
                gone.set()
            is_whole = message["type"] == "http.request" and not message.get("more_body", False)
            return message

        async def send_draining(message: Message) -> None:
            """The end of an answer waits for the queue; so does a close."""
            is_end = message["type"].endswith("response.body") and not message.get("more_body", False)
            if (not is_end or is_whole) and message["type"] != "websocket.close":
                await send(message)
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drain, receive_noting)
                await send(message)
                nursery.cancel_scope.cancel()

        try:
            if scope["type"] == "websocket":
                # Of one that sent data before it was accepted, hypercorn does not say that it has gone.
                with stream.ending():
                    await app(scope, receive_noting, send_draining)
            else:
                await app(scope, receive_noting, send_draining)
        finally:
            stream.settle()
            if scope["type"] == "websocket" and not gone.is_set():
                with trio.move_on_after(LAST_SECONDS, shield=True):
                    await send_draining({"type": "websocket.close", "code": 1011})
                    while not gone.is_set():
                        await receive_noting()

    return wrapper


async def _drain(receive: Receive) -> None:
    while True:
        await receive()
