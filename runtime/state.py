"""Storage as the runtime sees it: keys to bytes, an overlay with nested transactions, and typed descriptors.

A *backend* is committed state and never changes while a block runs. A `State` lays the block's writes over it, so
that a failed call can be rolled back and a whole block thrown away. `Value` and `Map` give each pallet typed
access: a value lives at blake2b-128 of ``pallet:name``, a map entry at that prefix followed by blake2b-128 of the
encoded key and the encoded key itself, so that a map can be listed from its keys alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from heapq import merge
from typing import Any, Generic, Protocol, TypeVar

from runtime.codec import decode, encode

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

PREFIX_BYTES = 16
"""Length of the hashed ``pallet:name`` that every storage key starts with."""


class Backend(Protocol):
    """Committed state: what a `State` reads through to."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value at ``key``."""

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Every key that starts with ``prefix`` and is greater than ``after``, ascending."""


class MemoryBackend:
    """Committed state in a dictionary, for genesis, tests and tools. Mutable: `apply` commits changes."""

    def __init__(self, entries: Mapping[bytes, bytes] | None = None) -> None:
        self.entries: dict[bytes, bytes] = dict(entries or {})

    def get(self, key: bytes, /) -> bytes | None:
        return self.entries.get(key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        return iter(sorted(key for key in self.entries if key.startswith(prefix) and key > after))

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Write a block's changes: None deletes."""
        for key, value in changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value


class State:
    """The state a block sees: a backend under the writes made so far. Mutable; one per block execution."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._layers: list[dict[bytes, bytes | None]] = [{}]
        # Every key ever written, by its first bytes, so that listing a map need not scan the whole overlay. A key that
        # was rolled back stays here: it is only a candidate, and reading it gives the truth.
        self._written: dict[bytes, set[bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value at ``key`` as the innermost open transaction sees it."""
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key]
        return self._backend.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._layers[-1][key] = value
        self._written.setdefault(key[:PREFIX_BYTES], set()).add(key)

    def delete(self, key: bytes) -> None:
        self._layers[-1][key] = None

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Keys under ``prefix`` and after ``after``, ascending.

        The caller may write while iterating: keys written after the start are not visited, deleted ones are skipped.
        """
        pending = sorted(key for key in self._candidates(prefix) if key.startswith(prefix) and key > after)
        return self._present(merge(self._backend.keys(prefix, after), pending))

    def _candidates(self, prefix: bytes) -> Iterator[bytes]:
        if len(prefix) >= PREFIX_BYTES:
            yield from self._written.get(prefix[:PREFIX_BYTES], ())
        else:
            for written in self._written.values():
                yield from written

    def _present(self, keys: Iterator[bytes]) -> Iterator[bytes]:
        last: bytes | None = None
        for key in keys:
            if key != last and self.get(key) is not None:
                yield key
            last = key

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes inside the block are kept when it ends, and all undone when an exception leaves it. Nests."""
        layer: dict[bytes, bytes | None] = {}
        self._layers.append(layer)
        try:
            yield
        except BaseException:
            self._layers.pop()
            raise
        self._layers.pop()
        self._layers[-1].update(layer)

    def changes(self) -> dict[bytes, bytes | None]:
        """What was written and differs from the backend, None for a deletion. Only meaningful outside a transaction.

        Much is written that changes nothing, and each change costs a path of the state tree.
        """
        get = self._backend.get
        return {key: value for key, value in self._layers[0].items() if get(key) != value}


def storage_prefix(pallet: str, name: str) -> bytes:
    """The 16 bytes that every key of a storage item starts with."""
    return blake2b(f"{pallet}:{name}".encode(), digest_size=PREFIX_BYTES, person=b"solvent:storage").digest()


class Value(Generic[T]):
    """One typed storage item. ``default`` is what `get` returns while nothing is stored."""

    def __init__(self, pallet: str, name: str, kind: Any, default: T) -> None:
        self.pallet, self.name, self.kind, self.default = pallet, name, kind, default
        self.key = storage_prefix(pallet, name)
        # Records are immutable, so the last decoded value can be shared by every reader of the same bytes.
        self._last: tuple[bytes, T] | None = None

    def get(self, state: State) -> T:
        data = state.get(self.key)
        return self.default if data is None else self.decode_value(data)

    def put(self, state: State, value: T) -> None:
        state.put(self.key, encode(value))

    def delete(self, state: State) -> None:
        state.delete(self.key)

    def decode_value(self, data: bytes) -> T:
        if self._last is None or self._last[0] != data:
            self._last = (data, decode(data, self.kind))
        return self._last[1]


class Map(Generic[K, V]):
    """A typed storage map. Iteration is in storage-key order: deterministic, and unrelated to the keys' own order."""

    def __init__(self, pallet: str, name: str, key_kind: Any, value_kind: Any) -> None:
        self.pallet, self.name, self.key_kind, self.value_kind = pallet, name, key_kind, value_kind
        self.prefix = storage_prefix(pallet, name)

    def key(self, key: K) -> bytes:
        """The storage key of an entry."""
        encoded = encode(key)
        return self.prefix + blake2b(encoded, digest_size=16).digest() + encoded

    def get(self, state: State, key: K) -> V | None:
        data = state.get(self.key(key))
        return None if data is None else self.decode_value(data)

    def put(self, state: State, key: K, value: V) -> None:
        state.put(self.key(key), encode(value))

    def delete(self, state: State, key: K) -> None:
        state.delete(self.key(key))

    def contains(self, state: State, key: K) -> bool:
        return state.get(self.key(key)) is not None

    def keys(self, state: State) -> Iterator[K]:
        for storage_key in state.keys(self.prefix):
            yield self.decode_key(storage_key)

    def items(self, state: State) -> Iterator[tuple[K, V]]:
        """Every entry. Entries deleted by the caller on the way are skipped."""
        for storage_key in state.keys(self.prefix):
            data = state.get(storage_key)
            if data is not None:
                yield self.decode_key(storage_key), self.decode_value(data)

    def decode_key(self, storage_key: bytes) -> K:
        return decode(storage_key[PREFIX_BYTES + 16 :], self.key_kind)  # type: ignore[no-any-return]

    def decode_value(self, data: bytes) -> V:
        return decode(data, self.value_kind)  # type: ignore[no-any-return]
