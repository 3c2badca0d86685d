"""Blobs over HTTP: resumable ``PUT``, and ``GET``/``HEAD`` with ranges, at ``/blobs/<root as 64 hex digits>``.

A ``PUT`` is signed: ``Authorization: Solvent <SS58 address> <signature hex>`` over
`runtime.blob_access.upload_message`. An empty one with ``Content-Range: bytes */SIZE`` asks what the node has of the
upload: 200 means all of it (and that it counts as the signer's from now on), 202 tells ``Upload-Offset``; send the rest
with ``Content-Range: bytes OFFSET-LAST/SIZE``. Bytes that do not hash to the root are thrown away with 422.

``GET`` and ``HEAD`` of a blob that the node does not hold make it look among its peers: 404 says that none holds it,
504 that they do but stopped sending it, 503 that too many are fetched already, 507 that there is no room. The answer
begins once the size is proven, and its bytes follow as they arrive; should they stop, the connection ends early, and a
``GET`` of the rest goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import re
from http import HTTPStatus

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from rpc.view import NodeView, UploadView
from runtime.blob_access import upload_message
from runtime.crypto import from_ss58, verify
from runtime.errors import SolventError

_log = logging.getLogger("solvent.http")
_ASKS_OFFSET = re.compile(r"bytes \*/(\d{1,18})")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_STATUS_OF_ERROR = {
    "BlobMismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
    "BlobQuotaExceeded": HTTPStatus.INSUFFICIENT_STORAGE,
    "BlobDiskFull": HTTPStatus.INSUFFICIENT_STORAGE,
    "BlobOffsetMismatch": HTTPStatus.CONFLICT,
    "BlobBusy": HTTPStatus.CONFLICT,
    "BlobMissing": HTTPStatus.NOT_FOUND,
    "BlobUnavailable": HTTPStatus.GATEWAY_TIMEOUT,
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
    return await _put(node, request, root) if request.method == "PUT" else await _get(node, request, root)


class _BlobResponse(StreamingResponse):
    """A stream that is closed with its connection, and that closes it when the bytes stop coming."""

    async def stream_response(self, send: Send) -> None:
        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]
            try:
                await super().stream_response(send)
            except SolventError as error:
                _log.info("an answer breaks off: %s", error)  # without its last message, the server hangs up


async def _get(node: NodeView, request: Request, root: bytes) -> Response:
    try:
        blob = await node.find_blob(root)
    except SolventError as error:
        status = _STATUS_OF_ERROR.get(type(error).__name__, HTTPStatus.INTERNAL_SERVER_ERROR)
        status = HTTPStatus.SERVICE_UNAVAILABLE if status == HTTPStatus.CONFLICT else status
        return _error(status, str(error), {"Upload-Offset": str(node.blobs.partial_size(root))})
    size = blob.size
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{root.hex()}"', "Content-Type": "application/octet-stream"}
    asked = request.headers.get("range")
    span = _parse_range(asked, size) if asked else (0, size)
    if span is None:
        return _error(416, f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"})
    start, end = span
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK
    if request.method == "HEAD":
        return Response(None, status, headers)
    return _BlobResponse(blob.read(start, end), status, headers)


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
    try:
        if node.blobs.size(root) is not None:
            node.blobs.adopt(root, owner)
            return Response(None, 200)
        if offset is None:
            return Response(None, 202, {"Upload-Offset": str(node.blobs.partial_size(root))})
        upload = node.blobs.begin(root, size, owner, offset)
        return await _receive(request, upload, size)
    except SolventError as error:
        status = _STATUS_OF_ERROR.get(type(error).__name__, HTTPStatus.BAD_REQUEST)
        kept = node.blobs.partial_size(root)
        return _error(status, str(error), {"Upload-Offset": str(kept)})
    except OSError as error:
        return _error(
            HTTPStatus.INSUFFICIENT_STORAGE, f"the blob cannot be stored on the node's disk: {error.strerror}"
        )


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


def _extent(request: Request) -> tuple[int | None, int] | str:
    """(offset, total size) of an upload, or what is wrong with its headers; no offset when it asks for that."""
    length = request.headers.get("content-length", "")
    if not re.fullmatch(r"\d{1,18}", length):
        return "PUT needs a Content-Length"
    content_range = request.headers.get("content-range")
    if content_range is None:
        return 0, int(length)
    match = _ASKS_OFFSET.fullmatch(content_range)
    if match is not None and int(length) == 0:
        return None, int(match[1])
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
