"""One question and its answer, on a stream of its own.

Everything on the stream is a message: its length in four bytes, then its bytes. The asker sends the question, and
from then on one *credit* (an empty message) for each chunk that it is ready to read; a chunk has a status byte in
front: a chunk, the end, or a refusal with its reason. A sender that is not being read would otherwise be cut off
after five seconds [12], and a slow reader would hold megabytes. Asking for less than everything is how a long answer
is resumed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID

from p2p.containment import GuardedHost, protocol_name
from p2p.interface import (
    AnswerInvalid,
    Limits,
    NetworkError,
    PeerId,
    RequestFailed,
    RequestRefused,
    RequestTimedOut,
    StreamHandler,
)

_log = logging.getLogger(__name__)
_CHUNK, _END, _REFUSAL = 0, 1, 2
_REASON_BYTES = 256
_OPEN_SECONDS = 10.0
_RESET_SECONDS = 2.0
_READ_BYTES = 256 * 1024
STREAM_ERRORS = (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError, KeyError, OSError)
"""What the library raises when a stream or connection ends; the last two come from races with its own cleaning up."""


class Malformed(NetworkError):
    """The other side does not keep to the format, or to a limit."""


class Pipe:
    """One of the library's streams, read and written by message. Mutable."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def receive_exactly(self, size: int) -> bytes:
        """Return ``size`` bytes. Raises one of the library's errors when the stream ends before."""
        while len(self._buffer) < size:
            self._buffer += await self._stream.read(_READ_BYTES)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def receive(self, most: int) -> bytes:
        """Return the next message. Raises `Malformed` when it is longer than ``most``."""
        size = int.from_bytes(await self.receive_exactly(4), "big")
        if size > most:
            raise Malformed(f"a message of {size} bytes where {most} are allowed")
        return await self.receive_exactly(size)

    async def receive_varint_prefixed(self, most: int) -> bytes:
        """Return the next message as libp2p's own protocols write them: its length in base 128."""
        size = shift = 0
        while True:
            digit = (await self.receive_exactly(1))[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if size > most or shift > 35:
                raise Malformed(f"a message of {size} bytes or more where {most} are allowed")
            if digit < 0x80:
                return await self.receive_exactly(size)

    async def send(self, data: bytes) -> None:
        await self._stream.write(len(data).to_bytes(4, "big") + data)

    async def send_raw(self, data: bytes) -> None:
        await self._stream.write(data)


@asynccontextmanager
async def open_pipe(host: GuardedHost, peer: PeerId, protocol: str) -> AsyncIterator[Pipe]:
    """Open a stream for a protocol; at the end of the context it is over, whatever happened [13]."""
    stream: Any = None
    if not host.get_network().get_connections(ID.from_base58(peer)):
        raise RequestFailed(f"{protocol}: the peer has gone")  # the library would dial it
    with trio.move_on_after(_OPEN_SECONDS, shield=True):  # half an opening would leak its place in the multiplexer
        stream = await host.new_stream(ID.from_base58(peer), [protocol_name(protocol)])
    if stream is None:
        raise RequestTimedOut(f"{protocol}: the peer opens no stream")
    try:
        yield Pipe(stream)
    finally:
        with trio.move_on_after(_RESET_SECONDS, shield=True):
            await stream.reset()


async def _ask_for_chunk(pipe: Pipe, limit: int) -> bytes | None:
    """Spend one credit; return the chunk, or None at the end."""
    await pipe.send(b"")
    message = await pipe.receive(1 + max(limit, _REASON_BYTES))
    status = message[0] if message else None
    if status == _END:
        return None
    if status == _REFUSAL:
        raise RequestRefused(message[1:].decode(errors="replace"))
    if status != _CHUNK or len(message) > limit + 1:
        raise AnswerInvalid(f"{len(message)} bytes with status {status} where a chunk of {limit} is allowed")
    return message[1:]


@asynccontextmanager
async def ask(
    host: GuardedHost, peer: PeerId, protocol: str, payload: bytes, limit: int, timeout: float
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Ask, and yield the chunks of the answer. Raises `RequestFailed`."""

    async def chunks(pipe: Pipe) -> AsyncGenerator[bytes, None]:
        left = limit
        while True:
            with _told(protocol), trio.fail_after(timeout):
                chunk = await _ask_for_chunk(pipe, left)
            if chunk is None:
                return
            left -= len(chunk)
            yield chunk

    with _told(protocol):
        async with open_pipe(host, peer, protocol) as pipe:
            with trio.fail_after(timeout):
                await pipe.send(payload)
            async with aclosing(chunks(pipe)) as answer:
                yield answer


class _told:
    """Turns what goes wrong on a stream into what a caller of `ask` is told."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, trio.TooSlowError):
            raise RequestTimedOut(f"{self._protocol}: no answer in time") from None
        if isinstance(error, Malformed):
            raise AnswerInvalid(f"{self._protocol}: {error}") from None
        if isinstance(error, STREAM_ERRORS):
            raise RequestFailed(f"{self._protocol}: {error or type(error).__name__}") from None


class Responder:
    """Answers what peers ask. Mutable; it counts the requests that each peer has open."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.handlers: dict[str, StreamHandler] = {}
        self._open: dict[PeerId, int] = {}

    async def respond(self, protocol: str, stream: Any) -> None:
        """Serve one of the library's streams, to its end."""
        peer: PeerId = stream.muxed_conn.peer_id.to_base58()
        pipe = Pipe(stream)
        count = self._open.get(peer, 0)
        self._open[peer] = count + 1
        try:
            with trio.fail_after(self._limits.request_seconds):
                payload = await pipe.receive(self._limits.request_bytes)
            try:
                if count >= self._limits.requests_per_peer:
                    raise RequestRefused("busy")
                async with aclosing(self.handlers[protocol](peer, payload)) as chunks:
                    async for chunk in chunks:
                        await self._send(pipe, _CHUNK, chunk)
                await self._send(pipe, _END, b"")
            except RequestRefused as refusal:
                await self._send(pipe, _REFUSAL, str(refusal).encode()[:_REASON_BYTES])
            except (Malformed, trio.TooSlowError, *STREAM_ERRORS):
                raise
            except Exception:
                _log.exception("a handler of %s failed", protocol)
                await self._send(pipe, _REFUSAL, b"failed")
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]
            with trio.move_on_after(_RESET_SECONDS, shield=True):
                await stream.close()
        with trio.move_on_after(self._limits.request_seconds):
            await pipe.receive(0)
        await stream.reset()

    async def _send(self, pipe: Pipe, status: int, body: bytes) -> None:
        """Wait for a credit and spend it."""
        with trio.fail_after(self._limits.request_seconds):
            await pipe.receive(0)
        with trio.fail_after(self._limits.request_seconds):
            await pipe.send(bytes((status,)) + body)
