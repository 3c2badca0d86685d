"""The transaction pool: signed extrinsics that wait for a block, ordered as Substrate orders them.

*Validity* (from `runtime.executive.validate_extrinsic`) says which *tags* an extrinsic requires and provides; a tag is
an account's nonce. An extrinsic is *ready* when every tag it requires is provided by the state or by ready
extrinsics, else it is *future*. Ready ones go into blocks by priority, never before what they depend on. One that
provides a tag that another provides too replaces it when its priority is higher. What proves invalid is *banned* for a
while, so that it is not checked again each time somebody sends it. All sets are bounded by `PoolLimits`.

A signature is verified once, when an extrinsic enters; the author of a block then reuses that result.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from runtime.block import Extrinsic, decode_extrinsic, extrinsic_hash
from runtime.errors import InvalidExtrinsic, SolventError
from runtime.validity import Validity

Rank = tuple[bool, int, int, int]


class PoolError(SolventError):
    """The pool does not take this extrinsic."""


class Banned(PoolError):
    """It proved invalid a moment ago and is not looked at again yet."""


class AlreadyImported(PoolError):
    """It is in the pool."""


class TooLowPriority(PoolError):
    """Another extrinsic with the same nonce is in the pool and pays as much or more."""


class PoolFull(PoolError):
    """A limit is reached, and this extrinsic does not pay more than the ones that wait."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool."""

    count: int = 8192
    byte_count: int = 20 * 1024 * 1024
    future_count: int = 1024
    per_sender: int = 256
    ban_seconds: float = 60.0
    ban_count: int = 4096


@dataclass(slots=True, eq=False)
class PoolEntry:
    """One waiting extrinsic. ``missing`` are required tags that neither the state nor a ready extrinsic provides."""

    raw: bytes
    hash: bytes
    sender: bytes
    nonce: int
    validity: Validity
    valid_until: int
    order: int
    missing: set[bytes] = field(default_factory=set)

    def rank(self) -> Rank:
        """Sorts the extrinsic to include first to the front: operational ones, then by priority, the dying, the old."""
        return (not self.validity.operational, -self.validity.priority, self.valid_until, self.order)


