"""A client at a node whose best chain changes under it."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.block import Extrinsic, Header, decode_extrinsic, header_hash
from runtime.codec import encode
from runtime.crypto import derive_seed
from runtime.pallets import system
from solvent.client import Client, ExtrinsicExpired, Submitted

ALICE = derive_seed("//Alice")
EXTRINSIC = bytes([7]) * 32


def extend(parent: Header, mark: int) -> Header:
    return Header(header_hash(parent), parent.number + 1, bytes([mark]) * 32, bytes(32), ())


GENESIS = Header(bytes(32), 0, bytes(32), bytes(32), ())
FIRST = extend(GENESIS, 1)
OLD = [GENESIS, FIRST, extend(FIRST, 2)]
NEW = [GENESIS, FIRST, extend(FIRST, 3)]
NEW.append(extend(NEW[-1], 4))


class ForkingNode:
    """Answers from a best chain that a test may replace; `including` is the hash of the block with `EXTRINSIC`."""

    def __init__(self) -> None:
        self.chain = OLD
        self.including = b""
        self.asked = 0

    def call(self, method: str, *params: Any) -> Any:
        self.asked += 1
        if self.asked > 8:
            self.chain = NEW
        if method == "chain_getBlockHash":
            (number,) = params
            return "0x" + header_hash(self.chain[number]).hex() if number < len(self.chain) else None
        if method == "chain_getFinalizedHead":
            return "0x" + header_hash(FIRST).hex()
        if method == "chain_getHeader":
            hashes = {"0x" + header_hash(header).hex(): header for header in (*OLD, *NEW)}
            header = hashes[params[0]] if params and params[0] else self.chain[-1]
            return {"encoded": "0x" + encode(header).hex()}
        assert method == "chain_getBlockEvents"
        receipt = {
            "hash": "0x" + EXTRINSIC.hex(), "index": 1, "ok": True, "error": None, "fee": "5",
            "firstEvent": 0, "eventCount": 0,
        }  # fmt: skip
        return {"receipts": [receipt] if params[0] == "0x" + self.including.hex() else [], "events": []}

    def call_once(self, method: str, *params: Any) -> Any:
        assert method == "author_submitExtrinsic"
        return None

    def retry(self, attempt: Any) -> Any:
        return attempt()

    def batch(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        fixed = {"system_accountNextIndex": 3, "state_getRuntimeVersion": {"specVersion": system.SPEC_VERSION}}
        return [fixed[method] if method in fixed else self.call(method, *params) for method, params in calls]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ForkingNode:
    monkeypatch.setattr("solvent.client.RESUBMIT_SECONDS", 0.02)
    return ForkingNode()


@pytest.fixture
def client(node: ForkingNode, monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(client, "_transport", node)
    return client


def test_an_extrinsic_is_found_at_a_height_that_had_another_block_before(client: Client, node: ForkingNode) -> None:
    node.including = header_hash(NEW[2])
    outcome = client.wait(Submitted(EXTRINSIC, b"", 0, 0, 1000, header_hash(GENESIS)), timeout=5.0)
    assert (outcome.block_number, outcome.block_hash) == (2, node.including)
    assert node.chain is NEW


def test_who_waits_for_a_call_that_rests_on_a_fork_learns_that_the_chain_left_it(client: Client) -> None:
    with pytest.raises(ExtrinsicExpired, match="left the fork of block 2"):
        client.wait(Submitted(EXTRINSIC, b"", 0, 2, 1000, header_hash(OLD[2])), timeout=5.0)


def test_an_extrinsic_rests_on_the_finalized_block_so_that_a_change_of_forks_keeps_it_valid(client: Client) -> None:
    submitted = client.submit(ALICE, "system", system.Remark(b"here"))
    item = decode_extrinsic(submitted.raw)
    assert isinstance(item, Extrinsic)
    assert (submitted.block_number, submitted.anchor) == (1, header_hash(FIRST))
    assert item.era.birth(2) == 1


def test_a_call_may_be_bound_to_the_block_that_it_answers(client: Client) -> None:
    submitted = client.submit(ALICE, "system", system.Remark(b"here"), anchor=OLD[2])
    assert (submitted.block_number, submitted.anchor) == (2, header_hash(OLD[2]))


def test_where_finality_stopped_long_ago_the_best_block_counts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solvent.client.ERA_BLOCKS", 2)
    assert client.submit(ALICE, "system", system.Remark(b"here")).anchor == header_hash(OLD[2])
