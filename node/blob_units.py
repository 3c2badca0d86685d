"""The units in which nodes hand blobs to one another: 256 KiB of bytes, each with its path to the blob's root.

A *unit* is 64 consecutive chunks, the last one of a blob less; its *unit root* is their node in the blob's hash tree
(`runtime.commitments`), at height 6, or at the top of a tree that is lower. Whoever keeps the unit roots of a blob, 32
bytes for each 256 KiB, can prove every unit without reading the others.

A root alone determines the size. Only padding follows the last chunk, so a last unit with a path whose right-hand
siblings are padding proves where the blob ends, before anything else of it is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.commitments import CHUNK_BYTES, chunk_leaf
from runtime.trees import FAN_LEVELS, PADDING, Tree, depth_of, root_of_descendants, verify_path

UNIT_CHUNKS = 1 << FAN_LEVELS
UNIT_BYTES = UNIT_CHUNKS * CHUNK_BYTES


def unit_count(size: int) -> int:
    """How many units a blob of ``size`` bytes has; an empty one has an empty unit."""
    return max(1, -(-size // UNIT_BYTES))


def unit_length(size: int, index: int) -> int:
    """Bytes of unit ``index`` of a blob of ``size`` bytes."""
    return min(UNIT_BYTES, size - index * UNIT_BYTES)


def compute_unit_root(data: bytes, is_only: bool) -> bytes:
    """The node over the chunks of one unit; the blob's root when it ``is_only`` this unit."""
    view = memoryview(data)
    return _root_of_leaves(
        [chunk_leaf(view[at : at + CHUNK_BYTES]) for at in range(0, max(len(view), 1), CHUNK_BYTES)], is_only
    )


def _root_of_leaves(leaves: Sequence[bytes], is_only: bool) -> bytes:
    return root_of_descendants(leaves, depth_of(len(leaves)) if is_only else FAN_LEVELS, 0)


def unit_tree(unit_roots: Sequence[bytes]) -> Tree:
    """The top of a blob's tree, over its unit roots: root and paths are the blob's own."""
    return Tree(unit_roots, FAN_LEVELS)


def verify_unit(root: bytes, size: int, index: int, data: bytes, path: Sequence[bytes]) -> bool:
    """Whether ``data`` is unit ``index`` of the blob ``root`` of that size. For the last unit, this proves the size."""
    count = unit_count(size)
    if not 0 <= index < count or len(data) != unit_length(size, index):
        return False
    if not verify_path(root, count, index, compute_unit_root(data, count == 1), path):
        return False
    return index < count - 1 or all(
        index >> level & 1 or sibling == PADDING[FAN_LEVELS + level] for level, sibling in enumerate(path)
    )


class UnitHasher:
    """The root of bytes that arrive in pieces of any length, and the unit roots below it. Mutable."""

    def __init__(self) -> None:
        self.unit_roots: list[bytes] = []
        self._unit = bytearray()

    def update(self, piece: bytes) -> None:
        self._unit += piece
        while len(self._unit) > UNIT_BYTES:
            self.unit_roots.append(compute_unit_root(bytes(self._unit[:UNIT_BYTES]), is_only=False))
            del self._unit[:UNIT_BYTES]

    def finish(self) -> bytes:
        """Return the root; nothing more may follow."""
        self.unit_roots.append(compute_unit_root(bytes(self._unit), is_only=not self.unit_roots))
        self._unit.clear()
        return unit_tree(self.unit_roots).root
