"""Disputes: a line about one, and its whole descent."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from rpc.answers.chain import MomentJson
from rpc.answers.words import AccountJson, AmountJson, BitsJson, BytesJson, HashJson, HeightJson, Rendered, TimeJson
from runtime.dispute.records import Operation

OperationJson = Annotated[dict[str, Any], Rendered(Operation)]
SideJson = Literal["defender", "challenger"]


class ClocksJson(TypedDict):
    """Finalized blocks that each side has left."""

    defender: AmountJson
    challenger: AmountJson


class _DisputeJson(TypedDict):
    dispute: int
    task: HashJson
    attempt: int
    kind: Literal["proof", "witness"]
    segment: int
    challenger: AccountJson
    defender: AccountJson
    status: str
    opened: MomentJson
    ended: MomentJson | None
    waitsFor: str | None
    bond: AmountJson
    reward: AmountJson
    deadline: AmountJson
    clocks: ClocksJson
    reason: str | None


class DisputeSummaryJson(_DisputeJson):
    """A line about a dispute; ``moves`` counts them."""

    moves: int


class ClaimJson(TypedDict):
    """What is disputed: that ``steps`` of ``program`` lead from state ``start`` to state ``end``."""

    start: HashJson
    end: HashJson
    firstStep: int
    steps: int
    program: HashJson


class GameplaceJson(TypedDict):
    """The node of a tree at which the game stands, and the leaves ``first`` to ``last`` below it, of ``width``."""

    level: str
    width: int
    height: int
    index: int
    node: HashJson
    first: int
    last: int


class MoveDetailsJson(TypedDict, total=False):
    """What a move says, by its kind."""

    root: HashJson
    before: HashJson
    nodes: list[HashJson]
    position: int
    node: HashJson
    bytes: int
    chunk: BytesJson
    element: int
    bits: BitsJson
    group: int
    operands: list[BitsJson]
    operand: int
    tensor: HashJson


class MoveJson(TypedDict):
    """A move: what the game waited for (``phase``), what it waits for ``next``, and its place before and after."""

    number: int
    mover: SideJson
    account: AccountJson
    kind: str
    block: HeightJson
    time: TimeJson
    extrinsic: HashJson
    bytes: int
    phase: str
    next: str
    before: GameplaceJson | None
    after: GameplaceJson | None
    details: MoveDetailsJson


class LevelJson(TypedDict):
    """A tree of the descent, with the leaf that was chosen in it and the moves that were about it."""

    level: str
    root: HashJson | None
    width: int
    leaf: int | None
    leafHash: HashJson | None
    moves: list[int]
    label: str
    leafLabel: str | None


class EvidenceJson(TypedDict):
    """The leaf as the verdict records it."""

    step: int
    value: int
    operator: str
    element: int
    operation: int
    opcode: str
    operand: str
    operands: list[str]
    claimed: str
    computed: str
    log: list[OperationJson]


class VerdictJson(TypedDict):
    winner: SideJson
    reason: str
    evidence: EvidenceJson


class SourceJson(TypedDict, total=False):
    """Where an instruction takes a value from: a register, or an element of a tensor, posted as that operand."""

    kind: Literal["register", "load", "load_at"]
    register: int
    space: str
    tensor: int
    element: AmountJson
    name: str
    dtype: str
    operand: int | None


class InstructionJson(TypedDict):
    """A scalar operation, as the chain executed it again."""

    operation: int
    opcode: str
    destination: int
    sources: list[SourceJson]
    operands: list[BitsJson] | None
    result: BitsJson | None
    disputed: bool


OperandJson = TypedDict(
    "OperandJson",
    {
        "operand": int,
        "from": str,
        "dtype": str | None,
        "posted": BitsJson,
        "opened": str | None,
        "decimal": str | None,
    },
)
OperandJson.__doc__ = "A value that the defender posted for the group, and what an opening showed it to be."


class RegisterJson(TypedDict):
    """A register that holds an f32, f64, i32 or u32."""

    register: int
    kind: str
    bits: BitsJson
    decimal: str


class RegistersJson(TypedDict):
    """The registers before the group, and after it as claimed and as computed; empty ones are left out."""

    before: list[RegisterJson]
    claimed: list[RegisterJson] | None
    computed: list[RegisterJson] | None


class LeafJson(TypedDict):
    """The group of scalar operations at which a dispute ended, both claims, and the chain's result. ``register`` is the
    first that differs."""

    kind: Literal["group", "operand", "pack", "silence"]
    step: int
    value: int
    operator: str | None
    dtype: str | None
    shape: list[int] | None
    element: int
    group: int | None
    groups: int | None
    instructions: list[InstructionJson]
    operands: list[OperandJson]
    registers: RegistersJson
    register: int | None
    claimed: str | None
    computed: str | None
    claimedDecimal: str | None
    computedDecimal: str | None


class SumJson(TypedDict):
    """Money that the end of a dispute moved."""

    account: AccountJson
    role: str
    amount: AmountJson


class DisputeDetailJson(_DisputeJson):
    """A dispute move by move, level by level, down to its leaf and its payments."""

    claim: ClaimJson
    moves: list[MoveJson]
    levels: list[LevelJson]
    leaf: LeafJson | None
    verdict: VerdictJson | None
    payments: list[SumJson]
    slashes: list[SumJson]
