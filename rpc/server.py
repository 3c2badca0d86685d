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
from contextlib import aclosing
from dataclasses import dataclass, field

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from rpc.blobs import handle_blob
from rpc.connections import Gate, GuardedStream, RpcLimits, serve_connections
from rpc.draining import drained
from rpc.health import check_health
from rpc.methods import TABLE
from rpc.metrics import build_metrics_app
from rpc.origins import Origins, cors_headers
from rpc.page import serve_page
from rpc.protocol import Caller, answer, too_big
from rpc.view import NodeView
from rpc.websocket import Session
from runtime.errors import SolventError

JSON_TYPE = "application/json"
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


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """What is served to whom. ``origins`` are the web pages that may ask, see `rpc.origins`."""

    limits: RpcLimits = field(default_factory=RpcLimits)
    origins: tuple[str, ...] = ()
    allows_unsafe: bool = True


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
            Route("/", self._rpc, methods=["POST"]),
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
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(cors_headers(origin))
                await send(message)

            await app(scope, receive, send_with_headers)

        return with_origin

    def _caller(self, connection: HTTPConnection) -> Caller:
        address = connection.client.host if connection.client else ""
        return Caller(address, self._may_call, self.settings.allows_unsafe, None, self.gate.count)

    def _may_call(self, address: str) -> bool:
        return self.gate.may_call(address, trio.current_time())

    async def _rpc(self, request: Request) -> Response:
        limits = self.settings.limits
        body = bytearray()
        try:
            with trio.fail_after(BODY_SECONDS):
                async with aclosing(request.stream()) as pieces:
                    async for piece in pieces:
                        body += piece
                        if len(body) > limits.message_bytes:
                            return Response(too_big(limits.message_bytes), 413, media_type=JSON_TYPE)
        except ClientDisconnect:
            return Response(None, 400)
        except trio.TooSlowError:
            return PlainTextResponse("the request took too long\n", 408, {"Connection": "close"})
        pause = trio.lowlevel.checkpoint
        content = await answer(TABLE, self.node, bytes(body), pause, self._caller(request), limits.batch)
        if content is None:
            return Response(None, 204)
        return Response(content, media_type=JSON_TYPE)

    async def _websocket(self, websocket: WebSocket) -> None:
        await Session(TABLE, self.node, self.gate, websocket, self._caller(websocket)).run()

    async def _health(self, request: Request) -> Response:
        health = check_health(self.node)
        return JSONResponse(health, 503 if health["problems"] else 200)

    async def _blob(self, request: Request) -> Response:
        return await handle_blob(self.node, request)


class Connection(TCPServer):
    """hypercorn's connection, which neither outlives its peer nor waits for itself.

    Left alone it waits for its idle timeout even when the peer is gone; and a send that breaks tells the application
    so, inside the very call for which the application waits.
    """

    _has_ended = False

    async def protocol_send(self, event: Event) -> None:
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        try:
            async with self.send_lock:
                with trio.CancelScope(shield=True):
                    await self.stream.send_all(event.data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._task_group.spawn(self._on_broken)

    async def _on_broken(self) -> None:
        await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        await super()._read_data()
        self._has_ended = True
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        if not self._has_ended:
            await super()._idle_timeout()


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
        await Connection(wrapped, config, context, ConnectionState({}), stream)  # type: ignore[arg-type]

    socket_listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    await serve_connections(socket_listener, gate, handle, stop, context.terminated.set, GRACE_SECONDS)
