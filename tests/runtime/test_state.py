"""The overlay, its transactions, and typed storage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.codec import U63
from runtime.errors import CodecError
from runtime.state import Map, MemoryBackend, State, Value

KEYS = st.sampled_from([prefix * 16 + suffix for prefix in (b"a", b"b") for suffix in (b"", b"1", b"2", b"33")])


class Rollback(Exception):
    """Leaves a transaction."""


class OverlayMachine(RuleBasedStateMachine):
    """The overlay against a stack of dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.base = {b"a" * 16 + b"1": b"old", b"b" * 16: b"older"}
        self.state = State(MemoryBackend(self.base))
        self.models: list[dict[bytes, bytes]] = [dict(self.base)]
        self.open: list[Any] = []

    @rule(key=KEYS, value=st.binary(max_size=3))
    def put(self, key: bytes, value: bytes) -> None:
        self.state.put(key, value)
        self.models[-1][key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.state.delete(key)
        self.models[-1].pop(key, None)

    @precondition(lambda self: len(self.open) < 4)
    @rule()
    def begin(self) -> None:
        transaction = self.state.transaction()
        transaction.__enter__()
        self.open.append(transaction)
        self.models.append(dict(self.models[-1]))

    @precondition(lambda self: self.open)
    @rule()
    def commit(self) -> None:
        self.open.pop().__exit__(None, None, None)
        self.models[-2:] = [self.models[-1]]

    @precondition(lambda self: self.open)
    @rule()
    def roll_back(self) -> None:
        assert not self.open.pop().__exit__(Rollback, Rollback(), None)
        self.models.pop()

    @invariant()
    def reads_and_listings_agree(self) -> None:
        model = self.models[-1]
        assert list(self.state.keys(b"")) == sorted(model)
        for prefix in (b"a", b"a" * 16, b"b" * 16 + b"3", b"c"):
            assert list(self.state.keys(prefix)) == sorted(key for key in model if key.startswith(prefix))
            after = b"a" * 16 + b"1"
            listed = list(self.state.keys(prefix, after))
            assert listed == sorted(key for key in model if key.startswith(prefix) and key > after)
        for key in [*model, b"a" * 16 + b"2"]:
            assert self.state.get(key) == model.get(key)


TestOverlay = OverlayMachine.TestCase


def test_changes_are_what_must_be_written_to_the_backend() -> None:
    backend = MemoryBackend({b"kept": b"1", b"gone": b"2"})
    state = State(backend)
    state.delete(b"gone")
    state.put(b"new", b"3")
    with state.transaction():
        state.put(b"newer", b"4")
    assert state.changes() == {b"gone": None, b"new": b"3", b"newer": b"4"}
    assert backend.entries == {b"kept": b"1", b"gone": b"2"}
    backend.apply(state.changes())
    assert backend.entries == {b"kept": b"1", b"new": b"3", b"newer": b"4"}


def test_writing_what_is_there_already_is_no_change() -> None:
    state = State(MemoryBackend({b"same": b"1", b"other": b"2"}))
    state.put(b"same", b"1")
    state.delete(b"never there")
    state.put(b"other", b"3")
    state.put(b"other", b"2")
    assert state.changes() == {}


COUNTS: Map[str, int] = Map("test", "counts", str, U63)


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 2**63 - 1), max_size=12))
def test_a_map_lists_its_keys_and_values(entries: dict[str, int]) -> None:
    state = State(MemoryBackend())
    for key, value in entries.items():
        COUNTS.put(state, key, value)
    assert dict(COUNTS.items(state)) == entries
    assert sorted(COUNTS.keys(state)) == sorted(entries)
    assert all(COUNTS.decode_key(COUNTS.key(key)) == key for key in entries)


def test_a_map_may_be_changed_while_it_is_walked() -> None:
    state = State(MemoryBackend())
    for number in range(20):
        COUNTS.put(state, str(number), number)
    seen = []
    for key, value in COUNTS.items(state):
        seen.append(value)
        COUNTS.delete(state, key)
        COUNTS.delete(state, str((value + 1) % 20))
        COUNTS.put(state, f"new {key}", value)
    assert len(seen) == len(set(seen))
    assert all(key.startswith("new") for key, _ in COUNTS.items(state))


def test_a_value_has_a_default_until_it_is_stored() -> None:
    state, total = State(MemoryBackend()), Value("test", "total", U63, 7)
    assert total.get(state) == 7
    total.put(state, 8)
    assert total.get(state) == 8
    total.delete(state)
    assert total.get(state) == 7


def test_items_of_different_names_do_not_collide() -> None:
    first: Map[str, int] = Map("test", "a", str, U63)
    second: Map[str, int] = Map("test", "b", str, U63)
    assert first.prefix != second.prefix != Map("other", "a", str, U63).prefix
    state = State(MemoryBackend())
    first.put(state, "key", 1)
    assert second.get(state, "key") is None
    assert list(second.items(state)) == []


def test_damaged_storage_is_a_typed_error() -> None:
    state = State(MemoryBackend({COUNTS.key("x"): b"\xc1"}))
    with pytest.raises(CodecError):
        COUNTS.get(state, "x")
