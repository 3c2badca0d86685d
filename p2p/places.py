"""How many may be connected, and from where: a place for every inbound connection, from its first byte to its last.

A place is *pending* during the handshake. Where all places are taken by pending connections, the one that has been at
it longest makes room, so that idle sockets do not lock newcomers out. A place taken by a finished handshake is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from p2p.addresses import subnet_of
from p2p.interface import Limits


@dataclass(eq=False, slots=True)
class Place:
    """One inbound connection. ``scope`` ends its handshake."""

    host: str
    subnet: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    pending: bool = True


class Places:
    """The inbound connections of one node, oldest first. Mutable."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: list[Place] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def pending(self) -> int:
        return sum(place.pending for place in self._places)

    def admit(self, host: str) -> Place | None:
        """Give a place to a connection from ``host``; None when there is none to be had."""
        limits = self._limits
        subnet = subnet_of(host)
        if sum(place.subnet == subnet for place in self._places if subnet) >= limits.connections_per_subnet:
            return None
        here = [place for place in self._places if place.host == host]
        waiting = [place for place in here if place.pending]
        if len(self._places) - self.pending >= limits.inbound_connections:
            return None
        if len(here) >= limits.connections_per_address or len(waiting) >= limits.pending_per_address:
            if not waiting:
                return None
            self._evict(waiting[0])
        elif self.pending >= limits.pending_handshakes:
            self._evict(next(place for place in self._places if place.pending))
        place = Place(host, subnet)
        self._places.append(place)
        return place

    def on_connected(self, place: Place) -> bool:
        """The handshake is done; False when there is no place for one more connection after all."""
        if place not in self._places or len(self._places) - self.pending >= self._limits.inbound_connections:
            return False
        place.pending = False
        return True

    def release(self, place: Place) -> None:
        """The connection is over. Harmless when it made room before."""
        if place in self._places:
            self._places.remove(place)

    def _evict(self, place: Place) -> None:
        self._places.remove(place)
        place.scope.cancel()
