"""Artifacts: the tensors and manifests that workers keep on disk and exchange through the nodes' blob stores.

A *state file* holds one training state as safetensors; never pickle, so that reading a stranger's file runs no code.
The *layout* of a state (names, dtypes, shapes) always comes from the checked program, and a file that differs is
refused before its bytes are used. A *manifest* lists the state files of one proof. Both are named by the tensor root
of their bytes. This module is the only one in ``ml`` that writes to disk.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from runtime.codec import U63, Hash, Record, decode, encode
from runtime.commitments import state_tree, tensor_bytes, tensor_root
from runtime.errors import CodecError, SolventError

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name to (dtype, shape) of every tensor of a state or data set."""
Tensors = dict[str, np.ndarray]

DTYPES = {"f32": np.dtype("<f4"), "i32": np.dtype("<i4"), "u32": np.dtype("<u4"), "u8": np.dtype("u1")}
HEADER_ALLOWANCE = 1024 * 1024
"""Bytes that a safetensors header may take beyond the tensors themselves."""
MAX_MANIFEST_BYTES = 1024 * 1024


class ArtifactError(SolventError):
    """An artifact's bytes are not what its name, layout or root promise."""


class StoredState(Record):
    """One checkpoint of a manifest: after how many steps, the state's root, and the blob that holds it."""

    step: U63
    root: Hash
    blob: Hash
    size: U63


class Manifest(Record):
    """Where the checkpoints of one task's proof lie, in step order."""

    task: Hash
    states: tuple[StoredState, ...]


def dtype_name(array: np.ndarray) -> str:
    """Solvent's name of an array's dtype; `ArtifactError` when there is none."""
    for name, dtype in DTYPES.items():
        if array.dtype == dtype:
            return name
    raise ArtifactError(f"no tensor dtype for {array.dtype}; use one of {', '.join(DTYPES)}")


def layout_of(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The layout that these tensors have."""
    return {name: (dtype_name(array), tuple(array.shape)) for name, array in sorted(tensors.items())}


def tensor_content(array: np.ndarray) -> bytes:
    """The little-endian, C-ordered bytes that a tensor's root commits to."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def compute_state_root(state: Mapping[str, np.ndarray]) -> bytes:
    """The root of a training state (``runtime.commitments``: sorted by name)."""
    return state_tree(
        (name, dtype_name(array), tuple(array.shape), tensor_root(tensor_content(array)))
        for name, array in sorted(state.items())
    ).root


def encode_tensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The tensors as safetensors; equal tensors give equal bytes."""
    contiguous = {name: np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape) for name in sorted(tensors)}
    return safetensors.numpy.save(contiguous)


def file_limit(layout: Layout) -> int:
    """The most bytes that an honest file with these tensors takes."""
    return sum(tensor_bytes(dtype, shape) for dtype, shape in layout.values()) + HEADER_ALLOWANCE


def decode_tensors(data: bytes, layout: Layout) -> Tensors:
    """Read safetensors bytes that must hold exactly the tensors of ``layout``; sizes are checked before parsing."""
    limit = file_limit(layout)
    if len(data) > limit:
        raise ArtifactError(f"{len(data)} bytes where the expected tensors take at most {limit}")
    try:
        found = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"not a safetensors file: {error}") from None
    if set(found) != set(layout):
        raise ArtifactError(f"tensors {sorted(set(found) ^ set(layout))} are missing or not expected")
    for name, (dtype, shape) in layout.items():
        if found[name].dtype != DTYPES[dtype] or found[name].shape != tuple(shape):
            raise ArtifactError(
                f"tensor {name} is {found[name].dtype}{list(found[name].shape)}, expected {dtype}{list(shape)}"
            )
    return {name: np.array(found[name], order="C") for name in sorted(found)}


def decode_state(data: bytes, layout: Layout, root: bytes) -> Tensors:
    """Read a state file and check that it holds the state with that root."""
    state = decode_tensors(data, layout)
    found = compute_state_root(state)
    if found != root:
        raise ArtifactError(f"the file holds state {found.hex()}, expected {root.hex()}: ask another holder for it")
    return state


def encode_manifest(manifest: Manifest) -> bytes:
    return encode(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest; `ArtifactError` for anything but one canonical record."""
    try:
        return decode(data, Manifest, MAX_MANIFEST_BYTES)
    except CodecError as error:
        raise ArtifactError(f"not a manifest: {error}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: a crash at any instant leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class CheckpointStore:
    """The checkpoints of one task on this machine's disk. Mutable: it grows as training proceeds.

    A file's name holds its step and its state root, so a restarted worker learns from the names alone how far it came,
    and a damaged file is found out when it is read.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout

    def path(self, step: int, root: bytes) -> Path:
        return self.folder / f"step-{step:09d}-{root.hex()}.safetensors"

    def save(self, step: int, state: Mapping[str, np.ndarray]) -> bytes:
        """Write the state after ``step`` steps and return its root."""
        root = compute_state_root(state)
        write_atomically(self.path(step, root), encode_tensors(state))
        return root

    def roots(self) -> dict[int, bytes]:
        """Step to state root of every checkpoint on disk, ascending."""
        found = {}
        for path in sorted(self.folder.glob("step-*.safetensors")):
            _, step, root = path.name.removesuffix(".safetensors").split("-")
            found[int(step)] = bytes.fromhex(root)
        return found

    def read(self, step: int, root: bytes) -> bytes:
        """The bytes of one checkpoint's state file."""
        return self.path(step, root).read_bytes()

    def load(self, step: int, root: bytes) -> Tensors:
        """One checkpoint, checked against its root."""
        return decode_state(self.read(step, root), self.layout, root)

    def last(self) -> tuple[int, bytes, Tensors] | None:
        """The latest undamaged checkpoint (step, root, state); damaged ones are deleted."""
        for step, root in reversed(self.roots().items()):
            try:
                return step, root, self.load(step, root)
            except (ArtifactError, OSError):
                self.path(step, root).unlink(missing_ok=True)
        return None
