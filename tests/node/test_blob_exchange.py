"""Blobs between nodes: fetched by root, from liars and leavers too, resumed, bounded, and readable meanwhile."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
import trio

from chain.messages import (
    BLOB_SIZE,
    BLOB_UNITS,
    BlobSize,
    BlobSizeRequest,
    BlobUnit,
    BlobUnitsRequest,
    decode_message,
    encode_message,
)
from node.blob_errors import BlobBusy, BlobMissing, BlobQuotaExceeded, BlobUnavailable
from node.blob_exchange import FETCHES, BlobExchange
from node.blob_server import BURST_BYTES, BYTES_PER_SECOND, STREAMS_PER_PEER, Allowances
from node.blob_units import UNIT_BYTES, UnitHasher, unit_tree
from node.blobs import BlobStore
from p2p.host import SocketHost
from p2p.interface import Host, PeerId, RequestRefused
from runtime.commitments import tensor_root
from tests.node.test_blobs import put
from tests.p2p.conftest import connect, hosts

BOTH = pytest.mark.parametrize("kind", ["socket", "memory"])
MIB = 1024 * 1024


def content(units: int, salt: int = 0) -> bytes:
    """A blob of so many units, the last one short, no two units alike."""
    return b"".join(bytes([index % 256, salt]) * (UNIT_BYTES // 2) for index in range(units))[:-1000]


class Site:
    """A node's host, store and exchange."""

    def __init__(self, host: Host, folder: Path, capacity: int, idle_seconds: float) -> None:
        self.host = host
        self.store = BlobStore(folder, capacity, capacity)
        self.exchange = BlobExchange(host, self.store, idle_seconds)

    async def get(self, root: bytes, start: int = 0, end: int | None = None) -> bytes:
        blob = await self.exchange.find(root)
        async with aclosing(blob.read(start, blob.size if end is None else end)) as pieces:
            return b"".join([piece async for piece in pieces])


class StartSite(Protocol):
    async def __call__(self, number: int, capacity: int = 256 * MIB, idle_seconds: float = 30.0) -> Site: ...


@asynccontextmanager
async def sites(kind: str, folder: Path) -> AsyncIterator[StartSite]:
    """Yield a function that starts the site of a number; a number used again finds the same disk."""
    async with hosts(kind) as make, trio.open_nursery() as nursery:

        async def start(number: int, capacity: int = 256 * MIB, idle_seconds: float = 30.0) -> Site:
            site = Site(await make(number), folder / str(number % 10), capacity, idle_seconds)
            await nursery.start(site.exchange.run)
            return site

        yield start
        nursery.cancel_scope.cancel()


async def until_stored(site: Site, root: bytes) -> None:
    """Reading ends before storing does: the bytes are put on the disk in a thread."""
    while site.store.size(root) is None:
        await trio.sleep(0.01)


class Liar:
    """Serves a blob with some units, or the size, falsified, or falls silent. Counts what it was asked for."""

    def __init__(self, host: Host, data: bytes, spoil: Callable[[int, BlobUnit], BlobUnit | None], size: int = -1):
        self.data, self.spoil, self.asked = data, spoil, list[int]()
        hasher = UnitHasher()
        hasher.update(data)
        hasher.finish()
        self.tree = unit_tree(hasher.unit_roots)
        self.size = len(data) if size < 0 else size
        host.serve(f"/{BLOB_SIZE}", self._tell_size)
        host.serve_stream(f"/{BLOB_UNITS}", self._send)

    async def _tell_size(self, peer: PeerId, question: bytes) -> bytes:
        return encode_message(BlobSize(self.size))

    async def _send(self, peer: PeerId, question: bytes) -> AsyncGenerator[bytes, None]:
        request = decode_message(BlobUnitsRequest, question)
        for index in range(request.first, request.first + request.count):
            self.asked.append(index)
            true = BlobUnit(self.tree.path(index), self.data[index * UNIT_BYTES : (index + 1) * UNIT_BYTES])
            unit = self.spoil(index, true)
            if unit is None:
                await trio.sleep_forever()
            else:
                yield encode_message(unit)


