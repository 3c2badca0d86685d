"""Blobs over HTTP: what their status codes say, and what happens when bytes stop coming."""

from __future__ import annotations

import http.client
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from node.blob_errors import BlobBusy, BlobError, BlobMissing, BlobQuotaExceeded, BlobUnavailable
from node.service import Node
from runtime.blob_access import upload_message
from runtime.commitments import tensor_root
from runtime.crypto import derive_seed, public_key, sign, to_ss58
from solvent.client import BlobFailed, Client
from tests.node.test_blobs import put
from tests.support.node import running_node

ALICE, BOB = derive_seed("//Alice"), derive_seed("//Bob")
DATA = bytes(range(256)) * 4096


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Node, Client]]:
    with running_node(tmp_path, blob_capacity=4_000_000, blob_account_capacity=2_000_000) as running:
        yield running


class Breaking:
    """A blob whose bytes stop coming now and then."""

    size = len(DATA)

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        yield DATA[start : min(start + 300_000, end)]
        if start + 300_000 < end:
            raise BlobUnavailable("the peer has gone")


def test_a_download_that_breaks_off_is_resumed_by_the_client(
    both: tuple[Node, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, client = both

    async def find(root: bytes) -> Breaking:
        return Breaking()

    monkeypatch.setattr(node, "find_blob", find)
    assert client.get_blob(tensor_root(DATA)) == DATA
    connection = http.client.HTTPConnection("127.0.0.1", node.rpc_port)
    connection.request("GET", f"/blobs/{tensor_root(DATA).hex()}")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial == DATA[:300_000]


@pytest.mark.parametrize(
    ("error", "status"), [(BlobMissing, 404), (BlobUnavailable, 504), (BlobBusy, 503), (BlobQuotaExceeded, 507)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_why_there_is_no_blob_is_told_by_the_status(
    both: tuple[Node, Client], monkeypatch: pytest.MonkeyPatch, error: type[BlobError], status: int, method: str
) -> None:
    node, client = both

    async def find(root: bytes) -> Breaking:
        raise error("because")

    monkeypatch.setattr(node, "find_blob", find)
    connection = http.client.HTTPConnection("127.0.0.1", node.rpc_port)
    connection.request(method, f"/blobs/{'00' * 32}")
    answer = connection.getresponse()
    assert answer.status == status
    assert (b"because" in answer.read()) is (method == "GET")
    connection.close()
    with pytest.raises(BlobFailed, match="because"):
        client.get_blob(bytes(32))


def test_a_blob_larger_than_asked_for_is_not_downloaded(both: tuple[Node, Client]) -> None:
    _, client = both
    root = client.put_blob(DATA, ALICE)
    with pytest.raises(BlobFailed, match="more than the 1000 bytes"):
        client.get_blob(root, max_bytes=1000)


def test_who_uploads_what_was_only_fetched_becomes_its_owner(both: tuple[Node, Client]) -> None:
    node, client = both
    put(node.blobs, DATA, owner="")
    root = tensor_root(DATA)
    assert node.blobs.is_cached(root)
    assert client.put_blob(DATA, ALICE) == root
    assert node.blobs.used(to_ss58(public_key(ALICE))) == len(DATA)
    assert client.put_blob(DATA, BOB) == root
    assert node.blobs.used(to_ss58(public_key(BOB))) == 0
    again = type(node.blobs)(node.blobs.folder, 4_000_000, 2_000_000)
    assert again.used(to_ss58(public_key(ALICE))) == len(DATA)


def test_an_upload_can_be_asked_how_far_it_is(both: tuple[Node, Client]) -> None:
    node, client = both
    root = tensor_root(DATA)
    part = node.blobs.begin(root, len(DATA), "somebody", 0)
    part.write(DATA[:1000])
    part.suspend()
    signature = sign(ALICE, upload_message(client.genesis_hash(), root, len(DATA))).hex()
    headers = {
        "Authorization": f"Solvent {to_ss58(public_key(ALICE))} {signature}",
        "Content-Range": f"bytes */{len(DATA)}",
        "Content-Length": "0",
    }
    connection = http.client.HTTPConnection("127.0.0.1", node.rpc_port)
    connection.request("PUT", f"/blobs/{root.hex()}", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Upload-Offset"], answer.read()) == (202, "1000", b"")
    connection.close()
    assert client.put_blob(DATA, ALICE) == root
