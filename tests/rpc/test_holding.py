"""What callers together may make a node hold: whoever holds more than an equal share is cut off, the others are not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from node.service import Node
from rpc.settings import RpcLimits, RpcSettings
from solvent.client import Client
from solvent.websocket import WebSocket
from tests.support.node import running_node

KIB = 1024
LIMITS = RpcLimits(connections=16, message_bytes=1024 * KIB, held_bytes=1024 * KIB)
Running = tuple[Node, Client]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_node(tmp_path_factory.mktemp("holding"), rpc=RpcSettings(LIMITS)) as running:
        yield running


def begin_call(port: int, size: int, whole: int = 900 * KIB) -> socket.socket:
    """A connection that has sent ``size`` bytes of a body of ``whole``."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % whole)
    connection.sendall(b" " * size)
    return connection


def is_cut_off(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def settled(node: Node) -> bool:
    deadline = time.monotonic() + 10
    while node.server.gate.held and time.monotonic() < deadline:
        time.sleep(0.01)
    return node.server.gate.held == 0


def test_floods_of_unfinished_calls_cost_the_greedy_and_not_the_modest(running: Running) -> None:
    node, client = running
    with ExitStack() as stack:
        modest = stack.enter_context(begin_call(node.rpc_port, 20 * KIB, 20 * KIB + 60))
        greedy = [stack.enter_context(begin_call(node.rpc_port, 300 * KIB)) for _ in range(4)]
        for connection in greedy[-1:]:
            assert is_cut_off(connection)
        assert node.server.gate.overdrawn >= 1
        assert client.call("system_name") == "solvent"
        modest.sendall(b'{"jsonrpc":"2.0","id":1,"method":"system_name"}'.ljust(60))
        assert modest.recv(15) == b"HTTP/1.1 200 \r\n"[:15]
    assert settled(node)


def test_calls_one_after_another_never_add_up(running: Running) -> None:
    node, client = running
    before = node.server.gate.overdrawn
    call = b'{"jsonrpc":"2.0","id":1,"method":"system_name"}'
    with httpx.Client() as over_http, WebSocket(client.url, 10.0) as websocket:
        for _ in range(6):
            assert over_http.post(client.url, content=call.rjust(400 * KIB)).json()["result"] == "solvent"
            websocket.send(call.decode().rjust(400 * KIB))
            assert json.loads(websocket.receive(10.0))["result"] == "solvent"
        assert settled(node)
    assert node.server.gate.overdrawn == before
