"""Declaring a pallet, the context its code runs in, and the order of the runtime's pallets."""

from __future__ import annotations

import ast
import inspect
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from runtime import registry
from runtime.codec import U63, Record, encode
from runtime.errors import DispatchError
from runtime.pallet import Context, EventRecord, Pallet
from runtime.pallets import balances, system, timestamp
from runtime.state import MemoryBackend, State
from tests.support import probe
from tests.support.chain import TestChain


class Amount(Record):
    """Arguments of a test call."""

    amount: U63


def noop(ctx: Context, origin: bytes, args: Amount) -> None:
    pass


def context() -> Context:
    return Context(State(MemoryBackend()), 1, 0, bytes(32), bytes(32))


def test_a_call_is_named_after_its_function_and_typed_by_its_annotation() -> None:
    pallet = Pallet("test")
    pallet.call(weight=lambda args: args.amount + 1)(noop)
    definition = pallet.calls["noop"]
    assert (definition.pallet, definition.arguments) == ("test", Amount)
    assert definition.compute_weight(Amount(4)) == 5
    assert not definition.is_operational(State(MemoryBackend()), bytes(32), Amount(4))
    assert pallet.call_of(Amount(1)) is definition


def test_nothing_is_declared_twice() -> None:
    pallet = Pallet("test")
    pallet.call(weight=1)(noop)
    with pytest.raises(TypeError, match="shares its argument record"):
        pallet.call(weight=1, name="other")(noop)
    pallet.value("x", U63, 0)
    with pytest.raises(TypeError, match="declared twice"):
        pallet.map("x", U63, U63)
    with pytest.raises(KeyError):
        pallet.call_of(balances.Transfer(bytes(32), 1))


def test_an_error_carries_its_pallet_and_its_name() -> None:
    pallet = Pallet("test")

    @pallet.error
    class Broken(DispatchError):
        """For the test."""

    assert (Broken.pallet, Broken.code) == ("test", "Broken")
    assert (DispatchError.pallet, DispatchError.code) == ("system", "Other")


def test_events_are_stored_with_what_caused_them() -> None:
    ctx = context()
    ctx.deposit(probe.Probed(b"k"))
    ctx.extrinsic = 3
    ctx.deposit(system.ExtrinsicSucceeded(1, 2))
    assert ctx.events == [
        EventRecord(-1, "probe", "Probed", encode(probe.Probed(b"k"))),
        EventRecord(3, "system", "ExtrinsicSucceeded", encode(system.ExtrinsicSucceeded(1, 2))),
    ]
    assert registry.decode_event(ctx.events[1]) == system.ExtrinsicSucceeded(1, 2)


def test_a_transaction_undoes_writes_and_events_to_its_own_start() -> None:
    ctx = context()
    ctx.deposit(probe.Probed(b"before"))
    with ctx.transaction():
        probe.ENTRIES.put(ctx.state, b"outer", 1)
        ctx.deposit(probe.Probed(b"outer"))
        with suppress(probe.Refused), ctx.transaction():
            probe.ENTRIES.put(ctx.state, b"inner", 1)
            ctx.deposit(probe.Probed(b"inner"))
            raise probe.Refused
    assert [key for key, _ in probe.ENTRIES.items(ctx.state)] == [b"outer"]
    assert len(ctx.events) == 2


def test_work_in_hooks_leaves_less_of_the_block() -> None:
    ctx = context()
    ctx.consume(500)
    assert (ctx.weight, ctx.normal_weight) == (500, 0)


def test_storage_of_different_pallets_never_overlaps() -> None:
    prefixes = [
        getattr(item, "prefix", None) or item.key[:16]  # type: ignore[index]
        for pallet in registry.PALLETS
        for item in pallet.storage.values()
    ]
    assert len(set(prefixes)) == len(prefixes)


def test_a_pallet_imports_only_pallets_before_it() -> None:
    names = [pallet.name for pallet in registry.PALLETS]
    assert len(set(names)) == len(names)
    folder = Path(inspect.getfile(system)).parent
    for position, name in enumerate(names):
        files = [folder / f"{name}.py"] if (folder / f"{name}.py").exists() else sorted((folder / name).glob("*.py"))
        allowed = {*names[: position + 1]}
        for file in files:
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("runtime.pallets"):
                    continue
                parts = (node.module or "").split(".")
                imported = {parts[2]} if len(parts) > 2 else {alias.name for alias in node.names}
                assert imported <= allowed, f"{file.name} imports {sorted(imported - allowed)}"


def test_lookups_of_what_does_not_exist_find_nothing() -> None:
    assert registry.find_call("balances", "transfer") is not None
    assert registry.find_call("balances", "set") is None
    assert registry.find_call("nothing", "transfer") is None
    assert registry.find_inherent("timestamp", "set") is timestamp.PALLET.inherents["set"]
    assert registry.find_inherent("timestamp", "other") is None
    assert registry.find_inherent("nothing", "set") is None


def test_every_declared_call_has_a_weight_and_a_sentence_for_people() -> None:
    for pallet in registry.PALLETS:
        for definition in pallet.calls.values():
            assert inspect.getdoc(definition.handler), f"{pallet.name}.{definition.name} says nothing of itself"
            assert callable(definition.weight) or definition.weight > 0
        for kind in (*pallet.events.values(), *pallet.errors.values()):
            assert inspect.getdoc(kind), f"{pallet.name}.{kind.__name__} says nothing of itself"


def test_the_test_chain_notices_a_failed_call_that_leaves_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper that other tests trust is itself tested: an executive that keeps a failed call's writes is caught."""
    with probe.registered():
        chain = TestChain()
        monkeypatch.setattr(Context, "transaction", lambda self: nullcontext())
        with pytest.raises(AssertionError, match="traces"):
            chain.reject("//Bob", probe.Write((b"left",), "refuse"), "Refused")
