"""The client against a real node over real sockets."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.config import NodeConfig
from node.service import Node
from runtime.block import Extrinsic, decode_extrinsic
from runtime.commitments import tensor_root
from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import balances, system
from solvent.client import (
    BadAddress,
    BadAnswer,
    BlobFailed,
    Client,
    ExtrinsicExpired,
    NodeUnreachable,
    RpcFailed,
    SubmissionRefused,
    Submitted,
    WaitTimedOut,
)
from tests.support.node import running_node

ALICE, BOB, NOBODY = derive_seed("//Alice"), derive_seed("//Bob"), derive_seed("//Nobody")
TOKEN = 10**9


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Client]]:
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, blob_capacity=3_000_000, blob_account_capacity=2_000_000) as running:
        yield running


@pytest.fixture
def client(both: tuple[Node, Client]) -> Client:
    return both[1]


def test_a_transfer_is_included_and_its_events_come_decoded(client: Client) -> None:
    before = client.read(balances.ACCOUNTS, public_key(BOB)).free
    outcome = client.submit_and_wait(ALICE, "balances", balances.Transfer(public_key(BOB), TOKEN))
    assert outcome.ok
    assert outcome.error is None
    moved = [record for _, name, record in outcome.events if name == "Transferred"]
    assert moved == [balances.Transferred(public_key(ALICE), public_key(BOB), TOKEN)]
    assert client.read(balances.ACCOUNTS, public_key(BOB)).free == before + TOKEN
    assert client.header(outcome.block_hash).number == outcome.block_number


def test_a_failed_call_is_an_outcome_and_costs_its_fee(client: Client) -> None:
    before = client.read(balances.ACCOUNTS, public_key(BOB)).free
    outcome = client.submit_and_wait(BOB, "balances", balances.Transfer(public_key(ALICE), 10**18))
    assert not outcome.ok
    assert outcome.error is not None
    assert (outcome.error.pallet, outcome.error.code) == ("balances", "InsufficientBalance")
    assert client.read(balances.ACCOUNTS, public_key(BOB)).free == before - outcome.fee


def test_many_submissions_in_a_row_get_consecutive_nonces(client: Client) -> None:
    args = balances.Transfer(public_key(BOB), 1)
    submitted = [client.submit(ALICE, "balances", args) for _ in range(20)]
    nonces = [one.nonce for one in submitted]
    assert nonces == list(range(nonces[0], nonces[0] + 20))
    assert all(client.wait(one).ok for one in submitted)


def test_two_clients_with_one_key_do_not_trip_over_each_other(client: Client) -> None:
    outcomes: list[bool] = []

    def work() -> None:
        with Client(client.url) as mine:
            for amount in range(5):
                outcomes.append(mine.submit_and_wait(ALICE, "system", system.Remark(bytes([amount]))).ok)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 15


def test_who_cannot_pay_is_refused_with_the_reason(client: Client) -> None:
    with pytest.raises(SubmissionRefused) as caught:
        client.submit(NOBODY, "balances", balances.Transfer(public_key(BOB), 1))
    assert (caught.value.code, caught.value.reason) == (1010, "unaffordable")


def test_the_estimated_fee_is_the_fee(client: Client) -> None:
    args = balances.Transfer(public_key(BOB), 5)
    estimated = client.estimate_fee(ALICE, "balances", args, tip=3)
    outcome = client.submit_and_wait(ALICE, "balances", args, tip=3)
    assert abs(outcome.fee - estimated) <= estimated // 1000


def test_values_defaults_and_missing_entries(client: Client) -> None:
    assert client.read(system.CHAIN_ID) == "dev"
    assert client.read(balances.ACCOUNTS, bytes(32)) is None
    with pytest.raises(TypeError, match="give the key"):
        client.read(balances.ACCOUNTS)
    with pytest.raises(TypeError, match="no keys"):
        client.read(system.CHAIN_ID, 1)


def test_a_map_is_listed_over_several_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = dict(client.items(balances.ACCOUNTS))
    assert public_key(ALICE) in everything
    monkeypatch.setattr("solvent.client.PAGE", 3)
    assert dict(client.items(balances.ACCOUNTS)).keys() == everything.keys()


def test_reading_at_an_old_block_gives_the_old_value(client: Client) -> None:
    genesis = client.genesis_hash()
    client.submit_and_wait(ALICE, "balances", balances.Transfer(public_key(BOB), 1))
    assert client.read(system.NONCES, public_key(ALICE), at=genesis) is None
    assert client.read(system.NONCES, public_key(ALICE)) > 0


def test_proved_reads_need_no_trust(client: Client) -> None:
    at = client.finalized_hash()
    assert client.verify_storage(balances.ACCOUNTS, public_key(ALICE), at=at) is not None
    assert client.verify_storage(balances.ACCOUNTS, bytes(32), at=at) is None
    assert client.verify_storage(system.CHAIN_ID, at=at) == "dev"


class LyingTransport:
    """Passes everything on but lies about storage."""

    def __init__(self, honest: Any) -> None:
        self.honest = honest

    def call(self, method: str, *params: Any) -> Any:
        return self.honest.call(method, *params)

    def batch(self, calls: Any) -> Any:
        value, proof = self.honest.batch(calls)
        return [value[:-2] + ("00" if value[-2:] != "00" else "01"), proof]


def test_a_lie_about_storage_is_noticed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_transport", LyingTransport(client._transport))
    with pytest.raises(BadAnswer, match="does not show"):
        client.verify_storage(balances.ACCOUNTS, public_key(ALICE), at=client.finalized_hash())


def test_a_header_that_does_not_hash_to_its_name_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    other = client.call("chain_getHeader", "0x" + client.genesis_hash().hex())
    monkeypatch.setattr(client, "call", lambda *_: other)
    with pytest.raises(BadAnswer, match="another header"):
        client.header(bytes(32))


def test_an_extrinsic_nobody_has_times_out_or_expires(client: Client) -> None:
    raw = client._sign(NOBODY, "system", system.Remark(b"never"), 0).raw
    number = client.head().number
    with pytest.raises(WaitTimedOut):
        client.wait(Submitted(bytes(32), raw, 0, number, number + 1000, bytes(32)), timeout=0.05)
    with pytest.raises(ExtrinsicExpired):
        client.wait(Submitted(bytes(32), raw, 0, number, number + 1, bytes(32)), timeout=0.05)


def test_a_waiting_client_hands_a_lost_extrinsic_in_again(
    both: tuple[Node, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node forgets its pool, as a restart does; the waiting client brings the extrinsic back."""
    _, client = both
    monkeypatch.setattr("solvent.client.RESUBMIT_SECONDS", 0.05)
    lost = client._sign(ALICE, "system", system.Remark(b"lost"), 0)
    outcome = client.wait(lost)
    assert outcome.ok
    item = decode_extrinsic(lost.raw)
    assert isinstance(item, Extrinsic)
    assert client.call("system_accountNextIndex", to_ss58(public_key(ALICE))) == item.nonce + 1


