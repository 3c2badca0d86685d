"""Manifests and the states they name: only what matches the registered roots is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.artifacts import ArtifactError, CheckpointStore, Tensors
from ml.proof import (
    checkpoint_steps,
    fetch_manifest,
    fetch_state,
    state_layout,
    upload_manifest,
    upload_proof,
)
from runtime.codec import replace
from tests.scenarios.market import DirectChain
from tests.scenarios.tiny import INTERVAL, STEPS, tiny_task

SPEC, LAYOUT = tiny_task().spec, state_layout(tiny_task().program)
TASK = b"t" * 32


def state(number: float) -> Tensors:
    return {name: np.full(shape, number, np.float32) for name, (_, shape) in LAYOUT.items()}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    filled = CheckpointStore(tmp_path, LAYOUT)
    for step in checkpoint_steps(SPEC):
        filled.save(step, state(step))
    return filled


def test_checkpoints_lie_at_every_interval_and_at_the_end() -> None:
    assert checkpoint_steps(SPEC) == (0, INTERVAL, 2 * INTERVAL, STEPS)
    assert checkpoint_steps(replace(SPEC, steps=10)) == (0, 4, 8, 10)


def test_an_uploaded_proof_is_read_back_by_root(store: CheckpointStore) -> None:
    blobs = DirectChain()
    manifest = upload_proof(blobs, b"", TASK, SPEC, store)
    root = upload_manifest(blobs, b"", manifest)
    roots = [one.root for one in manifest.states]
    assert fetch_manifest(blobs, root, TASK, SPEC, roots) == manifest
    assert fetch_state(blobs, manifest.states[1], LAYOUT)["w1"][0, 0] == INTERVAL


def test_a_manifest_of_another_task_or_with_other_roots_is_refused(store: CheckpointStore) -> None:
    blobs = DirectChain()
    manifest = upload_proof(blobs, b"", TASK, SPEC, store)
    root, roots = upload_manifest(blobs, b"", manifest), [one.root for one in manifest.states]
    with pytest.raises(ArtifactError, match="other checkpoints"):
        fetch_manifest(blobs, root, b"u" * 32, SPEC, roots)
    with pytest.raises(ArtifactError, match="other checkpoints"):
        fetch_manifest(blobs, root, TASK, SPEC, [*roots[:-1], bytes(32)])


def test_a_state_file_that_holds_another_state_is_refused(store: CheckpointStore) -> None:
    blobs = DirectChain()
    manifest = upload_proof(blobs, b"", TASK, SPEC, store)
    with pytest.raises(ArtifactError, match="expected"):
        fetch_state(blobs, replace(manifest.states[1], blob=manifest.states[2].blob), LAYOUT)


def test_a_missing_checkpoint_is_named(store: CheckpointStore) -> None:
    store.path(INTERVAL, store.roots()[INTERVAL]).unlink()
    with pytest.raises(ArtifactError, match=f"step {INTERVAL}"):
        upload_proof(DirectChain(), b"", TASK, SPEC, store)
