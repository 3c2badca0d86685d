"""What an ASGI application leaves unread must still be taken from hypercorn, whose reader waits for room in a short
queue, and would wait for ever behind an application that has answered already and reads no more."""

from __future__ import annotations

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LAST_SECONDS = 2.0
"""How long a closing WebSocket is listened to."""


def drained(app: ASGIApp) -> ASGIApp:
    """The same application, whose leftovers are thrown away."""

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        gone = trio.Event()

        async def receive_noting() -> Message:
            message = await receive()
            if message["type"].endswith(".disconnect"):
                gone.set()
            return message

        async def send_draining(message: Message) -> None:
            """The end of an answer waits for the queue; so does a close."""
            is_end = message["type"].endswith("response.body") and not message.get("more_body", False)
            if not is_end and message["type"] != "websocket.close":
                await send(message)
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drain, receive_noting)
                await send(message)
                nursery.cancel_scope.cancel()

        try:
            await app(scope, receive_noting, send_draining)
        finally:
            if scope["type"] == "websocket" and not gone.is_set():
                with trio.move_on_after(LAST_SECONDS, shield=True):
                    await send_draining({"type": "websocket.close", "code": 1011})
                    while not gone.is_set():
                        await receive_noting()

    return wrapper


async def _drain(receive: Receive) -> None:
    while True:
        await receive()
