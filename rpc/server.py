"""The HTTP server: ``POST /`` for JSON-RPC, ``/health``, and ``/blobs``. Starlette on hypercorn's trio worker.

The listening socket is bound before the server starts, so that a taken port is an error of the node's start and not a
stack trace from a background task.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rpc.blobs import handle_blob
from rpc.methods import TABLE
from rpc.page import serve_page
from rpc.protocol import MAX_BODY_BYTES, answer, too_big
from rpc.view import NodeView
from runtime.errors import SolventError

JSON_TYPE = "application/json"


class PortUnavailable(SolventError):
    """The RPC port cannot be listened on."""


def bind_socket(host: str, port: int) -> socket.socket:
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
            reason = "another program listens there; choose another with --rpc-port"
        else:
            reason = error.strerror or str(error)
        raise PortUnavailable(f"cannot serve RPC on {host}:{port}: {reason}") from None
    listener.setblocking(False)
    return listener


def build_app(node: NodeView) -> Starlette:
    """The ASGI application over a node."""

    async def rpc(request: Request) -> Response:
        body = bytearray()
        try:
            async with aclosing(request.stream()) as pieces:
                async for piece in pieces:
                    body += piece
                    if len(body) > MAX_BODY_BYTES:
                        return Response(too_big(), 413, media_type=JSON_TYPE)
        except ClientDisconnect:
            return Response(None, 400)
        content = await answer(TABLE, node, bytes(body), trio.lowlevel.checkpoint)
        if content is None:
            return Response(None, 204)
        return Response(content, media_type=JSON_TYPE)

    async def health(request: Request) -> Response:
        ledger = node.ledger
        return JSONResponse({"status": "ok", "best": ledger.head_number, "finalized": ledger.finalized_number})

    async def blob(request: Request) -> Response:
        return await handle_blob(node, request)

    return Starlette(
        routes=[
            Route("/", rpc, methods=["POST"]),
            Route("/", serve_page, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/blobs/{root}", blob, methods=["GET", "HEAD", "PUT"]),
            Route("/{name:path}", serve_page, methods=["GET"]),
        ]
    )


async def serve_rpc(
    node: NodeView,
    listener: socket.socket,
    stop: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on a bound socket until ``stop`` returns."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("solvent.http")
    config.include_server_header = False
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = 75.0
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = 64 * 1024
    await serve(build_app(node), config, shutdown_trigger=stop, task_status=task_status)  # type: ignore[arg-type]
