"""A whole chain in memory for tests: genesis, authored blocks, replay of each block, and every pallet's invariants.

::

    chain = TestChain()
    chain.submit("//Alice", balances.Transfer(account("//Bob"), 5))           # a block with one extrinsic; must succeed
    chain.reject("//Bob", balances.Transfer(account("//Alice"), 10**30), "InsufficientBalance")
    receipts = chain.author(("//Alice", balances.Transfer(...)), ("//Bob", ...))  # one block
    chain.skip(10)                                                             # empty blocks
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runtime import crypto, merkle, registry
from runtime.block import (
    IMMORTAL,
    Block,
    Call,
    DigestItem,
    Era,
    Header,
    Slot,
    extrinsics_root,
    genesis_header,
    header_hash,
    sign_extrinsic,
)
from runtime.codec import Record, decode, encode
from runtime.errors import InvalidExtrinsic
from runtime.executive import (
    BlockExecution,
    Receipt,
    apply_extrinsic,
    build_inherents,
    finalize_block,
    initialize_block,
    validate_extrinsic,
)
from runtime.genesis import build_genesis, parse_genesis
from runtime.pallet import Context, Pallet
from runtime.pallets import system
from runtime.state import Map, MemoryBackend, State
from tests.support.untouched import assert_only_fee_and_nonce_changed

R = TypeVar("R", bound=Record)
GENESIS_FILE = Path(__file__).resolve().parent.parent.parent / "genesis.json"


@cache
def seed(suri: str) -> bytes:
    """The seed of a development account such as ``//Alice``."""
    return crypto.derive_seed(suri)


@cache
def account(suri: str) -> bytes:
    """The account id of a development account."""
    return crypto.public_key(seed(suri))


def pallet_of(args: Record) -> Pallet:
    """The pallet that declares a call with this argument record."""
    for pallet in registry.PALLETS:
        if any(definition.arguments is type(args) for definition in pallet.calls.values()):
            return pallet
    raise KeyError(f"no pallet has a call with arguments {type(args).__name__}")


def build_call(args: Record) -> Call:
    """The call that takes this argument record."""
    pallet = pallet_of(args)
    return Call(pallet.name, pallet.call_of(args).name, encode(args))


