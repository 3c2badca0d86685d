"""The explorer's files, ``rpc/explorer/``: served as they are, with headers that let them load and run nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOLDER = Path(__file__).parent / "explorer"
NAME = re.compile(r"(?:[a-z0-9_-]+/)?[a-z0-9_-]+\.(html|js|css|svg|json)")
TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "json": "application/json",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss: http: https:; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
NOTHING = "This is a Solvent node. It answers JSON-RPC 2.0: POST to this address, or open a WebSocket here.\n"


async def serve_page(request: Request) -> Response:
    """``/`` is ``index.html``; other files by their names."""
    name = request.path_params.get("name") or "index.html"
    match = NAME.fullmatch(name)
    path = FOLDER / name
    if match is None or not path.is_file():
        status = 200 if name == "index.html" else 404
        return PlainTextResponse(NOTHING if status == 200 else "there is no such file\n", status, HEADERS)
    return Response(path.read_bytes(), headers=HEADERS, media_type=TYPES[match.group(1)])
