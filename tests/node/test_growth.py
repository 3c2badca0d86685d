"""What a node holds in memory stays within stated bounds, however long it runs and whatever it is sent.

Counts stand for memory: every container that can be reached from a node is measured, so that a new one which grows with
the chain, or with the messages of strangers, fails here unless its bound is stated below.
"""

from __future__ import annotations

import functools
import gc
from collections import Counter
from inspect import signature

from chain.finality import MAX_RELAYED
from chain.importer import ImportLimits
from chain.messages import BLOCKS, EXTRINSICS, VOTES, Extrinsics, Votes, encode_message
from chain.pool import PoolLimits
from chain.verified import MAX_REMEMBERED
from node.simulation_disk import MemoryDatabase
from node.simulation_plan import SLOT_SECONDS, Plan
from node.simulator import Simulation
from p2p.memory import Link
from runtime.block import IMMORTAL, Call, sign_extrinsic
from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from runtime.trees import hash_tagged
from tests.support.growth import measure

BOUNDED = {
    "chain.finality._relayed": MAX_RELAYED,
    "chain.importer._authored": ImportLimits().authors,
    "chain.ledger._headers": 1024,
    "chain.ledger.verified._known": MAX_REMEMBERED,
    "chain.pool._banned": PoolLimits().ban_count,
}
"""Memories that fill up to a bound: container -> its bound."""
SLACK = 50
"""Items that all others may have at one time more than at another."""
SLOTS = 100


def run(simulation: Simulation, slots: int) -> Counter[str]:
    """Let a network run for so many slots more, and until all is final; what its first node holds then."""
    simulation._run_until(simulation.now + slots * SLOT_SECONDS)
    while (ledger := simulation.machines[0].ledger).head != ledger.finalized:
        simulation._run_until(simulation.now + 0.1)
    return measure(simulation.machines[0].chain, "chain", (MemoryDatabase, Simulation))


def network() -> Simulation:
    return Simulation(Plan(1, (100_000,) * 4, SLOTS, Link(0.05, 0.02), extrinsic_seconds=1.0))


def require_bounded(before: Counter[str], after: Counter[str]) -> None:
    grown = {name: (before[name], after[name]) for name in after if after[name] > before[name] + SLACK}
    assert grown.keys() <= BOUNDED.keys(), f"these grow without a stated bound: {grown}"
    assert all(after[name] <= bound for name, bound in BOUNDED.items()), after


def test_a_node_does_not_grow_with_the_chain() -> None:
    simulation = network()
    before = run(simulation, SLOTS)
    after = run(simulation, SLOTS)
    assert simulation.machines[0].ledger.finalized_number > 1.9 * SLOTS
    assert after["chain.ledger._headers"] > before["chain.ledger._headers"] > 0, "this looks at the wrong place"
    require_bounded(before, after)


def test_a_node_does_not_grow_with_what_strangers_send() -> None:
    simulation = network()
    before = run(simulation, 30)
    chain = simulation.machines[0].chain
    assert chain is not None
    genesis = chain.ledger.genesis_hash
    transfer = encode(balances.Transfer(public_key(derive_seed("//Bob")), 1))
    for number in range(2_000):
        junk = hash_tagged(b"test:junk", number.to_bytes(8, "big"))
        poor = sign_extrinsic(
            junk, Call("balances", "transfer", transfer), 0, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION
        )
        for topic, data in (
            (BLOCKS, junk),
            (VOTES, encode_message(Votes(junk, number))),
            (EXTRINSICS, encode_message(Extrinsics((junk, encode(poor))))),
            (EXTRINSICS, encode_message(Extrinsics((encode(poor),)))),
        ):
            chain.on_gossip(topic, data, f"stranger {number % 500}", junk, simulation.now)
            chain.on_request(f"stranger {number}", topic, data, simulation.now)
    require_bounded(before, run(simulation, 5))


def test_every_memory_of_a_function_is_bounded() -> None:
    gc.collect()
    memories = [item for item in gc.get_objects() if type(item) is functools._lru_cache_wrapper]
    ours = [item for item in memories if item.__module__.split(".")[0] in ("chain", "runtime", "p2p", "node", "rpc")]
    assert ours
    unbounded = [item for item in ours if item.cache_parameters()["maxsize"] is None and signature(item).parameters]
    assert unbounded == []
