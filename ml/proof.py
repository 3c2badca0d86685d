"""The proof-of-learning: the states after initialisation and at every checkpoint, and where their files lie.

A solver posts the roots (`checkpoint_steps` says of which steps) and the blob root of a `Manifest`. A verifier reads
the manifest, checks it against the posted roots, and fetches only the start states of the segments it must replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ml.artifacts import (
    MAX_MANIFEST_BYTES,
    ArtifactError,
    CheckpointStore,
    Layout,
    Manifest,
    StoredState,
    Tensors,
    decode_manifest,
    decode_state,
    encode_manifest,
    file_limit,
)
from runtime.pallets.tasks.spec import TaskSpec
from runtime.vm.check import CheckedProgram


class Blobs(Protocol):
    """The part of ``solvent.Client`` that moves artifacts."""

    def put_blob(self, data: bytes, seed: bytes) -> bytes: ...
    def get_blob(self, root: bytes, max_bytes: int = ...) -> bytes: ...


def checkpoint_steps(spec: TaskSpec) -> tuple[int, ...]:
    """How many steps lie before each checkpoint: 0 (after initialisation), every interval, and the last step."""
    return (*range(0, spec.steps, spec.checkpoint_interval), spec.steps)


def state_layout(checked: CheckedProgram) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, dtypes and shapes of the state that a program leaves."""
    return {name: (kind.dtype, tuple(kind.shape)) for name, _, kind in checked.state}


def upload_proof(blobs: Blobs, seed: bytes, task: bytes, spec: TaskSpec, store: CheckpointStore) -> Manifest:
    """Put every checkpoint of a finished training into the blob store and return the manifest that lists them."""
    roots = store.roots()
    states = []
    for step in checkpoint_steps(spec):
        if step not in roots:
            raise ArtifactError(f"no checkpoint of step {step} in {store.folder}: train again from the one before")
        data = store.read(step, roots[step])
        states.append(StoredState(step=step, root=roots[step], blob=blobs.put_blob(data, seed), size=len(data)))
    return Manifest(task=task, states=tuple(states))


def upload_manifest(blobs: Blobs, seed: bytes, manifest: Manifest) -> bytes:
    """Put the manifest beside its states and return its blob root, which the proof names."""
    return blobs.put_blob(encode_manifest(manifest), seed)


def fetch_manifest(blobs: Blobs, root: bytes, task: bytes, spec: TaskSpec, checkpoints: Sequence[bytes]) -> Manifest:
    """Read a proof's manifest and check that it lists exactly the registered checkpoints."""
    manifest = decode_manifest(blobs.get_blob(root, max_bytes=MAX_MANIFEST_BYTES))
    listed = [(state.step, state.root) for state in manifest.states]
    registered = list(zip(checkpoint_steps(spec), checkpoints, strict=True))
    if manifest.task != task or listed != registered:
        raise ArtifactError(f"manifest {root.hex()} lists other checkpoints than the proof of task {task.hex()}")
    return manifest


def fetch_state(blobs: Blobs, stored: StoredState, layout: Layout) -> Tensors:
    """Fetch one checkpoint's state and check it against its root."""
    return decode_state(blobs.get_blob(stored.blob, max_bytes=file_limit(layout)), layout, stored.root)
