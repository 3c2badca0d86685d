"""Blobs over HTTP: resumable ``PUT``, and ``GET``/``HEAD`` with ranges, at ``/blobs/<root as 64 hex digits>``.

A ``PUT`` is signed: ``Authorization: Solvent <SS58 address> <signature hex>`` over
`runtime.blob_access.upload_message`. To resume, ask ``HEAD``: a blob that is not whole answers 404 with
``Upload-Offset``; send the rest with ``Content-Range: bytes OFFSET-LAST/SIZE``. Bytes that do not hash to the root are
thrown away with 422.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from rpc.view import NodeView, UploadView
from runtime.blob_access import upload_message
from runtime.crypto import from_ss58, verify
from runtime.errors import SolventError

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_STATUS_OF_ERROR = {
    "BlobMismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
    "BlobQuotaExceeded": HTTPStatus.INSUFFICIENT_STORAGE,
    "BlobOffsetMismatch": HTTPStatus.CONFLICT,
    "BlobBusy": HTTPStatus.CONFLICT,
}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


def _root(request: Request) -> bytes | None:
    text = request.path_params["root"].removeprefix("0x")
    return bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text) else None


async def handle_blob(node: NodeView, request: Request) -> Response:
    """Answer any request under ``/blobs/``."""
    root = _root(request)
    if root is None:
        return _error(400, "a blob is named by the 64 hex digits of its root")
    return await _put(node, request, root) if request.method == "PUT" else _get(node, request, root)


def _get(node: NodeView, request: Request, root: bytes) -> Response:
    size = node.blobs.size(root)
    if size is None:
        offset = node.blobs.partial_size(root)
        return _error(404, "this node does not hold that blob", {"Upload-Offset": str(offset)})
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{root.hex()}"', "Content-Type": "application/octet-stream"}
    asked = request.headers.get("range")
    span = _parse_range(asked, size) if asked else (0, size)
    if span is None:
        return _error(416, f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"})
    start, end = span
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = 206 if asked else 200
    if request.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(_stream(node.blobs.read(root, start, end)), status, headers)


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    """(start, end) of a single satisfiable range, else None."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None


async def _stream(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await trio.lowlevel.checkpoint()


async def _put(node: NodeView, request: Request, root: bytes) -> Response:
    extent = _extent(request)
    if isinstance(extent, str):
        return _error(411 if "content-length" not in request.headers else 400, extent)
    offset, size = extent
    owner = _authorised_account(node, request, root, size)
    if owner is None:
        return _error(401, "PUT is signed by an account of this chain: Authorization: Solvent ADDRESS SIGNATURE")
    if not node.may_upload(from_ss58(owner)):
        return _error(403, f"{owner} may not store blobs here: the account does not exist on the chain")
    if node.blobs.size(root) is not None:
        return Response(None, 200)
    try:
        upload = node.blobs.begin(root, size, owner, offset)
        return await _receive(request, upload, size)
    except SolventError as error:
        status = _STATUS_OF_ERROR.get(type(error).__name__, HTTPStatus.BAD_REQUEST)
        kept = node.blobs.partial_size(root)
        return _error(status, str(error), {"Upload-Offset": str(kept)})


async def _receive(request: Request, upload: UploadView, size: int) -> Response:
    """Write the body; a part that breaks off is kept for the next try, a false one is not."""
    done = False
    try:
        async with contextlib.aclosing(request.stream()) as pieces:
            async for piece in pieces:
                upload.write(piece)
        if upload.offset == size:
            for _ in upload.verify():
                await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(upload.sync)
            upload.finish()
            done = True
            return Response(None, 201)
        return Response(None, 202, {"Upload-Offset": str(upload.offset)})
    except ClientDisconnect:
        return Response(None, 400)
    finally:
        if not done:
            with contextlib.suppress(OSError):
                upload.suspend()


def _extent(request: Request) -> tuple[int, int] | str:
    """(offset, total size) of an upload, or what is wrong with its headers."""
    length = request.headers.get("content-length", "")
    if not re.fullmatch(r"\d{1,18}", length):
        return "PUT needs a Content-Length"
    content_range = request.headers.get("content-range")
    if content_range is None:
        return 0, int(length)
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None:
        return "Content-Range looks like: bytes 0-99/200"
    first, last, size = (int(group) for group in match.groups())
    if last >= size or last - first + 1 != int(length):
        return "Content-Range and Content-Length do not agree"
    return first, size


def _authorised_account(node: NodeView, request: Request, root: bytes, size: int) -> str | None:
    """The address that signed this upload, or None."""
    match = re.fullmatch(r"Solvent (\S{1,60}) ([0-9a-fA-F]{128})", request.headers.get("authorization", ""))
    if match is None:
        return None
    address, signature = match.groups()
    try:
        account = from_ss58(address)
    except SolventError:
        return None
    message = upload_message(node.ledger.genesis_hash, root, size)
    return address if verify(account, bytes.fromhex(signature), message) else None
