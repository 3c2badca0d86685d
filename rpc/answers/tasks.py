"""Training tasks, their proofs and their programs."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from rpc.answers.chain import EventJson, MomentJson
from rpc.answers.disputes import DisputeSummaryJson
from rpc.answers.words import (
    AccountJson,
    AmountJson,
    HashJson,
    HeightJson,
    LossJson,
    ObjectJson,
    Rendered,
    TimeJson,
)
from runtime.pallets.tasks import Estimate, Payment, TaskSpec

TaskSpecJson = Annotated[ObjectJson, Rendered(TaskSpec)]
EstimateJson = Annotated[ObjectJson, Rendered(Estimate)]
PaymentJson = Annotated[ObjectJson, Rendered(Payment)]


class TaskSummaryJson(TypedDict):
    """A line about a task; ``step`` and ``loss`` are those of the last heartbeat."""

    task: HashJson
    submitter: AccountJson
    status: str
    attempt: int
    solver: AccountJson | None
    steps: int
    segments: int
    priceLimit: AmountJson
    escrow: AmountJson
    submitted: MomentJson | None
    step: int
    loss: LossJson | None
    finalRoot: HashJson | None


class TensorJson(TypedDict):
    """A tensor's type."""

    dtype: str
    shape: list[int]


class NamedTensorJson(TensorJson):
    name: str


class ProgramFiguresJson(TypedDict):
    """A program's size; ``parameters`` counts the elements of its state."""

    nodes: int
    inputs: int
    values: int
    state: list[NamedTensorJson]
    parameters: AmountJson


class AuditJson(TypedDict):
    """A verifier's audit: the segments it drew, and those that it found wrong. Heights are finalized ones."""

    verifier: AccountJson
    status: str
    accepted: HeightJson
    deadline: AmountJson
    secretOpened: bool
    segments: list[int]
    failed: list[int]
    gas: AmountJson


class SegmentJson(TypedDict):
    """A segment between two checkpoints, and who found it right or wrong; segment 0 is the initialisation."""

    segment: int
    firstStep: int
    steps: int
    start: HashJson | None
    end: HashJson
    passedBy: list[AccountJson]
    failedBy: list[AccountJson]


class ProofJson(TypedDict):
    """A proof of learning with its audits. ``windowEnd`` is the finalized height until which it can be challenged."""

    attempt: int
    solver: AccountJson
    registered: MomentJson
    manifest: HashJson
    finalRoot: HashJson
    phase: str
    windowEnd: AmountJson
    audits: list[AuditJson]
    segments: list[SegmentJson]


class StoredTaskJson(TaskSummaryJson):
    """Everything that the chain keeps about a task, without its history."""

    spec: TaskSpecJson
    estimate: EstimateJson
    price: AmountJson
    excluded: list[AccountJson]
    reviewers: list[AccountJson]
    payments: list[PaymentJson]
    slashes: list[PaymentJson]
    deadline: AmountJson
    program: ProgramFiguresJson | None
    proof: ProofJson | None


class TaskDetailJson(StoredTaskJson):
    """Everything that the chain keeps about a task, with its latest disputes (which need the index)."""

    disputes: list[DisputeSummaryJson]


class TimelineEntryJson(EventJson):
    """An event of a task. ``kind`` is its word, ``attempt`` the assignment it belongs to; a heartbeat has step and
    loss."""

    kind: str
    attempt: int
    signer: AccountJson | None
    extrinsicHash: HashJson | None
    step: NotRequired[int]
    loss: NotRequired[LossJson]


class TimelineNewsJson(TypedDict):
    """A task's summary, and the entries that are new in its timeline."""

    task: TaskSummaryJson | None
    entries: list[TimelineEntryJson]


class PointJson(TypedDict):
    """A point of the loss curve."""

    attempt: int
    step: int
    loss: LossJson
    block: HeightJson
    time: TimeJson


class ValueJson(TensorJson):
    value: int


class InputJson(ValueJson):
    """A value that comes from outside: a sample, a scalar, a part of the state."""

    kind: str
    name: str


class NodeJson(TypedDict):
    """A node of the graph; ``gas`` counts scalar operations."""

    node: int
    op: str
    attributes: list[str]
    inputs: list[int]
    outputs: list[ValueJson]
    gas: AmountJson


class NamedValueJson(TypedDict):
    name: str
    value: int


class ProgramJson(TypedDict):
    """A program's graph. ``state`` and ``metrics`` say which values it leaves."""

    inputs: list[InputJson]
    nodes: list[NodeJson]
    state: list[NamedValueJson]
    metrics: list[NamedValueJson]
