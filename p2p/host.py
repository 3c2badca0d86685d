"""A node's end of the network on real sockets: py-libp2p (TCP, Noise, Yamux, GossipSub 1.1) behind
`p2p.interface.Host`.

The library runs under a supervisor, which builds it anew should it fail as a whole. Scores, the address book, the
inbox and the handlers outlive that.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2p.addresses import Address, AddressBook, parse_address, subnet_of
from p2p.base_host import BaseHost, now_milliseconds
from p2p.containment import Guard, GuardedHost, create_keys, protocol_name
from p2p.discovery import ASK_SECONDS, PeerExchange
from p2p.engine import Engine, Notifee, close_host, first_error, probe, resolve
from p2p.identify import read_addresses
from p2p.interface import (
    AddressInUse,
    AddressInvalid,
    AnswerInvalid,
    GossipParameters,
    Incoming,
    Limits,
    NetworkError,
    Peer,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerUnreachable,
    StreamHandler,
    Verdict,
)
from p2p.pubsub import GuardedPubsub
from p2p.requests import Responder, ask, open_pipe

_log = logging.getLogger(__name__)
VIOLATION_POINTS = -50
_CHOSEN_PEERS = 4
"""Peers that a node dials however many have dialled it."""
_REACH_SECONDS = 5.0
_MAINTENANCE_SECONDS = 2.0
_RESTART_SECONDS = 1.0
_CLOSE_SECONDS = 5.0


class SocketHost(BaseHost):
    """The `p2p.interface.Host` on TCP. Mutable. ``network`` keeps chains apart: it is part of every topic and protocol.

    ``seed`` is the node key of 32 bytes, no account's. ``save`` is given the address book to keep; ``known`` is what it
    was given last time. Without enough peers it dials those of the book on its own.
    """

    def __init__(
        self,
        seed: bytes,
        network: str,
        topics: tuple[str, ...],
        listen: str = "/ip4/127.0.0.1/tcp/0",
        *,
        bootnodes: tuple[str, ...] = (),
        target_peers: int = 24,
        limits: Limits | None = None,
        parameters: GossipParameters | None = None,
        known: bytes = b"[]",
        save: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        self._keys = create_keys(seed)
        super().__init__(ID.from_pubkey(self._keys.public_key).to_base58(), topics, limits)
        self._parameters = parameters or GossipParameters()
        self._prefix = f"/solvent/{network}"
        self._listen, self._target_peers = parse_address(listen), target_peers
        self._random = Random(seed)
        self.book = AddressBook(self._id, self._random, save)
        self.book.load(known)
        for bootnode in bootnodes:
            self.book.learn(bootnode, trusted=True)
        self._responder = Responder(self._limits)
        self._dialled: set[PeerId] = set()
        self._next_reach = 0.0
        self._hosts: dict[PeerId, str] = {}
        self._engine: Engine | None = None
        self.restarts = 0
        self._exchange = PeerExchange(self, self.book)

    def addresses(self) -> tuple[str, ...]:
        return () if self._engine is None else (f"{self._listen}/p2p/{self._id}",)

    # Running.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises `AddressInUse` when the first attempt to listen fails."""
        started = False
        while True:
            try:
                async with self._built() as engine:
                    self._engine = engine
                    if not started:
                        started = True
                        task_status.started()
                    await self._heartbeat(engine)
            except Exception as error:
                if not started:
                    raise first_error(error) from None
                _log.exception("the network host failed; it starts again in %s s", _RESTART_SECONDS)
            finally:
                ended, self._engine = self._engine, None
                for peer in () if ended is None else tuple(ended.peers):
                    self.inbox.put_peer(PeerDisconnected(peer))
            self.restarts += 1
            await trio.sleep(_RESTART_SECONDS)

    @asynccontextmanager
    async def _built(self) -> AsyncIterator[Engine]:
        """Build the library's objects, run them, and take them down in an order that frees every socket."""
        self._listen = await probe(self._listen)
        guard = Guard(self._limits, self._is_welcome, self._on_violation)
        host = GuardedHost(self._keys, guard)
        topics = tuple(f"{self._prefix}/{topic}" for topic in self._topics)
        pubsub = GuardedPubsub(host, topics, self._limits, self._parameters, self._on_message, self._on_violation)
        for protocol in self._responder.handlers:
            self._register(host, protocol)
        base = str(Address(self._listen.kind, self._listen.host, self._listen.port, ""))
        async with host.run([Multiaddr(base)]):
            try:
                if not host.get_network().listeners:
                    raise AddressInUse(f"nothing can listen on {base}")
                async with background_trio_service(pubsub), background_trio_service(pubsub.gossip):
                    await pubsub.wait_until_ready()
                    for topic in topics:
                        await pubsub.subscribe(topic)
                    async with trio.open_nursery() as nursery:
                        engine = Engine(host, pubsub, guard, nursery)
                        host.get_network().register_notifee(
                            Notifee(partial(self._on_connected, engine), partial(self._on_disconnected, engine))
                        )
                        nursery.start_soon(pubsub.send_out)
                        nursery.start_soon(self._maintain, engine)
                        yield engine
                        nursery.cancel_scope.cancel()
            finally:
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await close_host(host)

    async def _heartbeat(self, engine: Engine) -> None:
        while True:
            await trio.sleep(1.0)
            for name in self.inbox.overdue(trio.current_time()):
                self._judge(engine, name, None, Verdict.IGNORE)

    async def _maintain(self, engine: Engine) -> None:
        """Dial until there are enough peers, and enough of them this node's own choice: strangers may fill the rest."""
        while True:
            most, chosen = self._target_peers, len(self._chosen(engine))
            missing = max(most - len(engine.peers), min(most, _CHOSEN_PEERS) - chosen) - len(self._dialled)
            self._dial_some(engine, missing)
            await trio.sleep(_MAINTENANCE_SECONDS)

    def _chosen(self, engine: Engine) -> list[PeerId]:
        """The peers that this node has dialled itself."""
        return [peer.id for peer in engine.peers.values() if not peer.inbound]

    def _dial_some(self, engine: Engine, count: int) -> list[PeerId]:
        """Start dialling up to ``count`` addresses of the book, and return whose they are."""
        crowded = {subnet_of(self._hosts[peer]) for peer in self._chosen(engine) if peer in self._hosts}
        taken = engine.peers.keys() | self._dialled
        addresses = self.book.candidates(count, taken, now_milliseconds(), crowded) if count > 0 else []
        for address in addresses:
            self._dialled.add(address.peer)
            engine.nursery.start_soon(self._try_dial, address)
        return [address.peer for address in addresses]

    async def reach_out(self, count: int) -> bool:
        engine, now = self._engine, trio.current_time()
        room = self._limits.inbound_connections - len(self.peers())
        if engine is None or now < self._next_reach or room <= 0:
            return False
        self._next_reach = now + _REACH_SECONDS
        dialled = self._dial_some(engine, min(count, room))
        with trio.move_on_after(_REACH_SECONDS):
            while any(peer in self._dialled for peer in dialled):
                await trio.sleep(0.05)
        return any(peer in engine.peers for peer in dialled)

    async def _try_dial(self, address: Address) -> None:
        try:
            await self.dial(str(address))
        except NetworkError as error:
            _log.debug("dialling %s: %s", address, error)
        finally:
            self._dialled.discard(address.peer)

    # What the library tells.

    def _is_welcome(self, peer: PeerId, host: str) -> bool:
        now = now_milliseconds()
        return (
            peer != self._id and not self.scores.is_banned(peer, now) and not self.scores.is_address_banned(host, now)
        )

    def _on_violation(self, peer: PeerId, reason: str) -> None:
        self.report(peer, VIOLATION_POINTS, reason)
        self.disconnect(peer)

    def _on_message(self, peer: PeerId, topic: str, data: bytes, name: bytes) -> bool:
        message = Incoming(name, topic.removeprefix(f"{self._prefix}/"), data, peer)
        return self.inbox.put(message, trio.current_time())

    def _on_connected(self, engine: Engine, peer: Peer) -> None:
        """A connection was made; the first one to a peer makes it a peer."""
        self._hosts[peer.id] = parse_address(peer.address).host
        if peer.id not in engine.peers:
            engine.peers[peer.id] = peer
            self.inbox.put_peer(PeerConnected(peer))
            engine.nursery.start_soon(self._care_for, engine, peer)

    def _on_disconnected(self, engine: Engine, peer: PeerId) -> None:
        """A connection ended; the last one to a peer ends it."""
        if peer in engine.peers and not engine.host.get_network().get_connections(ID.from_base58(peer)):
            del engine.peers[peer]
            del self._hosts[peer]
            engine.cared_for.pop(peer, trio.CancelScope()).cancel()
            self.inbox.put_peer(PeerDisconnected(peer))

    async def _care_for(self, engine: Engine, peer: Peer) -> None:
        """Learn where a peer listens, then ask it for signs of life until it gives none [12], or has gone."""
        with trio.CancelScope() as scope:
            if engine.peers.get(peer.id) is not peer:
                return
            engine.cared_for[peer.id] = scope
            await self._learn_address(engine, peer)
            next_ask = trio.current_time()
            while True:
                if trio.current_time() >= next_ask:
                    next_ask = trio.current_time() + ASK_SECONDS
                    await self._ask_for_peers(peer.id)
                await trio.sleep(self._limits.ping_seconds)
                if not await self._is_alive(engine, peer.id):
                    self.disconnect(peer.id)
                    return

    async def _learn_address(self, engine: Engine, peer: Peer) -> None:
        try:
            with trio.move_on_after(self._limits.ping_timeout_seconds):
                async with open_pipe(engine.host, peer.id, str(IDENTIFY)) as pipe:
                    named = await read_addresses(pipe, peer.id, self._hosts.get(peer.id, ""))
                self.book.on_seen(peer.id, named[0] if named and peer.inbound else None)
        except Exception as error:
            _log.debug("identify of %s: %r", peer.id, error)

    async def _ask_for_peers(self, peer: PeerId) -> None:
        try:
            await self._exchange.ask(peer)
        except NetworkError as error:
            _log.debug("addresses from %s: %s", peer, error)

    async def _is_alive(self, engine: Engine, peer: PeerId) -> bool:
        question = self._random.randbytes(32)
        try:
            with trio.move_on_after(self._limits.ping_timeout_seconds):
                async with open_pipe(engine.host, peer, str(PING)) as pipe:
                    await pipe.send_raw(question)
                    return await pipe.receive_exactly(len(question)) == question
        except Exception as error:
            _log.debug("ping of %s: %r", peer, error)
        return False

    # What the node asks for.

    async def dial(self, address: str) -> PeerId:
        target = parse_address(address)
        if not target.peer:
            raise AddressInvalid(f"{address} does not say which peer should answer")
        if not self._is_welcome(target.peer, target.host):
            raise PeerBanned(f"{target.peer} is banned, or this node itself")
        engine = self._running()
        if target.peer in engine.peers:
            return target.peer
        reason: Exception = PeerUnreachable("it has no address")
        for place in await resolve(target):
            try:
                if self.scores.is_address_banned(place.host, now_milliseconds()):
                    raise PeerBanned(f"{place.host} is banned")
                await self._connect(engine, place)
            except AddressInvalid:
                raise
            except Exception as error:
                reason = first_error(error)
            else:
                self.book.on_answered(target.peer, target, now_milliseconds())
                return target.peer
        self.book.on_failed(target.peer, now_milliseconds())
        raise PeerUnreachable(f"{address}: {reason}") from None

    async def _connect(self, engine: Engine, target: Address) -> None:
        """Connect to an IP address, where the peer that it names must answer."""
        try:
            info = info_from_p2p_addr(Multiaddr(str(target)))
        except Exception:
            raise AddressInvalid(f"{target}: no such peer id") from None
        try:
            engine.host.get_peerstore().clear_addrs(info.peer_id)
        except Exception as error:
            _log.debug("no addresses of %s to forget: %r", target.peer, error)
        engine.host.swarm.unblock_peer(info.peer_id)  # a dial that failed, whoever began it, bars the next [10]
        with trio.fail_after(2 * self._limits.handshake_seconds):
            await engine.host.connect(info)

    def _running(self) -> Engine:
        if self._engine is None:
            raise PeerUnreachable("the network host is not running")
        return self._engine

    def peers(self) -> tuple[Peer, ...]:
        return () if self._engine is None else tuple(self._engine.peers.values())

    def publish(self, topic: str, data: bytes) -> None:
        self._check_message(topic, data)
        if self._engine is not None:
            self._engine.pubsub.post(f"{self._prefix}/{topic}", data)

    def answer(self, message: Incoming, verdict: Verdict) -> None:
        if self._engine is not None:
            self._judge(self._engine, message.id, message, verdict)

    def _judge(self, engine: Engine, name: bytes, message: Incoming | None, verdict: Verdict) -> None:
        if not self.inbox.judged(name):
            return
        if verdict is Verdict.ACCEPT:
            engine.pubsub.relay(name)
        else:
            engine.pubsub.drop(name)
        if message is not None:
            self._credit(message.source, message.topic, verdict)

    def serve_stream(self, protocol: str, handler: StreamHandler) -> None:
        self._responder.handlers[f"{self._prefix}{protocol}"] = handler
        if self._engine is not None:
            self._register(self._engine.host, f"{self._prefix}{protocol}")

    def _register(self, host: GuardedHost, protocol: str) -> None:
        host.set_stream_handler(protocol_name(protocol), partial(self._responder.respond, protocol))

    @asynccontextmanager
    async def stream(
        self, peer: PeerId, protocol: str, payload: bytes, *, limit: int, timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        engine = self._running()
        if peer not in engine.peers:
            raise PeerUnreachable(f"{peer} is not connected")
        self._check_request(payload)
        try:
            async with ask(engine.host, peer, f"{self._prefix}{protocol}", payload, limit, timeout) as chunks:
                yield chunks
        except AnswerInvalid as error:
            self.report(peer, VIOLATION_POINTS, str(error))
            raise

    def disconnect(self, peer: PeerId) -> None:
        engine = self._engine
        if engine is not None:
            for connection in engine.host.get_network().get_connections(ID.from_base58(peer)):
                engine.nursery.start_soon(connection.muxed_conn.abort)  # type: ignore[attr-defined]

    def address_of(self, peer: PeerId) -> str:
        return self._hosts.get(peer, "")
