"""What a peer says of where it listens (libp2p/specs, identify), read with bounds."""

from __future__ import annotations

from libp2p.identity.identify.pb.identify_pb2 import Identify
from multiaddr import Multiaddr

from p2p.addresses import Address, parse_address
from p2p.interface import AddressInvalid, PeerId
from p2p.requests import Malformed, Pipe

_RECORD_BYTES = 16 * 1024
_ADDRESSES = 8


async def read_addresses(pipe: Pipe, peer: PeerId, seen_at: str) -> list[str]:
    """Return the TCP addresses of a peer that it names itself; ``seen_at`` stands for "all my interfaces"."""
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
        host = seen_at if address.host in ("0.0.0.0", "::") else address.host
        addresses.append(str(Address(address.kind, host, address.port, peer)))
    return addresses
