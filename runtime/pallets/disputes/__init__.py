"""Disputes: the referee of the dispute game (`runtime.dispute`), its clocks, and what it costs to lose.

A *challenger* opens a dispute about one segment of a proof and puts up a *bond*; the solver is the *defender*. They
play moves in turn. Each has a *clock*: a budget of finalized blocks, which grows for both whenever a root is due that
takes a replay. An empty clock loses. A challenger who wins voids the proof, and every other dispute about it ends with
its bond returned; one who loses pays the bond to the defender, and clears nothing for anybody else.

A *demand* makes a solver place a state that it withholds, or lose as by silence.

`storage` is what is kept, `lines` lists what is open and `claimants` who is rewarded; `opening` is how people begin a
dispute, `calls` how they play it, `clocks` keeps time, `outcome` says how disputes end, and `demands` what becomes of
withheld states.
"""

from runtime.pallets.disputes.calls import Play, is_turn_of
from runtime.pallets.disputes.demands import DemandState, PlaceState, process_demands
from runtime.pallets.disputes.lines import walk
from runtime.pallets.disputes.opening import Commit, Open, Reveal, commitment_of, process_commitments, start
from runtime.pallets.disputes.outcome import OWNERS, cancel, process_timeouts, require_open
from runtime.pallets.disputes.storage import (
    CANCELLED,
    CHALLENGER_WON,
    COMMITMENTS,
    DEFENDER_WON,
    DEMANDS,
    DISPUTES,
    GAMES,
    LINES,
    LINKS,
    MOVES,
    NEXT,
    NEXT_COMMITMENT,
    OPEN,
    PALLET,
    PROOF,
    VERDICTS,
    WITNESS,
    Commitment,
    CommitmentEnded,
    CommitmentMade,
    Demand,
    DemandKey,
    Dispute,
    DisputeCancelled,
    DisputeDecided,
    DisputeOpened,
    Line,
    Link,
    LoggedMove,
    MovePlayed,
    bond_reason,
    commitment_reason,
    parameters,
)

__all__ = [
    "CANCELLED",
    "CHALLENGER_WON",
    "COMMITMENTS",
    "DEFENDER_WON",
    "DEMANDS",
    "DISPUTES",
    "GAMES",
    "LINES",
    "LINKS",
    "MOVES",
    "NEXT",
    "NEXT_COMMITMENT",
    "OPEN",
    "OWNERS",
    "PALLET",
    "PROOF",
    "VERDICTS",
    "WITNESS",
    "Commit",
    "Commitment",
    "CommitmentEnded",
    "CommitmentMade",
    "Demand",
    "DemandKey",
    "DemandState",
    "Dispute",
    "DisputeCancelled",
    "DisputeDecided",
    "DisputeOpened",
    "Line",
    "Link",
    "LoggedMove",
    "MovePlayed",
    "Open",
    "PlaceState",
    "Play",
    "Reveal",
    "bond_reason",
    "cancel",
    "commitment_of",
    "commitment_reason",
    "is_turn_of",
    "parameters",
    "process_commitments",
    "process_demands",
    "process_timeouts",
    "require_open",
    "start",
    "walk",
]
