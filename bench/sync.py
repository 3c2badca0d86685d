"""How fast a newcomer gets the chain: every block executed, or by a warp; and the state tree by itself.

A network of four validators has made empty blocks, as far as blocks are ever empty: each has a seal, a VRF proof, the
inherents, the bookkeeping of sessions and eras, and every change of the authority set has its justification. A full
node gets them over the messages of the network, without sockets: it decodes and checks everything, and commits each
block with ``sync=True`` to LevelDB. Only its own time counts, not that of the peer who serves. The rate is taken low on
the chain and high on it. What libsodium verifies in a second is measured in between, for comparison.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report import Progress, Report, Table, silent
from chain import slots
from chain.author import BlockBuilder
from chain.db import Database
from chain.effects import Ask, Commit, Effect
from chain.ledger import Ledger, open_ledger
from chain.messages import STATUS, encode_message
from chain.network_node import ChainNode, NodeEffect
from chain.pool import Pool
from chain.serve import answer, build_status
from chain.store import changes_authorities
from chain.warp import WarpOptions
from node.keystore import SeedSigner, development_signer
from node.networks import Validator, build_network_genesis
from runtime import merkle
from runtime.codec import encode
from runtime.crypto import sign, verify
from runtime.finality import Justification
from runtime.pallets import randomness, system
from runtime.trees import hash_tagged
from runtime.votes import Vote, sign_vote

TARGET = 300
"""Blocks per second that we want, at any height."""
VALIDATORS = 4
FIRST_SLOT = 1_000
STEADY = 300
"""From here on every block also forgets the past of one that leaves the window."""
MEMORY_PERIOD = 500
"""Blocks from one look at the memory to the next."""
FINALITY_PERIOD = 32
"""Of so many blocks one gets a justification, besides those that change the authorities."""


@dataclass
class Producer:
    """A chain of empty blocks, and the keys that make it. Mutable."""

    ledger: Ledger
    database: Database
    signers: list[SeedSigner]
    slot: int = FIRST_SLOT
    set_id: int = 0

    def grow(self) -> None:
        """Make one block, by whoever may, and finalize now and then."""
        ledger, epoch_state = self.ledger, self.ledger.state()
        consensus = system.parameters(epoch_state).consensus
        milliseconds = system.parameters(epoch_state).block.slot_milliseconds
        epoch = randomness.epoch_at(epoch_state, self.slot)
        for signer in self.signers:
            claim = slots.claim_slot(epoch, consensus, self.slot, signer)
            if claim is not None:
                break
        assert claim is not None, "every slot has a secondary author"
        pool = Pool(ledger.validate)
        builder = BlockBuilder(ledger, pool, signer.public, self.slot, self.slot * milliseconds, 0.0, claim.output)
        while builder.step():
            pass
        layer = builder.finish(signer)
        self.slot += 1
        self._dispatch(ledger.on_executed(layer))
        if changes_authorities(layer.header) or layer.header.number % FINALITY_PERIOD == 0:
            self._dispatch(ledger.finalize(layer.hash, self._justify(layer.hash, layer.header.number)))
            self.set_id += int(changes_authorities(layer.header))

    def _justify(self, hash_: bytes, number: int) -> bytes:
        vote = Vote("precommit", self.set_id, number, hash_, number)
        votes = [sign_vote(signer.seed, self.ledger.genesis_hash, vote) for signer in self.signers]
        ordered = tuple(sorted(votes, key=lambda signed: signed.voter))
        return encode(Justification(self.set_id, number, hash_, number, ordered, ()))

    def _dispatch(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Commit):
                self.database.write(effect.batch, sync=False)


@contextmanager
def fresh_ledger(genesis: dict[str, Any], window: int | None = 256) -> Iterator[tuple[Database, Ledger]]:
    """A ledger on a database that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder, Database(Path(folder) / "db") as database:
        yield database, open_ledger(database, genesis, window, slots.is_primary)


def build_genesis_file() -> tuple[dict[str, Any], list[SeedSigner]]:
    """A testnet of a few validators."""
    names = [f"Validator{number}" for number in range(VALIDATORS)]
    signers = [development_signer(f"{name}//session") for name in names]
    validators = [
        Validator(development_signer(name).public, signer.public) for name, signer in zip(names, signers, strict=True)
    ]
    return build_network_genesis("bench", "Bench", validators), signers


