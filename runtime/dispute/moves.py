"""The moves of the dispute game: who may say what, and how large it may be.

One *defender* (the party whose claim is attacked) and one *challenger* take turns. Every statement of the defender is
a `...Root`, a `Reveal`, or an opening; every statement of the challenger is a selection. The vocabulary:

- a *level* is one committed tree: the states of a segment, the values of a step, the chunks of a tensor, the tensors
  of a state, the register traces of an element;
- to *reveal* is to show the real descendants of the tree node the game stands at, six binary levels further down;
- to *select* one of them is to dispute it and thereby to accept all that stand before it.

An illegal move changes nothing and the mover's clock runs on; a legal but false one loses the game.
"""

from __future__ import annotations

from enum import StrEnum

from runtime.codec import U63, U64, Hash, Record
from runtime.errors import DispatchError

MAX_MOVE_BYTES = 16 * 1024
"""Longest encoded move. The longest honest ones are openings: a 4 KiB chunk and two paths."""

MAX_OPERANDS = 256
"""Most operands that one group of 64 operations consumes."""


class Party(StrEnum):
    DEFENDER = "defender"
    CHALLENGER = "challenger"

    @property
    def opponent(self) -> Party:
        return Party.CHALLENGER if self is Party.DEFENDER else Party.DEFENDER


class Level(StrEnum):
    """Which committed tree the game is in."""

    SEGMENT = "segment"
    STEP = "step"
    TENSOR = "tensor"
    STATE = "state"
    TRACE = "trace"


class Phase(StrEnum):
    """What the game waits for. `TURN` says from whom, `EXPECTED` which move."""

    SEGMENT_ROOT = "segment_root"
    STEP_ROOT = "step_root"
    TRACE_ROOT = "trace_root"
    REVEAL = "reveal"
    SELECT = "select"
    CHUNK = "chunk"
    ELEMENT = "element"
    GROUP = "group"
    OPERAND = "operand"
    OPENING = "opening"
    PACK_OPENING = "pack_opening"


class InvalidMove(DispatchError):
    """The move breaks a rule of the game. Nothing changes, and the clock of whoever must move keeps running."""

    pallet = "disputes"
    code = "InvalidMove"


class SegmentRoot(Record):
    """The tree over the state roots s_0 .. s_n: its first leaf is the job's start, its last the claimed end."""

    root: Hash
    first_path: tuple[Hash, ...]
    last_path: tuple[Hash, ...]


class StepRoot(Record):
    """The tree over the values of the disputed step i, the last of which is the claimed s_i.

    ``before`` is s_{i-1}, shown by its path in the segment tree.
    """

    root: Hash
    last_path: tuple[Hash, ...]
    before: Hash
    before_path: tuple[Hash, ...]


class TraceRoot(Record):
    """The tree over one element's registers. Its first leaf is the recipe's constants.

    ``registers`` are the 288 bytes behind its last leaf, whose register 0 holds the claimed element.
    """

    root: Hash
    first_path: tuple[Hash, ...]
    registers: bytes
    last_path: tuple[Hash, ...]


class Reveal(Record):
    """All real descendants of the current node, `runtime.trees.FAN_LEVELS` below it, left to right."""

    nodes: tuple[Hash, ...]


class Select(Record):
    """The first revealed node that the challenger disputes, counted from 0 within the reveal."""

    position: U63


class PostChunk(Record):
    """The bytes of the disputed chunk of a tensor."""

    chunk: bytes


class SelectElement(Record):
    """One disputed element, counted from 0 within the chunk."""

    element: U63


class PostGroup(Record):
    """The registers around the disputed group of operations, and every operand that the group loads, in order of use.

    ``before`` is empty for the first group, which starts from the recipe's constants. ``after`` is empty when the
    recipe has only one group, whose result is the element itself.
    """

    before: bytes
    before_path: tuple[Hash, ...]
    after: bytes
    operands: tuple[U64, ...]


class SelectOperand(Record):
    """The first posted operand that the challenger disputes, counted from 0."""

    operand: U63


class OpenOperand(Record):
    """The chunk that holds the disputed operand, its path in its tensor, and the tensor's path in an agreed tree.

    ``tensor_path`` is empty for the table of step scalars, whose root is part of the job.
    """

    chunk: bytes
    chunk_path: tuple[Hash, ...]
    tensor: Hash
    tensor_path: tuple[Hash, ...]


class OpenValue(Record):
    """The root of the value that the disputed tensor of the next state is packed from, with its path in the step."""

    tensor: Hash
    tensor_path: tuple[Hash, ...]


Move = (
    SegmentRoot
    | StepRoot
    | TraceRoot
    | Reveal
    | Select
    | PostChunk
    | SelectElement
    | PostGroup
    | SelectOperand
    | OpenOperand
    | OpenValue
)

EXPECTED: dict[Phase, type[Record]] = {
    Phase.SEGMENT_ROOT: SegmentRoot,
    Phase.STEP_ROOT: StepRoot,
    Phase.TRACE_ROOT: TraceRoot,
    Phase.REVEAL: Reveal,
    Phase.SELECT: Select,
    Phase.CHUNK: PostChunk,
    Phase.ELEMENT: SelectElement,
    Phase.GROUP: PostGroup,
    Phase.OPERAND: SelectOperand,
    Phase.OPENING: OpenOperand,
    Phase.PACK_OPENING: OpenValue,
}

TURN: dict[Phase, Party] = {
    phase: Party.CHALLENGER if phase in (Phase.SELECT, Phase.ELEMENT, Phase.OPERAND) else Party.DEFENDER
    for phase in Phase
}
