"""The price of a program, node by node: a Merkle-sum tree over (operator, attributes, input types, output types, gas).

Anyone can check one node's share of a program's gas against the root, whose sum is the gas of one step. An inner node
commits to both children's sums, so a sum cannot be moved between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.codec import U63, Hash, Record, encode
from runtime.trees import depth_of, hash_tagged
from runtime.vm.check import CheckedProgram

GAS_UNIT = 1000
"""Scalar operations in one unit of gas, the unit of prices."""

STEP_OVERHEAD = 100_000
NODE_OVERHEAD = 1_000
BYTE_OVERHEAD = 2
"""How long beginning a step, beginning a node, and gathering or hashing a byte take, in scalar operations."""


class GasEntry(Record):
    """One node's price and what it follows from; types are written as ``f32[64, 10]``."""

    op: str
    attributes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    gas: U63


class GasNode(Record):
    """A node of the sum tree: the hash, and the scalar operations below it."""

    hash: Hash
    gas: U63


PADDING = GasNode(hash_tagged(b"solvent:gasnone", b""), 0)


def gas_entries(checked: CheckedProgram) -> tuple[GasEntry, ...]:
    """The leaves of the tree, in program order."""
    entries = []
    for index, node in enumerate(checked.program.nodes):
        application = checked.application(index)
        inputs, outputs = tuple(map(str, application.inputs)), tuple(map(str, application.outputs))
        entries.append(GasEntry(node.op, node.attributes, inputs, outputs, checked.node_gas[index]))
    return tuple(entries)


def gas_leaf(entry: GasEntry) -> GasNode:
    return GasNode(hash_tagged(b"solvent:gasleaf", encode(entry)), entry.gas)


class GasTree:
    """All levels of the sum tree of one program. Build once, read only."""

    def __init__(self, entries: Iterable[GasEntry]) -> None:
        self.levels: list[list[GasNode]] = [[gas_leaf(entry) for entry in entries]]
        self.width = len(self.levels[0])
        for _ in range(depth_of(self.width)):
            below = self.levels[-1]
            if len(below) % 2:
                below.append(PADDING)
            self.levels.append([_join(below[i], below[i + 1]) for i in range(0, len(below), 2)])

    @property
    def root(self) -> GasNode:
        return self.levels[-1][0] if self.width else PADDING

    def path(self, index: int) -> tuple[GasNode, ...]:
        """Siblings of leaf ``index`` from the bottom up."""
        return tuple(self.levels[height][(index >> height) ^ 1] for height in range(depth_of(self.width)))


def verify_gas_path(root: GasNode, width: int, index: int, entry: GasEntry, path: Sequence[GasNode]) -> bool:
    """Whether ``entry`` is leaf ``index`` of the tree with that root: both its content and its share of the sum."""
    if not 0 <= index < width or len(path) != depth_of(width):
        return False
    node = gas_leaf(entry)
    for sibling in path:
        if sibling.gas < 0 or not node.gas + sibling.gas <= root.gas < 1 << 63:
            return False
        node = _join(sibling, node) if index & 1 else _join(node, sibling)
        index >>= 1
    return node == root


def gas_units(operations: int) -> int:
    """Scalar operations in units of gas, rounded up."""
    return -(-operations // GAS_UNIT)


def job_gas(checked: CheckedProgram, steps: int) -> int:
    """Gas units of running a program for that many steps; rounded up once for the whole job."""
    return gas_units(checked.gas * steps)


def step_time(checked: CheckedProgram) -> int:
    """How long a step takes with the state after it hashed, in scalar operations. Gas says what is paid; deadlines must
    also leave room for what costs time but no gas, or a program of many tiny nodes, or of a huge state that it hardly
    touches, would make honest workers late."""
    inputs = sum(kind.bytes for kind in checked.values[: len(checked.program.inputs)])
    state = sum(kind.bytes for _, _, kind in checked.state)
    return checked.gas + STEP_OVERHEAD + NODE_OVERHEAD * len(checked.program.nodes) + BYTE_OVERHEAD * (inputs + state)


def task_gas(program: CheckedProgram, steps: int, init_program: CheckedProgram) -> int:
    """Gas units of a training task: one step of initialisation, then the training steps."""
    return job_gas(init_program, 1) + job_gas(program, steps)


def _join(left: GasNode, right: GasNode) -> GasNode:
    content = left.hash + left.gas.to_bytes(8, "little") + right.hash + right.gas.to_bytes(8, "little")
    return GasNode(hash_tagged(b"solvent:gasnode", content), left.gas + right.gas)
