"""Blocks, keys and trees for GRANDPA's tests: everything real but the signatures, which are hashes and fast."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from runtime.block import ZERO_HASH, Authority, Header, NextAuthorities, header_hash
from runtime.votes import SignedVote, Stage, Vote, vote_message

GENESIS_HASH = b"g" * 32


@dataclass(frozen=True)
class HashSigner:
    """Signs by hashing: anybody could forge it, but in these tests nobody does."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        return _signature(self.public, message)


@lru_cache(maxsize=1 << 16)
def _signature(public: bytes, message: bytes) -> bytes:
    return blake2b(public + message, digest_size=64).digest()


def verify_hash(public: bytes, signature: bytes, message: bytes) -> bool:
    return signature == _signature(public, message)


def key(index: int) -> bytes:
    return bytes([index + 1]) * 32


def authorities(*weights: int) -> tuple[Authority, ...]:
    return tuple(Authority(key(index), weight) for index, weight in enumerate(weights))


def vote(voter: int, stage: Stage, round_: int, target: bytes, number: int, set_id: int = 0) -> SignedVote:
    what = Vote(stage, set_id, round_, target, number)
    return SignedVote(what, key(voter), HashSigner(key(voter)).sign(vote_message(GENESIS_HASH, what)))


class Blocks:
    """All blocks of a world, with their whole chains. ``change_period``: every so many blocks the set changes."""

    def __init__(self, change_period: int = 0) -> None:
        genesis = Header(ZERO_HASH, 0, bytes(32), bytes(32), ())
        self.genesis = header_hash(genesis)
        self.headers = {self.genesis: genesis}
        self.chains: dict[bytes, tuple[bytes, ...]] = {self.genesis: (self.genesis,)}
        self.change_period = change_period

    def extend(self, parent: bytes, salt: int = 0) -> bytes:
        """A new block on ``parent``; another salt makes a sibling."""
        number = self.headers[parent].number + 1
        ends_set = self.change_period and number % self.change_period == 0
        digest = (NextAuthorities(number // self.change_period, ()),) if ends_set else ()
        header = Header(parent, number, salt.to_bytes(32, "big"), bytes(32), digest)
        block = header_hash(header)
        self.headers[block] = header
        self.chains[block] = (*self.chains[parent], block)
        return block

    def grow(self, parent: bytes, count: int, salt: int = 0) -> list[bytes]:
        """A chain of new blocks on ``parent``."""
        chain = []
        for _ in range(count):
            parent = self.extend(parent, salt)
            chain.append(parent)
        return chain

    def are_on_one_chain(self, left: bytes, right: bytes) -> bool:
        low, high = sorted((self.chains[left], self.chains[right]), key=len)
        return high[len(low) - 1] == low[-1]


class KnownTree:
    """The part of the blocks that one node has. A `BlockTree`; the best chain is the longest, then the lower hash."""

    def __init__(self, blocks: Blocks, known: set[bytes] | None = None) -> None:
        self.blocks = blocks
        self.known = {blocks.genesis} if known is None else known

    @classmethod
    def of_all(cls, blocks: Blocks) -> KnownTree:
        return cls(blocks, set(blocks.headers))

    def is_descendant(self, ancestor: bytes, hash: bytes) -> bool:
        if ancestor not in self.known or hash not in self.known:
            return False
        chain, number = self.blocks.chains[hash], self.blocks.headers[ancestor].number
        return number < len(chain) and chain[number] == ancestor

    def number_of(self, hash: bytes) -> int | None:
        return self.blocks.headers[hash].number if hash in self.known else None

    def parent_of(self, hash: bytes) -> bytes | None:
        if hash not in self.known or hash == self.blocks.genesis:
            return None
        return self.blocks.headers[hash].parent

    def header_of(self, hash: bytes) -> Header | None:
        return self.blocks.headers[hash] if hash in self.known else None

    def best_containing(self, hash: bytes) -> bytes:
        heads = [block for block in self.known if self.is_descendant(hash, block)]
        return min(heads, key=lambda block: (-len(self.blocks.chains[block]), block))

    def first_change(self, ancestor: bytes, hash: bytes) -> bytes | None:
        chain, period = self.blocks.chains[hash], self.blocks.change_period
        if not period or not self.is_descendant(ancestor, hash):
            return None
        number = (self.blocks.headers[ancestor].number // period + 1) * period
        return chain[number] if number < len(chain) else None
