"""Units and their proofs: whole, bound to the root, and telling the one true size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.blob_units import UNIT_BYTES, UnitHasher, unit_count, unit_length, unit_tree, verify_unit
from runtime.commitments import CHUNK_BYTES, tensor_root
from runtime.trees import PADDING

SIZES = (0, 1, 4095, 4096, 4097, UNIT_BYTES - 1, UNIT_BYTES, UNIT_BYTES + 1, 2 * UNIT_BYTES, 5 * UNIT_BYTES + 5000)


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def unit_of(data: bytes, index: int) -> bytes:
    return data[index * UNIT_BYTES : (index + 1) * UNIT_BYTES]


def hashed(data: bytes) -> UnitHasher:
    hasher = UnitHasher()
    hasher.update(data)
    assert hasher.finish() == tensor_root(data)
    return hasher


@pytest.mark.parametrize("size", SIZES)
def test_every_unit_is_proven_and_only_in_its_place(size: int) -> None:
    data = content(size)
    root, tree = tensor_root(data), unit_tree(hashed(data).unit_roots)
    assert tree.root == root
    assert tree.width == unit_count(size)
    for index in range(tree.width):
        unit, path = unit_of(data, index), tree.path(index)
        assert len(unit) == unit_length(size, index)
        assert verify_unit(root, size, index, unit, path)
        assert not verify_unit(root, size, index + 1, unit, path)
        assert not verify_unit(root, size, index, bytes([*unit[:-1], 0xFF]), path)
        assert not verify_unit(bytes(32), size, index, unit, path)
        assert not verify_unit(root, size, index, unit, (*path, PADDING[0]))


def test_the_last_unit_proves_the_size_and_no_other_size_has_a_proof() -> None:
    data = content(SIZES[-1])
    root, tree = tensor_root(data), unit_tree(hashed(data).unit_roots)
    for size in range(UNIT_BYTES, 9 * UNIT_BYTES, 1000):
        last = unit_count(size) - 1
        claimed = unit_of(data, last)[: unit_length(size, last)]
        for index in range(tree.width):  # the path is the liar's choice, and so are the bytes
            assert not verify_unit(root, size, last, claimed, tree.path(index))
            assert not verify_unit(root, size, last, unit_of(data, index), tree.path(index))


def test_a_blob_cut_off_at_a_unit_is_not_the_blob() -> None:
    data = content(4 * UNIT_BYTES)
    root, tree = tensor_root(data), unit_tree(hashed(data).unit_roots)
    for whole, short in pairwise((4, 3, 2, 1)):
        assert not verify_unit(root, short * UNIT_BYTES, short - 1, unit_of(data, short - 1), tree.path(short - 1))
        assert verify_unit(root, 4 * UNIT_BYTES, whole - 1, unit_of(data, whole - 1), tree.path(whole - 1))


@given(st.integers(0, 200), st.integers(0, CHUNK_BYTES), st.integers(0, 2**32))
def test_the_size_of_any_blob_is_proven(chunks: int, rest: int, claim: int) -> None:
    size = chunks * CHUNK_BYTES + rest
    data = content(size)
    hasher = hashed(data)
    last = unit_count(size) - 1
    unit, path = unit_of(data, last), unit_tree(hasher.unit_roots).path(last)
    assert verify_unit(tensor_root(data), size, last, unit, path)
    assert claim == size or not verify_unit(tensor_root(data), claim, unit_count(claim) - 1, unit, path)
