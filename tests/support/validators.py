"""A testnet of a few authorities on ledgers of its own, without a network: who may author what, and blocks by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chain import slots
from chain.author import BlockBuilder
from chain.db import Database
from chain.effects import Commit, Effect
from chain.ledger import Execution, Ledger, open_ledger
from chain.pool import Pool
from chain.slots import Claim, SlotClock, claim_slot
from chain.views import Layer
from node.keystore import SeedSigner
from runtime.block import Block
from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import randomness, system
from runtime.state import State

NAMES = ("Alice", "Bob", "Charlie", "Dave")
STAKE = 100_000 * 10**9
CLOCK = SlotClock(2_000)
FIRST_SLOT = 1_000
START = CLOCK.start_of(FIRST_SLOT)


def session_signer(name: str) -> SeedSigner:
    return SeedSigner(derive_seed(f"//{name}//session"))


def network_genesis(names: Sequence[str] = NAMES, stakes: Sequence[int] | None = None, **block: Any) -> dict[str, Any]:
    """A chain of the testnet preset with these authorities; ``block`` overrides parameters of blocks."""
    accounts = {name: to_ss58(public_key(derive_seed(f"//{name}"))) for name in NAMES}
    return {
        "id": "network-test",
        "name": "Network Test",
        "preset": "testnet",
        "parameters": {"block": block} if block else {},
        "authorities": [
            {
                "account": accounts[name],
                "session_key": to_ss58(session_signer(name).public),
                "stake": str(stake),
            }
            for name, stake in zip(names, stakes or [STAKE] * len(names), strict=True)
        ],
        "balances": {account: str(10**15) for account in accounts.values()},
    }


class Authorities:
    """All authorities of a testnet around one ledger: makes the block of any slot. Mutable."""

    def __init__(self, folder: Path, names: Sequence[str] = NAMES, stakes: Sequence[int] | None = None) -> None:
        self.genesis = network_genesis(names, stakes)
        self.names = names
        self.database = Database(folder)
        self.ledger: Ledger = open_ledger(self.database, self.genesis, None, slots.is_primary)
        self.pool = Pool(self.ledger.validate)

    def __enter__(self) -> Authorities:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def claims(self, slot: int) -> dict[str, Claim]:
        """Who may author in that slot on top of the best block."""
        state = self.ledger.state()
        epoch, consensus = randomness.epoch_at(state, slot), system.parameters(state).consensus
        found = {name: claim_slot(epoch, consensus, slot, session_signer(name)) for name in self.names}
        return {name: claim for name, claim in found.items() if claim is not None}

    def build(self, slot: int, name: str | None = None) -> Layer:
        """The block of a slot on the best one, by that authority (else the first that may), not imported."""
        claims = self.claims(slot)
        author = name or next(iter(claims))
        claim, time = claims[author], CLOCK.milliseconds_of(slot)
        signer = session_signer(author)
        builder = BlockBuilder(self.ledger, self.pool, signer.public, slot, time, 0.0, claim.output)
        while builder.step():
            pass
        return builder.finish(signer)

    def grow(self, count: int, first: int = FIRST_SLOT) -> list[Layer]:
        """Blocks of consecutive slots, each taken in."""
        layers = []
        for slot in range(first, first + count):
            layer = self.build(slot)
            self.dispatch(self.ledger.on_executed(layer))
            layers.append(layer)
        return layers

    def take_in(self, block: Block) -> Layer:
        """Execute a block and make it part of this ledger."""
        execution = Execution(self.ledger, block)
        while execution.step():
            pass
        layer = execution.finish()
        self.dispatch(self.ledger.on_executed(layer))
        return layer

    def finalize(self, hash_: bytes, justification: bytes = b"") -> list[Effect]:
        effects = self.ledger.finalize(hash_, justification)
        self.dispatch(effects)
        return effects

    def state_after(self, hash_: bytes) -> State:
        return State(self.ledger.state_at(hash_))

    def dispatch(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Commit):
                self.database.write(effect.batch)
