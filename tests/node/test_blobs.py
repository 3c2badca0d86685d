"""The blob store: verified, resumable, bounded, and never without a blob that the chain still needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.blob_errors import BlobBusy, BlobError, BlobMismatch, BlobOffsetMismatch, BlobQuotaExceeded
from node.blob_units import UnitHasher
from node.blobs import BlobStore
from runtime.commitments import tensor_root

MIB = 1024 * 1024


def store(folder: Path, capacity: int = MIB, account: int = MIB, pinned: tuple[bytes, ...] = ()) -> BlobStore:
    return BlobStore(folder, capacity, account, lambda owners: set(pinned))


def put(blobs: BlobStore, data: bytes, owner: str = "alice") -> bytes:
    root = tensor_root(data)
    upload = blobs.begin(root, len(data), owner, 0)
    upload.write(data)
    for _ in upload.verify():
        pass
    upload.sync()
    upload.finish()
    return root


def read(blobs: BlobStore, root: bytes) -> bytes:
    size = blobs.size(root)
    assert size is not None
    return b"".join(blobs.read(root, 0, size))


@given(st.binary(max_size=10_000), st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_the_root_does_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    hasher, start, turn = UnitHasher(), 0, 0
    while start < len(data):
        hasher.update(data[start : start + cuts[turn % len(cuts)]])
        start += cuts[turn % len(cuts)]
        turn += 1
    assert hasher.finish() == tensor_root(data)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 300_000])
def test_a_blob_is_read_back_whole_and_in_ranges(tmp_path: Path, size: int) -> None:
    blobs, data = store(tmp_path), bytes(index % 251 for index in range(size))
    root = put(blobs, data)
    assert read(blobs, root) == data
    assert b"".join(blobs.read(root, size // 3, size // 2)) == data[size // 3 : size // 2]


def test_blobs_are_found_again_after_a_restart_with_their_owner(tmp_path: Path) -> None:
    root = put(store(tmp_path), b"hello", "alice")
    again = store(tmp_path)
    assert read(again, root) == b"hello"
    assert (again.used("alice"), again.used("bob")) == (5, 0)


def test_bytes_that_hash_to_something_else_are_thrown_away(tmp_path: Path) -> None:
    blobs = store(tmp_path)
    upload = blobs.begin(bytes(32), 5, "alice", 0)
    upload.write(b"hello")
    with pytest.raises(BlobMismatch, match=tensor_root(b"hello").hex()):
        list(upload.verify())
    assert blobs.size(bytes(32)) is None
    assert blobs.partial_size(bytes(32)) == 0
    assert blobs.used() == 0


def test_an_upload_continues_where_it_broke_off_also_after_a_restart(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    root = tensor_root(data)
    upload = store(tmp_path).begin(root, len(data), "alice", 0)
    upload.write(data[:10_000])
    upload.suspend()
    blobs = store(tmp_path)
    assert blobs.partial_size(root) == 10_000
    with pytest.raises(BlobOffsetMismatch) as caught:
        blobs.begin(root, len(data), "alice", 9_999)
    assert caught.value.offset == 10_000
    upload = blobs.begin(root, len(data), "alice", 10_000)
    upload.write(data[10_000:])
    list(upload.verify())
    upload.sync()
    upload.finish()
    assert read(blobs, root) == data


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    upload = store(tmp_path).begin(bytes(32), 3, "alice", 0)
    with pytest.raises(BlobError, match="announced 3"):
        upload.write(b"four")
    upload.discard()


def test_two_uploads_of_one_blob_do_not_mix(tmp_path: Path) -> None:
    blobs = store(tmp_path)
    upload = blobs.begin(bytes(32), 3, "alice", 0)
    with pytest.raises(BlobBusy):
        blobs.begin(bytes(32), 3, "bob", 0)
    upload.suspend()
    blobs.begin(bytes(32), 3, "bob", 0).discard()


def test_an_account_has_a_quota_that_uploads_count_against(tmp_path: Path) -> None:
    blobs = store(tmp_path, capacity=1000, account=100)
    put(blobs, bytes(60))
    upload = blobs.begin(bytes(32), 40, "alice", 0)
    with pytest.raises(BlobQuotaExceeded, match="one account"):
        blobs.begin(bytes([1]) * 32, 1, "alice", 0)
    upload.discard()
    put(blobs, b"\x01" * 60, "bob")


def test_the_least_recently_used_blob_makes_room(tmp_path: Path) -> None:
    blobs = store(tmp_path, capacity=100)
    first, second = put(blobs, b"1" * 40), put(blobs, b"2" * 40)
    read(blobs, first)
    third = put(blobs, b"3" * 40)
    assert (blobs.size(first), blobs.size(second), blobs.size(third)) == (40, None, 40)
    assert not blobs.path(second).exists()


def test_parts_of_broken_uploads_go_before_any_blob(tmp_path: Path) -> None:
    blobs = store(tmp_path, capacity=100)
    kept = put(blobs, b"1" * 40)
    broken = blobs.begin(bytes(32), 60, "bob", 0)
    broken.write(bytes(50))
    broken.suspend()
    put(blobs, b"2" * 50)
    assert blobs.size(kept) == 40
    assert blobs.partial_size(bytes(32)) == 0


def test_pinned_blobs_stay_and_the_upload_is_refused_instead(tmp_path: Path) -> None:
    pinned = tensor_root(b"1" * 60)
    blobs = store(tmp_path, capacity=100, pinned=(pinned,))
    put(blobs, b"1" * 60)
    with pytest.raises(BlobQuotaExceeded, match="no room"):
        blobs.begin(bytes(32), 60, "alice", 0)
    assert blobs.size(pinned) == 60
