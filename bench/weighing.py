"""How the cost of one call is measured: on a real database, with everything that the call causes.

A sample is the CPU time of the call's own code in a transaction, of hashing, staging and writing what it changed and
of encoding its events. The state tree is updated once for a whole block, so each changed key adds a *tree share*: one
key's part (the median) of an update of many.

Figures are nanoseconds of the *reference core*: CPU time of the thread, scaled by how long a fixed piece of work takes
right before and after. So a machine that is slower, or busy with something else, gives the same table.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import percentile
from chain.db import Batch, Database
from chain.store import Store
from chain.views import BlockState, ReadCache
from runtime import merkle
from runtime.codec import Record, decode, encode
from runtime.genesis import build_genesis
from runtime.pallet import Context
from runtime.pallets import balances, system
from runtime.parameters import TOKEN
from runtime.registry import PALLETS
from runtime.state import PREFIX_BYTES, State
from runtime.trees import hash_tagged

NUMBER, FINALIZED = 4_992, 4_991
"""The block that calls are measured in, and what is final then."""
WINDOW = 256
TREE_BATCH = 1_000
"""Keys in the update of the state tree that gives one key's share."""

MANY_RUNS, FEW_RUNS, CHEAP = 32, 4, 2_000_000
"""Runs that one sample is the mean of, for calls below and above ``CHEAP`` nanoseconds: a block holds many cheap calls,
and its time is what matters."""

MINIMUM_SAMPLES, TREE_SAMPLES, SPINS = 3, 40, 500

REFERENCE_NS = 500_000
"""What `spin` takes on the reference core."""

Prepare = Callable[[State], None]
Action = Callable[[Context], object]


def account(number: int) -> bytes:
    """An account id; nobody has its key."""
    return hash_tagged(b"bench:account", number.to_bytes(8, "big"))


def spin() -> int:
    """CPU nanoseconds of a fixed piece of work such as the runtime does: records, hashes, dictionaries."""
    start = time.thread_time_ns()
    found: dict[bytes, balances.Account] = {}
    for number in range(SPINS):
        record = encode(balances.Account(number, SPINS))
        found[hash_tagged(b"bench:spin", record)] = decode(record, balances.Account)
    return time.thread_time_ns() - start


def to_reference(cost: int, before: int, after: int) -> int:
    """A CPU time as the reference core would take it, given what `spin` took before and after."""
    return cost * 2 * REFERENCE_NS // (before + after)


class World:
    """A chain's state on a database, written to directly. Mutable."""

    def __init__(self, database: Database, scratch: Database, accounts: int) -> None:
        self.store, self.scratch = Store(database), scratch
        self.accounts = accounts
        self.tree_share = 0
        """Nanoseconds that one changed key adds to the update of the state tree."""

    def view(self) -> BlockState:
        return BlockState(self.store, ())

    def write(self, prepare: Prepare) -> None:
        """Commit what ``prepare`` writes."""
        view = self.view()
        state = State(view)
        prepare(state)
        changes = state.changes()
        batch: Batch = {}
        self.store.state.stage(batch, changes, 0, 0)
        self.store.nodes.stage(batch, merkle.update(view.get_node, changes).nodes, 0, 0)
        self.store.database.write(batch, sync=False)

    def context(self) -> Context:
        """A block whose inherents were applied."""
        state = State(ReadCache(self.view()))
        inherents = [(pallet.name, name) for pallet in PALLETS for name in pallet.inherents]
        return Context(
            state, NUMBER, FINALIZED, account(0), bytes(32), body=[b""] * len(inherents), inherents=inherents
        )


