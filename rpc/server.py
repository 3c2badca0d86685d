"""The server: JSON-RPC on ``/`` by ``POST`` and WebSocket, the explorer's page, ``/health``, ``/blobs``. Starlette on
hypercorn's protocols.

The listening socket is bound before the server starts, so that a taken port is an error of the node's start and not a
stack trace from a background task.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from rpc.blobs import handle_blob
from rpc.connections import Gate, GuardedStream, serve_connections
from rpc.draining import STREAM, drained, is_call
from rpc.health import check_health
from rpc.http import Connection
from rpc.methods import TABLE
from rpc.metrics import build_metrics_app
from rpc.origins import Origins, cors_headers
from rpc.page import serve_page
from rpc.protocol import Caller, answer, too_big
from rpc.settings import RpcLimits, RpcSettings
from rpc.view import NodeView
from rpc.websocket import Session
from runtime.errors import SolventError

JSON_TYPE = "application/json"
JSON_HEADER = (b"content-type", b"application/json")
BODY_SECONDS = 60.0
"""How long the body of a call may take to arrive."""
GRACE_SECONDS = 1.0
"""How long a stopping node waits for answers under way."""


class PortUnavailable(SolventError):
    """The RPC port cannot be listened on."""


def bind_socket(host: str, port: int, option: str = "--rpc-port") -> socket.socket:
    """A bound TCP socket; port 0 takes any free one. Raises `PortUnavailable`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = f"another program listens there; choose another with {option}"
        else:
            reason = error.strerror or str(error)
        raise PortUnavailable(f"cannot listen on {host}:{port}: {reason}") from None
    listener.setblocking(False)
    return listener


class Server:
    """Answers HTTP and WebSocket requests over one node. Mutable: its gate counts."""

    def __init__(self, node: NodeView, settings: RpcSettings) -> None:
        self.node, self.settings = node, settings
        self.gate = Gate(settings.limits)
        self._origins = Origins(settings.origins)

    def build_app(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            WebSocketRoute("/", self._websocket),
            Route("/", serve_page, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/blobs/{root}", self._blob, methods=["GET", "HEAD", "PUT"]),
            Route("/{name:path}", serve_page, methods=["GET"]),
        ]
        app = Starlette(routes=routes)

        async def with_origin(scope: Scope, receive: Receive, send: Send) -> None:
            """Refuse pages that may not ask, and let the others read the answer."""
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if not self._origins.allows(origin, headers.get("host")):
                refusal = PlainTextResponse(f"pages of {origin} may not use this node; see --rpc-cors\n", 403)
                await refusal(scope, receive, send)
                return
            if scope["type"] == "http" and scope["method"] == "OPTIONS":
                await Response(None, 204, cors_headers(origin))(scope, receive, send)
                return

            async def send_with_headers(message: Message) -> None:
                if origin is not None and message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(cors_headers(origin))
                await send(message)

            await (self._rpc if is_call(scope) else app)(scope, receive, send_with_headers)

        return with_origin

    def _caller(self, address: str) -> Caller:
        return Caller(address, self._may_call, self.settings.allows_unsafe, None, self.gate.count)

    def _may_call(self, address: str) -> bool:
        return self.gate.may_call(address, trio.current_time())

    async def _rpc(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a ``POST`` of JSON-RPC, without the ways round that a framework takes."""
        body = bytearray()
        with trio.move_on_after(BODY_SECONDS) as patience:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                if len(body) > self.settings.limits.message_bytes:
                    refusal = Response(too_big(self.settings.limits.message_bytes), 413, media_type=JSON_TYPE)
                    await refusal(scope, receive, send)
                    return
                more = message.get("more_body", False)
        if patience.cancelled_caught:
            late = PlainTextResponse("the request took too long\n", 408, {"Connection": "close"})
            await late(scope, receive, send)
            return
        host = scope["client"][0] if scope.get("client") else ""
        pause, batch = trio.lowlevel.checkpoint, self.settings.limits.batch
        content = await answer(TABLE, self.node, bytes(body), pause, self._caller(host), batch)
        headers = [] if content is None else [(b"content-length", str(len(content)).encode()), JSON_HEADER]
        await send({"type": "http.response.start", "status": 204 if content is None else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content or b""})

    async def _websocket(self, websocket: WebSocket) -> None:
        address = websocket.client.host if websocket.client else ""
        await Session(TABLE, self.node, self.gate, websocket, self._caller(address)).run()

    async def _health(self, request: Request) -> Response:
        health = check_health(self.node)
        return JSONResponse(health, 503 if health["problems"] else 200)

    async def _blob(self, request: Request) -> Response:
        return await handle_blob(self.node, request)


async def serve_rpc(
    node: NodeView,
    listener: socket.socket,
    stop: Callable[[], Awaitable[None]],
    settings: RpcSettings | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on a bound socket until ``stop`` returns.

    hypercorn speaks HTTP and WebSocket on each connection; the connections themselves are `rpc.connections`' business.
    """
    server = Server(node, settings or RpcSettings())
    task_status.started(server)
    await _serve(server.build_app(), server.gate, listener, stop)


async def serve_metrics(
    node: NodeView, gate: Gate, listener: socket.socket, stop: Callable[[], Awaitable[None]]
) -> None:
    """Answer Prometheus on a bound socket until ``stop`` returns; ``gate`` is that of the RPC server."""
    await _serve(build_metrics_app(node, gate), Gate(RpcLimits(connections=8)), listener, stop)


async def _serve(app: ASGIApp, gate: Gate, listener: socket.socket, stop: Callable[[], Awaitable[None]]) -> None:
    config = Config()
    config.errorlog = logging.getLogger("solvent.http")
    config.include_server_header = False
    config.keep_alive_timeout = 75.0
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = 64 * 1024
    config.max_app_queue_size = 1
    config.websocket_max_message_size = gate.limits.message_bytes
    wrapped, context = ASGIWrapper(drained(app)), WorkerContext(None)  # type: ignore[arg-type]

    async def handle(stream: GuardedStream) -> None:
        await Connection(wrapped, config, context, ConnectionState({STREAM: stream}), stream)  # type: ignore[arg-type]

    socket_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    await serve_connections(socket_listener, gate, handle, stop, context.terminated.set, GRACE_SECONDS)
