"""``grandpa_*``: how far the vote on finality is, and proofs of what is final."""

from __future__ import annotations

from chain.messages import WarpRequest
from chain.serve import answer_warp
from rpc.answers.node import FinalityProofJson, RoundStateJson, StepsJson
from rpc.errors import UNAVAILABLE, RpcError
from rpc.kinds import NUMBER
from rpc.render import hex_of
from rpc.table import MethodTable
from rpc.view import NodeView
from runtime.codec import encode

TABLE = MethodTable()


@TABLE.method("grandpa_roundState")
def round_state(node: NodeView) -> RoundStateJson:
    """The rounds that this node follows: weights of the prevotes and precommits heard, and who has not voted yet."""
    state = node.round_state()
    if state is None:
        raise RpcError(UNAVAILABLE, "one author makes every block of this chain and each is final: nobody votes")
    return state


@TABLE.method("grandpa_proveFinality", number=NUMBER)
def prove_finality(node: NodeView, number: int) -> FinalityProofJson | None:
    """A justification that makes the block of that height final, as its own or a later block's. ``block`` is what the
    voters voted for, ``justification`` the encoded record; null when the block is not final or none is kept."""
    if number > node.ledger.finalized_number:
        return None
    found = node.ledger.store.next_justification(number)
    if found is None:
        return None
    height, justification = found
    hash_ = node.ledger.hash_at(height)
    assert hash_ is not None, "what makes a block final is kept with its header"
    return {"number": hex(height), "block": hex_of(hash_), "justification": hex_of(justification)}


@TABLE.method("grandpa_proveAuthorities", number=NUMBER)
def prove_authorities(node: NodeView, number: int) -> StepsJson:
    """The final blocks after a height that changed the set of voters, each with its justification, and then the latest
    block that this node has one for. From a set that one trusts they prove the present one (docs/following.md)."""
    answer = answer_warp(node.ledger, WarpRequest(number))
    return {
        "steps": [
            {"header": hex_of(encode(step.header)), "justification": hex_of(step.justification)}
            for step in answer.steps
        ],
        "complete": answer.complete,
    }
