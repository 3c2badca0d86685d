"""Who is trusted how much: points per peer, and bans. A passive object; times are milliseconds and come from
outside.

A *score* is the sum of points reported about a peer; it halves every `HALF_LIFE`. A peer that falls to `BAN_SCORE` is
*banned*: no connection and no message of it is taken for a while, twice as long each time. Ids cost nothing, so once
`IDS_PER_ADDRESS` ids from one address are banned, the address is banned too.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from p2p.interface import PeerId

HALF_LIFE = 600_000
BAN_SCORE = -100
BAN_TIME = 600_000
LONGEST_BAN = 24 * 3_600_000
IDS_PER_ADDRESS = 4
MAX_PEERS = 4096
"""Peers and addresses that are remembered; beyond, the one that was heard of least recently is forgotten."""
MAX_SCORE = 100


@dataclass(slots=True)
class _Record:
    score: int = 0
    updated: int = 0
    banned_until: int = 0
    bans: int = 0


@dataclass(slots=True)
class _AddressRecord:
    banned_until: int = 0
    ids: set[PeerId] = field(default_factory=set)


class Scores:
    """The scores and bans of one node. Mutable, bounded."""

    def __init__(self) -> None:
        self._peers: OrderedDict[PeerId, _Record] = OrderedDict()
        self._addresses: OrderedDict[str, _AddressRecord] = OrderedDict()

    def _record(self, peer: PeerId, now: int) -> _Record:
        record = self._peers.setdefault(peer, _Record(updated=now))
        self._peers.move_to_end(peer)
        while len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        halvings, rest = divmod(max(0, now - record.updated), HALF_LIFE)
        if halvings:
            sign = -1 if record.score < 0 else 1
            record.score = sign * (abs(record.score) >> min(halvings, 64))
            record.updated = now - rest
        return record

    def score(self, peer: PeerId, now: int) -> int:
        """Return a peer's points; 0 for one that nothing is known of."""
        return self._record(peer, now).score if peer in self._peers else 0

    def report(self, peer: PeerId, address: str, points: int, now: int) -> bool:
        """Add points; True when this gets the peer banned."""
        record = self._record(peer, now)
        record.score = min(MAX_SCORE, record.score + points)
        if record.score > BAN_SCORE or record.banned_until > now:
            return False
        self.ban(peer, address, min(LONGEST_BAN, BAN_TIME << min(record.bans, 16)), now)
        return True

    def ban(self, peer: PeerId, address: str, duration: int, now: int) -> None:
        """Refuse a peer for ``duration`` ms; and its address, when that brought too many banned ids."""
        record = self._record(peer, now)
        record.banned_until = max(record.banned_until, now + duration)
        record.bans += 1
        record.score = 0
        if not address:
            return
        entry = self._addresses.setdefault(address, _AddressRecord())
        self._addresses.move_to_end(address)
        while len(self._addresses) > MAX_PEERS:
            self._addresses.popitem(last=False)
        entry.ids.add(peer)
        if len(entry.ids) >= IDS_PER_ADDRESS:
            entry.banned_until = max(entry.banned_until, now + duration)
            entry.ids.clear()

    def is_banned(self, peer: PeerId, now: int) -> bool:
        record = self._peers.get(peer)
        return record is not None and record.banned_until > now

    def is_address_banned(self, address: str, now: int) -> bool:
        entry = self._addresses.get(address)
        return entry is not None and entry.banned_until > now
