"""How a node hears of others: it asks each peer, now and then, for addresses of peers that answered it.

What comes back is hearsay: it goes into the address book as such, is dialled with the expected peer id, and is handed
on only once it has answered. An answer holds at most `MOST_ADDRESSES`, nobody is answered more often than every
`ANSWER_SECONDS`, and the book's own bounds hold, so that one peer cannot fill it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import trio

from p2p.addresses import AddressBook, reach_of
from p2p.base_host import BaseHost
from p2p.interface import NetworkError, PeerId, RequestRefused
from runtime.codec import Bounds, decode, encode
from runtime.errors import CodecError

PROTOCOL = "/peers/1"
MOST_ADDRESSES = 16
ASK_SECONDS = 60.0
"""How often each peer is asked."""
ANSWER_SECONDS = 20.0
_ADDRESS_BYTES = 200
_ANSWER_BYTES = MOST_ADDRESSES * (_ADDRESS_BYTES + 3) + 8
_TIMEOUT = 10.0
_REMEMBERED = 1024
_MALFORMED_POINTS = -50

Addresses = Annotated[tuple[Annotated[str, Bounds(max_length=_ADDRESS_BYTES)], ...], Bounds(max_length=MOST_ADDRESSES)]


class PeerExchange:
    """Asks and answers for one host. Mutable; it remembers whom it answered lately."""

    def __init__(self, host: BaseHost, book: AddressBook) -> None:
        self._host, self._book = host, book
        self._answered: OrderedDict[PeerId, float] = OrderedDict()
        host.serve(PROTOCOL, self._answer)

    async def _answer(self, peer: PeerId, question: bytes) -> bytes:
        now = trio.current_time()
        if question or now < self._answered.get(peer, 0.0) + ANSWER_SECONDS:
            raise RequestRefused("you have asked a moment ago")
        self._answered[peer] = now
        self._answered.move_to_end(peer)
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        address = self._host.address_of(peer)
        return encode(tuple(self._book.sample(MOST_ADDRESSES, reach_of(address) if address else 0)))

    async def ask(self, peer: PeerId) -> None:
        """Ask a peer and take its answer in. Raises `NetworkError` when there is none."""
        answer = await self._host.request(peer, PROTOCOL, b"", limit=_ANSWER_BYTES, timeout=_TIMEOUT)
        try:
            addresses: tuple[str, ...] = decode(answer, Addresses)
        except CodecError as error:
            self._host.report(peer, _MALFORMED_POINTS, f"not a list of addresses: {error}")
            raise NetworkError(f"not a list of addresses: {error}") from None
        self._book.learn_from(self._host.address_of(peer) or "127.0.0.1", addresses)
