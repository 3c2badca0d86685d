"""Signed transfers per second on one node: into the pool, authored into blocks, and imported on another database.

Every transfer has a sender of its own and was signed before the clock starts. Blocks are as full as the development
chain's limits allow, and every one is committed to LevelDB with ``sync=True`` and finalized. *Cold* import verifies
each signature, either here or in a second process that runs ahead; *warm* import finds them verified, as a node does
whose pool held the transfers. Of several runs the least disturbed counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool as ProcessPool
from pathlib import Path
from typing import Any

from bench.report import Progress, Report, Table, silent
from chain.author import BlockBuilder
from chain.db import Database
from chain.effects import Commit, Effect, NewBest
from chain.ledger import Execution, Ledger, open_ledger
from chain.pool import Pool, PoolLimits
from node.config import development_genesis
from node.keystore import development_signer
from runtime.block import IMMORTAL, Block, Call, Extrinsic, decode_extrinsic, sign_extrinsic, signing_message
from runtime.codec import encode
from runtime.crypto import public_key, to_ss58, verify
from runtime.pallet import Context
from runtime.pallets import balances, system
from runtime.parameters import TOKEN
from runtime.trees import hash_tagged

TARGETS = {"cold_beside": 3_700, "warm": 6_000}
"""Transfers per second that we want."""


@dataclass(frozen=True)
class Chain:
    """A development chain whose genesis gives every sender a balance, and one signed transfer of each sender."""

    config: dict[str, Any]
    transfers: tuple[bytes, ...]


def build_chain(count: int) -> Chain:
    """``count`` accounts in a ring; each sends one token to the next."""
    seeds = [hash_tagged(b"bench:account", number.to_bytes(8, "big")) for number in range(count)]
    accounts = [public_key(seed) for seed in seeds]
    config = development_genesis()
    config["balances"] |= {to_ss58(account): str(100 * TOKEN) for account in accounts}
    with open_node(config) as node:
        genesis = node.ledger.genesis_hash
    transfers = []
    for number, seed in enumerate(seeds):
        call = Call("balances", "transfer", encode(balances.Transfer(accounts[(number + 1) % count], TOKEN)))
        signed = sign_extrinsic(seed, call, 0, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION)
        transfers.append(encode(signed))
    return Chain(config, tuple(transfers))


@dataclass
class Node:
    """A ledger on a fresh database, with a pool. Mutable."""

    database: Database
    ledger: Ledger
    pool: Pool

    def dispatch(self, effects: list[Effect]) -> None:
        """Carry out what the ledger wants, in order."""
        for effect in effects:
            if isinstance(effect, Commit):
                self.database.write(effect.batch)
            elif isinstance(effect, NewBest):
                for hash_ in effect.enacted:
                    block = self.ledger.block(hash_)
                    assert block is not None
                    self.pool.on_block(block.body, effect.number)


@contextmanager
def open_node(config: dict[str, Any]) -> Iterator[Node]:
    """A node's chain objects over a database that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder, Database(Path(folder) / "db") as database:
        ledger = open_ledger(database, config)
        limits = PoolLimits(count=1 << 20, byte_count=1 << 30)
        yield Node(database, ledger, Pool(ledger.validate, limits))


@dataclass(frozen=True)
class Clock:
    """Elapsed and CPU seconds of one run, this process's threads together, and the elapsed ones of its parts."""

    wall: float
    cpu: float
    parts: dict[str, float]


def timed(work: Callable[[], Any]) -> Clock:
    """Run ``work`` on the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    parts = work()
    return Clock(time.perf_counter() - wall, time.process_time() - cpu, parts if isinstance(parts, dict) else {})


def fill_pool(node: Node, transfers: Sequence[bytes]) -> None:
    """Submit everything; each signature is verified here."""
    for raw in transfers:
        node.pool.submit(raw, node.ledger.head_number, 0.0)


def author_all(node: Node, blocks: list[Block]) -> None:
    """Append blocks until the pool is empty."""
    signer = development_signer("Alice")
    while len(node.pool):
        slot = len(blocks) + 1
        builder = BlockBuilder(node.ledger, node.pool, signer.public, slot, 1_000_000 + 1000 * slot, 0.0)
        while builder.step():
            pass
        layer = builder.finish(signer)
        node.dispatch(node.ledger.on_executed(layer, finalize=True))
        blocks.append(layer.block)


IsVerified = Callable[[Context, bytes], bool]


def import_all(node: Node, blocks: Sequence[Block], is_verified: IsVerified | None) -> dict[str, float]:
    """Execute, commit and finalize every block; the seconds of each part."""
    parts = dict.fromkeys(("executing", "state root", "storing"), 0.0)
    for block in blocks:
        start = time.perf_counter()
        execution = Execution(node.ledger, block, is_verified)
        while execution.step():
            pass
        executed = time.perf_counter()
        layer = execution.finish()
        rooted = time.perf_counter()
        node.dispatch(node.ledger.on_executed(layer, finalize=True))
        stored = time.perf_counter()
        for part, seconds in zip(parts, (executed - start, rooted - executed, stored - rooted), strict=True):
            parts[part] += seconds
    return parts


def verify_batch(genesis: bytes, body: Sequence[bytes]) -> list[bool]:
    """What a verifier process does with a block's body: whether each signature holds (True for inherents)."""
    return [_holds(genesis, raw) for raw in body]


