"""Other people's clients on a running node: ``jsonrpcclient`` in Python and ``@open-rpc/client-js`` in JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonrpcclient
import pytest

from solvent.client import Client
from solvent.websocket import WebSocket
from tests.support.node import running_node

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
"""Which JavaScript packages, in exact versions."""
SCRIPT = """
import { RequestManager, HTTPTransport, WebSocketTransport, Client } from "@open-rpc/client-js";
const [host] = process.argv.slice(2);
const found = {};
for (const [name, connect] of [["http", () => new HTTPTransport(`http://${host}`)],
                               ["ws", () => new WebSocketTransport(`ws://${host}`)]]) {
  const client = new Client(new RequestManager([connect()]));
  const notified = new Promise((resolve) => client.onNotification(resolve));
  client.onError(() => {});
  const one = { name: await client.request({ method: "system_name", params: [] }) };
  one.genesis = await client.request({ method: "chain_getBlockHash", params: { number: 0 } });
  client.startBatch();
  const batch = [0, 1].map((number) => client.request({ method: "chain_getBlockHash", params: [number] }));
  client.stopBatch();
  one.batch = await Promise.all(batch);
  try { await client.request({ method: "state_getStorage", params: [5] }); } catch (error) { one.error = error.code; }
  if (name === "ws") {
    await client.request({ method: "chain_subscribeNewHeads", params: [] });
    one.notification = (await notified).method;
  }
  client.close();
  found[name] = one;
}
console.log(JSON.stringify(found));
process.exit(0);
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_node(tmp_path_factory.mktemp("interop"), seal_seconds=0.2) as (_, client):
        while client.head().number < 1:
            pass
        yield client


def test_jsonrpcclient_understands_results_errors_and_batches_over_http(client: Client) -> None:
    answer = httpx.post(client.url, json=jsonrpcclient.request("system_name")).json()
    assert jsonrpcclient.parse(answer).result == "solvent"
    wrong = jsonrpcclient.parse(httpx.post(client.url, json=jsonrpcclient.request("state_getStorage", [5])).json())
    assert isinstance(wrong, jsonrpcclient.Error)
    assert (wrong.code, wrong.data) == (-32602, {"parameter": "key"})
    batch = [jsonrpcclient.request("chain_getBlockHash", [0]), jsonrpcclient.request_uuid("system_chain")]
    first, second = jsonrpcclient.parse(httpx.post(client.url, json=batch).json())
    assert first.result == "0x" + client.genesis_hash().hex()
    assert second.result == "Solvent Development"
    note = httpx.post(client.url, content=jsonrpcclient.notification_json("system_name"))
    assert (note.status_code, note.content) == (204, b"")


def test_jsonrpcclient_understands_the_same_over_a_websocket(client: Client) -> None:
    with WebSocket(client.url, 10.0) as websocket:
        websocket.send(jsonrpcclient.request_json("chain_getBlockHash", {"number": 0}))
        answer = jsonrpcclient.parse_json(websocket.receive(10.0))
    assert answer.result == "0x" + client.genesis_hash().hex()


@pytest.mark.slow
def test_open_rpc_client_js_speaks_to_a_node_over_http_and_websocket(client: Client, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.fail("this test needs node and npm (and network for four packages): install Node.js 20 or later")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / name, tmp_path)
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "try.mjs").write_text(SCRIPT, encoding="utf-8")
    host = client.url.removeprefix("http://")
    done = subprocess.run(
        [node, "try.mjs", host], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    genesis = "0x" + client.genesis_hash().hex()
    for one in found.values():
        assert one["name"] == "solvent"
        assert one["genesis"] == genesis
        assert one["batch"][0] == genesis
        assert one["error"] == -32602
    assert found["ws"]["notification"] == "chain_newHead"
