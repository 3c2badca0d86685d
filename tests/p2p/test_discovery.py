"""How nodes find one another, on real sockets: from a boot node, from names, from the last run, and not from liars."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from p2p.addresses import CAPACITY, PER_GROUP
from p2p.discovery import ANSWER_SECONDS, MOST_ADDRESSES, PROTOCOL
from p2p.host import SocketHost
from p2p.interface import NetworkError, PeerId, PeerUnreachable, RequestRefused
from runtime.codec import encode

from .conftest import PATIENCE, QUICK, connect, hosts

MakeNode = Callable[..., Awaitable[SocketHost]]


@asynccontextmanager
async def nodes() -> AsyncIterator[MakeNode]:
    """Yield a function that starts a node which looks for peers."""
    async with trio.open_nursery() as nursery:

        async def make(number: int, **options: object) -> SocketHost:
            host = SocketHost(bytes([number]) * 32, "test", ("votes",), parameters=QUICK, **options)  # type: ignore[arg-type]
            await nursery.start(host.run)
            return host

        yield make
        nursery.cancel_scope.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not is_so():
            await trio.testing.wait_all_tasks_blocked(0.02)


@pytest.mark.trio
async def test_nodes_that_know_only_a_boot_node_find_one_another() -> None:
    async with nodes() as make:
        boot = await make(1)
        others = [await make(number, bootnodes=boot.addresses()) for number in (2, 3, 4)]
        everybody = {node.id for node in [boot, *others]}
        for node in [boot, *others]:
            await until(lambda node=node: {peer.id for peer in node.peers()} | {node.id} == everybody)  # type: ignore[misc]


@pytest.mark.trio
async def test_a_node_finds_its_network_again_without_the_boot_node() -> None:
    async with nodes() as make:
        saved: list[bytes] = []
        friend = await make(2)
        first = await make(3, bootnodes=friend.addresses(), save=saved.append)
        await until(lambda: bool(first.peers() and saved))
        again = await make(4, known=saved[-1])
        await until(lambda: friend.id in {peer.id for peer in again.peers()})


@pytest.mark.trio
@pytest.mark.parametrize("kind", ["dns", "dns4"])
async def test_names_are_resolved_when_they_are_dialled(kind: str) -> None:
    async with hosts("socket") as make:
        first, second = await make(1), await make(2)
        port = second.addresses()[0].split("/")[4]
        assert await first.dial(f"/{kind}/localhost/tcp/{port}/p2p/{second.id}") == second.id
        with pytest.raises(PeerUnreachable, match="no address"):
            await first.dial(f"/{kind}/nobody.invalid/tcp/{port}/p2p/{(await make(3)).id}")


@pytest.mark.trio
async def test_another_peer_than_the_expected_one_is_not_taken_for_it() -> None:
    async with hosts("socket") as make:
        first, second, third = [await make(number) for number in (1, 2, 3)]
        address = second.addresses()[0].replace(second.id, third.id)
        with pytest.raises(PeerUnreachable):
            await first.dial(address)
        assert first.peers() == ()


@pytest.mark.trio
async def test_a_peer_is_told_addresses_now_and_then_only() -> None:
    async with hosts("socket") as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        await until(lambda: len(second._exchange._answered) == 1)  # type: ignore[attr-defined]
        with pytest.raises(RequestRefused, match="a moment ago"):
            await first.request(second.id, PROTOCOL, b"", limit=10_000, timeout=PATIENCE)
        assert ANSWER_SECONDS > 0
        assert first.score(second.id) >= 0


@pytest.mark.trio
@pytest.mark.parametrize(
    "answer",
    [b"junk", encode(("/ip4/8.8.8.8/tcp/1/p2p/x",) * (MOST_ADDRESSES + 1)), encode(("x" * 300,)), encode((1, 2))],
)
async def test_an_answer_that_is_no_list_of_addresses_costs_points(answer: bytes) -> None:
    async def lie(peer: PeerId, question: bytes) -> bytes:
        return answer

    async with hosts("socket") as make:
        first, second = await make(1), await make(2)
        assert isinstance(first, SocketHost)
        second.serve(PROTOCOL, lie)
        await connect(first, second)
        await until(lambda: first.score(second.id) < 0)
        assert len(first.book) <= 1


@pytest.mark.trio
async def test_a_liar_does_not_fill_the_address_book_nor_what_others_are_told() -> None:
    calls = 0

    async def invent(peer: PeerId, question: bytes) -> bytes:
        nonlocal calls
        calls += 1
        made_up = [f"/ip4/127.{calls % 250}.{number}.1/tcp/9/p2p/x{calls}n{number}" for number in range(MOST_ADDRESSES)]
        return encode(tuple(made_up))

    async with hosts("socket") as make:
        first, liar = await make(1), await make(2)
        assert isinstance(first, SocketHost)
        liar.serve(PROTOCOL, invent)
        await connect(first, liar)
        for _ in range(80):
            await first._exchange.ask(liar.id)
        assert calls >= 80
        assert len(first.book) <= CAPACITY
        assert len(first.book) > PER_GROUP
        assert all("/p2p/x" not in told for told in first.book.sample(CAPACITY))
        with pytest.raises(NetworkError):
            await first._exchange.ask("nobody")