class Pool:
    """Waiting extrinsics of one node. Mutable.

    ``validate`` checks raw bytes against the state of the best block, signature included, and raises
    `InvalidExtrinsic`.
    """

    def __init__(self, validate: Callable[[bytes], Validity], limits: PoolLimits | None = None) -> None:
        self._validate = validate
        self.limits = limits or PoolLimits()
        self._entries: dict[bytes, PoolEntry] = {}
        self._providers: dict[bytes, PoolEntry] = {}
        self._by_nonce: dict[tuple[bytes, int], PoolEntry] = {}
        self._requirers: dict[bytes, dict[bytes, PoolEntry]] = {}
        """Tag -> the extrinsics that require it, by hash; so that no step looks through the whole pool."""
        self._sender_counts: dict[bytes, int] = {}
        self._banned: dict[bytes, float] = {}
        self._bytes = 0
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, hash_: bytes) -> bool:
        return hash_ in self._entries

    def get(self, hash_: bytes) -> PoolEntry | None:
        """The entry of that extrinsic, None when it does not wait here."""
        return self._entries.get(hash_)

    def by_nonce(self, signer: bytes, nonce: int) -> PoolEntry | None:
        """The entry that waits with that nonce of an account."""
        return self._by_nonce.get((signer, nonce))

    def __iter__(self) -> Iterator[PoolEntry]:
        return iter(list(self._entries.values()))

    def submit(self, raw: bytes, number: int, now: float) -> bytes:
        """Take in an extrinsic and return its hash. ``number`` is the height of the best block.

        Raises `PoolError`, or the `InvalidExtrinsic` that explains why no block could include it.
        """
        hash_ = extrinsic_hash(raw)
        self._refuse_known(hash_, now)
        try:
            validity = self._validate(raw)
            extrinsic = decode_extrinsic(raw)
            if not isinstance(extrinsic, Extrinsic):
                raise InvalidExtrinsic("inherent", "an inherent is made by a block's author and never waits in a pool")
        except InvalidExtrinsic:
            self.ban(hash_, now)
            raise
        self._order += 1
        valid_until = number + validity.longevity
        entry = PoolEntry(raw, hash_, extrinsic.signer, extrinsic.nonce, validity, valid_until, self._order)
        replaced = self._find_replaced(entry)
        entry.missing = self._missing_tags(entry)
        self._check_limits(entry, replaced)
        for other in replaced:
            self._remove(other)
        # What made room may be what this one depends on.
        entry.missing = self._missing_tags(entry)
        self._insert(entry)
        return hash_

    def _refuse_known(self, hash_: bytes, now: float) -> None:
        until = self._banned.get(hash_)
        if until is not None:
            if now < until:
                raise Banned("the extrinsic proved invalid a moment ago; it is looked at again in a minute")
            del self._banned[hash_]
        if hash_ in self._entries:
            raise AlreadyImported("the extrinsic is in the pool already")

    def _find_replaced(self, entry: PoolEntry) -> list[PoolEntry]:
        replaced = {
            self._providers[tag].hash: self._providers[tag] for tag in entry.validity.provides if tag in self._providers
        }
        for other in replaced.values():
            if (entry.validity.operational, entry.validity.priority) <= (
                other.validity.operational,
                other.validity.priority,
            ):
                raise TooLowPriority(
                    f"priority {entry.validity.priority} does not beat {other.validity.priority} of the waiting "
                    f"extrinsic with the same nonce {other.nonce}; offer a higher tip"
                )
        return list(replaced.values())

    def _missing_tags(self, entry: PoolEntry) -> set[bytes]:
        return {tag for tag in entry.validity.requires if not self._is_provided(tag)}

    def _is_provided(self, tag: bytes) -> bool:
        provider = self._providers.get(tag)
        return provider is not None and not provider.missing

    def _check_limits(self, entry: PoolEntry, replaced: list[PoolEntry]) -> None:
        if not replaced and self._sender_counts.get(entry.sender, 0) >= self.limits.per_sender:
            raise PoolFull(f"{self.limits.per_sender} extrinsics of this account wait already; let some be included")
        if entry.missing and sum(1 for other in self._entries.values() if other.missing) >= self.limits.future_count:
            raise PoolFull(f"nonce {entry.nonce} is ahead of its account, and the queue for those is full")
        freed = sum(len(other.raw) for other in replaced)
        while (
            len(self._entries) - len(replaced) >= self.limits.count
            or self._bytes - freed + len(entry.raw) > self.limits.byte_count
        ):
            worst = max((other for other in self._entries.values() if other not in replaced), key=PoolEntry.rank)
            if worst.rank() <= entry.rank():
                raise PoolFull(f"the pool is full; a priority above {worst.validity.priority} gets in")
            self._remove(worst)
            self._demote(worst)

    def _insert(self, entry: PoolEntry) -> None:
        self._entries[entry.hash] = entry
        self._by_nonce[entry.sender, entry.nonce] = entry
        self._sender_counts[entry.sender] = self._sender_counts.get(entry.sender, 0) + 1
        self._bytes += len(entry.raw)
        for tag in entry.validity.provides:
            self._providers[tag] = entry
        for tag in entry.validity.requires:
            self._requirers.setdefault(tag, {})[entry.hash] = entry
        if not entry.missing:
            self._promote(entry.validity.provides)

    def _remove(self, entry: PoolEntry) -> None:
        if self._entries.pop(entry.hash, None) is None:
            return
        self._bytes -= len(entry.raw)
        if self._by_nonce.get((entry.sender, entry.nonce)) is entry:
            del self._by_nonce[entry.sender, entry.nonce]
        left = self._sender_counts[entry.sender] - 1
        if left:
            self._sender_counts[entry.sender] = left
        else:
            del self._sender_counts[entry.sender]
        for tag in entry.validity.provides:
            if self._providers.get(tag) is entry:
                del self._providers[tag]
        for tag in entry.validity.requires:
            requirers = self._requirers[tag]
            del requirers[entry.hash]
            if not requirers:
                del self._requirers[tag]

    def _promote(self, tags: Iterable[bytes]) -> None:
        """These tags are provided now: extrinsics that waited for them may become ready, and so on."""
        provided = list(tags)
        while provided:
            tag = provided.pop()
            for entry in self._dependants(tag):
                if tag in entry.missing:
                    entry.missing.discard(tag)
                    if not entry.missing:
                        provided.extend(entry.validity.provides)

    def _demote(self, gone: PoolEntry) -> None:
        """What depended on a removed extrinsic waits again."""
        lost = [tag for tag in gone.validity.provides if tag not in self._providers]
        while lost:
            tag = lost.pop()
            for entry in self._dependants(tag):
                if not entry.missing:
                    lost.extend(entry.validity.provides)
                entry.missing.add(tag)

    def _dependants(self, tag: bytes) -> list[PoolEntry]:
        return list(self._requirers.get(tag, {}).values())

    def ready(self) -> Iterator[PoolEntry]:
        """Ready extrinsics, best first, each after everything it depends on."""
        unlocked = [entry for entry in self._entries.values() if not entry.missing]
        waiting: dict[bytes, list[PoolEntry]] = {}
        needs: dict[bytes, int] = {}
        heap: list[tuple[Rank, PoolEntry]] = []
        for entry in unlocked:
            in_pool = [tag for tag in entry.validity.requires if tag in self._providers]
            needs[entry.hash] = len(in_pool)
            for tag in in_pool:
                waiting.setdefault(tag, []).append(entry)
            if not in_pool:
                heap.append((entry.rank(), entry))
        heapq.heapify(heap)
        while heap:
            _, entry = heapq.heappop(heap)
            yield entry
            for tag in entry.validity.provides:
                for follower in waiting.get(tag, ()):
                    needs[follower.hash] -= 1
                    if needs[follower.hash] == 0:
                        heapq.heappush(heap, (follower.rank(), follower))

    @property
    def has_ready(self) -> bool:
        """Whether a block made now would hold something."""
        return any(not entry.missing for entry in self._entries.values())

    def next_nonce(self, account: bytes, nonce: int) -> int:
        """The nonce after the account's own ``nonce`` in the state and its waiting extrinsics."""
        while (account, nonce) in self._by_nonce:
            nonce += 1
        return nonce

    def ban(self, hash_: bytes, now: float) -> None:
        """Do not look at this extrinsic again for a while."""
        if len(self._banned) >= self.limits.ban_count:
            self._banned = {other: until for other, until in self._banned.items() if until > now}
        while len(self._banned) >= self.limits.ban_count:
            del self._banned[next(iter(self._banned))]
        self._banned[hash_] = now + self.limits.ban_seconds

    def on_invalid(self, hash_: bytes, now: float) -> None:
        """The author found that a block cannot include it: drop and ban it; what depended on it waits again."""
        self.ban(hash_, now)
        entry = self._entries.get(hash_)
        if entry is not None:
            self._remove(entry)
            self._demote(entry)

    def on_block(self, body: Iterable[bytes], number: int) -> None:
        """A block became the best: drop what it includes or makes stale, promote what it unlocks, drop the expired."""
        for raw in body:
            extrinsic = decode_extrinsic(raw)
            if not isinstance(extrinsic, Extrinsic):
                continue
            entry = self._by_nonce.get((extrinsic.signer, extrinsic.nonce))
            if entry is not None:
                tags = entry.validity.provides
                self._promote(tags)
                self._remove(entry)
            else:
                self._on_unknown_nonce(extrinsic)
        for entry in [entry for entry in self._entries.values() if entry.valid_until <= number]:
            self._remove(entry)
            self._demote(entry)

    def _on_unknown_nonce(self, extrinsic: Extrinsic) -> None:
        """Another node's extrinsic used this nonce: the account's next one here, if any, need not wait for it."""
        following = self._by_nonce.get((extrinsic.signer, extrinsic.nonce + 1))
        if following is not None and following.missing:
            following.missing.clear()
            self._promote(following.validity.provides)

    def on_reorganisation(self, retracted: Iterable[bytes], number: int, now: float) -> None:
        """The best chain changed: everything waiting, and the extrinsics of retracted blocks, are checked afresh."""
        again = [*retracted, *(entry.raw for entry in self._entries.values())]
        for entry in list(self._entries.values()):
            self._remove(entry)
        for raw in again:
            try:
                self.submit(raw, number, now)
            except (PoolError, InvalidExtrinsic):
                continue
