"""Where peers can be found. A passive object; times are milliseconds and come from outside.

An *address* is text such as ``/ip4/192.0.2.1/tcp/30333/p2p/12D3KooW...`` (multiformats/multiaddr): ``ip4``, ``ip6``
or ``dns``, one TCP port, and the id of who should answer. The *address book* remembers which of them answered, so
that a restarted node finds its network again. What strangers say about addresses is kept apart from what was tried:
it cannot push out a peer that answered. One *group* of addresses (the first 16 bits of an IPv4 address, 32 of an IPv6
one) holds only `PER_GROUP` places, and one *subnet* (24 bits, or 48) of the public internet only `PER_SUBNET`, so that
filling the book takes addresses from all over the world.

The *reach* of an address says from where it means the same: this machine, a private network, or everywhere. Nobody is
told, and nobody is believed about, an address of a smaller reach than his own: else a stranger could have this node
dial the services of its own machine.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from random import Random

from p2p.interface import AddressInvalid, PeerId

CAPACITY = 1024
PER_GROUP = 32
PER_SUBNET = 4
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

    @property
    def subnet(self) -> str:
        """As `subnet_of`; empty for a name."""
        return "" if self.kind == "dns" else subnet_of(self.host)


def reach_of(host: str) -> int:
    """From where an IP address means the same: 0 this machine, 1 a private network, 2 everywhere."""
    ip = ipaddress.ip_address(host)
    return 0 if ip.is_loopback else 2 if ip.is_global else 1


def subnet_of(host: str) -> str:
    """Return the /24 or /48 that an IP address belongs to; empty within a private network, which has one owner."""
    ip = ipaddress.ip_address(host)
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False)) if ip.is_global else ""


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
    group: str = ""
    subnet: str = ""
    answered: int = 0
    is_old: bool = False
    """It answered in an earlier run, but has not in this one."""
    is_seen: bool = False
    """It dialled this node in this run, and said that it listens there."""
    failures: int = 0
    next_try: int = 0

    def __post_init__(self) -> None:
        self.move_to(self.address)

    def move_to(self, address: Address) -> None:
        self.address, self.group, self.subnet = address, address.group, address.subnet


class AddressBook:
    """Addresses by peer. Mutable, bounded. ``save`` is given the whole book when a dialled peer has answered."""

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
                known.move_to(address)
            return True
        if not trusted and not self._make_room(address):
            return False
        self._entries[address.peer] = _Entry(address, trusted)
        return True

    def learn_from(self, host: str, texts: Iterable[str]) -> None:
        """Take in what a peer at the IP address ``host`` says of others, as far as such a one can know it."""
        for text in texts:
            try:
                address = parse_address(text)
            except AddressInvalid:
                continue
            if address.kind != "dns" and reach_of(address.host) >= reach_of(host):
                self.learn(text)

    def _make_room(self, address: Address) -> bool:
        group, subnet = address.group, address.subnet
        others = [entry for entry in self._entries.values() if not entry.trusted]
        if sum(entry.group == group for entry in others) >= PER_GROUP:
            return False
        if subnet and sum(entry.subnet == subnet for entry in others) >= PER_SUBNET:
            return False
        if len(self._entries) < CAPACITY:
            return True
        strangers = [peer for peer, entry in self._entries.items() if not entry.answered and not entry.trusted]
        lost = [peer for peer, entry in self._entries.items() if entry.failures >= MOST_FAILURES and not entry.trusted]
        if not strangers and not lost:
            return False
        del self._entries[self._random.choice(strangers or lost)]
        return True

    def on_seen(self, peer: PeerId, named: Address | None) -> None:
        """A peer has dialled this node, and ``named`` where it listens, at the IP address that it came from.

        That is worth telling others, but no proof: such an address makes room for others as any stranger's does.
        """
        if named is None or not self.learn(str(named)):
            return
        entry = self._entries[peer]
        entry.is_seen = True
        if not entry.trusted and (not entry.answered or entry.failures):
            entry.move_to(named)
            entry.failures = entry.next_try = 0

    def on_answered(self, peer: PeerId, address: Address | None, now: int) -> None:
        """This node dialled a peer at ``address``, or where the book says, and it answered."""
        entry = self._entries.get(peer)
        if address is not None and address.peer == peer:
            if entry is None:
                if not self._make_room(address):
                    return
                entry = self._entries[peer] = _Entry(address, False)
            entry.move_to(address)
        if entry is not None:
            entry.answered, entry.failures, entry.next_try, entry.is_old = max(now, 1), 0, 0, False
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

    def candidates(
        self, count: int, exclude: Collection[PeerId], now: int, crowded: Collection[str] = ()
    ) -> list[Address]:
        """Return up to ``count`` addresses worth a try: half of them at random, the rest by who answered last.

        At most one is of each subnet, and none of a ``crowded`` one; trusted ones are free of that.
        """
        ready = [entry for peer, entry in self._entries.items() if peer not in exclude and entry.next_try <= now]
        self._random.shuffle(ready)
        lucky = ready[: count // 2]
        rest = sorted(ready[count // 2 :], key=lambda entry: (-int(entry.trusted), entry.failures, -entry.answered))
        chosen: list[Address] = []
        full = set(crowded) - {""}
        for entry in lucky + rest:
            if len(chosen) < count and (entry.trusted or entry.subnet not in full):
                chosen.append(entry.address)
                full |= {entry.subnet} - {""}
        return chosen

    def sample(self, count: int, reach: int = 0) -> list[str]:
        """Return addresses of peers met in this run, for somebody who asks from an address of that reach."""
        answered = [
            str(entry.address)
            for entry in self._entries.values()
            if (entry.is_seen or (entry.answered and not entry.is_old)) and not entry.failures
            if entry.address.kind != "dns" and reach_of(entry.address.host) >= reach
        ]
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
        for text in texts[:CAPACITY] if isinstance(texts, list) else []:
            if isinstance(text, str) and self.learn(text):
                entry = self._entries[parse_address(text).peer]
                if not entry.answered:
                    entry.answered, entry.is_old = 1, True
