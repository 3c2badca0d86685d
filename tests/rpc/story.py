"""A whole market on a real ledger, block by block, for tests of what a node tells about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chain.author import BlockBuilder
from chain.effects import Effect
from chain.ledger import Ledger, open_ledger
from chain.pool import Pool
from node.config import development_genesis
from node.keystore import development_signer
from node.simulation_disk import MemoryDatabase
from runtime.block import IMMORTAL, Header, sign_extrinsic
from runtime.codec import Record, encode
from runtime.commitments import tensor_root
from runtime.crypto import public_key, to_ss58
from runtime.pallets import system
from runtime.state import Map
from solvent.client import BlobFailed, Outcome
from tests.rpc.view import View, ask
from tests.scenarios.market import BALANCE, EVER, RICH, SUBMITTER, Market
from tests.scenarios.tiny import tiny_task
from tests.support.chain import account, build_call, seed
from tests.support.ledger import carry_out


class LedgerChain:
    """What the workers of `tests.scenarios.market` use, over a ledger. Mutable: every submission makes a block."""

    def __init__(self, parameters: dict[str, dict[str, Any]] | None = None) -> None:
        """``parameters`` overrides fields of the preset, group by group."""
        genesis = development_genesis() | {"parameters": parameters or {}}
        for suri in (SUBMITTER, *RICH):
            genesis["balances"][to_ss58(account(suri))] = str(BALANCE)
        self.database = MemoryDatabase("ledger")
        self.ledger: Ledger = open_ledger(self.database, genesis, None)
        self.pool = Pool(self.ledger.validate)
        self.blobs: dict[bytes, bytes] = {}
        self.chain = self

    @property
    def state(self) -> Any:
        return self.ledger.state()

    def read(self, descriptor: Any, key: Any = EVER, at: bytes | None = None) -> Any:
        return descriptor.get(self.state) if key is EVER else descriptor.get(self.state, key)

    def items(self, descriptor: Map[Any, Any]) -> Any:
        return list(descriptor.items(self.state))

    def head(self) -> Header:
        return self.ledger.head_header()

    def submit(
        self, key: bytes | str, pallet: str | Record, args: Record | None = None, anchor: Header | None = None
    ) -> Outcome:
        """As ``solvent.Client`` (seed, pallet, args), and as a test chain (suri, args)."""
        seed32 = seed(key) if isinstance(key, str) else key
        record = args if args is not None else pallet
        assert isinstance(record, Record)
        nonce = system.nonce(self.state, public_key(seed32))
        genesis = self.ledger.genesis_hash
        raw = encode(
            sign_extrinsic(seed32, build_call(record), nonce, 0, IMMORTAL, genesis, genesis, system.SPEC_VERSION)
        )
        self.pool.submit(raw, self.ledger.head_number, 0.0)
        receipt = self.seal().outcome.receipts[-1]
        error = None if receipt.ok else receipt.error
        return Outcome(self.ledger.head_number, self.ledger.head, 1, receipt.ok, error, receipt.fee, [])

    submit_and_wait = submit

    def skip(self, blocks: int) -> None:
        for _ in range(blocks):
            self.seal()

    def seal(self, finalize: bool = True) -> Any:
        number = self.ledger.head_number + 1
        builder = BlockBuilder(self.ledger, self.pool, account("//Alice"), number, 1_000_000 + 1000 * number, 0.0)
        while builder.step():
            pass
        layer = builder.finish(development_signer("Alice"))
        self.dispatch(self.ledger.on_executed(layer, finalize))
        return layer

    def dispatch(self, effects: list[Effect]) -> None:
        carry_out(effects, self.database, self.ledger, self.pool)

    def put_blob(self, data: bytes, seed32: bytes) -> bytes:
        root = tensor_root(data)
        self.blobs[root] = data
        return root

    def get_blob(self, root: bytes, max_bytes: int = 2**40) -> bytes:
        if root not in self.blobs or len(self.blobs[root]) > max_bytes:
            raise BlobFailed(404, f"no blob {root.hex()} of at most {max_bytes} bytes")
        return self.blobs[root]


class Story:
    """A settled task with one dispute on its way."""

    def __init__(self, folder: Path) -> None:
        market: Any = Market(folder, chain=LedgerChain())  # type: ignore[arg-type]
        market.verifier("//Verifier1")
        market.solver("//Mallory", "corrupt")
        self.name = market.submit(tiny_task())
        market.run_until(self.name, "training", "proved")
        market.verifier("//Verifier2")
        market.solver("//Solver1")
        self.record = market.run_until(self.name, "settled")
        self.chain = market.chain
        self.task = "0x" + self.name.hex()
        self.view = View(market.chain, folder)

    def result(self, method: str, *params: Any) -> Any:
        response = ask(self.view, method, *params)
        assert "result" in response, response
        return response["result"]
