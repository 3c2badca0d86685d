"""The state root: a binary sparse Merkle tree over hashed keys, every lone leaf pulled up to the top of its subtree.

An entry's place is blake2b-256 of its storage key. A subtree is *empty* (hash of zeros), one *leaf* (place and value
hash), or *inner* (two halves) when it holds two leaves or more; only the root is always inner. So the tree is a
function of the entries alone, and about log2(entries) deep. Nodes are stored under their *path* and hold their two
halves, leaves inline: as many nodes as there are leaves. Everything here is pure: callers pass a way to read nodes.

A `Proof` lists, in one fixed order of descent, what the verifier cannot compute itself: of every half without a
queried key its hash, and of every place a query ends at what is there. It shows presence and absence alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from runtime.codec import Record
from runtime.errors import SolventError

GetNode = Callable[[bytes], bytes | None]
"""Reads the node stored under a path; None when there is none."""

KEY_BITS = 256
EMPTY = b""
"""An empty subtree, as nodes hold it. A leaf is 64 bytes (place, value hash), an inner half its 32-byte hash."""


class MerkleError(SolventError):
    """The stored nodes do not form a tree: the database is damaged. Sync again or restore it."""


class Proof(Record):
    """A proof of presence or absence for a set of keys; see the module's docstring for the order of its items."""

    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """The new root, and the nodes to write (None: delete) to get there."""

    root: bytes
    nodes: dict[bytes, bytes | None]


def hash_place(key: bytes) -> bytes:
    """Where a storage key's entry lies in the tree."""
    return blake2b(key, digest_size=32, person=b"solvent:place").digest()


def hash_value(value: bytes) -> bytes:
    """What a leaf holds of its value."""
    return blake2b(value, digest_size=32, person=b"solvent:value").digest()


def hash_half(half: bytes) -> bytes:
    """The hash of an empty subtree, a leaf, or an inner one, as its parent holds it."""
    if len(half) == 64:
        return blake2b(half, digest_size=32, person=b"solvent:leaf").digest()
    return half or bytes(32)


