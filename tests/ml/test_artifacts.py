"""State files and manifests: what is written reads back, and what is not promised is refused."""

from pathlib import Path

import numpy as np
import pytest

from ml.artifacts import (
    ArtifactError,
    CheckpointStore,
    Manifest,
    StoredState,
    compute_state_root,
    decode_manifest,
    decode_state,
    decode_tensors,
    encode_manifest,
    encode_tensors,
    layout_of,
)

STATE = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array([1.5, -0.0], dtype=np.float32),
    "count": np.array(7, dtype=np.int32),
}
LAYOUT = layout_of(STATE)


def test_a_state_reads_back_bit_for_bit() -> None:
    found = decode_state(encode_tensors(STATE), LAYOUT, compute_state_root(STATE))
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in STATE.items()}


def test_equal_states_give_equal_bytes_whatever_their_order() -> None:
    assert encode_tensors(STATE) == encode_tensors(dict(reversed(STATE.items())))


def test_a_state_with_another_root_is_refused() -> None:
    changed = STATE | {"bias": np.array([1.5, 0.0], dtype=np.float32)}
    with pytest.raises(ArtifactError, match="expected"):
        decode_state(encode_tensors(changed), LAYOUT, compute_state_root(STATE))


@pytest.mark.parametrize(
    "other",
    [
        {"weight": STATE["weight"]},
        STATE | {"extra": STATE["bias"]},
        STATE | {"bias": np.array([1.5, 0.0], dtype=np.int32)},
        STATE | {"bias": np.array([[1.5, 0.0]], dtype=np.float32)},
    ],
)
def test_tensors_outside_the_layout_are_refused(other: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArtifactError):
        decode_tensors(encode_tensors(other), LAYOUT)


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"\xff" * 16, b"\x08" + b"\0" * 7 + b"notjson!"])
def test_bytes_that_are_not_safetensors_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        decode_tensors(data, LAYOUT)


def test_an_oversize_file_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ArtifactError, match="at most"):
        decode_tensors(bytes(3 * 1024 * 1024), LAYOUT)


def test_a_manifest_reads_back_and_garbage_does_not() -> None:
    manifest = Manifest(task=bytes(32), states=(StoredState(step=0, root=b"r" * 32, blob=b"b" * 32, size=9),))
    assert decode_manifest(encode_manifest(manifest)) == manifest
    with pytest.raises(ArtifactError):
        decode_manifest(encode_manifest(manifest) + b"\0")


def test_the_last_undamaged_checkpoint_is_found_after_a_crash(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "task", LAYOUT)
    assert store.last() is None
    first = store.save(0, STATE)
    later = STATE | {"count": np.array(8, dtype=np.int32)}
    second = store.save(100, later)
    assert store.roots() == {0: first, 100: second}
    store.path(100, second).write_bytes(b"torn")
    found = store.last()
    assert found is not None
    assert found[:2] == (0, first)
    assert store.roots() == {0: first}
