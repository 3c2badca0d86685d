"""The deadline queue: order, bounds and carry-over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.codec import U63, Record
from runtime.deadlines import MAXIMUM_WALK, DeadlineQueue
from runtime.pallet import Pallet
from runtime.state import MemoryBackend, State


class Item(Record):
    number: U63


def build() -> tuple[DeadlineQueue[Item], State]:
    return DeadlineQueue(Pallet("clock"), "items", Item), State(MemoryBackend())


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 7))
def test_every_item_comes_out_once_when_due_and_never_more_than_the_limit(blocks: list[int], limit: int) -> None:
    queue, state = build()
    for number, block in enumerate(blocks):
        queue.schedule(state, block, Item(number))
    seen: list[int] = []
    for now in range(31 + len(blocks)):
        taken = queue.take_due(state, now, limit)
        assert len(taken) <= limit
        assert all(blocks[item.number] <= now for item in taken)
        seen += [item.number for item in taken]
    assert seen == sorted(range(len(blocks)), key=lambda number: blocks[number])
    assert queue.pending(state) == []


def test_an_item_for_the_past_falls_due_next() -> None:
    queue, state = build()
    queue.schedule(state, 1, Item(1))
    assert queue.take_due(state, 9, 5) == [Item(1)]
    queue.schedule(state, 2, Item(2))
    assert queue.take_due(state, 9, 5) == []
    assert queue.take_due(state, 10, 5) == [Item(2)]


def test_a_full_block_carries_over_in_order() -> None:
    queue, state = build()
    for number in range(5):
        queue.schedule(state, 3, Item(number))
    queue.schedule(state, 4, Item(9))
    assert [item.number for item in queue.take_due(state, 3, 2)] == [0, 1]
    assert [item.number for item in queue.take_due(state, 4, 3)] == [2, 3, 4]
    assert [item.number for item in queue.take_due(state, 5, 3)] == [9]


def test_after_a_long_stop_of_finality_the_walk_is_bounded() -> None:
    queue, state = build()
    queue.schedule(state, MAXIMUM_WALK + 10, Item(1))
    assert queue.take_due(state, MAXIMUM_WALK + 10, 5) == []
    assert queue.take_due(state, MAXIMUM_WALK + 10, 5) == [Item(1)]


def test_an_emptied_queue_leaves_nothing_but_its_cursor() -> None:
    queue, state = build()
    for number in range(4):
        queue.schedule(state, number, Item(number))
    queue.take_due(state, 10, 10)
    assert [key for key, value in state.changes().items() if value is not None] == [queue.cursor.key]
