"""A siege of a running node: floods by many peers that mean harm, from as many addresses of the loopback network."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b

import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed

from chain.messages import BLOCKS, EXTRINSICS, POOL, VOTES, Announce, Extrinsics, PoolRequest, Votes, encode_message
from runtime.block import IMMORTAL, Call, Header, sign_extrinsic
from runtime.codec import encode
from runtime.crypto import public_key
from runtime.pallets import balances, system
from tests.p2p.attacker import Attacker, attacking

GOSSIP = "/meshsub/1.1.0"
_FRAME_MESSAGES = 32
_numbers = itertools.count(1)


def _seed() -> bytes:
    """A new key: nobody who means harm uses one twice."""
    return blake2b(next(_numbers).to_bytes(8, "big"), digest_size=32).digest()


@contextlib.contextmanager
def many_addresses() -> Iterator[None]:
    """Let each connection come from an address of its own, as a botnet's would: 127.x.y.z."""
    original = trio.open_tcp_stream

    async def from_anywhere(host: str, port: int, **options: object) -> trio.SocketStream:
        number = next(_numbers)
        source = f"127.{1 + number % 250}.{number // 250 % 250}.{2 + number // 62_500 % 250}"
        return await original(host, port, local_address=source)

    trio.open_tcp_stream = from_anywhere  # type: ignore[assignment]
    try:
        yield
    finally:
        trio.open_tcp_stream = original


def forged_extrinsic(genesis: bytes) -> bytes:
    raw = unaffordable_extrinsic(genesis)
    return raw[:-1] + bytes([raw[-1] ^ 1])


def unaffordable_extrinsic(genesis: bytes) -> bytes:
    """Well signed, by an account that has nothing."""
    seed = _seed()
    call = Call("balances", "transfer", encode(balances.Transfer(public_key(seed), 1)))
    return encode(sign_extrinsic(seed, call, 0, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION))


def junk(genesis: bytes) -> bytes:
    return os.urandom(200)


Payload = tuple[str, Callable[[bytes], bytes]]
PAYLOADS: dict[str, Payload] = {
    "junk blocks": (BLOCKS, junk),
    "unsealed blocks": (
        BLOCKS,
        lambda genesis: encode_message(Announce(Header(os.urandom(32), 10**6, bytes(32), bytes(32), ()))),
    ),
    "junk votes": (VOTES, lambda genesis: encode_message(Votes(os.urandom(300), 1))),
    "junk extrinsics": (EXTRINSICS, junk),
    "forged extrinsics": (EXTRINSICS, lambda genesis: encode_message(Extrinsics((forged_extrinsic(genesis),)))),
    "unaffordable extrinsics": (
        EXTRINSICS,
        lambda genesis: encode_message(Extrinsics(tuple(unaffordable_extrinsic(genesis) for _ in range(4)))),
    ),
}


class Siege:
    """Attacks on the node at an address of the network with that genesis. Mutable: it counts what was sent."""

    def __init__(self, address: str, genesis: bytes) -> None:
        self.address, self.genesis = address, genesis
        self.sent: Counter[str] = Counter()
        _, _, self._host, _, port, *_ = address.split("/")
        self._port = int(port)

    async def flood_gossip(self, name: str, messages: int, per_peer: int = 500) -> None:
        """Gossip so many messages, by a new peer each time the last one was thrown out or has had its say."""
        left = messages
        while left > 0:
            before = self.sent[name]
            with contextlib.suppress(Exception), trio.move_on_after(20):
                async with attacking(self.address, _seed()) as attacker:
                    await self._gossip(attacker, name, min(left, per_peer))
            left -= max(self.sent[name] - before, 1)

    async def _gossip(self, attacker: Attacker, name: str, count: int) -> None:
        topic, build = PAYLOADS[name]
        stream = await attacker.stream(GOSSIP)
        for start in range(0, count, _FRAME_MESSAGES):
            frame = rpc_pb2.RPC()
            for _ in range(min(_FRAME_MESSAGES, count - start)):
                frame.publish.append(self._sign(attacker, topic, build(self.genesis)))
            await stream.write(encode_varint_prefixed(frame.SerializeToString()))
            self.sent[name] += len(frame.publish)

    def _sign(self, attacker: Attacker, topic: str, data: bytes) -> rpc_pb2.Message:
        keys = attacker.host.get_private_key()
        message = rpc_pb2.Message(
            from_id=attacker.host.get_id().to_bytes(),
            data=data,
            seqno=next(_numbers).to_bytes(8, "big"),
            topicIDs=[f"/solvent/{self.genesis.hex()}/{topic}"],
        )
        message.signature = keys.sign(b"libp2p-pubsub:" + message.SerializeToString())
        return message

    async def flood_requests(self, count: int) -> None:
        """Ask for the pool over and over, and for junk, in requests that are never finished or read."""
        name = "requests"
        while self.sent[name] < count:
            with contextlib.suppress(Exception), trio.move_on_after(20):
                async with attacking(self.address, _seed()) as attacker:
                    for body in (encode_message(PoolRequest(bytes(8 * 4096))), os.urandom(500), b"") * 10:
                        stream = await attacker.stream(f"/solvent/{self.genesis.hex()}/{POOL}")
                        await stream.write(len(body).to_bytes(4, "big") + body)
                        self.sent[name] += 1
            self.sent[name] += 1

    async def flood_connections(self, count: int) -> None:
        """Open sockets: some send garbage, some half a greeting, some nothing; each stays as long as it is let."""
        name, limiter = "sockets", trio.CapacityLimiter(100)

        async def one(number: int) -> None:
            async with limiter:
                with contextlib.suppress(OSError, trio.BrokenResourceError), trio.move_on_after(5):
                    async with await trio.open_tcp_stream(self._host, self._port) as stream:
                        self.sent[name] += 1
                        await stream.send_all((os.urandom(2000), b"\x13/multistream/1", b"")[number % 3] or b"\x13")
                        while await stream.receive_some(4096):
                            pass

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)

    async def hold_silent_peers(self, count: int, seconds: float) -> None:
        """Connect peers that read nothing and say nothing."""

        async def one() -> None:
            with contextlib.suppress(Exception), trio.move_on_after(seconds):
                async with attacking(self.address, _seed()) as attacker:
                    await attacker.stream(GOSSIP)
                    self.sent["silent peers"] += 1
                    await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
