"""What the index keeps of one block: rows that lead from an account, a kind of event, a task, a dispute or a worker to
the place (height, position) where the block itself says more.

A row's key is a letter, what it is looked up by, and the place as big-endian numbers, so that a range is in the order
of the chain. Rows hold no more than that: events and extrinsics are read from the blocks.

``b`` block hash; ``x`` extrinsic hash; ``e`` signed extrinsics; ``k`` kind of event; ``a`` account, ``A`` accounts
that were seen; ``t`` task, ``T`` what is known of it, ``g`` its heartbeats, ``P`` its proofs, ``l`` all tasks, ``s``
by status, ``S`` by submitter; ``d`` dispute, ``D`` disputes of a task, ``C`` open ones of a challenger; ``w`` what a
worker earned and lost, ``W`` the sums; ``c`` counters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from chain.store import Outcome
from rpc.blocks import block_time
from runtime import registry
from runtime.block import Block, Extrinsic, decode_extrinsic, extrinsic_hash
from runtime.codec import U32, U63, Record, decode, encode, replace
from runtime.pallet import EventRecord

WORKER_ROLES = ("solver", "verifier", "challenger", "audit_repaid")
"""Roles in which a task pays somebody who worked."""
STATUS_AFTER = {
    "Pooled": "pooled",
    "Assigned": "assigned",
    "Accepted": "training",
    "Settled": "settled",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "Expired": "expired",
}
"""Event of the tasks pallet -> the status it leaves the task in; `StatusChanged` says so itself."""
QUIET = ("treasury",)
"""Pallets whose events come with every block and do not belong into an account's history."""

Get = Callable[[bytes], "bytes | None"]
Rows = dict[bytes, "bytes | None"]


class TaskRow(Record):
    """Where and when (milliseconds) a task was submitted, by whom, its status, and how often it was assigned."""

    height: U63
    position: U32
    time: U63
    submitter: bytes
    status: str
    attempt: U32


class Heartbeat(Record):
    """A point of the loss curve: the solver's attempt, steps done, the loss as f32 bits, milliseconds."""

    attempt: U32
    step: U63
    loss_bits: U32
    time: U63


class Sums(Record):
    """What an account earned by working, and what slashes took."""

    earned: U63
    slashed: U63


class Mention(Record):
    """Why a place is in an account's history: it signed the extrinsic, or these events name it."""

    signed: bool
    events: tuple[U32, ...]


def place_key(height: int, position: int) -> bytes:
    """The last part of most keys. The position of what a hook does is -1."""
    return height.to_bytes(8, "big") + (position + 1).to_bytes(4, "big")


def place_of(key: bytes) -> tuple[int, int]:
    """(height, position) at the end of a key."""
    return int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big") - 1


def kind_prefix(pallet: str, name: str) -> bytes:
    return b"k" + f"{pallet}.{name}".encode() + b"\0"


def status_prefix(status: str) -> bytes:
    return b"s" + status.encode() + b"\0"


def counter_key(name: str) -> bytes:
    return b"c" + name.encode()


def dispute_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


@lru_cache(maxsize=512)
def named_fields(kind: type[Record]) -> tuple[tuple[str, ...], str, str]:
    """(fields that are accounts, the field that is a task id or "", the field that is a dispute or "") of a record."""
    annotations: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        annotations.update(vars(base).get("__annotations__", {}))
    accounts = tuple(name for name in kind.__struct_fields__ if annotations.get(name) == "AccountId")
    task = next((name for name in ("task", "job") if annotations.get(name) == "Hash"), "")
    dispute = "dispute" if annotations.get("dispute") == "U63" else ""
    return accounts, task, dispute


def proof_key(task: bytes, attempt: int) -> bytes:
    """Where the proof of an attempt was registered."""
    return b"P" + task + attempt.to_bytes(4, "big")


def _named_fields_of(record: Record) -> tuple[tuple[str, ...], str, str]:
    return named_fields(type(record))


def build_rows(get: Get, hash_: bytes, block: Block, outcome: Outcome) -> Rows:
    """All rows of a block, over what ``get`` reads from the index before it."""
    return _Builder(get, block.header.number).build(hash_, block, outcome)