@BOTH
@pytest.mark.trio
@pytest.mark.parametrize("size", [0, 1, 5000, 3 * UNIT_BYTES, 20 * UNIT_BYTES + 5])
async def test_a_blob_of_one_node_is_read_at_another_and_then_held_there(kind: str, size: int, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2)
        await connect(asker.host, holder.host)
        data = content(21)[:size] if size else b""
        root = put(holder.store, data)
        assert await asker.get(root) == data
        await until_stored(asker, root)
        assert asker.store.is_cached(root)
        assert b"".join(asker.store.read(root, 0, size)) == data
        assert asker.store.unit_roots(root) == holder.store.unit_roots(root)
        assert asker.host.score(holder.host.id) >= 0


@BOTH
@pytest.mark.trio
async def test_a_range_in_the_middle_comes_first(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2)
        await connect(asker.host, holder.host)
        data = content(40)
        liar = Liar(holder.host, data, lambda index, unit: unit)
        span = (30 * UNIT_BYTES - 10, 31 * UNIT_BYTES + 10)
        assert await asker.get(tensor_root(data), *span) == data[span[0] : span[1]]
        await until_stored(asker, tensor_root(data))
        assert liar.asked[0] == 39  # proves the size
        assert liar.asked.index(30) < liar.asked.index(2)
        assert sorted(liar.asked) == list(range(40))


@BOTH
@pytest.mark.trio
async def test_a_blob_that_no_peer_holds_is_missing_and_peers_are_not_asked_at_once_again(
    kind: str, tmp_path: Path
) -> None:
    async with sites(kind, tmp_path) as start:
        peer, asker = await start(1), await start(2)
        asked = 0

        async def refuse(who: PeerId, question: bytes) -> bytes:
            nonlocal asked
            asked += 1
            raise RequestRefused("not here")

        peer.host.serve(f"/{BLOB_SIZE}", refuse)
        await connect(asker.host, peer.host)
        for _ in range(3):
            with pytest.raises(BlobMissing, match=bytes(32).hex()):
                await asker.get(bytes(32))
        assert asked == 1


@asynccontextmanager
async def reading(site: Site, root: bytes) -> AsyncIterator[list[bytes]]:
    """Read a blob in a task of its own; the list holds it after the context."""
    got: list[bytes] = []

    async def read() -> None:
        got.append(await site.get(root))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        yield got


async def until(is_so: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.01)


@pytest.mark.trio
async def test_a_blob_that_no_peer_holds_is_looked_for_beyond_them(tmp_path: Path) -> None:
    async with sites("socket", tmp_path) as start:
        holder, peer, asker = await start(1), await start(2), await start(3)
        await connect(asker.host, peer.host)
        data = content(2)
        root = put(holder.store, data)
        assert isinstance(asker.host, SocketHost)
        asker.host.book.learn(holder.host.addresses()[0])
        assert await asker.get(root) == data
        assert {known.id for known in asker.host.peers()} == {peer.host.id, holder.host.id}
        with pytest.raises(BlobMissing):
            await asker.get(bytes(32))