def hash_inner(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node whose halves have these hashes."""
    return blake2b(left + right, digest_size=32, person=b"solvent:inner").digest()


def _hash_inner(left: bytes, right: bytes) -> bytes:
    return blake2b(hash_half(left) + hash_half(right), digest_size=32, person=b"solvent:inner").digest()


EMPTY_ROOT = _hash_inner(EMPTY, EMPTY)
"""Root of the tree without entries."""


def node_path(depth: int, prefix: int) -> bytes:
    """The key under which the inner node at ``depth`` is stored, ``prefix`` being its first bits as an integer."""
    return bytes([depth]) + prefix.to_bytes((depth + 7) // 8, "big")


def _encode_node(left: bytes, right: bytes) -> bytes:
    return bytes([len(left)]) + left + right


def read_node(data: bytes | None, depth: int, prefix: int) -> tuple[bytes, bytes]:
    """The two halves of a stored inner node. Raises `MerkleError` when it is missing or damaged."""
    if data is None:
        raise MerkleError(f"the state tree has no node at depth {depth}, prefix {prefix:x}")
    left, right = data[1 : 1 + data[0]], data[1 + data[0] :]
    if len(left) not in (0, 32, 64) or len(right) not in (0, 32, 64):
        raise MerkleError(f"the state tree's node at depth {depth}, prefix {prefix:x} is damaged")
    return left, right


def root_of_node(data: bytes) -> bytes:
    """The root of the tree whose top node is stored so. Raises `MerkleError`."""
    return _hash_inner(*read_node(data, 0, 0))


@dataclass(slots=True)
class _Batch:
    """One batch of changes, sorted by place, while it is worked into the tree. Mutable: it collects the writes."""

    get_node: GetNode
    places: list[int]
    hashes: list[bytes | None]
    writes: dict[bytes, bytes | None] = field(default_factory=dict)

    def split(self, depth: int, prefix: int, low: int, high: int) -> int:
        """The first change of ``low..high`` in the right half of the node."""
        return bisect_left(self.places, (2 * prefix + 1) << (KEY_BITS - 1 - depth), low, high)

    def apply(self, half: bytes, depth: int, prefix: int, low: int, high: int) -> bytes:
        """Work changes ``low..high`` into the subtree ``half`` at ``depth`` and return what it becomes."""
        if low == high:
            return half
        if len(half) != 32:
            return self._rebuild(half, depth, prefix, low, high)
        left, right = read_node(self.get_node(node_path(depth, prefix)), depth, prefix)
        middle = self.split(depth, prefix, low, high)
        left = self.apply(left, depth + 1, 2 * prefix, low, middle)
        right = self.apply(right, depth + 1, 2 * prefix + 1, middle, high)
        if len(left) + len(right) in (0, 64) and len(left) != 32:
            self.writes[node_path(depth, prefix)] = None
            return left or right
        return self._write(left, right, depth, prefix)

    def _write(self, left: bytes, right: bytes, depth: int, prefix: int) -> bytes:
        self.writes[node_path(depth, prefix)] = _encode_node(left, right)
        return _hash_inner(left, right)

    def _rebuild(self, half: bytes, depth: int, prefix: int, low: int, high: int) -> bytes:
        """An empty subtree or a lone leaf takes changes by building the subtree of all its leaves anew."""
        leaves = [
            (self.places[i], self.places[i].to_bytes(32, "big") + value)
            for i in range(low, high)
            if (value := self.hashes[i]) is not None
        ]
        if half:
            place = int.from_bytes(half[:32], "big")
            position = bisect_left(self.places, place, low, high)
            if position == high or self.places[position] != place:
                leaves.insert(bisect_left(leaves, (place, b"")), (place, half))
        return self._build(leaves, depth, prefix, 0, len(leaves))

    def _build(self, leaves: list[tuple[int, bytes]], depth: int, prefix: int, low: int, high: int) -> bytes:
        if high - low < 2:
            return leaves[low][1] if high > low else EMPTY
        middle = bisect_left(leaves, ((2 * prefix + 1) << (KEY_BITS - 1 - depth), b""), low, high)
        left = self._build(leaves, depth + 1, 2 * prefix, low, middle)
        right = self._build(leaves, depth + 1, 2 * prefix + 1, middle, high)
        return self._write(left, right, depth, prefix)


def update(get_node: GetNode, changes: Mapping[bytes, bytes | None]) -> TreeUpdate:
    """Apply storage changes (key to value, None deletes) to the stored tree in one sorted batch.

    An empty store is the empty tree. Raises `MerkleError` when nodes are missing or damaged.
    """
    places = sorted(
        (int.from_bytes(hash_place(key), "big"), None if value is None else hash_value(value))
        for key, value in changes.items()
    )
    batch = _Batch(get_node, [place for place, _ in places], [value for _, value in places])
    root_node = get_node(node_path(0, 0))
    left, right = (EMPTY, EMPTY) if root_node is None else read_node(root_node, 0, 0)
    middle = batch.split(0, 0, 0, len(places))
    left = batch.apply(left, 1, 0, 0, middle)
    right = batch.apply(right, 1, 1, middle, len(places))
    batch.writes[node_path(0, 0)] = _encode_node(left, right)
    return TreeUpdate(_hash_inner(left, right), batch.writes)


def root_of(entries: Mapping[bytes, bytes]) -> bytes:
    """The root of a whole state, from scratch."""
    return update(lambda path: None, dict(entries)).root


def prove(get_node: GetNode, keys: list[bytes]) -> Proof:
    """Prove what the stored tree holds at ``keys`` (at least one): for each its value's hash, or its absence."""
    places = sorted({int.from_bytes(hash_place(key), "big") for key in keys})
    items: list[bytes] = []

    def descend(depth: int, prefix: int, low: int, high: int) -> None:
        middle = bisect_left(places, (2 * prefix + 1) << (KEY_BITS - 1 - depth), low, high)
        node = get_node(node_path(depth, prefix))
        left, right = (EMPTY, EMPTY) if node is None and depth == 0 else read_node(node, depth, prefix)
        for bit, half, first, last in ((0, left, low, middle), (1, right, middle, high)):
            if first == last:
                items.append(hash_half(half))
            elif len(half) == 32:
                items.append(b"\x01")
                descend(depth + 1, 2 * prefix + bit, first, last)
            else:
                items.append(half)

    descend(0, 0, 0, len(places))
    return Proof(tuple(items))


def verify_proof(root: bytes, key: bytes, value: bytes | None, proof: Proof) -> bool:
    """Whether ``proof`` shows that the state with that root holds ``value`` at ``key``, or with None, nothing."""
    return verify_multiproof(root, {key: value}, proof)


def verify_multiproof(root: bytes, entries: Mapping[bytes, bytes | None], proof: Proof) -> bool:
    """Whether ``proof`` shows all ``entries`` (exactly the keys it was made for) under the root. Never raises."""
    wanted = sorted(
        (int.from_bytes(hash_place(key), "big"), None if value is None else hash_value(value))
        for key, value in entries.items()
    )
    reader = _ProofReader(iter(proof.items), [place for place, _ in wanted], [value for _, value in wanted])
    try:
        computed = reader.read_inner(0, 0, 0, len(wanted))
    except _BadProof:
        return False
    return bool(wanted) and next(reader.items, None) is None and computed == root


class _BadProof(Exception):
    """The proof does not show what is asked."""


@dataclass(slots=True)
class _ProofReader:
    """Rebuilds the root from a proof's items. Mutable: it consumes them."""

    items: Iterator[bytes]
    places: list[int]
    hashes: list[bytes | None]

    def read_inner(self, depth: int, prefix: int, low: int, high: int) -> bytes:
        """The hash of the inner node whose halves the next items describe."""
        if depth >= KEY_BITS:
            raise _BadProof
        middle = bisect_left(self.places, (2 * prefix + 1) << (KEY_BITS - 1 - depth), low, high)
        left = self._read_half(depth + 1, 2 * prefix, low, middle)
        right = self._read_half(depth + 1, 2 * prefix + 1, middle, high)
        return hash_inner(left, right)

    def _read_half(self, depth: int, prefix: int, low: int, high: int) -> bytes:
        item = next(self.items, None)
        if item is None:
            raise _BadProof
        if low == high:
            if len(item) != 32:
                raise _BadProof
            return item
        if item == b"\x01":
            return self.read_inner(depth, prefix, low, high)
        if len(item) not in (0, 64):
            raise _BadProof
        place = int.from_bytes(item[:32], "big") if item else -1
        if item and place >> (KEY_BITS - depth) != prefix:
            raise _BadProof
        for i in range(low, high):
            if self.hashes[i] != (item[32:] if self.places[i] == place else None):
                raise _BadProof
        return hash_half(item)
