"""The state tree: batches of updates equal a rebuild, and proofs show presence and absence and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import merkle
from runtime.merkle import EMPTY_ROOT, MerkleError, Proof, prove, root_of, update, verify_multiproof, verify_proof

keys = st.integers(0, 60).map(lambda number: b"key %d" % number)
values = st.binary(max_size=6)
batches = st.lists(st.dictionaries(keys, values | st.none(), max_size=25), max_size=6)


class Store:
    """Nodes and entries of one tree."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.entries: dict[bytes, bytes] = {}
        self.root = EMPTY_ROOT

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        tree = update(self.nodes.get, changes)
        self.root = tree.root
        for table, written in ((self.nodes, tree.nodes), (self.entries, changes)):
            for key, value in written.items():
                if value is None:
                    table.pop(key, None)
                else:
                    table[key] = value


def filled(batch_list: list[dict[bytes, bytes | None]]) -> Store:
    store = Store()
    for batch in batch_list:
        store.apply(batch)
    return store


@given(batches)
def test_updates_in_batches_leave_the_tree_of_a_rebuild(batch_list: list[dict[bytes, bytes | None]]) -> None:
    store = filled(batch_list)
    rebuilt = update(lambda path: None, dict(store.entries))
    assert store.root == rebuilt.root == root_of(store.entries)
    if batch_list:
        assert store.nodes == rebuilt.nodes


@given(batches, st.sets(keys, min_size=1, max_size=8))
def test_proofs_show_what_is_there_and_what_is_not(
    batch_list: list[dict[bytes, bytes | None]], asked: set[bytes]
) -> None:
    store = filled(batch_list)
    expected = {key: store.entries.get(key) for key in asked}
    assert verify_multiproof(store.root, expected, prove(store.nodes.get, sorted(asked)))
    for key in asked:
        proof = prove(store.nodes.get, [key])
        assert verify_proof(store.root, key, store.entries.get(key), proof)
        assert not verify_proof(store.root, key, b"another value", proof)
        assert verify_proof(store.root, key, None, proof) == (key not in store.entries)


@settings(max_examples=200)
@given(st.dictionaries(keys, values, min_size=2, max_size=40), st.data())
def test_tampered_proofs_fail(entries: dict[bytes, bytes], data: st.DataObject) -> None:
    store = filled([dict(entries)])
    asked = data.draw(st.lists(keys, min_size=1, max_size=4, unique=True))
    claim = {key: entries.get(key) for key in asked}
    items = list(prove(store.nodes.get, asked).items)
    position = data.draw(st.integers(0, len(items) - 1))
    action = data.draw(st.sampled_from(["flip", "drop", "repeat", "replace", "cut", "extend"]))
    tampered = list(items)
    if action == "flip" and tampered[position]:
        changed = bytearray(tampered[position])
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        tampered[position] = bytes(changed)
    elif action == "drop":
        del tampered[position]
    elif action == "repeat":
        tampered.insert(position, tampered[position])
    elif action == "replace":
        tampered[position] = data.draw(st.sampled_from([b"", b"\x01", bytes(32), bytes(64), b"x"]))
    elif action == "cut":
        tampered = tampered[:position]
    else:
        tampered.append(data.draw(st.binary(max_size=64)))
    if tampered != items:
        assert not verify_multiproof(store.root, claim, Proof(tuple(tampered)))


@given(st.dictionaries(keys, values, min_size=1, max_size=20), st.data())
def test_no_false_statement_has_a_proof_from_another_key_or_tree(
    entries: dict[bytes, bytes], data: st.DataObject
) -> None:
    store = filled([dict(entries)])
    proved, asked = data.draw(keys), data.draw(keys)
    proof = prove(store.nodes.get, [proved])
    false = None if asked in entries else b"made up"
    assert not verify_proof(store.root, asked, false, proof)
    assert not verify_proof(EMPTY_ROOT, asked, b"made up", proof)


def test_the_empty_tree_proves_that_nothing_is_there() -> None:
    for nodes in ({}, update(lambda path: None, {}).nodes):
        proof = prove(nodes.get, [b"a", b"b"])
        assert verify_multiproof(EMPTY_ROOT, {b"a": None, b"b": None}, proof)
    assert update(lambda path: None, {}).root == EMPTY_ROOT


def test_a_proof_of_no_keys_proves_nothing() -> None:
    assert not verify_multiproof(EMPTY_ROOT, {}, Proof((bytes(32), bytes(32))))


def test_deleting_everything_leaves_the_empty_tree() -> None:
    entries: dict[bytes, bytes | None] = {b"%d" % number: b"x" for number in range(100)}
    store = filled([entries, dict.fromkeys(entries)])
    assert store.root == EMPTY_ROOT
    assert list(store.nodes) == [merkle.node_path(0, 0)]


def test_deleting_what_is_absent_changes_nothing() -> None:
    store = filled([{b"a": b"1", b"b": b"2"}])
    before = store.root
    store.apply({b"c": None, b"d": None})
    assert store.root == before


def test_an_empty_value_is_not_an_absence() -> None:
    store = filled([{b"a": b""}])
    assert store.root != EMPTY_ROOT
    assert verify_proof(store.root, b"a", b"", prove(store.nodes.get, [b"a"]))


def test_a_damaged_store_is_a_typed_error() -> None:
    store = filled([{b"%d" % number: b"x" for number in range(50)}])
    inner = max(store.nodes, key=lambda path: path[0])
    for damage in (None, b"\x07short"):
        nodes = dict(store.nodes)
        if damage is None:
            del nodes[inner]
        else:
            nodes[inner] = damage
        with pytest.raises(MerkleError):
            prove(nodes.get, [b"%d" % number for number in range(50)])
        with pytest.raises(MerkleError):
            update(nodes.get, {b"%d" % number: b"y" for number in range(50)})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 40), values | st.none(), max_size=8), max_size=5))
def test_places_that_share_long_prefixes_are_told_apart(batch_list: list[dict[int, bytes | None]]) -> None:
    """Keys ground to collide for hundreds of bits only make their own branch deep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "hash_place", lambda key: key)
        store = filled([{number.to_bytes(32, "big"): value for number, value in batch.items()} for batch in batch_list])
        assert store.root == root_of(store.entries)
        for number in range(0, 41, 8):
            key = number.to_bytes(32, "big")
            assert verify_proof(store.root, key, store.entries.get(key), prove(store.nodes.get, [key]))
            assert not verify_proof(store.root, key, b"made up!", prove(store.nodes.get, [key]))
