"""A signature is verified once per node: when it enters the pool, not again when a block brings it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chain.ledger import Execution
from chain.verified import VerifiedSignatures
from runtime import crypto
from runtime.block import IMMORTAL, Call, Era, Seal, extrinsics_root, mortal_era, seal_message, sign_extrinsic
from runtime.codec import encode, replace
from runtime.crypto import derive_seed, public_key
from runtime.errors import InvalidBlock
from runtime.pallets import balances, system
from tests.support.ledger import ALICE, BOB, CHARLIE, DevChain
from tests.support.passive_network import PassiveNetwork

BOB_ACCOUNT = public_key(BOB)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[bytes, bytes]]:
    """How often each signature was verified."""
    counted: Counter[tuple[bytes, bytes]] = Counter()
    genuine = crypto.verify

    def verify(public: bytes, signature: bytes, message: bytes) -> bool:
        counted[public, signature] += 1
        return genuine(public, signature, message)

    monkeypatch.setattr(crypto, "verify", verify)
    return counted


def of_account(verified: Counter[tuple[bytes, bytes]], seed: bytes) -> list[int]:
    return [count for (public, _), count in verified.items() if public == public_key(seed)]


def test_each_node_of_a_network_verifies_a_transfer_once(
    tmp_path: Path, verified: Counter[tuple[bytes, bytes]]
) -> None:
    with PassiveNetwork(tmp_path) as network:
        network.run(4)
        node = network.nodes["Alice"]
        ledger, seed = node.chain.ledger, derive_seed("//Charlie")
        birth = ledger.hash_at(1)
        assert birth is not None
        call = Call("balances", "transfer", encode(balances.Transfer(BOB_ACCOUNT, 5)))
        for nonce, (era, hash_) in enumerate(((IMMORTAL, ledger.genesis_hash), (mortal_era(64, 1), birth))):
            raw = encode(sign_extrinsic(seed, call, nonce, 0, era, ledger.genesis_hash, hash_, system.SPEC_VERSION))
            network.carry_out(node, node.chain.submit(raw, network.now)[1])
        network.run(12)
        for other in network.nodes.values():
            assert system.nonce(other.chain.ledger.state(), public_key(seed)) == 2
        assert of_account(verified, seed) == [len(network.nodes)] * 2


def test_a_transfer_that_was_never_in_the_pool_is_verified_at_import(
    tmp_path: Path, verified: Counter[tuple[bytes, bytes]]
) -> None:
    with DevChain(tmp_path / "author") as author, DevChain(tmp_path / "importer") as importer:
        author.transfer(BOB, public_key(CHARLIE), 5)
        block = author.build().block
        execution = Execution(importer.ledger, block, importer.ledger.is_verified)
        while execution.step():
            pass
        assert of_account(verified, BOB) == [2]


def test_the_same_call_with_another_signature_is_not_taken_for_verified(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        raw = chain.extrinsic(BOB, public_key(CHARLIE), 5)
        chain.ledger.validate(raw)
        forged = raw[:-1] + bytes([raw[-1] ^ 1])
        state, head = chain.ledger.state(), chain.ledger.head
        assert chain.ledger.verified.knows(raw, state, 1, head)
        assert not chain.ledger.verified.knows(forged, state, 1, head)


def test_what_was_born_on_another_fork_is_not_taken_for_verified(tmp_path: Path) -> None:
    era = Era(4, 1)
    with DevChain(tmp_path / "one") as one, DevChain(tmp_path / "other") as other:
        for chain, seed in ((one, BOB), (other, CHARLIE)):
            chain.transfer(seed, public_key(ALICE), 5)
            chain.seal()
        assert one.ledger.head != other.ledger.head
        raw = one.extrinsic(ALICE, BOB_ACCOUNT, 5, era=era)
        one.ledger.validate(raw)
        assert one.ledger.verified.knows(raw, one.ledger.state(), 2, one.ledger.head)
        assert not one.ledger.verified.knows(raw, other.ledger.state(), 2, other.ledger.head)


def test_a_block_with_a_forged_copy_of_a_known_extrinsic_is_invalid(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        raw = chain.extrinsic(BOB, public_key(CHARLIE), 5)
        chain.ledger.validate(raw)
        layer = chain.build()
        body = (*layer.block.body, raw[:-1] + bytes([raw[-1] ^ 1]))

        bare = replace(layer.header, extrinsics_root=extrinsics_root(body), digest=layer.header.digest[:-1])
        seal = Seal(crypto.sign(ALICE, seal_message(bare, chain.ledger.genesis_hash)))
        block = replace(layer.block, header=replace(bare, digest=(*bare.digest, seal)), body=body)
        execution = Execution(chain.ledger, block, chain.ledger.is_verified)
        assert [execution.step() for _ in layer.block.body] == [True] * len(layer.block.body)
        with pytest.raises(InvalidBlock, match="signature"):
            execution.step()


def test_the_memory_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        memory, state, head = VerifiedSignatures(3), chain.ledger.state(), chain.ledger.head
        items = [chain.extrinsic(BOB, public_key(CHARLIE), amount) for amount in range(1, 6)]
        for raw in items:
            memory.remember(raw, state, 1, head)
        assert len(memory) == 3
        assert [memory.knows(raw, state, 1, head) for raw in items] == [False, False, True, True, True]