def test_errors_of_the_node_come_typed(client: Client) -> None:
    with pytest.raises(RpcFailed) as caught:
        client.call("chain_getBlockHash", "x")
    assert caught.value.code == -32602


def test_nobody_listening_is_said_clearly() -> None:
    with Client("http://127.0.0.1:9", patience=0.0) as client, pytest.raises(NodeUnreachable, match="solvent dev"):
        client.head()


@pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1:abc", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(BadAddress, match="one is http"):
        Client(url)


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers everything with the server's ``reply``."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.reply)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    "reply",
    [b"<html>", b"[]", b"[1]", b"{}", b'{"jsonrpc":"2.0","id":1,"error":5}', b'{"jsonrpc":"2.0","id":1,"result":{}}'],
)
def test_an_impostor_is_a_bad_answer(reply: bytes) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Impostor) as server:
        server.reply = reply  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with (
                Client(f"http://127.0.0.1:{server.server_port}") as client,
                pytest.raises(BadAnswer),
            ):
                client.head()
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", [0, 1, 4096, 300_001])
def test_blobs_go_and_come_back(client: Client, tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    root = client.put_blob(data, ALICE)
    assert root == tensor_root(data)
    assert client.get_blob(root) == data
    path = tmp_path / "file"
    path.write_bytes(data)
    assert client.put_blob(path, ALICE) == root


def test_a_broken_upload_is_continued(both: tuple[Node, Client]) -> None:
    node, client = both
    data = b"resume" * 50_000
    root = tensor_root(data)
    upload = node.blobs.begin(root, len(data), to_ss58(public_key(ALICE)), 0)
    upload.write(data[:100_000])
    upload.suspend()
    head = httpx.head(f"{client.url}/blobs/{root.hex()}")
    assert (head.status_code, head.headers["upload-offset"]) == (404, "100000")
    client.put_blob(data, ALICE)
    assert client.get_blob(root) == data


def test_a_damaged_part_is_dropped_and_the_next_try_starts_over(both: tuple[Node, Client]) -> None:
    node, client = both
    data = b"damaged" * 10_000
    root = tensor_root(data)
    upload = node.blobs.begin(root, len(data), to_ss58(public_key(ALICE)), 0)
    upload.write(b"wrong")
    upload.suspend()
    with pytest.raises(BlobFailed) as caught:
        client.put_blob(data, ALICE)
    assert caught.value.status == 422
    client.put_blob(data, ALICE)
    assert client.get_blob(root) == data


def test_ranges_of_a_blob(client: Client) -> None:
    data = bytes(range(256)) * 10
    url = f"{client.url}/blobs/{client.put_blob(data, ALICE).hex()}"

    def get(span: str) -> httpx.Response:
        return httpx.get(url, headers={"Range": span})

    assert get("bytes=10-19").content == data[10:20]
    assert get("bytes=10-19").headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert get("bytes=2550-").content == data[2550:]
    assert get("bytes=-5").content == data[-5:]
    assert get("bytes=2559-99999").content == data[-1:]
    for wrong in ("bytes=2560-", "bytes=5-4", "bytes=-", "bytes=0-1,3-4", "lines=1-2"):
        assert get(wrong).status_code == 416
    assert httpx.head(url).headers["content-length"] == str(len(data))


def test_a_blob_bigger_than_asked_for_is_not_read_to_its_end(client: Client) -> None:
    root = client.put_blob(bytes(5000), ALICE)
    with pytest.raises(BlobFailed, match="more than the 4999"):
        client.get_blob(root, max_bytes=4999)


def test_a_blob_that_is_nowhere_is_a_404(client: Client) -> None:
    with pytest.raises(BlobFailed) as caught:
        client.get_blob(bytes(32))
    assert caught.value.status == 404


def test_strangers_and_bad_signatures_cannot_store(client: Client) -> None:
    with pytest.raises(BlobFailed) as caught:
        client.put_blob(b"stranger", NOBODY)
    assert caught.value.status == 403
    url = f"{client.url}/blobs/{tensor_root(b'x').hex()}"
    for header in ("", "Bearer x", f"Solvent {to_ss58(public_key(ALICE))} {'00' * 64}", f"Solvent x {'00' * 64}"):
        assert httpx.put(url, content=b"x", headers={"Authorization": header}).status_code == 401
    assert httpx.get(f"{client.url}/blobs/zz").status_code == 400
    assert httpx.put(url, content=iter([b"x"])).status_code == 411
    assert httpx.put(url, content=b"x", headers={"Content-Range": "bytes 5-1/9"}).status_code == 400


def test_the_quota_of_an_account_is_507(client: Client) -> None:
    with pytest.raises(BlobFailed) as caught:
        client.put_blob(bytes(2_000_001), BOB)
    assert caught.value.status == 507


def test_health_and_a_body_that_is_too_big(client: Client) -> None:
    health = httpx.get(f"{client.url}/health").json()
    assert health["status"] == "ok"
    assert health["best"] >= health["finalized"] >= 0
    big = httpx.post(f"{client.url}/", content=b" " * (8 * 1024 * 1024 + 1))
    assert (big.status_code, big.json()["error"]["code"]) == (413, -32007)
    note = httpx.post(f"{client.url}/", content=json.dumps({"jsonrpc": "2.0", "method": "system_name"}))
    assert note.status_code == 204


def test_a_node_config_takes_the_development_chain_by_default(tmp_path: Path) -> None:
    assert NodeConfig(tmp_path).genesis["id"] == "dev"


def test_threads_that_share_a_client_and_an_account_do_not_use_a_nonce_twice(tmp_path: Path) -> None:
    bob = public_key(BOB)
    with running_node(tmp_path) as (_, client), ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda n: client.submit(ALICE, "balances", balances.Transfer(bob, n + 1)), range(24)))
        assert sorted(one.nonce for one in sent) == list(range(24))
        assert all(outcome.ok for outcome in threads.map(client.wait, sent))
