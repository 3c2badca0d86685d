"""hypercorn's connection, on which a request costs fewer turns of the scheduler and fewer packets."""

from __future__ import annotations

from math import inf

import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer

from rpc.connections import take

INFORMATIONAL = b"HTTP/1.1 1"
HEAD = b"HTTP/1.1 "


class Connection(TCPServer):
    """hypercorn's connection, which neither outlives its peer nor waits for itself.

    Left alone it waits for its idle timeout even when the peer is gone; and a send that breaks tells the application
    so, inside the very call for which the application waits. It also starts and ends a task for each request to watch
    for idleness, and sends an answer's head, body and end apart: here one task with a deadline watches, and the head
    waits for what follows.
    """

    _has_ended = False
    _is_busy = False
    _patience = trio.CancelScope()
    _head = b""

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated) and not self.context.terminated.is_set():
            self._is_busy = not event.idle
            self._patience.deadline = trio.current_time() + self.config.keep_alive_timeout if event.idle else inf
        else:
            self._is_busy = False
            await super().protocol_send(event)

    async def _send(self, data: bytes) -> None:
        if data.startswith(HEAD) and not data.startswith(INFORMATIONAL) and not self._head:
            self._head = data
            return
        data, self._head = self._head + data, b""
        if not data:
            return
        try:
            await take(self.send_lock)
            try:
                with trio.CancelScope(shield=True):
                    await self.stream.send_all(data)
            finally:
                self.send_lock.release()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._task_group.spawn(self._on_broken)

    async def _on_broken(self) -> None:
        await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        await super()._read_data()
        self._has_ended = True
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        """Close what is idle for too long, or while the server stops; a request under way ends first."""
        with trio.CancelScope(deadline=trio.current_time() + self.config.keep_alive_timeout) as self._patience:
            await self.context.terminated.wait()
            if self._is_busy:
                return
        if not self._has_ended:
            with trio.CancelScope(shield=True):
                await self._initiate_server_close()
