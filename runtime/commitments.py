"""What the hashes of a training job mean: chunks, tensors, states, samples and registers (``verification.md``).

A *tensor* commits to its little-endian, C-ordered bytes in 4 KiB *chunks*; the last one may be shorter. A *state*
is the tensors of a model and its optimizer, sorted by name. A *dataset* is a tree over (sample, field) tensor roots,
sample-major. A *step trace* is a tree over the roots of a step's values and ends in the next state root. A *segment*
is a tree over the state roots of consecutive steps, its first leaf the state it starts from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.codec import encode
from runtime.trees import Tree, hash_tagged

CHUNK_BYTES = 4096
ITEM_BYTES = {"f32": 4, "i32": 4, "u32": 4, "u8": 1}
"""Bytes of one element of each tensor dtype."""


def element_count(shape: Sequence[int]) -> int:
    """Number of elements of a shape; a scalar has one."""
    count = 1
    for size in shape:
        count *= size
    return count


def tensor_bytes(dtype: str, shape: Sequence[int]) -> int:
    return ITEM_BYTES[dtype] * element_count(shape)


def chunk_count(byte_count: int) -> int:
    """Width of the tree over a tensor of that many bytes (at least one leaf)."""
    return max(1, -(-byte_count // CHUNK_BYTES))


def chunk_leaf(chunk: bytes | memoryview) -> bytes:
    return hash_tagged(b"solvent:chunk", bytes(chunk))


def tensor_tree(data: bytes | memoryview) -> Tree:
    """The tree over a tensor's bytes."""
    view = memoryview(data).cast("B")
    return Tree([chunk_leaf(view[i : i + CHUNK_BYTES]) for i in range(0, max(len(view), 1), CHUNK_BYTES)])


def tensor_root(data: bytes | memoryview) -> bytes:
    return tensor_tree(data).root


def state_leaf(name: str, dtype: str, shape: Sequence[int], root: bytes) -> bytes:
    return hash_tagged(b"solvent:state", encode((name, dtype, tuple(shape), root)))


def state_tree(entries: Iterable[tuple[str, str, Sequence[int], bytes]]) -> Tree:
    """The tree over (name, dtype, shape, tensor root); ``entries`` must already be sorted by name."""
    return Tree([state_leaf(*entry) for entry in entries])


EMPTY_STATE_ROOT = Tree([]).root
"""The state before initialisation: no tensors."""


def data_tree(samples: Iterable[Sequence[bytes]]) -> Tree:
    """The tree over the tensor roots of each sample's fields: leaf = sample * fields + field."""
    return Tree([root for sample in samples for root in sample])


def registers_leaf(registers: bytes) -> bytes:
    """Leaf of an element's register trace: the canonical bytes of all 32 registers."""
    return hash_tagged(b"solvent:regs", registers)
