"""What a node remembers of gossip: long enough, and never more than it can hold."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from p2p.pubsub import _SEEN_COUNT, _SEEN_SECONDS, Seen


def names(start: int, count: int) -> list[bytes]:
    return [number.to_bytes(20, "big") for number in range(start, start + count)]


@pytest.mark.trio
async def test_a_name_is_remembered_for_a_while_and_then_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    seen = Seen()
    assert seen.add(b"name")
    assert not seen.add(b"name")
    assert not seen.has(b"other")
    await trio.sleep(_SEEN_SECONDS - 1)
    assert not seen.add(b"name")
    await trio.sleep(2)
    assert seen.add(b"other")
    assert seen.has(b"name")
    await trio.sleep(2 * _SEEN_SECONDS)
    assert seen.add(b"last")
    assert not seen.has(b"name")
    assert not seen.has(b"other")


@pytest.mark.trio
async def test_a_flood_of_names_is_forgotten_sooner_and_the_latest_are_known() -> None:
    seen = Seen()
    flood = names(0, 5 * _SEEN_COUNT)
    for name in flood:
        seen.add(name)
    assert len(seen) <= 2 * _SEEN_COUNT
    assert all(seen.has(name) for name in flood[-_SEEN_COUNT:])
    assert not seen.has(flood[0])
