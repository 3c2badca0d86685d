"""Ranges of the state tree: all its entries between two places, and the proof that these are all.

The tree orders entries by *place*, the hash of their key (`runtime.merkle`), so a piece of it says nothing about which
keys lie in it; whoever downloads a state piece by piece checks each piece for itself. A `RangeProof` lists, in the
order of descent, what lies outside the range: of each half without any of its places the hash, and of each half that
the range's ends cut what is there. Entries that were left out, changed or made up give another root.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from runtime.codec import Record
from runtime.merkle import (
    EMPTY,
    KEY_BITS,
    GetNode,
    hash_half,
    hash_inner,
    node_path,
    read_node,
)

LAST_PLACE = (1 << KEY_BITS) - 1
_INNER = b"\x01"
"""In a proof: the range cuts this half, and its own halves follow."""

Leaf = tuple[int, bytes]
"""The place of an entry as an integer, and the hash of its value."""


class RangeProof(Record):
    """What a verifier of a range cannot compute itself; see the module's docstring."""

    items: tuple[bytes, ...]


def leaves_between(get_node: GetNode, first: int, last: int) -> Iterator[Leaf]:
    """The leaves of the stored tree with ``first <= place <= last``, ascending. Raises `MerkleError`."""
    stack: list[tuple[bytes, int, int]] = []
    root = get_node(node_path(0, 0))
    if root is not None:
        left, right = read_node(root, 0, 0)
        stack = [(right, 1, 1), (left, 1, 0)]
    while stack:
        half, depth, prefix = stack.pop()
        low, high = _span(depth, prefix)
        if not half or high < first or low > last:
            continue
        if len(half) == 64:
            place = int.from_bytes(half[:32], "big")
            if first <= place <= last:
                yield place, half[32:]
            continue
        left, right = read_node(get_node(node_path(depth, prefix)), depth, prefix)
        stack += [(right, depth + 1, 2 * prefix + 1), (left, depth + 1, 2 * prefix)]


def prove_range(get_node: GetNode, first: int, last: int) -> RangeProof:
    """What shows, with the entries of the range, that there are no others in it. Raises `MerkleError`."""
    items: list[bytes] = []

    def descend(data: bytes | None, depth: int, prefix: int) -> None:
        left, right = (EMPTY, EMPTY) if data is None and depth == 0 else read_node(data, depth, prefix)
        for half, path in ((left, 2 * prefix), (right, 2 * prefix + 1)):
            low, high = _span(depth + 1, path)
            if high < first or low > last:
                items.append(hash_half(half))
            elif not (first <= low and high <= last):
                if len(half) == 32:
                    items.append(_INNER)
                    descend(get_node(node_path(depth + 1, path)), depth + 1, path)
                else:
                    items.append(half)

    descend(get_node(node_path(0, 0)), 0, 0)
    return RangeProof(tuple(items))


def verify_range(root: bytes, first: int, last: int, leaves: Sequence[Leaf], proof: RangeProof) -> bool:
    """Whether these are all the leaves from ``first`` to ``last`` of the tree with that root. Never raises."""
    places = [place for place, _ in leaves]
    if any(later <= earlier for earlier, later in pairwise(places)):
        return False
    if not 0 <= first <= last <= LAST_PLACE or (places and not (first <= places[0] and places[-1] <= last)):
        return False
    reader = _RangeReader(first, last, places, [value for _, value in leaves], iter(proof.items))
    try:
        computed = reader.read_inner(0, 0)
    except _BadProof:
        return False
    return next(reader.items, None) is None and computed == root


class _BadProof(Exception):
    """The proof does not show what is claimed."""


def _span(depth: int, prefix: int) -> tuple[int, int]:
    """The first and the last place of a subtree."""
    low = prefix << (KEY_BITS - depth)
    return low, low + (1 << (KEY_BITS - depth)) - 1


@dataclass(slots=True)
class _RangeReader:
    """Rebuilds the root from the leaves of a range and the items of its proof. Mutable: it consumes the items."""

    first: int
    last: int
    places: list[int]
    values: list[bytes]
    items: Iterator[bytes]

    def read_inner(self, depth: int, prefix: int) -> bytes:
        """The hash of an inner node that the range cuts (or the root's)."""
        if depth >= KEY_BITS:
            raise _BadProof
        left = self._read_half(depth + 1, 2 * prefix)
        return hash_inner(left, self._read_half(depth + 1, 2 * prefix + 1))

    def _read_half(self, depth: int, prefix: int) -> bytes:
        low, high = _span(depth, prefix)
        if self.first <= low and high <= self.last:
            begin, end = bisect_left(self.places, low), bisect_right(self.places, high)
            return hash_half(self._build(depth, prefix, begin, end))
        item = next(self.items, None)
        if item is None:
            raise _BadProof
        if high < self.first or low > self.last:
            if len(item) != 32:
                raise _BadProof
            return item
        if item == _INNER:
            return self.read_inner(depth, prefix)
        self._require_alone(item, low, high)
        return hash_half(item)

    def _require_alone(self, item: bytes, low: int, high: int) -> None:
        """A half that the range cuts holds one leaf or none: of those given, exactly that one if it is in the range."""
        if len(item) not in (0, 64):
            raise _BadProof
        begin, end = bisect_left(self.places, low), bisect_right(self.places, high)
        given = [place.to_bytes(32, "big") + value for place, value in zip(self.places, self.values, strict=True)]
        place = int.from_bytes(item[:32], "big") if item else -1
        if item and not low <= place <= high:
            raise _BadProof
        if given[begin:end] != ([item] if self.first <= place <= self.last else []):
            raise _BadProof

    def _build(self, depth: int, prefix: int, begin: int, end: int) -> bytes:
        """The half that holds these leaves and no others."""
        if end - begin < 2:
            return self.places[begin].to_bytes(32, "big") + self.values[begin] if end > begin else EMPTY
        middle = bisect_left(self.places, (2 * prefix + 1) << (KEY_BITS - 1 - depth), begin, end)
        left = self._build(depth + 1, 2 * prefix, begin, middle)
        right = self._build(depth + 1, 2 * prefix + 1, middle, end)
        return hash_inner(hash_half(left), hash_half(right))
