"""The node itself, its storage, its pool, and finality."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from rpc.answers.chain import EmittedJson, ErrorJson
from rpc.answers.words import AccountJson, AmountJson, BytesJson, HashJson, HeightJson, ObjectJson


class PropertiesJson(TypedDict):
    """How to show amounts (a token is 10 to the ``tokenDecimals`` units) and addresses."""

    ss58Format: int
    tokenDecimals: int
    tokenSymbol: str


class HealthJson(TypedDict):
    peers: int
    isSyncing: bool
    shouldHavePeers: bool


class SyncStateJson(TypedDict):
    """Heights, as JSON numbers like Substrate's."""

    startingBlock: int
    currentBlock: int
    highestBlock: int


class PeerJson(TypedDict):
    """A peer, and what it last said of its chain."""

    peerId: str
    address: str
    roles: str
    bestHash: HashJson | None
    bestNumber: int
    finalizedNumber: int


class RotatedJson(TypedDict):
    """A new session key, and its proof that it signs for the owner."""

    keys: HashJson
    proof: BytesJson


class DryRunJson(TypedDict):
    """What an extrinsic would do."""

    ok: bool
    error: ErrorJson | None
    fee: AmountJson
    weight: AmountJson
    events: list[EmittedJson]


FeeJson = TypedDict(
    "FeeJson", {"weight": AmountJson, "class": Literal["normal", "operational"], "partialFee": AmountJson}
)
FeeJson.__doc__ = "The weight of an extrinsic in nanoseconds, its class, and its fee without a tip."


class ChangeSetJson(TypedDict):
    """Pairs of a storage key and its value after a block, null where there is none."""

    block: HashJson
    changes: list[list[BytesJson | None]]


class ReadProofJson(TypedDict):
    """One encoded `runtime.merkle.Proof` against the state root of block ``at``."""

    at: HashJson
    proof: list[BytesJson]


class RuntimeVersionJson(TypedDict):
    """Name and version of the rules, in Substrate's shape."""

    specName: str
    implName: str
    specVersion: int
    implVersion: int
    authoringVersion: int
    transactionVersion: int
    apis: list[Any]


class FieldJson(TypedDict):
    name: str
    type: str


class RecordJson(TypedDict):
    """A record of the runtime with its fields in order: a call with its arguments, or an event."""

    name: str
    fields: list[FieldJson]
    docs: str


class _StorageJson(TypedDict, total=False):
    key: str


class StorageJson(_StorageJson):
    """A storage item: one ``value`` at ``prefix``, or a ``map`` with entries behind it by ``key``."""

    name: str
    prefix: BytesJson
    kind: Literal["value", "map"]
    value: str


class ErrorDocsJson(TypedDict):
    name: str
    docs: str


class ConstantJson(TypedDict):
    """A parameter of this network, as its genesis set it: the group and the name, and the value as JSON."""

    name: str
    value: Any


class PalletJson(TypedDict):
    """A part of the runtime. The ``constants`` of all pallets are those of ``system``."""

    name: str
    storage: list[StorageJson]
    calls: list[RecordJson]
    inherents: list[RecordJson]
    events: list[RecordJson]
    errors: list[ErrorDocsJson]
    constants: list[ConstantJson]


class MetadataJson(TypedDict):
    """The whole runtime, pallets in the order of their execution."""

    version: RuntimeVersionJson
    pallets: list[PalletJson]


class StageJson(TypedDict):
    """The weight of the votes that were heard in a stage, and who has not voted."""

    currentWeight: int
    missing: list[AccountJson]


class RoundJson(TypedDict):
    """A round of the vote on finality."""

    round: int
    totalWeight: int
    thresholdWeight: int
    prevotes: StageJson
    precommits: StageJson


class RoundStateJson(TypedDict):
    """The round that the node is in, and those beside it that it still holds."""

    setId: int
    best: RoundJson | None
    background: list[RoundJson]


class FinalityProofJson(TypedDict):
    """The block that voters made final, which is the one asked about or a later one, and the encoded
    `runtime.finality.Justification`."""

    number: HeightJson
    block: HashJson
    justification: BytesJson


class StepJson(TypedDict):
    """An encoded header and the encoded justification that makes its block final."""

    header: BytesJson
    justification: BytesJson


class StepsJson(TypedDict):
    """Steps, ascending. ``complete`` when the last one is the latest justification; else ask again from there."""

    steps: list[StepJson]
    complete: bool


class MethodJson(TypedDict):
    name: str
    params: list[ObjectJson]
    docs: str


class MethodsJson(TypedDict):
    """The names of all methods, and each with its parameters."""

    methods: list[str]
    described: list[MethodJson]


class InBlockJson(TypedDict, total=False):
    """What became of a watched extrinsic, one key: the hash of the block, or of the extrinsic that took its place."""

    inBlock: HashJson
    retracted: HashJson
    finalized: HashJson
    usurped: HashJson


WatchJson = InBlockJson | Literal["ready", "dropped", "invalid"]
