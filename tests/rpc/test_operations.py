"""What an operator relies on: health that means it, metrics, unsafe methods kept in, dry runs that leave no trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.service import Node
from rpc.health import check_health
from rpc.settings import RpcLimits, RpcSettings
from runtime.codec import decode, encode
from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import balances, system
from solvent.client import Client
from solvent.errors import RpcFailed
from tests.rpc.view import View
from tests.support.ledger import DevChain
from tests.support.node import running_node

ALICE, BOB = derive_seed("//Alice"), derive_seed("//Bob")
ROOT = Path(__file__).resolve().parents[2]
Running = tuple[Node, Client]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_node(tmp_path_factory.mktemp("node"), metrics_port=0) as running:
        yield running


def scrape(node: Node) -> str:
    answer = httpx.get(f"http://127.0.0.1:{node.metrics_port}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


def test_metrics_tell_heights_and_calls(running: Running) -> None:
    node, client = running
    client.submit_and_wait(ALICE, "system", system.Remark(b"x"))
    with pytest.raises(RpcFailed):
        client.call("nothing_of_the_kind")
    client.call("explorer_statistics")
    text = scrape(node)
    height = re.search(r'^solvent_block_height\{status="best"\} ([\d.e+]+)$', text, re.MULTILINE)
    assert height is not None
    assert float(height.group(1)) >= 1
    assert re.search(r'^solvent_rpc_calls_total\{is_error="true",method="unknown"\} 1.0$', text, re.MULTILINE)
    assert re.search(r"^solvent_chain_extrinsics_total 1.0$", text, re.MULTILINE)


def test_every_panel_of_the_dashboard_shows_a_metric_that_exists(running: Running) -> None:
    board = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    known = set(re.findall(r"^# TYPE (\S+)", scrape(running[0]), re.MULTILINE))
    voting = {"solvent_finality_grandpa_round"}
    for panel in board["panels"]:
        for target in panel["targets"]:
            for name in re.findall(r"solvent_\w+", target["expr"]):
                assert name in known | voting, f"{panel['title']}: {name}"


def test_a_metrics_port_that_is_taken_does_not_keep_a_node_from_running(running: Running, tmp_path: Path) -> None:
    with running_node(tmp_path, metrics_port=running[0].metrics_port) as (_, client):
        assert client.call("system_name") == "solvent"


def test_a_healthy_node_says_so_and_a_stale_one_says_why(running: Running, tmp_path: Path) -> None:
    answer = httpx.get(f"{running[1].url}/health")
    assert (answer.status_code, answer.json()["problems"]) == (200, [])
    with DevChain(tmp_path / "db") as chain:
        view: Any = View(chain, tmp_path)
        chain.seal()
        view.wall_time = lambda: chain.time / 1000 + 500
        assert "500 seconds old" in check_health(view)["problems"][0]
        view.wall_time = lambda: chain.time / 1000 + 1
        assert check_health(view)["status"] == "ok"
        view.is_syncing = lambda: True
        assert check_health(view)["status"] == "unhealthy"
        view.indexes.close()


def test_unsafe_methods_are_for_the_operator(tmp_path: Path) -> None:
    with running_node(tmp_path, rpc=RpcSettings(allows_unsafe=False)) as (_, client):
        with pytest.raises(RpcFailed, match="unsafe") as caught:
            client.call("system_peers")
        assert caught.value.code == -32601


def test_the_operator_sees_peers_keys_and_the_pool(running: Running) -> None:
    node, client = running
    assert client.call("system_peers") == []
    assert client.call("author_hasKey", "0x" + node.config.author.public.hex())
    assert not client.call("author_hasKey", "0x" + public_key(BOB).hex())
    assert client.call("author_hasSessionKeys", "0x" + node.config.author.public.hex())
    for params in ((), (to_ss58(public_key(BOB)),)):
        method = "author_rotateKeysWithOwner" if params else "author_rotateKeys"
        with pytest.raises(RpcFailed, match="No session key was made: this node is no validator"):
            client.call(method, *params)
    assert client.call("system_nodeRoles") == ["Authority"]
    assert client.call("system_syncState")["highestBlock"] >= client.call("system_syncState")["startingBlock"]
    assert client.call("author_removeExtrinsic", ["0x" + "00" * 32]) == []


def test_a_dry_run_tells_what_the_block_then_does_and_keeps_nothing(running: Running) -> None:
    _, client = running
    if client.head().number == 0:
        client.submit_and_wait(ALICE, "system", system.Remark(b"first"))
    good = client._sign(ALICE, "balances", balances.Transfer(public_key(BOB), 777), 0)
    tried = client.call("system_dryRun", "0x" + good.raw.hex())
    assert tried["ok"]
    assert any(event["name"] == "Transferred" and event["fields"]["amount"] == "777" for event in tried["events"])
    before = client.read(balances.ACCOUNTS, public_key(BOB))
    outcome = client.submit_and_wait(ALICE, "balances", balances.Transfer(public_key(BOB), 777))
    assert client.read(balances.ACCOUNTS, public_key(BOB)).free == before.free + 777
    assert outcome.fee == pytest.approx(int(tried["fee"]), rel=0.01)  # blocks in between may move the multiplier
    poor = client._sign(BOB, "balances", balances.Transfer(public_key(ALICE), 10**17), 0)
    assert client.call("system_dryRun", "0x" + poor.raw.hex())["error"]["code"] == "InsufficientBalance"
    with pytest.raises(RpcFailed) as caught:
        client.call("system_dryRun", "0x" + good.raw.hex())
    assert caught.value.code == 1010


def test_runtime_functions_answer_with_encoded_values(running: Running) -> None:
    _, client = running
    nonce = client.call("state_call", "AccountNonceApi_account_nonce", "0x" + encode(public_key(ALICE)).hex())
    assert decode(bytes.fromhex(nonce[2:]), int) == client.call("system_accountNextIndex", to_ss58(public_key(ALICE)))
    with pytest.raises(RpcFailed, match="Core_version"):
        client.call("state_call", "nothing", "0x")
    with pytest.raises(RpcFailed, match="data"):
        client.call("state_call", "AccountNonceApi_account_nonce", "0x00")


def test_nobody_votes_where_one_author_makes_every_block(running: Running) -> None:
    with pytest.raises(RpcFailed, match="nobody votes"):
        running[1].call("grandpa_roundState")
    assert running[1].call("grandpa_proveFinality", 0) is None


def test_a_rate_limit_refuses_what_is_too_much_and_recovers_nothing_else(tmp_path: Path) -> None:
    with running_node(tmp_path, rpc=RpcSettings(RpcLimits(rate=5))) as (_, client):
        for _ in range(5):
            client.call("system_name")
        with pytest.raises(RpcFailed, match="Rate limit") as caught:
            client.call("system_name")
        assert caught.value.code == -32999
        assert httpx.get(f"{client.url}/health").status_code == 200