@contextmanager
def open_world(config: dict[str, object], accounts: int) -> Iterator[World]:
    """The genesis state of ``config`` with so many more accounts, on databases that are removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder,
        Database(Path(folder) / "state") as database,
        Database(Path(folder) / "scratch") as scratch,
    ):
        world = World(database, scratch, accounts)
        world.write(lambda state: _copy_genesis(state, config, accounts))
        world.tree_share = _measure_tree_share(world)
        yield world


def _copy_genesis(state: State, config: dict[str, object], accounts: int) -> None:
    for key, value in build_genesis(config).changes().items():
        assert value is not None
        state.put(key, value)
    for number in range(accounts):
        give(state, account(number), 1_000_000 * TOKEN)
    system.NUMBER.put(state, NUMBER - 1)
    system.FINALIZED.put(state, FINALIZED)
    for page in range(NUMBER // system.PAGE_LINKS - 4, NUMBER // system.PAGE_LINKS):
        link = system.Link(hash_tagged(b"bench:block", page.to_bytes(8, "big")), b"")
        system.LINKS.put(state, page, (link,) * system.PAGE_LINKS)


def give(state: State, who: bytes, free: int, **holds: int) -> None:
    """Let an account own units, and hold some under reasons."""
    give_held(state, who, free, {name.encode(): amount for name, amount in holds.items()})


def give_held(state: State, who: bytes, free: int, holds: dict[bytes, int]) -> None:
    """As `give`, for reasons of any bytes; holds add to those that the account has already."""
    before = balances.account(state, who)
    for reason, amount in holds.items():
        balances.HOLDS.put(state, (who, reason), amount + balances.held(state, who, reason))
    balances.ACCOUNTS.put(state, who, balances.Account(free, before.held + sum(holds.values())))
    balances.ISSUANCE.put(state, 2**62)


def _measure_tree_share(world: World) -> int:
    """The median over updates in different places."""
    samples = []
    last = max(world.accounts - TREE_BATCH, 0)
    for number in range(TREE_SAMPLES):
        view, first = world.view(), number * last // TREE_SAMPLES
        changes: Batch = {
            balances.ACCOUNTS.key(account(first + offset)): bytes([number]) * 20 for offset in range(TREE_BATCH)
        }
        before, start = spin(), time.thread_time_ns()
        batch: Batch = {}
        world.store.nodes.stage(batch, merkle.update(view.get_node, changes).nodes, NUMBER, WINDOW)
        world.scratch.write(batch, sync=False)
        cost = time.thread_time_ns() - start
        samples.append(to_reference(cost, before, spin()) // TREE_BATCH)
    return int(percentile(samples, 50))


@dataclass(frozen=True)
class Case:
    """One thing to weigh. ``before`` runs ahead of each sample, off the clock."""

    name: str
    action: Action
    before: Callable[[], object] = field(default=lambda: None)


def call(origin: bytes, args: Record) -> Action:
    """The code of the call that takes these arguments, with the check for the reserved share of the block."""
    pallet = next(pallet for pallet in PALLETS if any(one.arguments is type(args) for one in pallet.calls.values()))
    definition = pallet.call_of(args)

    def run(ctx: Context) -> None:
        definition.compute_weight(args)
        definition.is_operational(ctx.state, origin, args)
        definition.handler(ctx, origin, args)

    return run


def weigh(world: World, case: Case, samples: int, seconds: float = 4.0) -> int:
    """The 99th percentile of the case's cost in nanoseconds, over up to ``samples`` in about ``seconds``.

    The lower figure of two rounds: what else the machine does disturbs one of them more. Whatever the action raises is
    a mistake of the case.
    """
    runs = MANY_RUNS if _sample(world, case, 1) < CHEAP else FEW_RUNS
    return min(_weigh_once(world, case, runs, samples, seconds / 2) for _ in range(2))


def _weigh_once(world: World, case: Case, runs: int, samples: int, seconds: float) -> int:
    costs: list[int] = []
    end = time.perf_counter() + seconds
    gc.disable()
    try:
        while len(costs) < samples and (len(costs) < MINIMUM_SAMPLES or time.perf_counter() < end):
            costs.append(_sample(world, case, runs))
            gc.collect(0)
    finally:
        gc.enable()
    return int(percentile(costs, 99))


def _sample(world: World, case: Case, runs: int) -> int:
    """The mean of some runs, whose changes are written at once, as those of one block are."""
    batch: Batch = {}
    total, keys, before = 0, 0, spin()
    for number in range(runs):
        case.before()
        ctx = world.context()
        start = time.thread_time_ns()
        with ctx.transaction():
            case.action(ctx)
        changes = ctx.state.changes()
        for key, value in changes.items():
            merkle.hash_place(key)
            merkle.hash_value(value or b"")
        world.store.state.stage(batch, changes, NUMBER + number, WINDOW)
        batch[b"outcome" + bytes([number])] = encode((tuple(ctx.events), tuple(ctx.receipts), tuple(ctx.body)))
        total += time.thread_time_ns() - start
        keys += _count_own_keys(changes)
    start = time.thread_time_ns()
    world.scratch.write(batch, sync=False)
    total += time.thread_time_ns() - start
    return (to_reference(total, before, spin()) + keys * world.tree_share) // runs


def _count_own_keys(changes: Batch) -> int:
    """Keys that a call does not share with the others of its block: those of maps. A single value is one for all."""
    return sum(len(key) > PREFIX_BYTES for key in changes)