@dataclass
class Newcomer:
    """A node that downloads from one peer, and the seconds it spent on each height. Mutable."""

    chain: ChainNode
    database: Database
    peer: Producer
    now: float
    spent: float = 0.0
    cpu: float = 0.0
    marks: list[tuple[int, float]] = field(default_factory=list)
    """(height of the best block, seconds spent until then)"""
    memory: dict[int, float] = field(default_factory=dict)
    """Height of the best block -> MiB of this process, the peer's database included, every `MEMORY_PERIOD` blocks."""
    asked: int = 0

    def run(self, is_done: Callable[[], bool]) -> None:
        """Exchange messages until it is done; the clock of the network goes on by itself."""
        effects = self._timed(lambda: self.chain.on_peer_connected("peer", self.now))
        waiting: list[Ask] = []
        while not is_done():
            waiting += [effect for effect in effects if isinstance(effect, Ask)]
            if self.chain.has_work:
                effects = self._timed(lambda: self.chain.work(self.now))
            elif waiting:
                ask = waiting.pop(0)
                data = self._serve(ask)
                effects = self._timed(lambda ask=ask, data=data: self.chain.on_response(ask.ticket, data, self.now))
            else:
                self.now += 1.0
                effects = self._timed(lambda: self.chain.on_time(self.now))

    def _serve(self, ask: Ask) -> bytes | None:
        self.asked += 1
        if ask.protocol == STATUS:
            return encode_message(build_status(self.peer.ledger))
        return answer(self.peer.ledger, NobodyVotes(), ask.protocol, ask.data)

    def _timed(self, call: Callable[[], list[NodeEffect]]) -> list[NodeEffect]:
        cpu, wall = time.process_time(), time.perf_counter()
        effects = call()
        for effect in effects:
            if isinstance(effect, Commit):
                self.database.write(effect.batch, sync=True)
        self.spent += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        height = self.chain.ledger.head_number
        self.marks.append((height, self.cpu))
        if height >= (len(self.memory) + 1) * MEMORY_PERIOD:
            self.memory[height] = round(resident_mib(), 1)
        return effects

    def rate(self, first: int, last: int) -> float:
        """Blocks per second of CPU time between two heights."""
        begin = next(spent for height, spent in self.marks if height >= first)
        end = next(spent for height, spent in self.marks if height >= last)
        return (last - first) / (end - begin)


def resident_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class NobodyVotes:
    """Stands for the voter of a peer that is asked for blocks only."""

    def on_catch_up_request(self, request: object) -> bytes:
        return b""


def verifications_per_second(seconds: float = 0.5) -> float:
    """What libsodium verifies in a second of CPU time, through the same function that the chain uses."""
    seed = hash_tagged(b"bench:seed", b"")
    message = hash_tagged(b"bench:message", b"")
    public, signature = SeedSigner(seed).public, sign(seed, message)
    start, count = time.process_time(), 0
    while time.process_time() - start < seconds:
        for _ in range(100):
            assert verify(public, signature, message)
        count += 100
    return count / (time.process_time() - start)


