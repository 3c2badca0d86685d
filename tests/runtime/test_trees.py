"""Fixed-width Merkle trees: roots, paths, and the reveals of a dispute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.trees import (
    FAN_LEVELS,
    PADDING,
    Tree,
    depth_of,
    hash_pair,
    hash_tagged,
    real_width,
    root_of_descendants,
    verify_path,
)


def leaves(count: int) -> list[bytes]:
    return [hash_tagged(b"test", index.to_bytes(4, "big")) for index in range(count)]


def padded_root(items: list[bytes]) -> bytes:
    level = items + [PADDING[0]] * ((1 << depth_of(len(items))) - len(items))
    while len(level) > 1:
        level = [hash_pair(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@given(st.integers(0, 300))
def test_the_root_is_that_of_the_padded_full_tree(count: int) -> None:
    assert Tree(leaves(count)).root == padded_root(leaves(count))


@given(st.integers(1, 300), st.data())
def test_every_leaf_has_a_path_that_fits_only_its_own_place(count: int, data: st.DataObject) -> None:
    tree = Tree(leaves(count))
    index = data.draw(st.integers(0, count - 1))
    leaf, path = tree.levels[0][index], tree.path(index)
    assert verify_path(tree.root, count, index, leaf, path)
    other = data.draw(st.integers(-1, count))
    if other != index:
        assert not verify_path(tree.root, count, other, leaf, path)
    assert not verify_path(tree.root, count, index, hash_tagged(b"other", leaf), path)
    assert not verify_path(tree.root, count, index, leaf, (*path, PADDING[0]))
    if path:
        assert not verify_path(tree.root, count, index, leaf, path[:-1])
        assert not verify_path(tree.root, count, index, leaf, (hash_tagged(b"other", path[0]), *path[1:]))


@given(st.integers(1, 5000), st.data())
def test_reveals_hash_to_their_node_and_hold_only_real_leaves(count: int, data: st.DataObject) -> None:
    tree = Tree(leaves(count))
    height = data.draw(st.integers(0, tree.depth))
    index = data.draw(st.integers(0, (count - 1) >> height))
    revealed = tree.descendants(height, index)
    assert 1 <= len(revealed) == real_width(count, height, index) <= 1 << FAN_LEVELS
    assert root_of_descendants(revealed, height, index) == tree.node(height, index)


@given(st.integers(65, 5000), st.data())
def test_descending_by_reveals_reaches_every_leaf(count: int, data: st.DataObject) -> None:
    tree = Tree(leaves(count))
    wanted = data.draw(st.integers(0, count - 1))
    height, index, moves = tree.depth, 0, 0
    while height:
        below = max(height - FAN_LEVELS, 0)
        chosen = (wanted >> below) - (index << (height - below))
        node = tree.descendants(height, index)[chosen]
        height, index, moves = below, wanted >> below, moves + 1
        assert node == tree.node(height, index)
    assert node == tree.levels[0][wanted]
    assert moves == -(-tree.depth // FAN_LEVELS)


def test_leaves_and_nodes_live_in_separate_domains() -> None:
    left, right = leaves(2)
    assert hash_pair(left, right) != hash_tagged(b"solvent:leaf", left + right)
    assert hash_tagged(b"one", b"x") != hash_tagged(b"two", b"x")


def test_a_tag_has_at_most_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="person"):
        hash_tagged(b"longer than sixteen bytes", b"")


@pytest.mark.parametrize(("width", "depth"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6), (65, 7)])
def test_depth_follows_from_the_width(width: int, depth: int) -> None:
    assert depth_of(width) == depth
