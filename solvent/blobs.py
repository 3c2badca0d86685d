"""Storing and reading blobs at a node: verified, and resumed where a transfer broke off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx

from runtime.blob_access import upload_message
from runtime.commitments import CHUNK_BYTES, chunk_leaf, tensor_root
from runtime.crypto import public_key, sign, to_ss58
from runtime.trees import Tree
from solvent.errors import BadAnswer, BlobFailed
from solvent.transport import Transport

PIECE_BYTES = 256 * 1024
MAX_RESUMES = 20
"""A transfer that breaks off more often than this is given up."""


def root_of_file(path: Path) -> bytes:
    """The blob root of a file, read in pieces."""
    leaves = []
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            view = memoryview(piece)
            leaves += [chunk_leaf(view[start : start + CHUNK_BYTES]) for start in range(0, len(piece), CHUNK_BYTES)]
    return Tree(leaves or [chunk_leaf(b"")]).root


def put_blob(transport: Transport, genesis_hash: bytes, data: bytes | Path, seed: bytes) -> bytes:
    """Store bytes or a file and return its root. An upload that broke off continues where the node's part ends."""
    root = root_of_file(data) if isinstance(data, Path) else tensor_root(data)
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    signature = sign(seed, upload_message(genesis_hash, root, size)).hex()
    authorization = f"Solvent {to_ss58(public_key(seed))} {signature}"
    broken = 0

    def attempt() -> bool:
        """Upload what the node lacks; whether the blob is whole there now."""
        nonlocal broken
        broken += 1
        asking = {"Authorization": authorization, "Content-Range": f"bytes */{size}"}
        kept = transport.http.put(f"/blobs/{root.hex()}", headers=asking)
        if kept.status_code == 200:
            return True
        if kept.status_code != 202:
            raise BlobFailed(kept.status_code, _reason(kept))
        offset = int(kept.headers.get("Upload-Offset", "0"))
        if offset >= size:
            offset = 0
        headers = {"Authorization": authorization, "Content-Length": str(size - offset)}
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{size - 1}/{size}"
        answer = transport.http.put(f"/blobs/{root.hex()}", content=_pieces(data, offset), headers=headers)
        if answer.status_code in (200, 201):
            return True
        if answer.status_code in (202, 409) and broken < MAX_RESUMES:
            return False
        raise BlobFailed(answer.status_code, _reason(answer))

    while not transport.retry(attempt):
        pass
    return root


def _pieces(data: bytes | Path, offset: int) -> Iterator[bytes]:
    if isinstance(data, bytes):
        for start in range(offset, len(data), PIECE_BYTES):
            yield data[start : start + PIECE_BYTES]
        return
    with data.open("rb") as file:
        file.seek(offset)
        while piece := file.read(PIECE_BYTES):
            yield piece


def get_blob(transport: Transport, root: bytes, max_bytes: int) -> bytes:
    """The bytes of a blob, checked against its root; at most ``max_bytes`` are accepted."""
    received = bytearray()

    def attempt() -> None:
        headers = {"Range": f"bytes={len(received)}-"} if received else {}
        with transport.http.stream("GET", f"/blobs/{root.hex()}", headers=headers) as answer:
            if answer.status_code not in (200, 206):
                answer.read()
                raise BlobFailed(answer.status_code, f"blob {root.hex()}: {_reason(answer)}")
            if answer.status_code == 200:
                received.clear()
            if len(received) + int(answer.headers.get("Content-Length", "0")) > max_bytes:
                raise BlobFailed(413, f"blob {root.hex()} has more than the {max_bytes} bytes asked for")
            for piece in answer.iter_bytes():
                received.extend(piece)
                if len(received) > max_bytes:
                    raise BlobFailed(413, f"blob {root.hex()} has more than the {max_bytes} bytes asked for")

    transport.retry(attempt)
    data = bytes(received)
    if tensor_root(data) != root:
        raise BadAnswer(f"the node sent {len(data)} bytes that are not blob {root.hex()}")
    return data


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
