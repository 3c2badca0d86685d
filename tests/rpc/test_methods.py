"""What each method answers, on a chain with a few blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rpc.methods import TABLE
from runtime import merkle, registry
from runtime.block import Header, extrinsic_hash, header_hash
from runtime.codec import decode
from runtime.crypto import public_key, to_ss58
from runtime.pallets import balances
from tests.rpc.view import View, ask
from tests.support.ledger import ALICE, BOB, DevChain

BOB_ACCOUNT = public_key(BOB)


class Scene:
    """A view, its chain, and a shorthand for results."""

    def __init__(self, chain: DevChain, folder: Path) -> None:
        self.chain, self.view = chain, View(chain, folder)

    def result(self, method: str, *params: Any) -> Any:
        response = ask(self.view, method, *params)
        assert "result" in response, response
        return response["result"]

    def error(self, method: str, *params: Any) -> Any:
        return ask(self.view, method, *params)["error"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with DevChain(tmp_path / "db") as chain:
        chain.transfer(ALICE, BOB_ACCOUNT, 7)
        chain.transfer(BOB, public_key(ALICE), 10**17)
        chain.seal()
        chain.seal()
        yield Scene(chain, tmp_path)


def test_headers_hash_to_their_blocks(scene: Scene) -> None:
    for number in range(3):
        hash_ = scene.result("chain_getBlockHash", number)
        header = scene.result("chain_getHeader", hash_)
        assert header["number"] == hex(number)
        assert "0x" + header_hash(decode(bytes.fromhex(header["encoded"][2:]), Header)).hex() == hash_
    assert scene.result("chain_getBlockHash", [0, "0x1", 99])[1:] == [scene.result("chain_getBlockHash", 1), None]
    assert scene.result("chain_getBlockHash") == scene.result("chain_getFinalizedHead")


def test_a_block_shows_its_calls_receipts_and_events(scene: Scene) -> None:
    hash_ = scene.result("chain_getBlockHash", 1)
    block = scene.result("chain_getBlock", hash_)["block"]
    names = [f"{call['pallet']}.{call['call']}" for call in block["calls"]]
    assert names == ["timestamp.set", "balances.transfer", "balances.transfer"]
    good = next(call for call in block["calls"] if call["signer"] == to_ss58(public_key(ALICE)))
    assert good["arguments"] == {"to": to_ss58(BOB_ACCOUNT), "amount": "7"}
    outcome = scene.result("chain_getBlockEvents", hash_)
    receipts = {receipt["hash"]: receipt for receipt in outcome["receipts"]}
    assert receipts[good["hash"]]["ok"]
    [failed] = [receipt for receipt in outcome["receipts"] if not receipt["ok"]]
    assert failed["error"]["code"] == "InsufficientBalance"
    first = receipts[good["hash"]]["firstEvent"]
    mine = outcome["events"][first : first + receipts[good["hash"]]["eventCount"]]
    moved = next(event for event in mine if event["name"] == "Transferred")
    assert moved["fields"]["to"] == to_ss58(BOB_ACCOUNT)
    assert moved["fields"]["amount"] == "7"


def test_storage_is_read_listed_and_proved_at_any_recent_block(scene: Scene) -> None:
    key = balances.ACCOUNTS.key(BOB_ACCOUNT)
    for number in range(3):
        hash_ = scene.result("chain_getBlockHash", number)
        value = bytes.fromhex(scene.result("state_getStorage", "0x" + key.hex(), hash_)[2:])
        answer = scene.result("state_getReadProof", ["0x" + key.hex()], hash_)
        proof = decode(bytes.fromhex(answer["proof"][0][2:]), merkle.Proof)
        header = scene.chain.ledger.header(bytes.fromhex(hash_[2:]))
        assert header is not None
        assert merkle.verify_proof(header.state_root, key, value, proof)
        assert not merkle.verify_proof(header.state_root, key, value + b"\0", proof)


def test_keys_come_in_pages_that_together_are_all(scene: Scene) -> None:
    prefix = "0x" + balances.ACCOUNTS.prefix.hex()
    pages: list[str] = []
    while page := scene.result("state_getKeysPaged", prefix, 4, pages[-1] if pages else None):
        assert len(page) <= 4
        pages += page
    assert pages == scene.result("state_getKeysPaged", prefix, 1000)
    [changes] = scene.result("state_queryStorageAt", pages)
    assert [key for key, _ in changes["changes"]] == pages
    assert all(value is not None for _, value in changes["changes"])


def test_metadata_names_every_pallet_call_and_storage_item(scene: Scene) -> None:
    described = {pallet["name"]: pallet for pallet in scene.result("state_getMetadata")["pallets"]}
    assert list(described) == [pallet.name for pallet in registry.PALLETS]
    for pallet in registry.PALLETS:
        assert {call["name"] for call in described[pallet.name]["calls"]} == set(pallet.calls)
        assert {item["name"] for item in described[pallet.name]["storage"]} == set(pallet.storage)
    constants = {one["name"]: one["value"] for one in described["system"]["constants"]}
    assert (constants["preset"], constants["block.slot_milliseconds"]) == ("dev", "1000")
    [transfer] = [call for call in described["balances"]["calls"] if call["name"] == "transfer"]
    assert [field["name"] for field in transfer["fields"]] == ["to", "amount"]


def test_submitting_answers_with_the_hash_and_then_with_substrates_codes(scene: Scene) -> None:
    raw = scene.chain.extrinsic(ALICE, BOB_ACCOUNT, 1)
    hexed = "0x" + raw.hex()
    assert scene.result("author_submitExtrinsic", hexed) == "0x" + extrinsic_hash(raw).hex()
    assert scene.result("author_pendingExtrinsics") == [hexed]
    assert scene.error("author_submitExtrinsic", hexed)["code"] == 1013
    cheaper = scene.chain.extrinsic(ALICE, BOB_ACCOUNT, 2, nonce=1)
    assert scene.error("author_submitExtrinsic", "0x" + cheaper.hex())["code"] == 1014
    stale = "0x" + scene.chain.extrinsic(ALICE, BOB_ACCOUNT, 2, nonce=0).hex()
    refused = scene.error("author_submitExtrinsic", stale)
    assert (refused["code"], refused["data"]["code"]) == (1010, "stale_nonce")
    assert scene.error("author_submitExtrinsic", stale)["code"] == 1012
    assert scene.error("author_submitExtrinsic", "0x00")["data"]["code"] == "malformed"


def test_the_next_index_counts_what_waits(scene: Scene) -> None:
    address = to_ss58(public_key(ALICE))
    assert scene.result("system_accountNextIndex", address) == 1
    scene.chain.transfer(ALICE, BOB_ACCOUNT, 1)
    assert scene.result("system_accountNextIndex", address) == 2
    assert scene.result("system_accountNextIndex", to_ss58(bytes(32))) == 0


def test_the_fee_asked_before_is_the_fee_paid_after(scene: Scene) -> None:
    raw = scene.chain.extrinsic(ALICE, BOB_ACCOUNT, 1, tip=5)
    fee = int(scene.result("payment_queryInfo", "0x" + raw.hex())["partialFee"])
    scene.chain.pool.submit(raw, 2, 0.0)
    layer = scene.chain.seal()
    assert layer.outcome.receipts[1].fee == fee


def test_the_list_of_methods_is_complete_and_documented(scene: Scene) -> None:
    listed = scene.result("rpc_methods")
    assert listed["methods"] == sorted(TABLE.methods)
    assert all(method["docs"] for method in listed["described"])
    for name in ("system_chain", "system_name", "system_version", "system_properties", "system_health"):
        assert scene.result(name)
    assert scene.result("state_getRuntimeVersion")["specName"] == "solvent"
