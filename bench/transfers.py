"""Signed transfers per second on one node: into the pool, authored into blocks, and imported on another database.

Every transfer has a sender of its own and was signed before the clock starts. Blocks are as full as the development
chain's limits allow, and every one is committed to LevelDB with ``sync=True`` and finalized. *Cold* import verifies each
signature, either here or in a second process that runs ahead; *warm* import finds them verified, as a node does whose
pool held the transfers.
"""

from __future__ import annotations

import cProfile
import pstats
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

PARTS = {
    "signatures": ("crypto.py:verify",),
    "decoding and encoding": ("codec.py:decode", "codec.py:encode"),
    "state tree": ("merkle.py:update",),
    "database": ("db.py:get", "db.py:write", "store.py:stage_finalized"),
}
"""Parts of the profile: the functions whose own time and children's time they are, by file and name."""


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


def fill_pool(node: Node, transfers: Sequence[bytes]) -> float:
    """Submit everything; seconds it took, each signature verified once."""
    start = time.perf_counter()
    for raw in transfers:
        node.pool.submit(raw, node.ledger.head_number, 0.0)
    return time.perf_counter() - start


def author_all(node: Node) -> tuple[list[Block], float]:
    """Blocks until the pool is empty, and the seconds they took."""
    signer = development_signer("Alice")
    blocks: list[Block] = []
    start = time.perf_counter()
    while len(node.pool):
        slot = len(blocks) + 1
        builder = BlockBuilder(node.ledger, node.pool, signer.public, slot, 1_000_000 + 1000 * slot, 0.0)
        while builder.step():
            pass
        layer = builder.finish(signer)
        node.dispatch(node.ledger.on_executed(layer, finalize=True))
        blocks.append(layer.block)
    return blocks, time.perf_counter() - start


IsVerified = Callable[[Context, bytes], bool]


def import_all(node: Node, blocks: Sequence[Block], is_verified: IsVerified | None) -> float:
    """Execute, commit and finalize every block; the seconds it took."""
    start = time.perf_counter()
    for block in blocks:
        execution = Execution(node.ledger, block, is_verified)
        while execution.step():
            pass
        node.dispatch(node.ledger.on_executed(execution.finish(), finalize=True))
    return time.perf_counter() - start


def verify_batch(genesis: bytes, body: Sequence[bytes]) -> list[bool]:
    """What a verifier process does with a block's body: whether each signature holds (True for inherents)."""
    return [_holds(genesis, raw) for raw in body]


def _holds(genesis: bytes, raw: bytes) -> bool:
    item = decode_extrinsic(raw)
    if not isinstance(item, Extrinsic):
        return True
    return verify(item.signer, item.signature, signing_message(item, genesis, genesis, system.SPEC_VERSION))


def import_beside_verifier(node: Node, blocks: Sequence[Block], verifier: ProcessPool) -> float:
    """Cold import with the signatures of later blocks checked in a second process while this one executes."""
    start = time.perf_counter()
    check = partial(verify_batch, node.ledger.genesis_hash)
    for block, good in zip(blocks, verifier.imap(check, [block.body for block in blocks]), strict=True):
        known = {raw for raw, holds in zip(block.body, good, strict=True) if holds}
        import_all(node, [block], lambda context, raw, known=known: raw in known)
    return time.perf_counter() - start


def profile_import(config: dict[str, Any], blocks: Sequence[Block]) -> dict[str, float]:
    """Share of the CPU time of cold import in each of `PARTS`; the rest is the executive and the pallets."""
    profile = cProfile.Profile()
    with open_node(config) as node:
        profile.runcall(import_all, node, blocks, None)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    shares = dict.fromkeys(PARTS, 0.0)
    for (path, _, function), (_, _, _, cumulative, _) in stats.items():
        for part, names in PARTS.items():
            if f"{Path(path).name}:{function}" in names:
                shares[part] += cumulative / total
    return shares | {"executive and pallets": 1.0 - sum(shares.values())}