def merkle_updates_per_second(entries: int, batch: int, rounds: int) -> float:
    """Changed entries per second of CPU time, in sorted batches, in a tree of so many entries in memory."""
    nodes: dict[bytes, bytes] = {}

    def write(changes: dict[bytes, bytes | None]) -> None:
        for path, node in merkle.update(nodes.get, changes).nodes.items():
            if node is None:
                nodes.pop(path, None)
            else:
                nodes[path] = node

    write({hash_tagged(b"bench:key", number.to_bytes(8, "big")): b"value" for number in range(entries)})
    start = time.process_time()
    for round_ in range(rounds):
        numbers = range(round_, entries, max(entries // batch, 1))
        write({hash_tagged(b"bench:key", number.to_bytes(8, "big")): os.urandom(8) for number in numbers})
    return rounds * len(numbers) / (time.process_time() - start)


def run(quick: bool = False, progress: Progress = silent, blocks: int = 0) -> Report:
    """``blocks`` is the height of the chain."""
    blocks = blocks or (1_500 if quick else 6_000)
    sample = min(blocks // 4, 1_000)
    assert blocks >= STEADY + 2 * sample, f"{blocks} blocks are too few"
    genesis, signers = build_genesis_file()
    figures: dict[str, Any] = {"blocks": blocks, "sample": sample, "validators": VALIDATORS}
    with fresh_ledger(genesis) as (database, ledger):
        producer = Producer(ledger, database, signers)
        progress(f"making {blocks} blocks")
        while ledger.head_number < blocks or ledger.finalized_number < ledger.head_number:
            producer.grow()
        height = ledger.head_number
        now = producer.slot * 2.0 + 100 * 2.0
        verifications = [verifications_per_second()]
        progress("importing them")
        with fresh_ledger(genesis) as (other, fresh):
            newcomer = Newcomer(ChainNode(fresh, Pool(fresh.validate)), other, producer, now)
            newcomer.run(lambda: fresh.finalized_number >= height)
            assert fresh.finalized == ledger.finalized
        verifications.append(verifications_per_second())
        progress("warping")
        with fresh_ledger(genesis) as (other, fresh):
            chain = ChainNode(fresh, Pool(fresh.validate), warp=WarpOptions(least_gap=0))
            late = Newcomer(chain, other, producer, now)
            late.run(lambda: not chain.is_warping)
            assert fresh.finalized_number == height
            entries = sum(1 for _ in fresh.state_at(fresh.finalized).keys(b""))
    verifications.append(verifications_per_second())
    progress("updating a tree")
    updates = merkle_updates_per_second(*((20_000, 2_000, 4) if quick else (200_000, 10_000, 10)))
    per_second = sorted(verifications)[1]
    low, high = newcomer.rate(STEADY, STEADY + sample), newcomer.rate(height - sample, height)
    figures |= {
        "height": height,
        "low_blocks_per_second": round(low),
        "high_blocks_per_second": round(high),
        "high_over_low": round(high / low, 3),
        "wall_blocks_per_second": round(height / newcomer.spent),
        "memory_mib_by_height": newcomer.memory,
        "verifications_per_second": round(per_second),
        "verifications_per_block": round(per_second / high, 1),
        "warp_seconds": round(late.spent, 3),
        "warp_sets": producer.set_id,
        "warp_entries": entries,
        "warp_requests": late.asked,
        "warp_cpu_seconds": round(late.cpu, 3),
        "full_over_warp": round(newcomer.cpu / late.cpu, 1),
        "merkle_updates_per_second": round(updates),
        "merkle_updates_per_verification": round(updates / per_second, 2),
    }
    return Report("sync", figures, _tables(figures), REMARKS)


REMARKS = (
    "Rates are per second of CPU time, so that other work on the machine does not count; wall time includes the disk.",
    "A node that warps waits three seconds for more peers than its first; this is not in the figure.",
)


def _tables(figures: dict[str, Any]) -> tuple[Table, ...]:
    sample, height = figures["sample"], figures["height"]
    imported = (
        (f"{STEADY:,} to {STEADY + sample:,}", f"{figures['low_blocks_per_second']:,}", f"{TARGET:,}"),
        (f"{height - sample:,} to {height:,}", f"{figures['high_blocks_per_second']:,}", f"{TARGET:,}"),
        ("all, wall time with the disk", f"{figures['wall_blocks_per_second']:,}", ""),
        ("verifications of libsodium", f"{figures['verifications_per_second']:,}", ""),
        ("in the time of one block", f"{figures['verifications_per_block']:.1f}", ""),
        *(
            (f"MiB of memory at block {height:,}", f"{mib:.0f}", "")
            for height, mib in figures["memory_mib_by_height"].items()
        ),
    )
    warp = (
        ("seconds", f"{figures['warp_seconds']:.2f}"),
        ("of CPU time", f"{figures['warp_cpu_seconds']:.2f}"),
        ("authority sets proved", str(figures["warp_sets"])),
        ("entries of the state", f"{figures['warp_entries']:,}"),
        ("requests", str(figures["warp_requests"])),
        ("times quicker than executing all blocks", f"{figures['full_over_warp']:.1f}"),
    )
    tree = (
        ("entries changed per second", f"{figures['merkle_updates_per_second']:,}"),
        ("in the time of one verification", f"{figures['merkle_updates_per_verification']:.1f}"),
    )
    return (
        Table("Empty blocks, every seal and VRF verified", ("blocks", ">per second", ">target"), imported),
        Table(f"A warp to block {height:,}", ("", ">"), warp),
        Table("The state tree", ("", ">"), tree),
    )
