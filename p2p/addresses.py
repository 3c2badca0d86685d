"""Where peers can be found. A passive object; times are milliseconds and come from outside.

An *address* is text such as ``/ip4/192.0.2.1/tcp/30333/p2p/12D3KooW...`` (multiformats/multiaddr): ``ip4``, ``ip6``
or ``dns``, one TCP port, and the id of who should answer. The *address book* remembers which of them answered, so
that a restarted node finds its network again. What strangers say about addresses is kept apart from what was tried:
it cannot push out a peer that answered, and one *group* of addresses (the first 16 bits of an IPv4 address, 32 of an
IPv6 one) holds only `PER_GROUP` places, so that filling the book takes addresses from all over the world.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from p2p.interface import AddressInvalid, PeerId

CAPACITY = 1024
PER_GROUP = 32
FIRST_RETRY = 2_000
LAST_RETRY = 600_000
MOST_FAILURES = 10
"""Failures in a row after which a stranger's address is forgotten."""
_ADDRESS_BYTES = 200


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. ``peer`` is empty where none was given (to listen, it need not be)."""

    kind: str
    host: str
    port: int
    peer: PeerId

    def __str__(self) -> str:
        base = f"/{self.kind}/{self.host}/tcp/{self.port}"
        return f"{base}/p2p/{self.peer}" if self.peer else base

    @property
    def group(self) -> str:
        """Addresses of one group probably belong to one owner."""
        if self.kind == "dns":
            return self.host
        return group_of(self.host)


def group_of(host: str) -> str:
    """Return the network that an IP address belongs to: /16 or /32."""
    ip = ipaddress.ip_address(host)
    return str(ipaddress.ip_network((ip, 16 if ip.version == 4 else 32), strict=False))


def parse_address(text: str) -> Address:
    """Return the parts of an address. Raises `AddressInvalid`, saying which part is wrong."""
    parts = text.split("/")
    if len(text) > _ADDRESS_BYTES or len(parts) not in (5, 7) or parts[0] or parts[3] != "tcp":
        raise AddressInvalid(f"{text[:_ADDRESS_BYTES]!r} is not like /ip4/192.0.2.1/tcp/30333/p2p/PEER")
    kind = "dns" if parts[1] in ("dns", "dns4", "dns6") else parts[1]
    if kind not in ("ip4", "ip6", "dns"):
        raise AddressInvalid(f"{text}: {parts[1]!r} is none of ip4, ip6 and dns")
    host = parts[2]
    if kind != "dns":
        try:
            host = str(ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host))
        except ValueError:
            raise AddressInvalid(f"{text}: {host!r} is not an address of kind {kind}") from None
    if not (parts[4].isascii() and parts[4].isdigit() and int(parts[4]) < 65536):
        raise AddressInvalid(f"{text}: {parts[4]!r} is not a port")
    peer = ""
    if len(parts) == 7:
        peer = parts[6]
        if parts[5] != "p2p" or not (peer.isascii() and peer.isalnum()):
            raise AddressInvalid(f"{text}: it does not end with /p2p/ and a peer id")
    return Address(kind, host, int(parts[4]), peer)


@dataclass(slots=True)
class _Entry:
    address: Address
    trusted: bool
    group: str
    answered: int = 0
    failures: int = 0
    next_try: int = 0


class AddressBook:
    """Addresses by peer. Mutable, bounded. ``save`` is given the whole book as bytes whenever a peer has answered."""

    def __init__(self, me: PeerId, random: Random, save: Callable[[bytes], None] = lambda data: None) -> None:
        self._me, self._random, self._save = me, random, save
        self._entries: dict[PeerId, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, peer: PeerId) -> Address | None:
        entry = self._entries.get(peer)
        return None if entry is None else entry.address

    def learn(self, text: str, trusted: bool = False) -> bool:
        """Take in an address that somebody named; ``trusted`` ones (boot nodes) are kept for ever. False if refused."""
        try:
            address = parse_address(text)
        except AddressInvalid:
            if trusted:
                raise
            return False
        if not address.peer or address.port == 0 or address.peer == self._me:
            return False
        known = self._entries.get(address.peer)
        if known is not None:
            if not known.answered and not known.trusted and known.failures:
                known.address, known.group = address, address.group
            return True
        if not trusted and not self._make_room(address):
            return False
        self._entries[address.peer] = _Entry(address, trusted, address.group)
        return True

    def _make_room(self, address: Address) -> bool:
        group = address.group
        if sum(entry.group == group for entry in self._entries.values()) >= PER_GROUP:
            return False
        if len(self._entries) < CAPACITY:
            return True
        strangers = [peer for peer, entry in self._entries.items() if not entry.answered and not entry.trusted]
        if not strangers:
            return False
        del self._entries[self._random.choice(strangers)]
        return True

    def on_answered(self, peer: PeerId, address: Address | None, now: int) -> None:
        """A connection to a peer was made, at ``address`` when this node dialled it."""
        entry = self._entries.get(peer)
        if address is not None and address.peer == peer:
            if entry is None:
                if not self._make_room(address):
                    return
                entry = self._entries[peer] = _Entry(address, False, address.group)
            entry.address, entry.group = address, address.group
        if entry is not None:
            entry.answered, entry.failures, entry.next_try = max(now, 1), 0, 0
            self._save(self.dump())

    def on_failed(self, peer: PeerId, now: int) -> None:
        """Nobody, or somebody else, answered there."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        entry.failures += 1
        delay = min(LAST_RETRY, FIRST_RETRY << min(entry.failures - 1, 20))
        entry.next_try = now + delay // 2 + self._random.randrange(delay)
        if entry.failures >= MOST_FAILURES and not entry.trusted and not entry.answered:
            del self._entries[peer]

    def candidates(self, count: int, exclude: Collection[PeerId], now: int) -> list[Address]:
        """Return up to ``count`` addresses worth a try: half of them at random, the rest by who answered last."""
        ready = [entry for peer, entry in self._entries.items() if peer not in exclude and entry.next_try <= now]
        self._random.shuffle(ready)
        lucky = ready[: count // 2]
        rest = sorted(ready[count // 2 :], key=lambda entry: (-int(entry.trusted), entry.failures, -entry.answered))
        return [entry.address for entry in (lucky + rest)[:count]]

    def sample(self, count: int) -> list[str]:
        """Return addresses that answered, for somebody who asks."""
        answered = [str(entry.address) for entry in self._entries.values() if entry.answered and not entry.failures]
        return self._random.sample(answered, min(count, len(answered)))

    def dump(self) -> bytes:
        """Return the addresses that answered, in JSON."""
        return json.dumps([str(entry.address) for entry in self._entries.values() if entry.answered]).encode()

    def load(self, data: bytes) -> None:
        """Take in what `dump` returned; nothing when it is damaged."""
        try:
            texts = json.loads(data)
        except ValueError:
            return
        for text in texts if isinstance(texts, list) else []:
            if isinstance(text, str):
                self.learn(text)
