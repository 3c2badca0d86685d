"""JSON-RPC over a WebSocket of a running node: requests, subscriptions, limits, and readers that do not read."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from node.service import Node
from rpc.settings import RpcLimits, RpcSettings
from runtime.block import extrinsic_hash
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from solvent.client import Client
from solvent.errors import NodeUnreachable, RpcFailed, SubscriptionEnded
from solvent.websocket import WebSocket
from tests.support.node import running_node

ALICE, BOB = derive_seed("//Alice"), derive_seed("//Bob")
LIMITS = RpcLimits(connections=24, subscriptions=5, message_bytes=200_000, batch=8)

Running = tuple[Node, Client]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("websocket")
    with running_node(folder, seal_seconds=0.2, rpc=RpcSettings(LIMITS)) as running:
        yield running


@pytest.fixture
def websocket(running: Running) -> Iterator[WebSocket]:
    with WebSocket(running[1].url, 10.0) as websocket:
        yield websocket


def ask(websocket: WebSocket, request: Any) -> Any:
    websocket.send(request if isinstance(request, str) else json.dumps(request))
    return json.loads(websocket.receive(10.0))


def call(websocket: WebSocket, method: str, *params: Any, identity: Any = 1) -> Any:
    return ask(websocket, {"jsonrpc": "2.0", "id": identity, "method": method, "params": list(params)})


def test_requests_batches_and_notifications_follow_json_rpc(websocket: WebSocket) -> None:
    assert call(websocket, "system_name", identity="x") == {"jsonrpc": "2.0", "result": "solvent", "id": "x"}
    assert ask(websocket, "{")["error"]["code"] == -32700
    assert ask(websocket, "[]")["error"]["code"] == -32600
    note = {"jsonrpc": "2.0", "method": "system_name"}
    websocket.send(json.dumps(note))
    websocket.send(json.dumps([note, note]))
    answers = ask(websocket, [note, {**note, "id": 0}, {**note, "id": None}])
    assert [answer["id"] for answer in answers] == [0, None]
    assert ask(websocket, [{**note, "id": 1}] * 9)["error"]["code"] == -32010


def test_the_answer_comes_before_the_first_notification(websocket: WebSocket) -> None:
    identity = call(websocket, "chain_subscribeNewHeads")["result"]
    first = json.loads(websocket.receive(10.0))
    assert first["method"] == "chain_newHead"
    assert first["params"]["subscription"] == identity
    assert "id" not in first


def test_every_head_is_announced_once_and_in_order_to_who_reads(running: Running) -> None:
    _, client = running
    with client.subscribe("chain_subscribeNewHeads") as heads, client.subscribe("explorer_subscribeBlocks") as blocks:
        seen = [heads.next_within(10.0) for _ in range(4)]
        numbers = [int(head["number"], 16) for head in seen]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        for head, following in pairwise(seen):
            assert following["parentHash"] == head["hash"]
        block = blocks.next_within(10.0)
        assert block["finalized"]
        assert block["skipped"] == 0


def test_finalized_heads_are_final(running: Running) -> None:
    _, client = running
    with client.subscribe("chain_subscribeFinalizedHeads") as heads:
        head = heads.next_within(10.0)
    assert int(head["number"], 16) <= client.finalized_number()


def test_unsubscribing_ends_the_notifications_and_only_once(websocket: WebSocket) -> None:
    identity = call(websocket, "chain_subscribeNewHeads")["result"]
    websocket.send(
        json.dumps({"jsonrpc": "2.0", "id": "end", "method": "chain_unsubscribeNewHeads", "params": [identity]})
    )
    while "id" not in (message := json.loads(websocket.receive(10.0))):
        assert message["params"]["subscription"] == identity
    assert message["result"] is True
    assert call(websocket, "chain_unsubscribeNewHeads", identity)["result"] is False
    assert call(websocket, "chain_unsubscribeNewHeads", 5)["error"]["code"] == -32602


def test_a_subscription_is_only_ended_by_its_own_kind(websocket: WebSocket) -> None:
    identity = call(websocket, "state_subscribeStorage", [])["result"]
    assert call(websocket, "chain_unsubscribeNewHeads", identity)["result"] is False
    assert call(websocket, "state_unsubscribeStorage", identity)["result"] is True


def test_storage_subscribers_hear_of_each_change(running: Running) -> None:
    _, client = running
    key = "0x" + balances.ACCOUNTS.key(public_key(BOB)).hex()
    with client.subscribe("state_subscribeStorage", [key]) as changes:
        before = changes.next_within(10.0)
        client.submit_and_wait(ALICE, "balances", balances.Transfer(public_key(BOB), 12345))
        after = changes.next_within(10.0)
    assert before["changes"][0][0] == after["changes"][0][0] == key
    [old, new] = [balances.ACCOUNTS.decode_value(bytes.fromhex(each["changes"][0][1][2:])) for each in (before, after)]
    assert new.free == old.free + 12345


def test_a_watched_extrinsic_is_ready_then_in_a_block_then_final(running: Running) -> None:
    _, client = running
    submitted = client._sign(ALICE, "system", system.Remark(b"watched"), 0)
    with client.subscribe("author_submitAndWatchExtrinsic", "0x" + submitted.raw.hex()) as statuses:
        assert statuses.next_within(10.0) == "ready"
        included = statuses.next_within(10.0)["inBlock"]
        assert statuses.next_within(10.0) == {"finalized": included}
    block = client.call("explorer_block", included)
    assert "0x" + extrinsic_hash(submitted.raw).hex() in [item["hash"] for item in block["body"]]


def test_a_refused_extrinsic_is_an_error_and_no_subscription(running: Running, websocket: WebSocket) -> None:
    assert call(websocket, "author_submitAndWatchExtrinsic", "0x00")["error"]["code"] == 1010


def test_subscribing_over_http_says_to_open_a_websocket(running: Running) -> None:
    with pytest.raises(RpcFailed, match="WebSocket"):
        running[1].call("chain_subscribeNewHeads")


def test_too_many_subscriptions_are_refused_and_the_others_go_on(websocket: WebSocket) -> None:
    for _ in range(LIMITS.subscriptions):
        assert "result" in call(websocket, "state_subscribeStorage", [])
        json_rpc = call(websocket, "state_unsubscribeStorage", "nothing")
        assert json_rpc["result"] is False
    assert call(websocket, "state_subscribeStorage", [])["error"]["code"] == -32006
    assert call(websocket, "system_name")["result"] == "solvent"


def test_a_message_above_the_limit_costs_the_connection(running: Running) -> None:
    with WebSocket(running[1].url, 10.0) as websocket:
        websocket.send(" " * (LIMITS.message_bytes + 100_000))
        with pytest.raises((SubscriptionEnded, NodeUnreachable)):
            websocket.receive(10.0)
    assert running[1].call("system_name") == "solvent"


def test_more_connections_than_allowed_are_closed_and_room_comes_back(running: Running) -> None:
    _, client = running
    held = []
    try:
        for _ in range(LIMITS.connections):
            held.append(WebSocket(client.url, 10.0))
    except (SubscriptionEnded, NodeUnreachable):
        pass
    assert 0 < len(held) < LIMITS.connections
    for each in held:
        assert call(each, "system_name")["result"] == "solvent"
        each.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with WebSocket(client.url, 10.0) as again:
                assert call(again, "system_name")["result"] == "solvent"
                return
        except (SubscriptionEnded, NodeUnreachable):
            continue
    raise AssertionError("no room came back")


def test_a_subscriber_that_reads_nothing_holds_up_nobody(running: Running) -> None:
    _, client = running
    with WebSocket(client.url, 10.0) as idle:
        idle._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for method in ("chain_subscribeNewHeads", "explorer_subscribeBlocks"):
            idle.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}))
        block = {"jsonrpc": "2.0", "id": 2, "method": "state_getMetadata"}
        idle.send(json.dumps([block] * 8))
        idle.send(json.dumps([block] * 8))
        before = client.head().number
        for number in range(3):
            outcome = client.submit_and_wait(ALICE, "system", system.Remark(bytes([number])))
            assert outcome.ok
        assert client.head().number > before


def test_a_page_of_another_site_may_not_ask(running: Running) -> None:
    _, client = running
    http = client._transport.http
    body = {"jsonrpc": "2.0", "id": 1, "method": "system_name"}
    assert http.post("/", json=body, headers={"Origin": "https://evil.example"}).status_code == 403
    local = http.post("/", json=body, headers={"Origin": "http://localhost:3000"})
    assert local.json()["result"] == "solvent"
    assert local.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    preflight = http.options("/", headers={"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204


def test_garbage_on_the_wire_costs_one_connection(running: Running) -> None:
    node, client = running
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for noise in (b"\0" * 100, b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", upgrade + b"\xff" * 500, upgrade[:40]):
        with socket.create_connection(("127.0.0.1", node.rpc_port), 10) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert client.call("system_name") == "solvent"


def test_a_body_that_is_refused_early_frees_its_connection(running: Running) -> None:
    node, client = running
    head = b"POST / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: %d\r\n\r\n"
    for origin, size in ((b"Origin: https://evil.example", 150_000), (b"X: y", 5_000_000)):
        with socket.create_connection(("127.0.0.1", node.rpc_port), 10) as connection:
            connection.sendall(head.replace(b"Origin: https://evil.example", origin) % size)
            connection.setblocking(True)
            try:
                connection.sendall(b" " * size)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass
    deadline = time.monotonic() + 10
    while len(node.server.gate.open) > 1 and time.monotonic() < deadline:
        client.call("system_name")
    assert len(node.server.gate.open) <= 1


def test_an_answer_that_nobody_reads_does_not_keep_a_node_from_stopping(tmp_path: Path) -> None:
    with running_node(tmp_path) as (_, client):
        stuck = WebSocket(client.url, 10.0)
        stuck._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "state_getMetadata"}] * 200)
        stuck.send(request)
        stuck.send(request)
        begun = time.monotonic()
    stuck.close()
    assert time.monotonic() - begun < 15