class _Builder:
    """Collects the rows of one block. Mutable, used once."""

    def __init__(self, get: Get, height: int) -> None:
        self._get, self._height, self._time = get, height, 0
        self._rows: Rows = {}
        self._counts: dict[str, int] = {}
        self._mentions: dict[tuple[bytes, int], Mention] = {}

    def build(self, hash_: bytes, block: Block, outcome: Outcome) -> Rows:
        self._time = block_time(block.body) or 0
        self._rows[b"b" + hash_] = place_key(self._height, -1)
        for index, raw in enumerate(block.body):
            item = decode_extrinsic(raw)
            if isinstance(item, Extrinsic):
                self._rows[b"x" + extrinsic_hash(raw)] = place_key(self._height, index)
                self._rows[b"e" + place_key(self._height, index)] = b""
                self._mention(item.signer, index, None)
                self._count("extrinsics", 1)
        for position, event in enumerate(outcome.events):
            self._take(position, event, registry.decode_event(event))
        self._count("events", len(outcome.events))
        for (account, index), mention in self._mentions.items():
            self._count("accounts", self._is_new(account))
            self._rows[b"a" + account + place_key(self._height, index)] = encode(mention)
        for name, change in self._counts.items():
            self._rows[counter_key(name)] = encode(self._counter(name) + change)
        return self._rows

    def _is_new(self, account: bytes) -> bool:
        """Whether nothing before named the account; it is marked as seen."""
        mark = b"A" + account
        if self._read(mark) is not None:
            return False
        self._rows[mark] = b""
        return True

    def _take(self, position: int, event: EventRecord, record: Any) -> None:
        here = place_key(self._height, position)
        self._rows[kind_prefix(event.pallet, event.name) + here] = b""
        accounts, task, dispute = _named_fields_of(record)
        if event.pallet not in QUIET:
            for name in accounts:
                self._mention(getattr(record, name), event.extrinsic, position)
        if event.pallet == "tasks":
            self._take_task(position, event.name, record)
        if task:
            row = self._task(getattr(record, task))
            self._rows[b"t" + getattr(record, task) + here] = encode(row.attempt if row else 0)
        if dispute:
            self._rows[b"d" + dispute_key(getattr(record, dispute)) + here] = b""
        if event.pallet == "proofs" and event.name == "ProofRegistered":
            self._rows[proof_key(record.task, record.attempt)] = here
        if event.pallet == "disputes":
            self._take_dispute(event.name, record)
        elif event.pallet == "workers" and event.name == "Slashed":
            self._sum(record, here, 0)

    def _mention(self, account: bytes, index: int, position: int | None) -> None:
        before = self._mentions.get((account, index), Mention(False, ()))
        events = before.events if position is None or position in before.events else (*before.events, position)
        self._mentions[account, index] = Mention(before.signed or position is None, events)

    def _take_task(self, position: int, name: str, record: Any) -> None:
        if name == "Submitted":
            row = TaskRow(self._height, position, self._time, record.submitter, "pooled", 0)
            here = place_key(self._height, position)
            self._rows[b"l" + here] = record.task
            self._rows[b"S" + record.submitter + here] = record.task
            self._count("tasks", 1)
            self._put_task(record.task, None, row)
        elif name == "Paid":
            self._count("paid", record.amount if record.role in WORKER_ROLES else 0)
            if record.role in WORKER_ROLES:
                self._sum(record, place_key(self._height, position), record.amount)
        elif (before := self._task(record.task)) is not None:
            if name == "Progressed":
                beat = Heartbeat(before.attempt, record.step, record.loss_bits, self._time)
                self._rows[b"g" + record.task + place_key(self._height, position)] = encode(beat)
            elif name == "StatusChanged" or name in STATUS_AFTER:
                status = record.after if name == "StatusChanged" else STATUS_AFTER[name]
                attempt = record.attempt if name == "Assigned" else before.attempt
                self._put_task(record.task, before, replace(before, status=status, attempt=attempt))

    def _task(self, task: bytes) -> TaskRow | None:
        data = self._read(b"T" + task)
        return None if data is None else decode(data, TaskRow)

    def _put_task(self, task: bytes, before: TaskRow | None, row: TaskRow) -> None:
        here = place_key(row.height, row.position)
        if before is not None:
            self._rows[status_prefix(before.status) + here] = None
            self._count("task:" + before.status, -1)
        self._rows[status_prefix(row.status) + here] = task
        self._rows[b"T" + task] = encode(row)
        self._count("task:" + row.status, 1)

    def _take_dispute(self, name: str, record: Any) -> None:
        if name == "DisputeOpened":
            self._rows[b"D" + record.task + dispute_key(record.dispute)] = b""
            self._rows[b"C" + record.challenger + dispute_key(record.dispute)] = b""
            self._count("disputes", 1)
            self._count("dispute:open", 1)
        elif name in ("DisputeDecided", "DisputeCancelled"):
            self._rows[b"C" + record.challenger + dispute_key(record.dispute)] = None
            self._count("dispute:open", -1)
            self._count("dispute:cancelled" if name == "DisputeCancelled" else f"dispute:{record.winner}_won", 1)

    def _sum(self, record: Any, here: bytes, earned: int) -> None:
        """Add a payment of a task, or (``earned`` 0) a slash, to what its account earned and lost."""
        slashed = 0 if earned else record.amount
        self._rows[b"w" + record.account + here] = b""
        self._count("slashed", slashed)
        data = self._read(b"W" + record.account)
        sums = Sums(0, 0) if data is None else decode(data, Sums)
        self._rows[b"W" + record.account] = encode(Sums(sums.earned + earned, sums.slashed + slashed))

    def _count(self, name: str, change: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + change

    def _counter(self, name: str) -> int:
        data = self._get(counter_key(name))
        return 0 if data is None else decode(data, int)

    def _read(self, key: bytes) -> bytes | None:
        return self._rows[key] if key in self._rows else self._get(key)
