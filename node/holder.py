"""A node that keeps blobs for others: it registers, fetches what it is asked for, signs, and answers challenges.

It looks at the chain after every block and does what its account owes. Nothing is remembered that the chain does not
know, so a restart costs nothing. It signs only for what lies on its own disk with the size that the placement names,
and what it signed for stays there, whatever room is needed, until the placement is released (`node.pins`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from node.blob_errors import BlobError
from node.blob_units import UNIT_BYTES, UNIT_CHUNKS, unit_length, unit_tree
from node.keystore import SeedSigner
from runtime.block import Call, mortal_era, sign_extrinsic
from runtime.codec import Record, encode
from runtime.commitments import CHUNK_BYTES, chunk_leaf
from runtime.errors import SolventError
from runtime.pallets import blobs, system
from runtime.pallets.blobs import ChallengeKey, Item, Seat
from runtime.trees import FAN_LEVELS, PADDING, depth_of, hash_pair

if TYPE_CHECKING:
    from node.base import BaseNode

ERA_BLOCKS = 64
AGAIN_BLOCKS = 8
"""A call that did not show its effect after so many blocks is sent again."""
FETCHES = 2
"""Blobs that are fetched for others at once; the node's users come first."""

logger = logging.getLogger("solvent.holder")


def chunk_proof(unit_roots: list[bytes], size: int, chunk: int, unit: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """A chunk of a blob and its path to the root, from the unit that holds it and the roots of all units."""
    start = chunk % UNIT_CHUNKS * CHUNK_BYTES
    level = [chunk_leaf(unit[at : at + CHUNK_BYTES]) for at in range(0, max(len(unit), 1), CHUNK_BYTES)]
    height = FAN_LEVELS if size > UNIT_BYTES else depth_of(len(level))
    path, index = [], chunk % UNIT_CHUNKS
    for below in range(height):
        if len(level) % 2:
            level.append(PADDING[below])
        path.append(level[index ^ 1])
        level = [hash_pair(level[at], level[at + 1]) for at in range(0, len(level), 2)]
        index >>= 1
    above = unit_tree(unit_roots).path(chunk // UNIT_CHUNKS) if size > UNIT_BYTES else ()
    return unit[start : start + CHUNK_BYTES], (*path, *above)


class BlobHolder:
    """The holder of one node. Mutable: it remembers what it sent and what it fetches."""

    def __init__(self, node: BaseNode, signer: SeedSigner, bond: int) -> None:
        self._node, self._signer, self._bond = node, signer, bond
        self._sent: dict[Record, int] = {}
        self._arriving: set[bytes] = set()

    async def run(self) -> None:
        """Do what is owed after every block, until cancelled."""
        heard = 0
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    self._look(nursery)
                except SolventError as error:
                    logger.warning("the holder cannot do what it owes: %s", error)
                heard = await self._node.bell.wait(heard)

    def _look(self, nursery: trio.Nursery) -> None:
        state, account = self._node.ledger.state(), self._signer.public
        if not blobs.is_on(state):
            return
        if blobs.HOLDERS.get(state, account) is None:
            self._send("register_holder", blobs.RegisterHolder(self._bond))
            return
        for name, placement in blobs.PLACEMENTS.items(state):
            if Seat(account, False) not in placement.seats:
                continue
            missing = [item for item in blobs.ITEMS.get(state, name) or () if not self._has(item)]
            for item in missing:
                if len(self._arriving) < FETCHES and item.root not in self._arriving:
                    self._arriving.add(item.root)
                    nursery.start_soon(self._fetch, item)
            if not missing:
                self._send("sign_receipt", blobs.SignReceipt(name))
        for key, _ in blobs.CHALLENGES.items(state):
            if key.holder == account:
                self._answer(key, (blobs.ITEMS.get(state, key.placement) or ())[key.item : key.item + 1])

    def _has(self, item: Item) -> bool:
        return self._node.blobs.size(item.root) == item.size

    async def _fetch(self, item: Item) -> None:
        """Let a blob come from a peer; a blob of another size than promised is not read to its end."""
        try:
            found = await self._node.find_blob(item.root)
            if found.size == item.size:
                async for _ in found.read(0, item.size):
                    pass
        except BlobError as error:
            logger.info("blob %s did not come: %s", item.root.hex(), error)
        finally:
            self._arriving.discard(item.root)

    def _answer(self, key: ChallengeKey, items: tuple[Item, ...]) -> None:
        store = self._node.blobs
        for item in items:
            if not self._has(item):
                logger.error("chunk %d of blob %s is asked for, and not here", key.chunk, item.root.hex())
                return
            roots = store.unit_roots(item.root)
            if roots is None:
                for _ in store.index(item.root):
                    pass
                roots = store.unit_roots(item.root) or []
            start = key.chunk // UNIT_CHUNKS * UNIT_BYTES
            unit = b"".join(store.read(item.root, start, start + unit_length(item.size, key.chunk // UNIT_CHUNKS)))
            data, path = chunk_proof(roots, item.size, key.chunk, unit)
            self._send("post_chunk", blobs.PostChunk(key.placement, key.item, key.chunk, data, path))

    def _send(self, call: str, args: Record) -> None:
        """Submit a call, unless it was sent a moment ago."""
        ledger, account = self._node.ledger, self._signer.public
        height = ledger.head_number
        self._sent = {sent: at for sent, at in self._sent.items() if height - at < AGAIN_BLOCKS}
        if args in self._sent:
            return
        self._sent[args] = height
        birth = ledger.finalized_number
        nonce = self._node.pool.next_nonce(account, system.nonce(ledger.state(), account))
        spec = system.RUNTIME_VERSION.get(ledger.state())
        era = mortal_era(ERA_BLOCKS, birth)
        born = ledger.hash_at(era.birth(birth)) or ledger.genesis_hash
        called = Call(blobs.PALLET.name, call, encode(args))
        raw = encode(sign_extrinsic(self._signer.seed, called, nonce, 0, era, ledger.genesis_hash, born, spec))
        self._node.submit(raw)
        logger.info("sent blobs.%s", call)
