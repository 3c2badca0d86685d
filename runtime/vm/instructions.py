"""The shape of a scalar recipe: addresses, sources, instructions, and the recipes built from them.

A *recipe* computes one element of one value: a straight line of instructions over 32 registers, starting from constants
and leaving the element in register 0. It may have millions of instructions, so it is never a list: instruction number i
is computed from i. An *address* names one element that an instruction reads from outside the registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from runtime.vm.opcodes import OPCODES, Opcode, Registers
from runtime.vm.types import CANONICAL_NAN_F32, Scalar, f32

GROUP = 64
"""Operations between two leaves of an element's register trace."""
MAX_GROUP_OPERANDS = 256
"""Operands that one group may load; more is a `VmHalt`."""
LANES = 16
BLOCK = 256


class Address(NamedTuple):
    """One element outside the registers.

    ``space`` is "value" (``tensor`` numbers a value of this step), "state" (an index into the start state, sorted by
    name), "data" (the leaf sample * fields + field; ``element`` counts inside that sample's field) or "scalars"
    (tensor 0; ``element`` is row * columns + column).
    """

    space: str
    tensor: int
    element: int


class Register(NamedTuple):
    """A source that reads a register."""

    number: int


class Load(NamedTuple):
    """A source that reads one element of a tensor of ``dtype``."""

    address: Address
    dtype: str


class LoadAt(NamedTuple):
    """A source that reads element ``address.element + stride * index``, index being the integer in ``register``.

    An index outside 0 <= index < ``bound`` loads nothing and gives NaN (f32) or 0.
    """

    address: Address
    dtype: str
    stride: int
    register: int
    bound: int


Source = Register | Load | LoadAt


class Instruction(NamedTuple):
    """``destination = opcode(*sources)``; sources are read in order."""

    opcode: Opcode
    destination: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one element is computed. ``gas`` is the sum of its opcodes' gas; `instruction` takes 0 <= i < ``length``."""

    constants: Registers
    length: int
    gas: int
    instruction: Callable[[int], Instruction]

    @property
    def groups(self) -> int:
        """Number of groups of up to `GROUP` operations; at least one."""
        return -(-self.length // GROUP)

    @property
    def trace_width(self) -> int:
        """Leaves of the register trace: the constants, then one for each group."""
        return 1 + self.groups

    def group_range(self, group: int) -> range:
        """Numbers of the instructions in a group, counted from 1."""
        return range(GROUP * (group - 1), min(GROUP * group, self.length))


def missing_element(dtype: str) -> int:
    """Bits that an out-of-range index reads."""
    return CANONICAL_NAN_F32 if dtype == "f32" else 0


def straight(instructions: Sequence[Instruction], constants: dict[int, Scalar] | None = None) -> Recipe:
    """A recipe that is spelled out."""
    line = tuple(instructions)
    return Recipe(Registers.of(constants or {}), len(line), _gas(line), line.__getitem__)


def fold(count: int, first: Instruction, rest: Callable[[int], Instruction]) -> Recipe:
    """``first``, then rest(1), ..., rest(count - 1): a fold whose accumulator is register 0."""
    gas = _gas((first,)) + (count - 1) * (_gas((rest(1),)) if count > 1 else 0)
    return Recipe(Registers.of({}), count, gas, lambda i: rest(i) if i else first)


def blocked_sum(count: int, term: Callable[[int, int, Register], Instruction]) -> Recipe:
    """A sum in two levels: in blocks of 256 terms from +0, then the blocks' sums in order.

    term(k, destination, accumulator) is the instruction that adds term k. Block 0 accumulates in register 0; a later
    block in register 1, begun from the +0 in register 2 and then added to register 0.
    """

    def instruction(i: int) -> Instruction:
        if i < BLOCK:
            return term(i, 0, Register(0))
        block, within = divmod(i - BLOCK, BLOCK + 1)
        k = BLOCK * (block + 1) + within
        if within == BLOCK or k == count:
            return Instruction(Opcode.ADD_F32, 0, (Register(0), Register(1)))
        return term(k, 1, Register(1 if within else 2))

    later_blocks = -(-count // BLOCK) - 1
    constants = {0: f32(0)} if later_blocks == 0 else {0: f32(0), 2: f32(0)}
    gas = count * _gas((term(0, 0, Register(0)),)) + later_blocks * OPCODES[Opcode.ADD_F32].gas
    return Recipe(Registers.of(constants), count + later_blocks, gas, instruction)


def _lane_tree() -> tuple[Instruction, ...]:
    steps = []
    for half in (8, 4, 2, 1):
        steps += [Instruction(Opcode.ADD_F32, lane, (Register(lane), Register(lane + half))) for lane in range(half)]
    return tuple(steps)


_LANE_TREE = _lane_tree()
_LANES_AT_ZERO = Registers.of({lane: f32(0) for lane in range(LANES)})
SCRATCH = Register(16)
"""Where a term of `lane_sum` prepares what it adds."""


def lane_sum(
    count: int, term: Callable[[int], tuple[tuple[Instruction, ...], Source]], last: Sequence[Instruction] = ()
) -> Recipe:
    """A row sum: 16 lanes from +0 take terms l, l + 16, ...; then lane l += lane l+8, l+4, l+2, l+1; then ``last``.

    term(k) gives the instructions that prepare term k (the same number for each k) and the source to add to its lane.
    """
    tail = (*_LANE_TREE, *last)
    preparation = term(0)[0]
    size = len(preparation) + 1

    def instruction(i: int) -> Instruction:
        k, within = divmod(i, size)
        if k >= count:
            return tail[i - count * size]
        prepared, source = term(k)
        if within < size - 1:
            return prepared[within]
        lane = k % LANES
        return Instruction(Opcode.ADD_F32, lane, (Register(lane), source))

    gas = count * (_gas(preparation) + OPCODES[Opcode.ADD_F32].gas) + _gas(tail)
    return Recipe(_LANES_AT_ZERO, count * size + len(tail), gas, instruction)


def with_constants(recipe: Recipe, constants: Mapping[int, int]) -> Recipe:
    """A recipe with more f32 constants, by register."""
    cells = {number: cell for number, cell in enumerate(recipe.constants.cells) if cell.kind}
    cells |= {number: f32(bits) for number, bits in constants.items()}
    return replace(recipe, constants=Registers.of(cells))


def _gas(instructions: Sequence[Instruction]) -> int:
    return sum(OPCODES[instruction.opcode].gas for instruction in instructions)
