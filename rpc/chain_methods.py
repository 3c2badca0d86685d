"""``chain_*``: blocks, headers, and what became of their extrinsics."""

from __future__ import annotations

from functools import lru_cache

from rpc.answers.chain import BlockBodyJson, BlockEventsJson, HeaderJson, SignedBlockJson
from rpc.answers.words import HashJson, ObjectJson
from rpc.encoding import encoded
from rpc.errors import UnknownBlock
from rpc.kinds import HASH, MAX_PAGE, NUMBER, one_or_many, optional
from rpc.render import hex_of, render_call, render_header, render_outcome
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.block import Block

TABLE = MethodTable()
CACHED_BYTES = 256 * 1024
"""Longest body of which the answer is remembered: many ask for the newest block."""


@TABLE.method("chain_getBlock", hash=optional(HASH))
def get_block(node: NodeView, hash: bytes | None) -> SignedBlockJson | None:
    """A block by its hash, the best one without; null when it is unknown. ``extrinsics`` are the encoded body items,
    ``calls`` the same decoded."""
    hash_ = hash or node.ledger.head
    block = node.ledger.block(hash_)
    if block is None and node.ledger.header(hash_) is not None:
        raise UnknownBlock(_explain_absence(node, hash_))
    if block is None:
        return None
    return {
        "block": _render_cached(block) if sum(map(len, block.body)) <= CACHED_BYTES else render_block(block),
        "justifications": _justifications(node, block.header.number, hash or node.ledger.head),
    }


def render_block(block: Block) -> BlockBodyJson:
    """A block as it was encoded and as it reads."""
    return {
        "header": render_header(block.header),
        "extrinsics": [hex_of(raw) for raw in block.body],
        "calls": [render_call(raw) for raw in block.body],
    }


@lru_cache(maxsize=16)
def _render_cached(block: Block) -> BlockBodyJson:
    return encoded(render_block(block))


def _justifications(node: NodeView, number: int, hash_: bytes) -> list[list[str]] | None:
    """What is kept that makes this very block final."""
    kept = node.ledger.store.justification(number) if node.ledger.hash_at(number) == hash_ else None
    return None if kept is None else [["GRANDPA", hex_of(kept)]]


@TABLE.method("chain_getGenesis")
def get_genesis(node: NodeView) -> ObjectJson:
    """The genesis configuration. What it says of the first state can be checked against the genesis hash, because that
    follows from it (`runtime.genesis`)."""
    return node.genesis


@TABLE.method("chain_getBlockHash", number=optional(one_or_many(NUMBER, MAX_PAGE)))
def get_block_hash(node: NodeView, number: int | list[int] | None) -> HashJson | list[HashJson | None] | None:
    """The hash of the block of that height on the best chain, null when there is none; a list for a list of heights;
    the best block's without a height."""
    if number is None:
        return hex_of(node.ledger.head)
    if isinstance(number, list):
        return [_hash_of(node, one) for one in number]
    return _hash_of(node, number)


def _hash_of(node: NodeView, number: int) -> str | None:
    hash_ = node.ledger.hash_at(number)
    oldest = node.ledger.store.oldest_block()
    if hash_ is None and number < oldest:
        raise UnknownBlock(f"block {number} is not kept here: this node has blocks from {oldest} on")
    return None if hash_ is None else hex_of(hash_)


@TABLE.method("chain_getHeader", hash=optional(HASH))
def get_header(node: NodeView, hash: bytes | None) -> HeaderJson | None:
    """A header by its block's hash, the best one without; null when it is unknown."""
    header = node.ledger.header(hash or node.ledger.head)
    return None if header is None else render_header(header)


@TABLE.method("chain_getFinalizedHead")
def get_finalized_head(node: NodeView) -> HashJson:
    """The hash of the last finalized block."""
    return hex_of(node.ledger.finalized)


@TABLE.method("chain_getBlockEvents", hash=optional(HASH))
def get_block_events(node: NodeView, hash: bytes | None) -> BlockEventsJson:
    """Receipts and decoded events of a block, the best one without a hash."""
    hash_ = hash or node.ledger.head
    block, outcome = node.ledger.block(hash_), node.ledger.outcome(hash_)
    if block is None or outcome is None:
        raise UnknownBlock(_explain_absence(node, hash_))
    return {
        "hash": hex_of(hash_),
        "number": hex(block.header.number),
        **render_outcome(outcome, block.body),
    }


def _explain_absence(node: NodeView, hash_: bytes) -> str:
    header = node.ledger.header(hash_)
    if header is None:
        return f"block {hex_of(hash_)} is not known here"
    if node.ledger.block(hash_) is not None:
        return f"block {header.number} was downloaded after a warp and not executed, so its events are not known here"
    return f"the body of block {header.number} is not kept here"
