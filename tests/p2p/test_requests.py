"""Asking a peer that does not react."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from p2p.containment import GuardedHost
from p2p.interface import RequestTimedOut
from p2p.requests import ask, open_pipe

PEER = "12D3KooWAwkh5KqynskrynefG5YpyJe3LnWfaxQQAQu9DbzjwFEs"


class FrozenPeer:
    """A host whose peer keeps its connection and answers nothing, as one does that is stopped or cut off."""

    async def new_stream(self, peer: Any, protocols: Any) -> Any:
        await trio.sleep_forever()


@pytest.mark.trio
async def test_a_peer_that_opens_no_stream_costs_its_asker_only_that_question(autojump_clock: MockClock) -> None:
    host = cast(GuardedHost, FrozenPeer())
    with pytest.raises(RequestTimedOut, match="opens no stream"):
        async with open_pipe(host, PEER, "/status/1"):
            pytest.fail("there is no stream")
    with pytest.raises(RequestTimedOut, match="/status/1"):
        async with ask(host, PEER, "/status/1", b"", 100, 5.0):
            pytest.fail("there is no answer")
