"""What every host does, on real sockets and in memory alike: the conformance tests of `p2p.interface.Host`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
import trio

from p2p.interface import (
    AddressInvalid,
    AnswerInvalid,
    Host,
    Incoming,
    Limits,
    MessageTooLarge,
    NetworkError,
    PeerBanned,
    PeerConnected,
    PeerId,
    PeerUnreachable,
    RequestFailed,
    RequestRefused,
    RequestTimedOut,
    Verdict,
)

from .conftest import PATIENCE, connect, gone, hosts, next_event, next_message

pytestmark = pytest.mark.parametrize("kind", ["socket", "memory"])


async def meet(host: Host, others: list[Host]) -> None:
    for other in others:
        await connect(host, other)


async def until_delivered(sender: Host, receiver: Host, topic: str, data: bytes) -> Incoming:
    """Publish until it arrives: a fresh mesh may need a heartbeat. Each try is another message."""
    number = 0
    while True:
        sender.publish(topic, data + bytes([number]))
        number += 1
        with trio.move_on_after(1.0):
            return await next_message(receiver)


@pytest.mark.trio
async def test_two_nodes_meet_and_part(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        assert [peer.id for peer in first.peers()] == [second.id]
        assert [peer.id for peer in second.peers()] == [first.id]
        first.disconnect(second.id)
        await gone(first)
        await gone(second)
        assert first.peers() == second.peers() == ()


@pytest.mark.trio
async def test_dialling_a_peer_again_changes_nothing(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        assert await first.dial(second.addresses()[0]) == second.id
        assert len(first.peers()) == 1


@pytest.mark.trio
async def test_a_dial_that_nobody_answers_fails_and_can_be_tried_again(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        address = second.addresses()[0]
        wrong = "/memory/nobody" if kind == "memory" else address.replace(address.split("/")[4], "1")
        for _ in range(2):
            with pytest.raises(PeerUnreachable):
                await first.dial(wrong)
        assert await first.dial(address) == second.id


@pytest.mark.trio
@pytest.mark.parametrize("address", ["", "nonsense", "/ip4/127.0.0.1", "/ip4/300.0.0.1/tcp/1/p2p/x", "/memory/"])
async def test_what_is_no_address_is_refused(kind: str, address: str) -> None:
    async with hosts(kind) as make:
        with pytest.raises(AddressInvalid):
            await (await make(1)).dial(address)


@pytest.mark.trio
async def test_a_banned_peer_stays_out_in_both_directions(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        first.ban(second.id, 3600, "test")
        await gone(first)
        await gone(second)
        with pytest.raises(PeerBanned):
            await first.dial(second.addresses()[0])
        with contextlib.suppress(NetworkError):  # the handshake may be over before the victim hangs up
            await second.dial(first.addresses()[0])
        with pytest.raises(NetworkError):
            await second.request(first.id, "/none", b"", limit=1, timeout=PATIENCE)
        assert first.peers() == ()


@pytest.mark.trio
async def test_a_bad_enough_score_is_a_ban(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        first.report(second.id, -40, "test")
        assert first.score(second.id) == -40
        first.report(second.id, -60, "test")
        await gone(second)
        with pytest.raises(PeerBanned):
            await first.dial(second.addresses()[0])


@pytest.mark.trio
async def test_an_accepted_message_goes_on_and_others_do_not(kind: str) -> None:
    async with hosts(kind) as make:
        left, middle, right = await make(1), await make(2), await make(3)
        await meet(middle, [left, right])
        message = await until_delivered(left, middle, "blocks", b"ignored")
        middle.answer(message, Verdict.IGNORE)
        left.publish("blocks", b"rejected")
        message = await next_message(middle)
        middle.answer(message, Verdict.REJECT)
        assert middle.score(left.id) < 0
        left.publish("blocks", b"accepted")
        message = await next_message(middle)
        assert (message.topic, message.data, message.source) == ("blocks", b"accepted", left.id)
        middle.answer(message, Verdict.ACCEPT)
        while (received := await next_message(right)).data != b"accepted":
            pytest.fail(f"{received.data!r} was relayed")
        assert received.source == middle.id


@pytest.mark.trio
async def test_the_same_bytes_are_delivered_once(kind: str) -> None:
    async with hosts(kind) as make:
        first, second, third = await make(1), await make(2), await make(3)
        await meet(third, [first, second])
        await until_delivered(first, third, "votes", b"a")
        await until_delivered(second, third, "votes", b"b")
        for sender in (first, second, first):
            sender.publish("votes", b"same")
        first.publish("votes", b"end")
        second.publish("votes", b"other end")
        seen = [(await next_message(third)).data for _ in range(3)]
        assert sorted(seen) == [b"end", b"other end", b"same"]


@pytest.mark.trio
async def test_every_node_of_a_line_hears_and_topics_keep_their_order_of_precedence(kind: str) -> None:
    async with hosts(kind) as make:
        line = [await make(number) for number in range(1, 5)]
        for first, second in pairwise(line):
            await connect(first, second)
        await until_delivered(line[0], line[1], "votes", b"warm")
        await until_delivered(line[2], line[3], "votes", b"warm too")

        async def accept(host: Host) -> None:
            while True:
                message = await next_message(host)
                host.answer(message, Verdict.ACCEPT)

        async with trio.open_nursery() as nursery:
            for host in line[:3]:
                nursery.start_soon(accept, host)
            with trio.fail_after(PATIENCE):
                line[0].publish("extrinsics", b"last")
                line[0].publish("votes", b"first")
                heard = {(await next_message(line[3])).data for _ in range(2)}
                while not {b"last", b"first"} <= heard:
                    heard.add((await next_message(line[3])).data)
            nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_message_of_ones_own_over_the_limit_is_refused(kind: str) -> None:
    async with hosts(kind, Limits(message_bytes=1000)) as make:
        host = await make(1)
        with pytest.raises(MessageTooLarge):
            host.publish("votes", bytes(1001))
        with pytest.raises(NetworkError, match="none of the topics"):
            host.publish("gossip", b"")


async def echo(peer: PeerId, payload: bytes) -> bytes:
    if payload == b"refuse":
        raise RequestRefused("not found")
    if payload == b"fail":
        raise RuntimeError("a handler's bug")
    if payload == b"wait":
        await trio.sleep_forever()
    return payload * 2


@pytest.mark.trio
async def test_a_request_is_answered_refused_or_fails_by_kind(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with hosts(kind) as make:
        client, server = await make(1), await make(2)
        server.serve("/echo/1", echo)
        await connect(client, server)

        async def ask(payload: bytes, limit: int = 4000, timeout: float = PATIENCE) -> bytes:
            return await client.request(server.id, "/echo/1", payload, limit=limit, timeout=timeout)

        assert await ask(b"x" * 1000) == b"x" * 2000
        assert await ask(b"") == b""
        with pytest.raises(RequestRefused, match="not found"):
            await ask(b"refuse")
        with pytest.raises(RequestRefused, match="failed"):
            await ask(b"fail")
        with pytest.raises(RequestTimedOut):
            await ask(b"wait", timeout=0.2)
        with pytest.raises(AnswerInvalid):
            await ask(b"x" * 1000, limit=1999)
        assert client.score(server.id) < 0
        with pytest.raises(RequestFailed):
            await client.request(server.id, "/unknown/1", b"", limit=10, timeout=PATIENCE)
        with pytest.raises(PeerUnreachable):
            await client.request("nobody", "/echo/1", b"", limit=10, timeout=PATIENCE)
        with pytest.raises(MessageTooLarge):
            await ask(bytes(client.limits.request_bytes + 1))
        assert await ask(b"still there") == b"still therestill there"


@pytest.mark.trio
async def test_a_long_answer_comes_in_chunks_no_faster_than_it_is_read(kind: str) -> None:
    produced = []

    async def numbers(peer: PeerId, payload: bytes) -> AsyncGenerator[bytes, None]:
        for number in range(40):
            produced.append(number)
            yield bytes([number]) * 100_000

    async with hosts(kind) as make:
        client, server = await make(1), await make(2)
        server.serve_stream("/numbers/1", numbers)
        await connect(client, server)
        async with client.stream(server.id, "/numbers/1", b"", limit=4_000_000, timeout=PATIENCE) as chunks:
            read = 0
            async for chunk in chunks:
                assert chunk == bytes([read]) * 100_000
                read += 1
                assert len(produced) <= read + 2
        assert read == 40

        async def read_too_much() -> None:
            async with client.stream(server.id, "/numbers/1", b"", limit=350_000, timeout=PATIENCE) as chunks:
                async for _ in chunks:
                    pass

        with pytest.raises(AnswerInvalid):
            await read_too_much()


@pytest.mark.trio
async def test_leaving_a_stream_early_stops_it_and_harms_nothing(kind: str) -> None:
    async def endless(peer: PeerId, payload: bytes) -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(10_000)

    async with hosts(kind) as make:
        client, server = await make(1), await make(2)
        server.serve_stream("/endless/1", endless)
        server.serve("/echo/1", echo)
        await connect(client, server)
        for _ in range(30):
            async with client.stream(server.id, "/endless/1", b"", limit=10**9, timeout=PATIENCE) as chunks:
                async for _ in chunks:
                    break
        assert await client.request(server.id, "/echo/1", b"ok", limit=10, timeout=PATIENCE) == b"okok"


@pytest.mark.trio
async def test_a_request_ends_when_its_peer_goes(kind: str) -> None:
    async with hosts(kind) as make:
        client, server = await make(1), await make(2)
        started = trio.Event()

        async def wait(peer: PeerId, payload: bytes) -> bytes:
            started.set()
            await trio.sleep_forever()
            return b""

        server.serve("/wait/1", wait)
        await connect(client, server)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(RequestFailed):
                    await client.request(server.id, "/wait/1", b"", limit=10, timeout=5.0)

            nursery.start_soon(ask)
            with trio.fail_after(PATIENCE):
                await started.wait()
            server.disconnect(client.id)


@pytest.mark.trio
async def test_a_node_that_left_can_come_back(kind: str) -> None:
    async with hosts(kind) as make:
        first, second = await make(1), await make(2)
        await connect(first, second)
        first.disconnect(second.id)
        await gone(first)
        await gone(second)
        await second.dial(first.addresses()[0])
        await next_event(first, PeerConnected)
        await next_event(second, PeerConnected)
        await until_delivered(first, second, "blocks", b"again")
