"""Connections to the RPC port: how many there may be, how slow they may read, and that none of them can hurt the node.

- At most ``connections`` at once, and half of that from one address elsewhere; more are closed as they come.
- Together they may make the node hold `RpcLimits.held_bytes`; past that, whoever holds more than an equal share is cut
  off, so that short requests go on while somebody floods.
- Whoever reads slower than `SLOWEST_READER`, or stops reading for `SEND_SECONDS`, is cut off.
- Whatever goes wrong inside one connection ends that connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

from rpc.settings import RpcLimits

SEND_SECONDS = 20.0
SLOWEST_READER = 16 * 1024
"""Bytes a second."""
LAST_SECONDS = 2.0
"""How long a WebSocket may go on when the other side has ended it."""
MAX_RATES = 4096
CORKED_BYTES = 64 * 1024

logger = logging.getLogger("solvent.rpc")


async def take(lock: trio.Lock) -> None:
    """Acquire a lock; one that is free costs no turn of the scheduler."""
    try:
        lock.acquire_nowait()
    except trio.WouldBlock:
        await lock.acquire()


class GuardedStream:
    """A TCP stream that breaks rather than wait for ever for its reader, or hold too much memory. Mutable.

    ``held`` counts the bytes that came and were not settled yet (`settle`), and those on their way out.
    """

    def __init__(self, stream: trio.SocketStream, gate: Gate) -> None:
        self._stream, self._gate = stream, gate
        self.socket = stream.socket
        self.held = self._coming = 0
        self._has_ended = False
        self._ending: set[trio.CancelScope] = set()
        self._corked: bytearray | None = None
        self._lock = trio.Lock()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As trio's. Raises `trio.BrokenResourceError` when the other side does not read."""
        if self._corked is not None:
            self._corked += data
            if len(self._corked) <= CORKED_BYTES:
                return
            data, self._corked = self._corked, bytearray()
        await self._hold(len(data))
        try:
            with trio.move_on_after(SEND_SECONDS + len(data) / SLOWEST_READER) as patience:
                await take(self._lock)
                try:
                    await self._stream.send_all(data)
                finally:
                    self._lock.release()
        finally:
            self._release(len(data))
        if patience.cancelled_caught:
            await self._break("the other side does not read")

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Collect short messages, to send them together by `uncork`."""
        self._corked = bytearray()
        try:
            yield
        finally:
            self._corked = None

    async def uncork(self) -> None:
        """Send what was collected."""
        if self._corked:
            data, self._corked = self._corked, None
            await self.send_all(data)
            self._corked = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if not data:
            self._has_ended = True
            for scope in self._ending:
                scope.deadline = trio.current_time() + LAST_SECONDS
        self._coming += len(data)
        await self._hold(len(data))
        return data

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Break off what is done inside `LAST_SECONDS` after the other side's last byte."""
        with trio.CancelScope() as scope:
            if self._has_ended:
                scope.deadline = trio.current_time() + LAST_SECONDS
            self._ending.add(scope)
            try:
                yield
            finally:
                self._ending.discard(scope)

    def settle(self) -> None:
        """What came so far is answered, or stored elsewhere."""
        self._release(self._coming)
        self._coming = 0

    async def _hold(self, count: int) -> None:
        self.held += count
        self._gate.held += count
        limits = self._gate.limits
        if self._gate.held > limits.held_bytes and self.held > limits.held_bytes // limits.connections:
            self._gate.overdrawn += 1
            await self._break(f"it makes this node hold {self.held} bytes, and all connections {self._gate.held}")

    def _release(self, count: int) -> None:
        self.held -= count
        self._gate.held -= count

    async def _break(self, reason: str) -> None:
        await trio.aclose_forcefully(self._stream)
        raise trio.BrokenResourceError(reason)

    async def send_eof(self) -> None:
        with trio.move_on_after(1):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Gate:
    """Counts connections and calls. Mutable."""

    def __init__(self, limits: RpcLimits) -> None:
        self.limits = limits
        self.open: dict[GuardedStream, str] = {}
        self.refused = 0
        self.held = self.overdrawn = 0
        """Bytes that all connections make the node hold, and how many were cut off for it."""
        self.answered: dict[tuple[str, bool], int] = {}
        """(method, whether with an error) -> how often; bounded, because unknown methods count as one."""
        self.sessions = 0
        self._allowances: dict[str, tuple[float, float]] = {}

    def admit(self, stream: GuardedStream) -> bool:
        """Whether another connection may stay."""
        address = address_of(stream)
        others = sum(other == address for other in self.open.values())
        from_one = self.limits.connections if is_local(address) else max(self.limits.connections // 2, 1)
        if len(self.open) >= self.limits.connections or others >= from_one:
            self.refused += 1
            return False
        self.open[stream] = address
        return True

    def may_call(self, address: str, now: float) -> bool:
        """Whether a call's address has not used up its minute."""
        if self.limits.rate is None:
            return True
        left, since = self._allowances.pop(address, (float(self.limits.rate), now))
        left = min(left + (now - since) * self.limits.rate / 60, float(self.limits.rate))
        self._allowances[address] = (max(left - 1, 0.0), now)
        if len(self._allowances) > MAX_RATES:
            del self._allowances[next(iter(self._allowances))]
        return left >= 1

    def count(self, method: str, is_error: bool) -> None:
        """Note an answered call."""
        self.answered[method, is_error] = self.answered.get((method, is_error), 0) + 1


def address_of(stream: GuardedStream) -> str:
    """The other side's address; empty when it is gone already."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""


def is_local(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "", "::ffff:127.0.0.1")


async def serve_connections(
    listener: trio.SocketListener,
    gate: Gate,
    handle: Callable[[GuardedStream], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    on_stop: Callable[[], Awaitable[None]],
    grace: float,
) -> None:
    """Serve until ``stop`` returns; then ``on_stop``, and ``grace`` seconds later whoever is left is cut off."""

    async def contain(stream: trio.SocketStream) -> None:
        guarded = GuardedStream(stream, gate)
        if not gate.admit(guarded):
            await trio.aclose_forcefully(stream)
            return
        try:
            await handle(guarded)
        except Exception as error:
            logger.info("a connection from %s ended: %r", gate.open[guarded], error)
        finally:
            del gate.open[guarded]
            gate.held -= guarded.held
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:

            async def accept() -> None:
                await trio.serve_listeners(contain, [listener], handler_nursery=connections)

            accepting.start_soon(accept)
            await stop()
            accepting.cancel_scope.cancel()
        await on_stop()
        connections.start_soon(_cut_off, connections.cancel_scope, gate, grace)


async def _cut_off(scope: trio.CancelScope, gate: Gate, grace: float) -> None:
    """End those who keep the node from stopping: sockets first, because a send under way cannot be cancelled."""
    deadline = trio.current_time() + grace
    while gate.open and trio.current_time() < deadline:
        await trio.sleep(0.02)
    for stream in list(gate.open):
        stream.socket.close()
    scope.cancel()
