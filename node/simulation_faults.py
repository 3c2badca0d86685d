"""What Byzantine validators send in place of what an honest node would: forged blocks, second votes, silence.

A `Traitor` stands between a node that follows the rules and the network. Its forgeries are sealed and signed with the
validator's own key, so they are as good as such a validator could make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from chain.grandpa.messages import decode_gossip
from chain.ledger import Ledger
from chain.messages import (
    BLOCK_RANGE,
    BLOCKS,
    VOTES,
    Announce,
    BlockData,
    BlockRequest,
    BlockResponse,
    FromHash,
    MalformedMessage,
    Votes,
    decode_message,
    encode_message,
)
from chain.views import ReadCache
from node.keystore import SeedSigner
from node.simulation_plan import Fault
from runtime import merkle
from runtime.block import Block, Header, Inherent, Seal, decode_extrinsic, extrinsics_root, header_hash, seal_message
from runtime.codec import encode, replace
from runtime.errors import InvalidExtrinsic
from runtime.executive import apply_extrinsic, finalize_block, initialize_block
from runtime.state import State
from runtime.votes import SignedVote, Vote, sign_vote

LYING_SHARE = 0.5
"""How much of what it could lie about a traitor lies about."""

Sending = tuple[str, bytes]
"""A peer, and what it is told."""


class Traitor:
    """Mutable. One Byzantine validator's mind."""

    def __init__(self, fault: Fault, signer: SeedSigner, random: Random) -> None:
        self.fault = fault
        self._signer, self._random = signer, random
        self._forged: dict[bytes, Block] = {}
        """Blocks that its own ledger does not have."""
        self.lies = 0

    def publish(self, ledger: Ledger, topic: str, data: bytes, peers: Sequence[str]) -> list[Sending] | None:
        """What to tell each peer instead of this message; None leaves it as it is."""
        if self._random.random() >= LYING_SHARE:
            return None
        sendings: list[Sending] | None = None
        if topic == BLOCKS and self.fault in (Fault.TWO_BLOCKS, Fault.INVALID_BLOCK, Fault.WRONG_STATE_ROOT):
            sendings = self._publish_block(ledger, decode_message(Announce, data).header, data, peers)
        elif topic == VOTES and self.fault is Fault.TWO_VOTES:
            sendings = self._publish_vote(ledger, decode_message(Votes, data), data, peers)
        elif self.fault is Fault.WITHHOLDING:
            sendings = []
        self.lies += sendings is not None
        return sendings

    def respond(self, protocol: str, data: bytes, answer: bytes | None) -> bytes | None:
        """The answer to a peer's request, in place of the honest one; None refuses."""
        if self.fault is Fault.WITHHOLDING and self._random.random() < LYING_SHARE:
            self.lies += 1
            return None
        if protocol == BLOCK_RANGE:
            try:
                request = decode_message(BlockRequest, data)
            except MalformedMessage:
                return answer
            if isinstance(request.start, FromHash) and request.start.hash in self._forged:
                block = self._forged[request.start.hash]
                return encode_message(BlockResponse((BlockData(block, b""),)))
        return answer

    def _publish_block(self, ledger: Ledger, header: Header, data: bytes, peers: Sequence[str]) -> list[Sending] | None:
        block = ledger.block(header_hash(header))
        if block is None:
            return None
        if self.fault is Fault.TWO_BLOCKS:
            forged = self._make_twin(ledger, block)
        elif self.fault is Fault.INVALID_BLOCK:
            forged = self._break_rules(ledger, block)
        else:
            forged = self._seal(ledger, replace(header, state_root=self._random.randbytes(32)), block.body)
        if forged is None:
            return None
        self._forged[header_hash(forged.header)] = forged
        other = encode_message(Announce(forged.header))
        if self.fault is Fault.TWO_BLOCKS:
            return [(peer, self._random.choice((data, other))) for peer in peers]
        return [(peer, other) for peer in peers]

    def _make_twin(self, ledger: Ledger, block: Block) -> Block | None:
        """A valid block of the same slot and parent, without some extrinsics; None when it has none to spare."""
        header, parent = block.header, ledger.header(block.header.parent)
        assert parent is not None
        view = ledger.state_at(header.parent)
        state = State(ReadCache(view))
        context = initialize_block(state, parent, header.digest[:2])
        for raw in block.body:
            if isinstance(decode_extrinsic(raw), Inherent) or self._random.random() < 0.5:
                try:
                    apply_extrinsic(context, raw)
                except InvalidExtrinsic:
                    continue
        finalize_block(context)
        body = tuple(context.body)
        if body == block.body:
            return None
        root = merkle.update(view.get_node, state.changes()).root
        digest = (*header.digest[:2], *context.logs, header.digest[-1])
        return self._seal(ledger, replace(header, state_root=root, digest=digest), body)

    def _break_rules(self, ledger: Ledger, block: Block) -> Block:
        """A block whose body no importer can execute, under a header that looks right."""
        body = list(block.body)
        match self._random.randrange(4):
            case 0:
                body.append(self._random.randbytes(20))
            case 1:
                body.append(body[-1])
            case 2:
                body.reverse()
            case _:
                body.clear()
        return self._seal(ledger, block.header, tuple(body))

    def _seal(self, ledger: Ledger, header: Header, body: tuple[bytes, ...]) -> Block:
        bare = replace(header, extrinsics_root=extrinsics_root(body), digest=header.digest[:-1])
        seal = Seal(self._signer.sign(seal_message(bare, ledger.genesis_hash)))
        return Block(replace(bare, digest=(*bare.digest, seal)), body)

    def _publish_vote(self, ledger: Ledger, votes: Votes, data: bytes, peers: Sequence[str]) -> list[Sending] | None:
        signed = decode_gossip(votes.data)
        if not isinstance(signed, SignedVote):
            return None
        target = ledger.header(signed.vote.target_hash)
        if target is None or target.number == 0:
            return None
        vote = Vote(signed.vote.stage, signed.vote.set_id, signed.vote.round, target.parent, target.number - 1)
        second = sign_vote(self._signer.seed, ledger.genesis_hash, vote)
        other = encode_message(Votes(encode(second), votes.slot))
        choices = ((data,), (other,), (data, other))
        return [(peer, message) for peer in peers for message in self._random.choice(choices)]
