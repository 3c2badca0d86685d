"""A running node under nonsense, over HTTP and WebSocket: always JSON-RPC, never a trace, and blocks go on."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from wsproto.events import BytesMessage

from node.service import Node
from rpc.methods import TABLE
from rpc.settings import RpcLimits, RpcSettings
from runtime.crypto import derive_seed
from runtime.pallets import system
from solvent.client import Client
from solvent.errors import NodeUnreachable, SubscriptionEnded
from solvent.websocket import WebSocket
from tests.support.node import running_node

ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 1e308, -0.0, "", "0x", "0x0", "0xzz",
    "0x" + "00" * 32, "0x" + "ff" * 32, "0x" + "00" * 5000, "5" * 48, "💥", "\x00", "a" * 20_000, [], [[]], {},
    {"a": 1}, [None] * 1001,
    ["0x"] * 1000, "//Alice", "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty", "pooled", "tasks.Paid", "#3",
]  # fmt: skip
BODIES: list[bytes] = [
    b"\xff\xfe\xfd", b"[" * 200_000, b'{"a":' * 50_000, b'"' + b"\\ud800" * 100 + b'"', b"null", b"\x00" * 1000,
    b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', b'{"jsonrpc":"2.0","id":1e999,"method":"system_name"}',
    b'[{"jsonrpc":"2.0","id":1,"method":"system_name"},' * 300, json.dumps([1] * 256).encode(), b"1" * 4301,
    b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"system_name"}',
]  # fmt: skip
Running = tuple[Node, Client]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = RpcSettings(RpcLimits(message_bytes=2_000_000))
    with running_node(tmp_path_factory.mktemp("fuzz"), seal_seconds=0.2, rpc=settings) as running:
        running[1].submit_and_wait(derive_seed("//Alice"), "system", system.Remark(b"a block"))
        yield running


def is_json_rpc(answer: Any) -> bool:
    """A response, or a batch of them, that is no internal error."""
    if isinstance(answer, list):
        return bool(answer) and all(is_json_rpc(each) for each in answer)
    if answer.get("jsonrpc") != "2.0" or "id" not in answer or ("result" in answer) == ("error" in answer):
        return False
    return "error" not in answer or answer["error"]["code"] != -32603


def requests_for(method: str, dice: random.Random) -> list[dict[str, Any]]:
    names = list(TABLE.methods[method].parameters)
    made: list[Any] = [[], {}, [dice.choice(ODD)] * 9]
    made += [[dice.choice(ODD) for _ in names] for _ in range(5)]
    made += [{name: dice.choice(ODD) for name in names} for _ in range(3)]
    return [{"jsonrpc": "2.0", "id": number, "method": method, "params": params} for number, params in enumerate(made)]


def test_every_method_refuses_nonsense_in_json_rpc(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    _, client = running
    dice = random.Random(5)
    before = client.head().number
    with WebSocket(client.url, 30.0) as websocket:
        for method in sorted(TABLE.methods):
            batch = requests_for(method, dice)
            over_http = httpx.post(client.url, content=json.dumps(batch), timeout=30)
            assert is_json_rpc(over_http.json()), (method, over_http.text[:2000])
            websocket.send(json.dumps(batch))
            answer: Any = {"method": "notification"}
            while isinstance(answer, dict) and "method" in answer:
                answer = json.loads(websocket.receive(30.0))
            assert is_json_rpc(answer), (method, str(answer)[:2000])
    assert not [record for record in caplog.records if record.exc_info], caplog.text[:2000]
    outcome = client.submit_and_wait(derive_seed("//Alice"), "system", system.Remark(b"still alive"))
    assert outcome.ok
    assert client.head().number > before
    assert httpx.get(f"{client.url}/health").status_code == 200


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_that_are_no_requests_are_answered_in_json_rpc(running: Running, body: bytes) -> None:
    _, client = running
    answer = httpx.post(client.url, content=body, timeout=30)
    assert is_json_rpc(answer.json()), answer.text[:500]
    assert "Traceback" not in answer.text
    text = body.decode("utf-8", "replace")
    with WebSocket(client.url, 30.0) as websocket:
        websocket.send(text)
        assert is_json_rpc(json.loads(websocket.receive(30.0)))


def test_a_batch_that_is_too_long_costs_its_caller_an_error(running: Running) -> None:
    _, client = running
    call = {"jsonrpc": "2.0", "id": 1, "method": "system_name"}
    answer = httpx.post(client.url, json=[call] * 10_000).json()
    assert answer["error"]["code"] == -32010


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/%2e%2e/server.py", "/explorer/../server.py", "/blobs/zz", "/x.py"]
)
def test_no_path_leads_out_of_the_page(running: Running, path: str) -> None:
    answer = httpx.get(running[1].url + path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text


def test_a_websocket_that_sends_bytes_is_answered_like_text(running: Running) -> None:
    _, client = running
    with WebSocket(client.url, 30.0) as websocket:
        websocket._write(BytesMessage(data=b'{"jsonrpc":"2.0","id":1,"method":"system_name"}'))
        assert json.loads(websocket.receive(30.0))["result"] == "solvent"
        websocket._write(BytesMessage(data=b"\xff\xff"))
        assert json.loads(websocket.receive(30.0))["error"]["code"] == -32700


def test_connections_that_come_and_go_leave_nothing_behind(running: Running) -> None:
    node, client = running
    for number in range(60):
        websocket = WebSocket(client.url, 30.0)
        websocket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "chain_subscribeNewHeads"}))
        if number % 2:
            websocket.receive(30.0)
        websocket.close()
    for _ in range(500):
        try:
            client.call("system_name")
        except (NodeUnreachable, SubscriptionEnded):
            continue
        if node.server.gate.sessions == 0 and len(node.server.gate.open) <= 2:
            break
    assert node.server.gate.sessions == 0
    assert len(node.server.gate.open) <= 2