@BOTH
@pytest.mark.trio
async def test_a_false_unit_costs_its_sender_and_what_was_good_is_kept(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        honest, bad, asker = await start(1), await start(2), await start(3)
        data = content(30)
        root, last = tensor_root(data), 29

        def spoil(index: int, unit: BlobUnit) -> BlobUnit:
            return BlobUnit(unit.path, unit.data[:-1] + b"!") if 2 < index < last else unit

        liar = Liar(bad.host, data, spoil)
        second = Liar(honest.host, data, lambda index, unit: unit)
        await connect(asker.host, bad.host)
        async with reading(asker, root) as got:
            await until(lambda: asker.host.score(bad.host.id) == -50)
            await connect(asker.host, honest.host)
        assert got == [data]
        assert set(liar.asked) >= {0, 1, 2, 3, last}
        assert set(second.asked) == set(range(3, last))
        assert asker.host.score(honest.host.id) >= 0


@BOTH
@pytest.mark.trio
@pytest.mark.parametrize("claim", [0, UNIT_BYTES, 3 * UNIT_BYTES, 10 * UNIT_BYTES, 2**62])
async def test_a_peer_that_lies_about_the_size_fills_no_disk(kind: str, claim: int, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        honest, bad, asker = await start(1), await start(2), await start(3)
        data = content(5)
        root = tensor_root(data)

        def invent(index: int, unit: BlobUnit) -> BlobUnit:
            return unit

        liar = Liar(bad.host, data, invent, claim)
        liar.tree.path = lambda index: liar.tree.__class__.path(liar.tree, min(index, 4))  # type: ignore[method-assign]
        await connect(asker.host, bad.host)
        with pytest.raises(BlobUnavailable):
            await asker.get(root)
        assert asker.host.score(bad.host.id) == -50
        assert asker.store.used() == 0
        put(honest.store, data)
        await connect(asker.host, honest.host)
        assert await asker.get(root) == data


@BOTH
@pytest.mark.trio
async def test_several_peers_send_at_once_and_one_that_falls_silent_does_not_stop_the_others(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.blob_fetch.UNIT_SECONDS", 0.5)
    async with sites(kind, tmp_path) as start:
        asker = await start(9)
        data = content(40)
        peers = [await start(number) for number in (1, 2, 3)]
        silent = Liar(peers[0].host, data, lambda index, unit: None)
        others = [Liar(peer.host, data, lambda index, unit: unit) for peer in peers[1:]]
        for peer in peers:
            await connect(asker.host, peer.host)
        assert await asker.get(tensor_root(data)) == data
        assert all(other.asked for other in others)
        assert silent.asked


@BOTH
@pytest.mark.trio
async def test_a_fetch_survives_the_loss_of_its_only_peer_when_another_comes(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        first, second, asker = await start(1), await start(2), await start(3)
        data = content(30)

        def leave(index: int, unit: BlobUnit) -> BlobUnit:
            if index == 10:
                first.host.disconnect(asker.host.id)
            return unit

        Liar(first.host, data, leave)
        rest = Liar(second.host, data, lambda index, unit: unit)
        await connect(asker.host, first.host)
        async with reading(asker, tensor_root(data)) as got:
            await until(lambda: not asker.host.peers())
            await connect(asker.host, second.host)
        assert got == [data]
        assert not set(rest.asked) & set(range(5))


@BOTH
@pytest.mark.trio
async def test_a_node_that_was_killed_half_way_goes_on_where_it_was_but_trusts_no_damaged_unit(
    kind: str, tmp_path: Path
) -> None:
    async with sites(kind, tmp_path) as start:
        holder = await start(1)
        data = content(30)
        root = tensor_root(data)
        half = Liar(holder.host, data, lambda index, unit: None if 12 <= index < 29 else unit)
        killed = await start(2, idle_seconds=0.5)
        await connect(killed.host, holder.host)
        with pytest.raises(BlobUnavailable, match="try again"):
            await killed.get(root)
        kept = set(half.asked) - set(range(12, 29))
        part = killed.store.fetching_path(root)
        with part.open("r+b") as file:  # a write that the crash tore
            file.seek(4 * UNIT_BYTES + 7)
            file.write(b"torn")

        again = await start(12)
        assert again.store.used() == len(data)
        half.asked.clear()
        half.spoil = lambda index, unit: unit
        await connect(again.host, holder.host)
        assert await again.get(root) == data
        assert set(half.asked) == set(range(30)) - kept | {4, 29}
        await until(lambda: again.store.size(root) == len(data))
        assert not part.exists()


@BOTH
@pytest.mark.trio
async def test_a_fetch_makes_room_among_fetched_blobs_and_never_among_uploaded_ones(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2, capacity=5 * MIB)
        await connect(asker.host, holder.host)
        roots = [put(holder.store, content(8, salt)) for salt in range(3)]
        mine = put(asker.store, b"mine" * 100_000)
        for root in roots:
            await asker.get(root)
            await until(lambda root=root: asker.store.size(root) is not None)  # type: ignore[misc]
        assert [asker.store.size(root) is None for root in roots] == [True, False, False]
        assert asker.store.size(mine) == 400_000
        with pytest.raises(BlobQuotaExceeded):
            await asker.get(put(holder.store, content(19)))
        assert asker.store.size(mine) == 400_000
        assert asker.store.used() <= 5 * MIB


@BOTH
@pytest.mark.trio
async def test_many_who_want_one_blob_share_one_fetch_and_too_many_blobs_are_refused(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2)
        data = content(6)
        gate = trio.Event()
        liar = Liar(holder.host, data, lambda index, unit: unit)
        tell_size = liar._tell_size

        async def wait(peer: PeerId, question: bytes) -> bytes:
            await gate.wait()
            if decode_message(BlobSizeRequest, question).root != tensor_root(data):
                raise RequestRefused("not here")
            return await tell_size(peer, question)

        holder.host.serve(f"/{BLOB_SIZE}", wait)
        await connect(asker.host, holder.host)

        async def fail(root: bytes) -> None:
            with pytest.raises(BlobMissing):
                await asker.get(root)

        async with trio.open_nursery() as nursery:
            for number in range(1, FETCHES):
                nursery.start_soon(fail, bytes([number]) * 32)
            async with reading(asker, tensor_root(data)) as first, reading(asker, tensor_root(data)) as second:
                await until(lambda: len(asker.exchange._fetches) == FETCHES)
                with pytest.raises(BlobBusy):
                    await asker.get(bytes([99]) * 32)
                gate.set()
        assert first == second == [data]
        assert sorted(liar.asked[-6:]) == list(range(6))


@BOTH
@pytest.mark.trio
async def test_a_fetch_that_nobody_reads_stops_and_keeps_what_came(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2, idle_seconds=0.3)
        data = content(200)
        liar = Liar(holder.host, data, lambda index, unit: unit)
        answer = liar._send

        async def slowly(peer: PeerId, question: bytes) -> AsyncGenerator[bytes, None]:
            async with aclosing(answer(peer, question)) as units:
                async for unit in units:
                    await trio.sleep(0.02)
                    yield unit

        holder.host.serve_stream(f"/{BLOB_UNITS}", slowly)
        await connect(asker.host, holder.host)
        await asker.exchange.find(tensor_root(data))
        await until(lambda: not asker.exchange._fetches)
        assert 1 < len(liar.asked) < 100
        assert asker.store.size(tensor_root(data)) is None
        assert asker.store.fetching_path(tensor_root(data)).exists()


@BOTH
@pytest.mark.trio
async def test_a_damaged_blob_is_dropped_and_not_sent(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2, idle_seconds=0.5)
        await connect(asker.host, holder.host)
        data = content(3)
        root = put(holder.store, data)
        holder.store.path(root).write_bytes(data[:-1] + b"!")
        with pytest.raises(BlobUnavailable):
            await asker.get(root)
        assert holder.store.size(root) is None
        assert asker.host.score(holder.host.id) >= 0


@BOTH
@pytest.mark.trio
async def test_lost_unit_roots_are_computed_anew(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2)
        await connect(asker.host, holder.host)
        data = content(3)
        root = put(holder.store, data)
        holder.store.path(root).with_suffix(".units").unlink()
        assert await asker.get(root) == data


@BOTH
@pytest.mark.trio
async def test_malformed_questions_cost_points_and_one_peer_has_only_so_many_streams(kind: str, tmp_path: Path) -> None:
    async with sites(kind, tmp_path) as start:
        holder, asker = await start(1), await start(2)
        await connect(asker.host, holder.host)
        root = put(holder.store, content(20))
        question = encode_message(BlobUnitsRequest(root, 0, 16))
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(STREAMS_PER_PEER):
                chunks = await stack.enter_async_context(
                    asker.host.stream(holder.host.id, f"/{BLOB_UNITS}", question, limit=2**24, timeout=30)
                )
                await anext(aiter(chunks))
            with pytest.raises(RequestRefused, match="busy"):
                await asker.host.request(holder.host.id, f"/{BLOB_UNITS}", question, limit=2**24, timeout=30)
        await until(lambda: not holder.exchange._server._open)
        with pytest.raises(RequestRefused, match="malformed"):
            await asker.host.request(holder.host.id, f"/{BLOB_UNITS}", b"junk", limit=100, timeout=30)
        assert holder.host.score(asker.host.id) == -50


def test_a_peer_gets_a_burst_and_then_so_many_bytes_a_second() -> None:
    allowances = Allowances()
    assert allowances.wait_for("a", BURST_BYTES, 0.0) == 0.0
    assert allowances.wait_for("a", BYTES_PER_SECOND, 0.0) == 1.0
    assert allowances.wait_for("b", 1, 0.0) == 0.0
    assert allowances.wait_for("a", 0, 1.0 + BURST_BYTES / BYTES_PER_SECOND) == 0.0


@pytest.mark.slow
@pytest.mark.trio
async def test_the_memory_that_a_fetch_takes_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    async with sites("socket", tmp_path) as start:
        holder, asker = await start(1), await start(2)
        await connect(asker.host, holder.host)
        data = content(256)
        root = put(holder.store, data)
        assert len(data) > 60 * MIB
        tracemalloc.start()
        try:
            blob = await asker.exchange.find(root)
            at = 0
            async with aclosing(blob.read(0, blob.size)) as pieces:
                async for piece in pieces:
                    assert piece == data[at : at + len(piece)]
                    at += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert at == len(data)
        assert peak < 8 * MIB  # of both nodes; 3 MB when it was written
