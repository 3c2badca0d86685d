"""Ranges of the state tree: what is between two places is shown to be all there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime import merkle
from runtime.codec import replace
from runtime.merkle_range import LAST_PLACE, Leaf, RangeProof, leaves_between, prove_range, verify_range

Entries = dict[bytes, bytes]

entries_ = st.dictionaries(st.binary(max_size=6), st.binary(max_size=6), max_size=40)
places_ = st.one_of(st.integers(0, LAST_PLACE), st.integers(0, 15).map(lambda part: part << 252))


def build(entries: Entries) -> tuple[bytes, Entries]:
    """The root and the stored nodes."""
    update = merkle.update(lambda path: None, dict(entries))
    return update.root, {path: node for path, node in update.nodes.items() if node is not None}


def all_leaves(entries: Entries) -> list[Leaf]:
    return sorted(
        (int.from_bytes(merkle.hash_place(key), "big"), merkle.hash_value(value)) for key, value in entries.items()
    )


@given(entries_, places_, places_)
def test_a_range_is_proved_whatever_the_tree_and_its_ends(entries: Entries, one: int, other: int) -> None:
    first, last = sorted((one, other))
    root, nodes = build(entries)
    leaves = list(leaves_between(nodes.get, first, last))
    assert leaves == [leaf for leaf in all_leaves(entries) if first <= leaf[0] <= last]
    assert verify_range(root, first, last, leaves, prove_range(nodes.get, first, last))


@given(entries_.filter(bool), st.data())
def test_a_range_that_ends_on_a_leaf_is_proved(entries: Entries, data: st.DataObject) -> None:
    root, nodes = build(entries)
    leaves = all_leaves(entries)
    last = data.draw(st.sampled_from(leaves))[0]
    chosen = [leaf for leaf in leaves if leaf[0] <= last]
    assert verify_range(root, 0, last, chosen, prove_range(nodes.get, 0, last))


@given(entries_.filter(bool), places_, places_, st.data())
def test_a_leaf_left_out_changed_added_or_moved_is_noticed(
    entries: Entries, one: int, other: int, data: st.DataObject
) -> None:
    first, last = sorted((one, other))
    root, nodes = build(entries)
    leaves = list(leaves_between(nodes.get, first, last))
    proof = prove_range(nodes.get, first, last)
    forged: list[list[Leaf]] = [[*leaves, (last, bytes(32))], [(first, bytes(32)), *leaves]]
    if leaves:
        index = data.draw(st.integers(0, len(leaves) - 1))
        place, value = leaves[index]
        forged += [
            leaves[:index] + leaves[index + 1 :],
            [*leaves[:index], (place, bytes(32)), *leaves[index + 1 :]],
            [*leaves[:index], (place ^ 1, value), *leaves[index + 1 :]],
            leaves + leaves[-1:],
        ]
    for lie in forged:
        assert not verify_range(root, first, last, lie, proof)


@given(entries_, places_, places_, st.data())
def test_a_proof_with_a_changed_item_shows_nothing(entries: Entries, one: int, other: int, data: st.DataObject) -> None:
    first, last = sorted((one, other))
    root, nodes = build(entries)
    leaves = list(leaves_between(nodes.get, first, last))
    items = list(prove_range(nodes.get, first, last).items)
    assert not verify_range(root, first, last, leaves, RangeProof((*items, bytes(32))))
    if items:
        index = data.draw(st.integers(0, len(items) - 1))
        changed = data.draw(st.binary(max_size=70).filter(lambda item: item != items[index]))
        assert not verify_range(root, first, last, leaves, RangeProof((*items[:index], changed, *items[index + 1 :])))
        assert not verify_range(root, first, last, leaves, RangeProof(tuple(items[:-1])))


def test_a_shorter_range_cannot_pass_for_a_longer_one() -> None:
    entries = {bytes([number]): b"value" for number in range(50)}
    root, nodes = build(entries)
    leaves = all_leaves(entries)
    middle = leaves[20][0]
    half = [leaf for leaf in leaves if leaf[0] <= middle]
    proof = prove_range(nodes.get, 0, middle)
    assert verify_range(root, 0, middle, half, proof)
    assert not verify_range(root, 0, LAST_PLACE, half, proof)
    assert not verify_range(root, 0, leaves[21][0], half, proof)
    assert not verify_range(root, 5, 4, [], proof)


def test_a_deeply_nested_proof_ends() -> None:
    proof = RangeProof((b"\x01",) * 1000)
    assert not verify_range(bytes(32), 0, 1, [], proof)
    assert not verify_range(bytes(32), 0, 1, [], replace(proof, items=()))


def test_the_empty_tree_has_the_empty_range() -> None:
    proof = prove_range(lambda path: None, 0, LAST_PLACE)
    assert proof.items == ()
    assert verify_range(merkle.EMPTY_ROOT, 0, LAST_PLACE, [], proof)