def _holds(genesis: bytes, raw: bytes) -> bool:
    item = decode_extrinsic(raw)
    if not isinstance(item, Extrinsic):
        return True
    return verify(item.signer, item.signature, signing_message(item, genesis, genesis, system.SPEC_VERSION))


def import_beside_verifier(node: Node, blocks: Sequence[Block], verifier: ProcessPool) -> None:
    """Cold import with the signatures of later blocks checked in a second process while this one executes."""
    check = partial(verify_batch, node.ledger.genesis_hash)
    for block, good in zip(blocks, verifier.imap(check, [block.body for block in blocks]), strict=True):
        known = {raw for raw, holds in zip(block.body, good, strict=True) if holds}
        import_all(node, [block], partial(_is_known, known))


def _is_known(known: set[bytes], context: Context, raw: bytes) -> bool:
    return raw in known


def measure_round(chain: Chain, verifier: ProcessPool) -> dict[str, Clock]:
    """One run of everything, each import on a database of its own."""
    clocks, blocks = dict[str, Clock](), list[Block]()
    with open_node(chain.config) as node:
        clocks["pool"] = timed(lambda: fill_pool(node, chain.transfers))
        clocks["author"] = timed(lambda: author_all(node, blocks))
        genesis = node.ledger.genesis_hash
    assert sum(len(block.body) - 1 for block in blocks) == len(chain.transfers), "a transfer was left out"
    clocks["signatures"] = timed(lambda: verify_batch(genesis, chain.transfers) and None)
    with open_node(chain.config) as node:
        clocks["cold"] = timed(lambda: import_all(node, blocks, None))
    with open_node(chain.config) as node:
        clocks["cold_beside"] = timed(lambda: import_beside_verifier(node, blocks, verifier))
    with open_node(chain.config) as node:
        clocks["warm"] = timed(lambda: import_all(node, blocks, lambda context, raw: True))
    return clocks


LABELS = {
    "pool": "into the pool, signatures verified",
    "author": "authored from the pool",
    "signatures": "signatures alone, decoded and verified",
    "cold": "imported cold, one process",
    "cold_beside": "imported cold, signatures in a second process",
    "warm": "imported warm, signatures known",
}


def run(quick: bool = False, progress: Progress = silent, count: int = 0, rounds: int = 0) -> Report:
    """``count`` senders, ``rounds`` runs of everything."""
    count, rounds = count or (3_000 if quick else 8_000), rounds or (2 if quick else 4)
    progress(f"signing {count} transfers")
    chain = build_chain(count)
    clocks: list[dict[str, Clock]] = []
    with get_context("spawn").Pool(1) as verifier:
        verifier.apply(verify_batch, (bytes(32), ()))
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            clocks.append(measure_round(chain, verifier))
    best = {name: min((clock[name] for clock in clocks), key=lambda clock: clock.wall) for name in LABELS}
    figures: dict[str, Any] = {"transfers": count, "rounds": rounds}
    for name, clock in best.items():
        figures[f"{name}_per_second"] = round(count / clock.wall)
        figures[f"{name}_cpu_us"] = round(1e6 * clock.cpu / count, 1)
    figures["warm_parts_us"] = {part: round(1e6 * seconds / count, 1) for part, seconds in best["warm"].parts.items()}
    return Report("transfers", figures, _tables(figures), ("Blocks are synced to the disk one by one.",))


def _tables(figures: dict[str, Any]) -> tuple[Table, ...]:
    rates = tuple(
        (
            label,
            f"{figures[f'{name}_per_second']:,}",
            f"{TARGETS[name]:,}" if name in TARGETS else "",
            f"{figures[f'{name}_cpu_us']:.0f}",
        )
        for name, label in LABELS.items()
    )
    signatures = figures["signatures_cpu_us"]
    parts = (("signatures", f"{signatures:.0f}"), *((k, f"{v:.0f}") for k, v in figures["warm_parts_us"].items()))
    return (
        Table(f"{figures['transfers']:,} transfers", ("", ">per second", ">target", ">CPU us each"), rates),
        Table("One imported transfer", ("", ">us"), parts),
    )
