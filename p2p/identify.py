"""What a peer says of where it listens (libp2p/specs, identify), read with bounds."""

from __future__ import annotations

from libp2p.identity.identify.pb.identify_pb2 import Identify
from multiaddr import Multiaddr

from p2p.addresses import Address, parse_address
from p2p.interface import AddressInvalid, PeerId
from p2p.requests import Malformed, Pipe

_RECORD_BYTES = 16 * 1024
_ADDRESSES = 8


async def read_addresses(pipe: Pipe, peer: PeerId, seen_at: str) -> list[Address]:
    """Return the TCP addresses of a peer that it names itself, as far as they are where it was ``seen_at``.

    A peer that listens on all its interfaces can be reached at that one. Others it may not name: whom it names would be
    dialled by everybody who hears of it.
    """
    data = await pipe.receive_varint_prefixed(_RECORD_BYTES)
    record = Identify()
    try:
        record.ParseFromString(data)
    except Exception:
        raise Malformed("an identify record that cannot be read") from None
    addresses = []
    for raw in record.listen_addrs[:_ADDRESSES]:
        try:
            address = parse_address("/".join(str(Multiaddr(bytes(raw))).split("/")[:5]))
        except (AddressInvalid, ValueError, KeyError, TypeError):
            continue
        if address.host in (seen_at, "0.0.0.0", "::"):
            addresses.append(Address("ip6" if ":" in seen_at else "ip4", seen_at, address.port, peer))
    return addresses
