"""A node that keeps blobs for others: what it signs for, what it answers, and what it never drops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.blob_units import UNIT_BYTES, UnitHasher
from node.config import development_genesis
from node.holder import chunk_proof
from node.keystore import SeedSigner
from node.pins import find_pinned
from node.service import Node
from runtime.codec import encode
from runtime.commitments import CHUNK_BYTES, chunk_count, chunk_leaf, tensor_root
from runtime.crypto import derive_seed, public_key
from runtime.pallets import blobs, tasks
from runtime.pallets.tasks import task_id
from runtime.trees import verify_path
from solvent.client import Client
from tests.scenarios.tiny import program_bytes, tiny_task
from tests.support.node import running_node

HOLDER, SUBMITTER = derive_seed("//Bob"), derive_seed("//Submitter")


@pytest.mark.parametrize(
    "size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES, UNIT_BYTES, UNIT_BYTES + 1, 3 * UNIT_BYTES + 77]
)
def test_every_chunk_of_a_blob_is_proven_from_its_unit_alone(size: int) -> None:
    data = bytes(index * 7 % 251 for index in range(size))
    hasher = UnitHasher()
    hasher.update(data)
    assert hasher.finish() == tensor_root(data)
    for chunk in range(chunk_count(size)):
        start = chunk * CHUNK_BYTES // UNIT_BYTES * UNIT_BYTES
        found, path = chunk_proof(hasher.unit_roots, size, chunk, data[start : start + UNIT_BYTES])
        assert found == data[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        assert verify_path(tensor_root(data), chunk_count(size), chunk, chunk_leaf(found), path)


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[tuple[Node, Client]]:
    """A development chain that asks for one receipt, and whose node holds with Bob's account."""
    genesis = development_genesis()
    genesis["parameters"] = {"blobs": {"receipts": 1, "challenge_blocks": 1000}}
    with running_node(tmp_path, genesis=genesis, holder=SeedSigner(HOLDER)) as running:
        yield running


def wait(happened: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while not happened():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def place(client: Client, upload: bool = True, size: int | None = None) -> bytes:
    """Submit a task and have its data placed."""
    tiny = tiny_task()
    if upload:
        for blob in (tiny.data_blob, tiny.scalars_blob):
            client.put_blob(blob, SUBMITTER)
    wait(lambda: client.read(blobs.HOLDERS, public_key(HOLDER)) is not None)
    programs = program_bytes(tiny.program), program_bytes(tiny.init_program)
    assert client.submit_and_wait(SUBMITTER, "tasks", tasks.Submit(encode(tiny.spec), *programs)).ok
    name = task_id(tiny.spec)
    placing = tasks.PlaceData(name, size if size is not None else len(tiny.data_blob))
    assert client.submit_and_wait(SUBMITTER, "tasks", placing).ok
    return name


def test_a_holder_registers_signs_for_what_it_has_and_posts_the_chunk_that_is_asked(
    holding: tuple[Node, Client],
) -> None:
    _, client = holding
    name = place(client)
    wait(lambda: client.read(blobs.PLACEMENTS, name).status == "placed")
    asked = blobs.ChallengeChunk(name, public_key(HOLDER), 0, 0)
    assert client.submit_and_wait(SUBMITTER, "blobs", asked).ok
    key = blobs.ChallengeKey(name, public_key(HOLDER), 0, 0)
    wait(lambda: client.read(blobs.CHALLENGES, key) is None)
    assert client.read(blobs.HOLDERS, public_key(HOLDER)).faults == 0


def test_a_holder_signs_for_nothing_that_it_does_not_have_or_that_has_another_size(
    holding: tuple[Node, Client],
) -> None:
    _, client = holding
    name = place(client, size=len(tiny_task().data_blob) + 1)
    height = client.head().number
    wait(lambda: client.head().number > height + 3 and client.read(blobs.PLACEMENTS, name).status == "placing")
    assert not any(seat.signed for seat in client.read(blobs.PLACEMENTS, name).seats)


def test_what_a_node_holds_for_others_is_pinned_on_it_and_nowhere_else(holding: tuple[Node, Client]) -> None:
    node, client = holding
    place(client)
    wait(lambda: len(node.pool) == 0)
    cached = dict.fromkeys((tensor_root(tiny_task().data_blob), bytes(32)), "")
    state = node.ledger.state()
    assert find_pinned(state, cached, public_key(HOLDER)) == {tensor_root(tiny_task().data_blob)}
