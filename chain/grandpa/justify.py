"""Building a justification from the votes of a round, as small as it can be."""

from __future__ import annotations

from chain.grandpa.round import Round
from chain.grandpa.tree import BlockTree
from runtime.block import Header
from runtime.finality import MAX_ANCESTRY, Justification
from runtime.voters import VoterSet
from runtime.votes import SignedVote


def build_justification(round_: Round, target: bytes, voters: VoterSet, tree: BlockTree) -> Justification | None:
    """Precommits that show the target to be final; None when the headers to connect them are gone or too many.

    Voters closest above the target come first, so that usually no header is needed.
    """
    target_number = tree.number_of(target)
    if target_number is None:
        return None
    chosen: list[SignedVote] = []
    headers: dict[bytes, Header] = {}
    weight = 0
    for _, voter in sorted(_candidates(round_, target, target_number, tree)):
        if weight >= voters.quorum:
            break
        votes = round_.precommits.votes_of(voter)
        path = _headers_above(target, votes[0].vote.target_hash, tree) if len(votes) == 1 else {}
        if path is None or len(headers.keys() | path.keys()) > MAX_ANCESTRY:
            continue
        headers |= path
        chosen += votes
        weight += voters.weight(voter)
    if weight < voters.quorum:
        return None
    precommits = tuple(sorted(chosen, key=lambda signed: (signed.voter, signed.vote.target_hash)))
    ancestry = tuple(header for _, header in sorted(headers.items(), key=lambda item: (item[1].number, item[0])))
    return Justification(round_.set_id, round_.number, target, target_number, precommits, ancestry)


def _candidates(round_: Round, target: bytes, target_number: int, tree: BlockTree) -> set[tuple[int, bytes]]:
    """(blocks above the target, voter) of all who count for it; equivocators count without any header."""
    found = set()
    for signed in round_.precommits:
        if len(round_.precommits.votes_of(signed.voter)) == 2:
            found.add((0, signed.voter))
        elif tree.is_descendant(target, signed.vote.target_hash):
            found.add((signed.vote.target_number - target_number, signed.voter))
    return found


def _headers_above(target: bytes, block: bytes, tree: BlockTree) -> dict[bytes, Header] | None:
    """The headers from ``block`` down to the child of ``target``; None when one is missing or they are too many."""
    headers: dict[bytes, Header] = {}
    while block != target:
        header = tree.header_of(block)
        if header is None or len(headers) == MAX_ANCESTRY:
            return None
        headers[block] = header
        block = header.parent
    return headers
