"""How far the vote on finality is, in the shape of Substrate's ``grandpa_roundState``."""

from __future__ import annotations

from typing import Any

from chain.grandpa.round import Round
from chain.grandpa.view import View
from chain.grandpa.voter import GrandpaVoter
from runtime.crypto import to_ss58
from runtime.voters import VoterSet


def round_state(voter: GrandpaVoter, set_id: int) -> dict[str, Any]:
    """The round that the voter is in, and those beside it that it holds."""
    rounds = sorted(voter.rounds.held(), key=lambda held: held.number)
    best = [held for held in rounds if held.number == voter.round]
    others = [_round(held, voter.voters) for held in rounds if held.number != voter.round]
    return {"setId": set_id, "best": _round(best[0], voter.voters) if best else None, "background": others}


def _round(held: Round, voters: VoterSet) -> dict[str, Any]:
    return {
        "round": held.number,
        "totalWeight": voters.total,
        "thresholdWeight": voters.quorum,
        "prevotes": _stage(held.prevotes, voters),
        "precommits": _stage(held.precommits, voters),
    }


def _stage(view: View, voters: VoterSet) -> dict[str, Any]:
    missing = [to_ss58(each.key) for each in voters.authorities if not view.votes_of(each.key)]
    return {"currentWeight": view.voted, "missing": missing}
