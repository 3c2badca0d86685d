"""What a pallet is made of, and the context its code runs in.

A *pallet* is a module with one `Pallet` object. Its storage, events, errors, calls and hooks register themselves on
that object, so the executive, the RPC metadata and the tests all read the same declarations::

    PALLET = Pallet("counter")
    TOTAL = PALLET.value("total", U63, 0)

    class Add(Record):
        amount: U63

    @PALLET.call(weight=10_000)
    def add(ctx: Context, origin: AccountId, args: Add) -> None:
        TOTAL.put(ctx.state, TOTAL.get(ctx.state) + args.amount)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from runtime.block import DigestItem
from runtime.codec import Record, decode, encode
from runtime.errors import DispatchError, SolventError
from runtime.state import Map, State, Value

T = TypeVar("T")
R = TypeVar("R", bound=Record)
E = TypeVar("E", bound=DispatchError)


class InvariantBroken(SolventError):
    """A pallet's `check` found a state that no sequence of blocks may lead to: a bug in the runtime."""


class EventRecord(Record):
    """One event of a block: the index in the body of what caused it (-1 for a hook), and the encoded event record."""

    extrinsic: int
    pallet: str
    name: str
    data: bytes


@dataclass(slots=True)
class Context:
    """What the pallets' code sees of the block being executed. Mutable: it collects events, weight and fees.

    ``finalized`` is the finalized height that deadlines count. ``author`` is the account that earns the fees.
    ``extrinsic`` is the index in the body of what runs now, -1 in hooks. ``weight`` and ``length`` are what the block
    has used so far; the ``normal_`` figures leave out operational calls. ``fees`` waits for `treasury` to pay it out
    when the block ends. ``programs`` are those whose check is counted already. ``slot`` and ``output`` (the author's
    VRF output) come from the header's digest, and ``logs`` are the items that hooks add to it.
    """

    state: State
    number: int
    finalized: int
    author: bytes
    parent_hash: bytes
    events: list[EventRecord] = field(default_factory=list)
    extrinsic: int = -1
    body: list[bytes] = field(default_factory=list)
    receipts: list[Any] = field(default_factory=list)
    inherents: list[tuple[str, str]] = field(default_factory=list)
    weight: int = 0
    length: int = 0
    normal_weight: int = 0
    normal_length: int = 0
    fees: int = 0
    programs: set[bytes] = field(default_factory=set)
    slot: int = 0
    output: bytes = b""
    logs: list[DigestItem] = field(default_factory=list)

    def deposit(self, event: Record) -> None:
        """Add an event, declared with ``@PALLET.event``, to the block."""
        owner = _event_owners[type(event)]
        self.events.append(EventRecord(self.extrinsic, owner, type(event).__name__, encode(event)))

    def consume(self, weight: int) -> None:
        """Count work that a hook does, or a call beyond its stated weight (nanoseconds), against the block, so that
        less is left for what follows. It stays counted where the call fails."""
        self.weight += weight

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo both writes and events when an exception leaves it."""
        event_count = len(self.events)
        try:
            with self.state.transaction():
                yield
        except BaseException:
            del self.events[event_count:]
            raise


_event_owners: dict[type[Record], str] = {}

Weight = int | Callable[[Any], int]
Operational = bool | Callable[[State, bytes, Any], bool]


@dataclass(frozen=True, slots=True)
class CallDefinition:
    """A call or an inherent as the executive needs it. ``arguments`` is its argument record."""

    pallet: str
    name: str
    arguments: type[Record]
    handler: Callable[..., None]
    weight: Weight
    operational: Operational
    mandatory: bool = False

    def compute_weight(self, args: Record) -> int:
        """Nanoseconds on the reference core, from the arguments alone."""
        return self.weight(args) if callable(self.weight) else self.weight

    def is_operational(self, state: State, origin: bytes, args: Record) -> bool:
        """Whether this use of the call may take from the reserved share of the block."""
        return self.operational(state, origin, args) if callable(self.operational) else self.operational


class Pallet:
    """The declarations of one pallet. Mutable only while its module is being imported."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.storage: dict[str, Value[Any] | Map[Any, Any]] = {}
        self.events: dict[str, type[Record]] = {}
        self.errors: dict[str, type[DispatchError]] = {}
        self.calls: dict[str, CallDefinition] = {}
        self.inherents: dict[str, CallDefinition] = {}
        self.initializers: list[Callable[[Context], None]] = []
        self.finalizers: list[Callable[[Context], None]] = []
        self.checks: list[Callable[[State], None]] = []
        self.builders: list[Callable[[State, dict[str, Any]], None]] = []

    def value(self, name: str, kind: Any, default: T) -> Value[T]:
        """Declare a storage value."""
        descriptor = Value(self.name, name, kind, default)
        _add(self.storage, name, descriptor)
        return descriptor

    def map(self, name: str, key_kind: Any, value_kind: Any) -> Map[Any, Any]:
        """Declare a storage map; annotate the variable as ``Map[Key, Value]`` to give readers its types."""
        descriptor: Map[Any, Any] = Map(self.name, name, key_kind, value_kind)
        _add(self.storage, name, descriptor)
        return descriptor

    def event(self, cls: type[R]) -> type[R]:
        """Declare an event record."""
        _add(self.events, cls.__name__, cls)
        _event_owners[cls] = self.name
        return cls

    def error(self, cls: type[E]) -> type[E]:
        """Declare an error; its code is the class name."""
        cls.pallet, cls.code = self.name, cls.__name__
        _add(self.errors, cls.__name__, cls)
        return cls

    def call(
        self, weight: Weight, operational: Operational = False, name: str = ""
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Declare a call ``f(ctx, origin, args)``; it is named after the function unless ``name`` is given.

        ``operational`` calls may use the share of every block that tips cannot buy. Give a predicate (state, origin,
        args) rather than True, so that only those whose move it is get in and the share cannot be spammed.
        """

        def register(handler: Callable[..., None]) -> Callable[..., None]:
            definition = self._definition(handler, name, weight, operational, mandatory=False)
            if any(other.arguments is definition.arguments for other in self.calls.values()):
                raise TypeError(f"{self.name}.{definition.name} shares its argument record with another call")
            _add(self.calls, definition.name, definition)
            return handler

        return register

    def inherent(self, weight: Weight, mandatory: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Declare an inherent ``f(ctx, args)``; every block must hold a ``mandatory`` one."""

        def register(handler: Callable[..., None]) -> Callable[..., None]:
            definition = self._definition(handler, "", weight, False, mandatory)
            _add(self.inherents, definition.name, definition)
            return handler

        return register

    def _definition(
        self, handler: Callable[..., None], name: str, weight: Weight, operational: Operational, mandatory: bool
    ) -> CallDefinition:
        arguments = get_type_hints(handler)["args"]
        called = name or handler.__name__
        return CallDefinition(self.name, called, arguments, handler, weight, operational, mandatory)

    def on_initialize(self, hook: Callable[[Context], None]) -> Callable[[Context], None]:
        """Declare a hook that runs before the block's body, in the order of the pallets."""
        self.initializers.append(hook)
        return hook

    def on_finalize(self, hook: Callable[[Context], None]) -> Callable[[Context], None]:
        """Declare a hook that runs after the block's body, in the order of the pallets."""
        self.finalizers.append(hook)
        return hook

    def check(self, checker: Callable[[State], None]) -> Callable[[State], None]:
        """Declare the pallet's invariants: raises `InvariantBroken`; run after every block in tests."""
        self.checks.append(checker)
        return checker

    def genesis(self, builder: Callable[[State, dict[str, Any]], None]) -> Callable[[State, dict[str, Any]], None]:
        """Declare how the pallet's part of the genesis state follows from the genesis file."""
        self.builders.append(builder)
        return builder

    def call_of(self, args: Record) -> CallDefinition:
        """The call that takes this argument record."""
        for definition in self.calls.values():
            if definition.arguments is type(args):
                return definition
        raise KeyError(f"pallet {self.name} has no call with arguments {type(args).__name__}")

    def decode_event(self, event: EventRecord) -> Record:
        """The event record in an `EventRecord` of this pallet."""
        return decode(event.data, self.events[event.name])


def _add(table: dict[str, Any], name: str, item: Any) -> None:
    if name in table:
        raise TypeError(f"{name} is declared twice")
    table[name] = item
