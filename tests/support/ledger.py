"""A development chain on a real database, without a node: make blocks, restart, replay."""

from __future__ import annotations

from pathlib import Path

from chain.author import BlockBuilder
from chain.db import Database
from chain.effects import Commit, Effect, NewBest
from chain.ledger import Execution, Ledger, open_ledger
from chain.pool import Pool
from chain.views import Layer
from node.config import development_genesis
from node.keystore import development_signer
from runtime.block import IMMORTAL, Block, Call, Era, sign_extrinsic
from runtime.codec import encode
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances, system
from runtime.state import State

ALICE, BOB, CHARLIE = (derive_seed(f"//{name}") for name in ("Alice", "Bob", "Charlie"))


def carry_out(effects: list[Effect], database: Database, ledger: Ledger, pool: Pool) -> None:
    """What a node does with the effects of a ledger: write what is committed, and tell the pool what is in blocks."""
    for effect in effects:
        if isinstance(effect, Commit):
            database.write(effect.batch)
        elif isinstance(effect, NewBest):
            for hash_ in effect.enacted:
                block = ledger.block(hash_)
                assert block is not None
                pool.on_block(block.body, effect.number)


class DevChain:
    """One ledger and pool over a database in ``folder``."""

    def __init__(self, folder: Path, window: int | None = 256) -> None:
        self.database = Database(folder)
        self.ledger: Ledger = open_ledger(self.database, development_genesis(), window)
        self.pool = Pool(self.ledger.validate)
        self.time = 1_000_000 + 1000 * self.ledger.head_number

    def __enter__(self) -> DevChain:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def extrinsic(
        self, seed: bytes, to: bytes, amount: int, nonce: int | None = None, tip: int = 0, era: Era = IMMORTAL
    ) -> bytes:
        """A signed transfer with the next nonce that pool and state leave."""
        account = public_key(seed)
        if nonce is None:
            nonce = self.pool.next_nonce(account, system.nonce(self.ledger.state(), account))
        genesis = self.ledger.genesis_hash
        era_hash = genesis if era == IMMORTAL else self.ledger.hash_at(era.birth(self.ledger.head_number + 1))
        assert era_hash is not None
        call = Call("balances", "transfer", encode(balances.Transfer(to, amount)))
        return encode(sign_extrinsic(seed, call, nonce, tip, era, genesis, era_hash, system.SPEC_VERSION))

    def transfer(self, seed: bytes, to: bytes, amount: int, **options: int) -> bytes:
        return self.pool.submit(self.extrinsic(seed, to, amount, **options), self.ledger.head_number, 0.0)

    def build(self) -> Layer:
        """A block from the pool on the best one, not imported."""
        self.time += 1000
        builder = BlockBuilder(self.ledger, self.pool, public_key(ALICE), self.time // 1000, self.time, 0.0)
        while builder.step():
            pass
        return builder.finish(development_signer("Alice"))

    def seal(self, finalize: bool = True) -> Layer:
        """Make a block and take it in."""
        layer = self.build()
        self.dispatch(self.ledger.on_executed(layer, finalize))
        return layer

    def dispatch(self, effects: list[Effect]) -> None:
        carry_out(effects, self.database, self.ledger, self.pool)

    def execute(self, block: Block) -> Layer:
        execution = Execution(self.ledger, block)
        while execution.step():
            pass
        return execution.finish()

    def free(self, seed: bytes, at: bytes | None = None) -> int:
        state = State(self.ledger.state_at(at or self.ledger.head))
        return balances.free(state, public_key(seed))