class TestChain:
    """A chain whose head only moves forward. ``backend`` holds the head's state, ``head`` its header."""

    __test__ = False

    def __init__(
        self, balances: dict[str, int] | None = None, parameters: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """``balances`` adds development accounts (suri to units); ``parameters`` overrides fields, group by group."""
        config = parse_genesis(GENESIS_FILE.read_text())
        config["parameters"] = parameters or {}
        for suri, units in (balances or {}).items():
            config["balances"][crypto.to_ss58(account(suri))] = str(units)
        self.configure(config)
        self.backend = MemoryBackend()
        self.nodes: dict[bytes, bytes] = {}
        root = self._commit(build_genesis(config).changes())
        self.head: Header = genesis_header(root)
        self.genesis_hash = header_hash(self.head)
        self.blocks: list[Block] = []
        self.receipts: tuple[Receipt, ...] = ()
        self.check()

    @property
    def state(self) -> State:
        """A fresh view of the head's state; writes to it are lost."""
        return State(self.backend)

    @property
    def number(self) -> int:
        return self.head.number

    def nonce(self, suri: str) -> int:
        return system.nonce(self.state, account(suri))

    def sign(
        self, suri: str, args: Record | Call, tip: int = 0, nonce: int | None = None, era: Era = IMMORTAL
    ) -> bytes:
        """The bytes of an extrinsic for the next block."""
        call = args if isinstance(args, Call) else build_call(args)
        used = self.nonce(suri) if nonce is None else nonce
        birth = era.birth(self.number + 1)
        era_hash = self.genesis_hash if era.period == 0 else self.hash_of(birth)
        return encode(sign_extrinsic(seed(suri), call, used, tip, era, self.genesis_hash, era_hash, 1))

    def hash_of(self, number: int) -> bytes:
        """The hash of a block of this chain; zeros for one that does not exist yet."""
        if number > self.number:
            return bytes(32)
        if number == 0:
            return self.genesis_hash
        return header_hash(self.blocks[number - 1].header)

    def start_block(self, author: str = "//Alice") -> Context:
        """Begin the next block by hand, its inherents applied; finish it with `finish_block`."""
        ctx = initialize_block(self.state, self.head, self.state_digest(author))
        for raw in self.build_inherents():
            apply_extrinsic(ctx, raw)
        return ctx

    def configure(self, config: dict[str, Any]) -> None:
        """Change the genesis file's content, for chains of another preset."""

    def state_digest(self, author: str) -> tuple[DigestItem, ...]:
        """What the next block's author states in its header."""
        return (Slot(self.number + 1, account(author)),)

    def build_inherents(self) -> tuple[bytes, ...]:
        """The first items of the next block's body."""
        return build_inherents((self.number + 1) * 1000)

    def finish_block(self, ctx: Context, author: str = "//Alice") -> tuple[Receipt, ...]:
        """End a block, replay it on a copy as an importer would, commit it, and run every pallet's check."""
        receipts = finalize_block(ctx)
        changes = ctx.state.changes()
        digest = (*self.state_digest(author), *ctx.logs)
        parent, hash_of_parent = self.head, header_hash(self.head)
        draft = Header(hash_of_parent, ctx.number, bytes(32), extrinsics_root(ctx.body), digest)
        replay = BlockExecution(self.state, parent, Block(draft, tuple(ctx.body)))
        while replay.step():
            pass
        assert replay.context.state.changes() == changes, "an importer reached another state than the author"
        assert replay.receipts == receipts, "an importer reached other receipts than the author"
        root = self._commit(changes)
        self.head = Header(hash_of_parent, ctx.number, root, draft.extrinsics_root, digest)
        self.blocks.append(Block(self.head, tuple(ctx.body)))
        self.receipts = receipts
        self.check()
        return receipts

    def author(self, *extrinsics: tuple[str, Record] | bytes) -> list[Receipt]:
        """Make one block of (suri, argument record) pairs or signed bytes; returns their receipts."""
        ctx = self.start_block()
        first, nonces = len(ctx.body), dict[str, int]()
        for extrinsic in extrinsics:
            if isinstance(extrinsic, bytes):
                apply_extrinsic(ctx, extrinsic)
                continue
            suri, args = extrinsic
            used = nonces.get(suri, self.nonce(suri))
            nonces[suri] = used + 1
            apply_extrinsic(ctx, self.sign(suri, args, nonce=used))
        return list(self.finish_block(ctx)[first:])

    def submit(self, suri: str, args: Record) -> Receipt:
        """A block with one extrinsic, which must succeed."""
        (receipt,) = self.author((suri, args))
        assert receipt.ok, receipt.error
        return receipt

    def reject(self, suri: str, args: Record, code: str) -> Receipt:
        """A block with one extrinsic, which must fail with that code and change nothing but fee, nonce and events."""
        before = dict(self.backend.entries)
        hooks = self._changes_of_empty_block()
        (receipt,) = self.author((suri, args))
        assert not receipt.ok, "the call succeeded"
        assert receipt.error.code == code, receipt.error
        assert_only_fee_and_nonce_changed(before, self.backend.entries, account(suri), receipt.fee, hooks)
        return receipt

    def refuse(self, raw: bytes, code: str, in_pool: bool = True) -> None:
        """The next block, and unless told otherwise the pool, refuse the bytes with that code and write nothing."""
        ctx = self.start_block()
        before = (ctx.state.changes(), list(ctx.events), len(ctx.body), ctx.fees, ctx.weight)
        with pytest.raises(InvalidExtrinsic) as caught:
            apply_extrinsic(ctx, raw)
        assert caught.value.code == code, caught.value
        assert (ctx.state.changes(), ctx.events, len(ctx.body), ctx.fees, ctx.weight) == before
        if in_pool:
            with pytest.raises(InvalidExtrinsic) as caught:
                validate_extrinsic(self.state, self.head, raw)
            assert caught.value.code == code, caught.value

    def _changes_of_empty_block(self) -> set[bytes]:
        """Keys that the hooks of the next block write even when its body is empty."""
        ctx = self.start_block()
        finalize_block(ctx)
        return set(ctx.state.changes())

    def skip(self, blocks: int) -> None:
        """Make empty blocks."""
        for _ in range(blocks):
            self.author()

    def events(self, kind: type[R] | None = None) -> list[Any]:
        """The event records of the head block, all or those of one class."""
        records = [registry.decode_event(event) for event in system.EVENTS.get(self.state)]
        return [record for record in records if kind is None or isinstance(record, kind)]

    def check(self) -> None:
        """Every pallet's invariants; that storage decodes as declared; and that nobody wrote outside a declaration."""
        state, known = self.state, dict[bytes, Any]()
        for pallet in registry.PALLETS:
            for checker in pallet.checks:
                checker(state)
            for descriptor in pallet.storage.values():
                known[descriptor.prefix if isinstance(descriptor, Map) else descriptor.key] = descriptor
        for key, data in self.backend.entries.items():
            descriptor = known[key[:16]]
            if isinstance(descriptor, Map):
                assert descriptor.key(descriptor.decode_key(key)) == key
                descriptor.decode_value(data)
            else:
                decode(data, descriptor.kind)

    def _commit(self, changes: dict[bytes, bytes | None]) -> bytes:
        self.backend.apply(changes)
        tree = merkle.update(self.nodes.get, changes)
        for path, node in tree.nodes.items():
            if node is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = node
        return tree.root
