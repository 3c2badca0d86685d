"""A queue of things that fall due at a block: what a pallet's hook works through, a bounded number in each block.

Items of one block come out in the order in which they were scheduled. What a block has no room for stays, and comes
first in the next one. Items are never cancelled: whoever takes one compares it with the state it was about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from runtime.codec import U32, U63, Record
from runtime.pallet import Context, Pallet
from runtime.state import Map, State, Value

T = TypeVar("T", bound=Record)

MAXIMUM_WALK = 4096
"""Blocks that one call walks over, after a long stop of finality."""


class Cursor(Record):
    """Everything before item ``index`` of ``block`` has been taken."""

    block: U63
    index: U32


class DeadlineQueue(Generic[T]):
    """Items of one record type, by the block at which they fall due. Declares three storage items of ``pallet``."""

    def __init__(self, pallet: Pallet, name: str, kind: Any) -> None:
        self.entries: Map[tuple[int, int], T] = pallet.map(name, tuple[U63, U32], kind)
        self.counts: Map[int, int] = pallet.map(f"{name}_counts", U63, U32)
        self.cursor: Value[Cursor] = pallet.value(f"{name}_cursor", Cursor, Cursor(0, 0))

    def schedule(self, state: State, block: int, item: T) -> None:
        """Let ``item`` fall due at ``block``, or with the next ones taken where that is already past."""
        due = max(block, self.cursor.get(state).block)
        index = self.counts.get(state, due) or 0
        self.entries.put(state, (due, index), item)
        self.counts.put(state, due, index + 1)

    def take_due(self, state: State, now: int, limit: int) -> list[T]:
        """Remove and return up to ``limit`` items due at or before ``now``, the oldest first."""
        start = cursor = self.cursor.get(state)
        taken: list[T] = []
        walked = 0
        while cursor.block <= now and len(taken) < limit and walked < MAXIMUM_WALK:
            item = self.entries.get(state, (cursor.block, cursor.index))
            if item is None:
                self.counts.delete(state, cursor.block)
                cursor = Cursor(cursor.block + 1, 0)
                walked += 1
                continue
            taken.append(item)
            self.entries.delete(state, (cursor.block, cursor.index))
            cursor = Cursor(cursor.block, cursor.index + 1)
        if cursor != start:
            self.cursor.put(state, cursor)
        return taken

    def drain(self, ctx: Context, limit: int, weight_limit: int) -> Iterator[T]:
        """What is due in this block, one by one: up to ``limit`` items, and no more once handling them has added
        ``weight_limit`` to the block (`Context.consume`). The rest carries over to the next block; every queue has its
        own budget, so that none starves another."""
        start = ctx.weight
        for number in range(limit):
            able = number == 0 or ctx.weight - start < weight_limit
            items = self.take_due(ctx.state, ctx.finalized, 1) if able else []
            if not items:
                return
            yield items[0]

    def pending(self, state: State) -> list[tuple[int, T]]:
        """Every item with its block, for checks and tests."""
        return [(block, item) for (block, _), item in self.entries.items(state)]
