"""State as it was after one block, for reading: the database's present, its past, or layers of blocks not yet final."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge

from chain.columns import Column
from chain.store import JournalEntry, Layer, Store, unpack_changes

__all__ = ["BlockState", "Layer", "ReadCache", "layer_of"]

GetNode = Callable[[bytes], "bytes | None"]


def layer_of(hash_: bytes, entry: JournalEntry) -> Layer:
    """A layer read back from the journal."""
    return Layer(hash_, entry.block, entry.outcome, unpack_changes(entry.state), unpack_changes(entry.nodes))


class BlockState:
    """The state after one block: a `runtime.state.Backend`, and the tree nodes that prove it.

    ``layers`` are the blocks above the database, newest first; ``past`` is the height in the database to read at, or
    None for its present.
    """

    def __init__(self, store: Store, layers: Sequence[Layer], past: int | None = None) -> None:
        self._columns, self._layers, self._past = store.columns, layers, past

    def get(self, key: bytes, /) -> bytes | None:
        for layer in self._layers:
            if key in layer.state:
                return layer.state[key]
        return self._read(self._columns.state, key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        below = (
            self._columns.state.keys(prefix, after)
            if self._past is None
            else self._columns.state.keys_at(self._past, prefix, after)
        )
        if not self._layers:
            return below
        written = {key for layer in self._layers for key in layer.state if key.startswith(prefix) and key > after}
        return self._present(merge(below, sorted(written)))

    def _present(self, keys: Iterator[bytes]) -> Iterator[bytes]:
        last: bytes | None = None
        for key in keys:
            if key != last and self.get(key) is not None:
                yield key
            last = key

    def get_node(self, path: bytes) -> bytes | None:
        """A node of the state tree by its path."""
        for layer in self._layers:
            if path in layer.nodes:
                return layer.nodes[path]
        return self._read(self._columns.nodes, path)

    def _read(self, column: Column, key: bytes) -> bytes | None:
        return column.get(key) if self._past is None else column.get_at(key, self._past)


class ReadCache:
    """A `runtime.state.Backend` that reads each key of a view once, for as long as one block executes. Mutable.

    Every extrinsic reads the network's parameters several times, and accounts are read for nonce, fee and call alike.
    """

    def __init__(self, view: BlockState) -> None:
        self._view = view
        self._known: dict[bytes, bytes | None] = {}

    def get(self, key: bytes, /) -> bytes | None:
        try:
            return self._known[key]
        except KeyError:
            value = self._known[key] = self._view.get(key)
            return value

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        return self._view.keys(prefix, after)
