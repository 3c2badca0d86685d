"""Accounts, validators, workers, and the network in figures."""

from __future__ import annotations

from typing import Literal, TypedDict

from rpc.answers.chain import EventJson
from rpc.answers.node import RoundStateJson
from rpc.answers.words import AccountJson, AmountJson, HashJson, HeightJson, TimeJson


class PlaceJson(TypedDict):
    number: HeightJson
    hash: HashJson


IndexedJson = TypedDict("IndexedJson", {"number": HeightJson, "from": HeightJson})
IndexedJson.__doc__ = "The blocks that the index covers: those up to ``number``, beginning with ``from``."


class TaskCountsJson(TypedDict):
    """Tasks by status."""

    total: int
    pooled: int
    assigned: int
    training: int
    proved: int
    auditing: int
    disputed: int
    settled: int
    failed: int
    cancelled: int
    expired: int


class DisputeCountsJson(TypedDict):
    """Disputes by status."""

    total: int
    open: int
    challenger_won: int
    defender_won: int
    cancelled: int


class CountedJson(TypedDict):
    """What an index has counted in the blocks that it covers."""

    indexed: IndexedJson | None
    extrinsics: int | None
    events: int | None
    accounts: int | None
    tasks: TaskCountsJson | None
    disputes: DisputeCountsJson | None
    paid: AmountJson | None
    slashed: AmountJson | None


class StatisticsJson(CountedJson):
    """The network in figures. What needs an index is null without one; ``paid`` went to workers for tasks."""

    chain: str
    version: str
    genesisHash: HashJson
    time: TimeJson
    best: PlaceJson
    finalized: PlaceJson
    blockMilliseconds: int | None
    issuance: AmountJson
    treasury: AmountJson
    peers: int
    isSyncing: bool
    pool: int
    workers: dict[str, int]
    validators: int


class MatchJson(TypedDict):
    """What a search found; ``id`` is a hash, an address, or a dispute's number."""

    kind: Literal["block", "extrinsic", "account", "task", "dispute"]
    id: str
    label: str


class WorkerJson(TypedDict):
    """An account in one role. ``earned`` needs the index."""

    account: AccountJson
    role: str
    price: AmountJson
    capacity: int
    bond: AmountJson
    locked: AmountJson
    since: HeightJson
    jobs: list[HashJson]
    completed: int
    faults: int
    slashed: AmountJson
    earned: AmountJson | None


class UnbondingJson(TypedDict):
    """A bond on its way out, and the height at which it is free."""

    role: str
    amount: AmountJson
    release: AmountJson


class WorkerRolesJson(TypedDict):
    account: AccountJson
    roles: list[WorkerJson]
    unbonding: list[UnbondingJson]


class EarningJson(TypedDict):
    """A payment to a worker, or a slash."""

    block: HeightJson
    time: TimeJson
    task: HashJson
    role: str
    amount: AmountJson
    kind: Literal["paid", "slashed"]


class HoldJson(TypedDict):
    """Money that an account may not spend, and what for: a word, and the task, dispute or role that it names."""

    reason: str
    amount: AmountJson
    task: HashJson | None
    dispute: int | None
    role: str | None


class StakeJson(TypedDict):
    """An account as a validator; ``active``: its session key votes in the present session."""

    stake: AmountJson
    sessionKey: AccountJson | None
    active: bool


class AccountDetailJson(TypedDict):
    """An account. One that never had money does not exist, and its nonce is 0."""

    account: AccountJson
    publicKey: HashJson
    exists: bool
    nonce: int
    free: AmountJson
    held: AmountJson
    holds: list[HoldJson]
    workers: list[WorkerJson]
    validator: StakeJson | None


class ActionJson(TypedDict):
    """An extrinsic in short."""

    hash: HashJson
    pallet: str
    call: str
    ok: bool
    fee: AmountJson


class HistoryItemJson(TypedDict):
    """An extrinsic (or, with index -1, the hooks of a block) that the account signed or whose events name it."""

    block: HeightJson
    blockHash: HashJson
    time: TimeJson
    index: int
    signed: bool
    extrinsic: ActionJson | None
    events: list[EventJson]


class ValidatorJson(TypedDict):
    """A member of the session; ``share`` of the weight is in parts of 10^9."""

    account: AccountJson | None
    sessionKey: AccountJson
    weight: AmountJson
    share: int


class ValidatorsJson(TypedDict):
    """The present session. A chain of one author has no sessions, and nobody votes there."""

    hasOneAuthor: bool
    session: int
    epoch: int
    era: int
    setId: int
    validators: list[ValidatorJson]
    finality: RoundStateJson | None
