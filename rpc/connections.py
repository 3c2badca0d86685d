"""Connections to the RPC port: how many there may be, how slow they may read, and that none of them can hurt the node.

- At most ``connections`` at once, and half of that from one address elsewhere; more are closed as they come.
- Whoever reads slower than `SLOWEST_READER`, or stops reading for `SEND_SECONDS`, is cut off.
- Whatever goes wrong inside one connection ends that connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

SEND_SECONDS = 20.0
SLOWEST_READER = 16 * 1024
"""Bytes a second."""
MAX_RATES = 4096

logger = logging.getLogger("solvent.rpc")


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Bounds of what callers may ask for. ``rate`` is calls a minute from one address, None for no bound."""

    connections: int = 128
    subscriptions: int = 128
    message_bytes: int = 8 * 1024 * 1024
    batch: int = 256
    rate: int | None = None


class GuardedStream:
    """A TCP stream that breaks rather than wait for ever for its reader. Mutable."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As trio's. Raises `trio.BrokenResourceError` when the other side does not read."""
        with trio.move_on_after(SEND_SECONDS + len(data) / SLOWEST_READER) as patience:
            await self._stream.send_all(data)
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the other side does not read")

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

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
        guarded = GuardedStream(stream)
        if not gate.admit(guarded):
            await trio.aclose_forcefully(stream)
            return
        try:
            await handle(guarded)
        except Exception as error:
            logger.info("a connection from %s ended: %r", gate.open[guarded], error)
        finally:
            del gate.open[guarded]
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
