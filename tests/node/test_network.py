"""Several nodes as processes of their own, on real sockets: blocks by turns, finality by votes, and a crash."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runtime.block import slot_of
from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, blobs, tasks
from runtime.pallets.tasks import task_id
from solvent.client import BlobFailed
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.network import running_network

ALICE, BOB = derive_seed("//Alice"), public_key(derive_seed("//Bob"))


@pytest.mark.slow
def test_four_validators_finalize_what_a_full_node_was_given_and_one_comes_back_from_a_crash(tmp_path: Path) -> None:
    with running_network(tmp_path, validators=4) as network:
        network.until(lambda: network.all_final(1), "the first block is final on every node")
        before = network.full.read(balances.ACCOUNTS, BOB)
        outcome = network.full.submit_and_wait(ALICE, "balances", balances.Transfer(BOB, 12_345))
        assert outcome.ok
        network.until(lambda: network.all_final(outcome.block_number), "the transfer is final on every node")
        hashes = {client.block_hash(outcome.block_number) for client in network.clients}
        assert hashes == {outcome.block_hash}
        for client in network.clients:
            after = client.read(balances.ACCOUNTS, BOB)
            assert before is not None
            assert after is not None
            assert after.free == before.free + 12_345

        crashed = network.members[1]
        network.kill(crashed)
        others = [client for client in network.clients if client is not network.clients[1]]
        height = max(client.finalized_number() for client in others)
        network.until(
            lambda: all(client.finalized_number() >= height + 3 for client in others), "three of four go on finalizing"
        )
        network.start(crashed)
        network.until(lambda: network.all_final(height + 5), "the node that crashed has caught up")
        agreed = {client.block_hash(height + 5) for client in network.clients}
        assert len(agreed) == 1
        hashes = {network.full.block_hash(number) for number in range(1, height + 6)}
        authors = {slot_of(network.full.header(hash_).digest).author for hash_ in hashes}
        assert len(authors) >= 2  # by lot, so that nothing more is certain


@pytest.mark.slow
def test_a_blob_stored_at_one_node_is_read_at_another(tmp_path: Path) -> None:
    with running_network(tmp_path, validators=2) as network:
        network.until(lambda: network.all_final(1), "the first block is final on every node")
        data = bytes(range(256)) * 20_000
        root = network.clients[1].put_blob(data, ALICE)
        assert network.full.get_blob(root) == data
        assert network.clients[0].get_blob(root) == data
        with pytest.raises(BlobFailed, match="neither this node nor a peer"):
            network.full.get_blob(bytes(32))


@pytest.mark.slow
def test_holders_fetch_a_tasks_data_from_another_node_sign_and_post_the_chunk_that_is_asked(tmp_path: Path) -> None:
    figures = {"receipts": 2, "minimum_bond": 10**9, "lock": 10**9, "challenge_blocks": 1000}
    with running_network(tmp_path, 2, {"blobs": figures}, holders=("//Alice", "//Bob")) as network:
        submitter, tiny = derive_seed("//Charlie"), tiny_task()
        network.until(lambda: len(network.full.read(blobs.ROSTER)) == 2, "both holders are registered")
        for blob in (tiny.data_blob, tiny.scalars_blob):
            network.full.put_blob(blob, submitter)
        programs = program_bytes(tiny.program), program_bytes(tiny.init_program)
        assert network.full.submit_and_wait(submitter, "tasks", tasks.Submit(encode(tiny.spec), *programs)).ok
        name = task_id(tiny.spec)
        placing = tasks.PlaceData(name, len(tiny.data_blob))
        assert network.full.submit_and_wait(submitter, "tasks", placing).ok
        network.until(lambda: network.full.read(blobs.PLACEMENTS, name).status == "placed", "both holders signed")
        key = blobs.ChallengeKey(name, BOB, 0, 0)
        asked = blobs.ChallengeChunk(name, BOB, 0, 0)
        assert network.full.submit_and_wait(submitter, "blobs", asked).ok
        network.until(lambda: network.full.read(blobs.CHALLENGES, key) is None, "Bob's node posted the chunk")
        assert network.full.read(blobs.HOLDERS, BOB).faults == 0


@pytest.mark.slow
def test_a_node_that_is_told_to_stop_ends_well(tmp_path: Path) -> None:
    with running_network(tmp_path, validators=1) as network:
        network.until(lambda: network.all_final(1), "one validator finalizes alone")
        for child in network.family.children.values():
            child.signal(signal.SIGTERM)
        assert {child.process.wait() for child in network.family.children.values()} == {0}
