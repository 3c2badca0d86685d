"""Fixed-width Merkle trees: tensors, states, steps, segments and register traces all commit through these.

A tree over ``width`` leaves is padded with a constant to the next power of two; its depth therefore follows from
the width, which the chain derives from the program and never takes from a party. Leaves come in already hashed
(with a leaf tag of their own, see `runtime.commitments`) or are roots of other trees; inner nodes have one tag,
so no leaf can pass for an inner node.

A *position* is (height, index): height 0 is the leaves, index counts from the left. A *path* lists the siblings
from the leaf upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

FAN_LEVELS = 6
"""Binary levels that one reveal of a dispute spans: 64 descendants, 2 KiB."""


def hash_tagged(tag: bytes, data: bytes) -> bytes:
    """blake2b-256 of ``data`` under a domain tag of at most 16 bytes (RFC 7693 personalisation)."""
    return blake2b(data, digest_size=32, person=tag).digest()


def hash_pair(left: bytes, right: bytes) -> bytes:
    """The inner node over two children."""
    return blake2b(left + right, digest_size=32, person=b"solvent:node").digest()


def _padding_hashes() -> tuple[bytes, ...]:
    hashes = [hash_tagged(b"solvent:empty", b"")]
    for _ in range(63):
        hashes.append(hash_pair(hashes[-1], hashes[-1]))
    return tuple(hashes)


PADDING = _padding_hashes()
"""PADDING[h] is the root of a subtree of height h that holds no real leaf."""


def depth_of(width: int) -> int:
    """Depth of the tree over ``width`` leaves: the smallest d with 2^d >= width."""
    return max(width - 1, 0).bit_length()


class Tree:
    """All levels of one tree, for a party that holds the leaves. Build once, read only.

    ``height`` is that of the leaves in a larger tree, of which this one is the top: with the nodes of height 6 as
    leaves, root and paths are those of the whole tree.
    """

    def __init__(self, leaves: Sequence[bytes], height: int = 0) -> None:
        self.width = len(leaves)
        self._padding = PADDING[height:]
        self.depth = depth_of(self.width)
        self.levels: list[list[bytes]] = [list(leaves)]
        for height in range(self.depth):
            below = self.levels[-1]
            if len(below) % 2:
                below = [*below, self._padding[height]]
            self.levels.append([hash_pair(below[i], below[i + 1]) for i in range(0, len(below), 2)])

    @property
    def root(self) -> bytes:
        return self.node(self.depth, 0)

    def node(self, height: int, index: int) -> bytes:
        """The hash at a position; positions right of the real leaves hold padding."""
        level = self.levels[height]
        return level[index] if index < len(level) else self._padding[height]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Siblings of leaf ``index`` from the bottom up; `verify_path` checks them."""
        return tuple(self.node(height, (index >> height) ^ 1) for height in range(self.depth))

    def descendants(self, height: int, index: int) -> tuple[bytes, ...]:
        """The real nodes up to `FAN_LEVELS` below a position, left to right: what a defender reveals."""
        below = max(height - FAN_LEVELS, 0)
        first = index << (height - below)
        return tuple(self.node(below, i) for i in range(first, first + real_width(self.width, height, index)))


def real_width(width: int, height: int, index: int) -> int:
    """How many descendants of (height, index), `FAN_LEVELS` down, cover at least one real leaf."""
    below = max(height - FAN_LEVELS, 0)
    first = index << (height - below)
    nodes = (width + (1 << below) - 1) >> below
    return max(0, min(nodes - first, 1 << (height - below)))


def root_of_descendants(revealed: Sequence[bytes], height: int, index: int) -> bytes:
    """Hash of position (height, index) given its real descendants; the padding is filled in."""
    below = max(height - FAN_LEVELS, 0)
    level = list(revealed) + [PADDING[below]] * ((1 << (height - below)) - len(revealed))
    while len(level) > 1:
        level = [hash_pair(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def verify_path(root: bytes, width: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Whether ``leaf`` is leaf ``index`` of the tree of that root and width."""
    if not 0 <= index < width or len(path) != depth_of(width):
        return False
    node = leaf
    for sibling in path:
        node = hash_pair(sibling, node) if index & 1 else hash_pair(node, sibling)
        index >>= 1
    return node == root
