"""Asking a peer that does not react."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from p2p.containment import GuardedHost
from p2p.interface import RequestFailed, RequestTimedOut
from p2p.requests import ask, open_pipe

PEER = "12D3KooWAwkh5KqynskrynefG5YpyJe3LnWfaxQQAQu9DbzjwFEs"


class FrozenPeer:
    """A host whose peer keeps its connection and answers nothing, as one does that is stopped or cut off."""

    def get_network(self) -> FrozenPeer:
        return self

    def get_connections(self, peer: Any) -> list[Any]:
        return [peer]

    async def new_stream(self, peer: Any, protocols: Any) -> Any:
        await trio.sleep_forever()


class GonePeer(FrozenPeer):
    """A host that has lost its peer, and that would dial it on being asked for a stream."""

    def get_connections(self, peer: Any) -> list[Any]:
        return []


@pytest.mark.trio
async def test_a_peer_that_has_gone_is_not_dialled_to_be_asked() -> None:
    with pytest.raises(RequestFailed, match="has gone"):
        async with ask(cast(GuardedHost, GonePeer()), PEER, "/status/1", b"", 100, 5.0):
            pytest.fail("there is no answer")


@pytest.mark.trio
async def test_a_peer_that_opens_no_stream_costs_its_asker_only_that_question(autojump_clock: MockClock) -> None:
    host = cast(GuardedHost, FrozenPeer())
    with pytest.raises(RequestTimedOut, match="opens no stream"):
        async with open_pipe(host, PEER, "/status/1"):
            pytest.fail("there is no stream")
    with pytest.raises(RequestTimedOut, match="/status/1"):
        async with ask(host, PEER, "/status/1", b"", 100, 5.0):
            pytest.fail("there is no answer")
