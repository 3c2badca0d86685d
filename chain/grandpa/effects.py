"""What a voter asks its node to do. The node carries effects out in the order given.

`RecordGrounds` and `RecordVote` must be on the disk before any later effect leaves the node: a vote that was published
and then forgotten could be contradicted after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.grandpa.memory import Grounds
from chain.grandpa.messages import CatchUp, CatchUpRequest, Gossip, SignedProposal
from runtime.finality import Justification
from runtime.pallets.offences import VoteEquivocation
from runtime.votes import SignedVote


@dataclass(frozen=True, slots=True)
class RecordVote:
    """Write what this voter has just signed, with sync; give it back after a restart."""

    signed: SignedVote | SignedProposal


@dataclass(frozen=True, slots=True)
class RecordGrounds:
    """Write what the next vote of this voter rests on, with sync, in place of what was written before.

    Own votes recorded for rounds before ``grounds.completed.round`` may be deleted.
    """

    grounds: Grounds


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Publish a message of this voter."""

    message: Gossip


@dataclass(frozen=True, slots=True)
class Relay:
    """The message just received was valid and new: let gossip pass it on."""

    message: Gossip


@dataclass(frozen=True, slots=True)
class Penalize:
    """No honest peer sends or relays what was just received: score its sender, do not relay."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finalize:
    """The block and its ancestors are final. Store the justification when the block ends the authority set."""

    hash: bytes
    number: int
    justification: Justification


@dataclass(frozen=True, slots=True)
class RequestCatchUp:
    """Ask a peer, each time another one."""

    request: CatchUpRequest


@dataclass(frozen=True, slots=True)
class SendCatchUp:
    """Part of the answer to the peer that asked: a round's votes. Rounds are sent in their order."""

    catch_up: CatchUp


@dataclass(frozen=True, slots=True)
class NeedBlock:
    """Somebody voted for a block that this node does not have. Fetch it; repeated until it is there."""

    hash: bytes
    number: int


@dataclass(frozen=True, slots=True)
class ReportEquivocation:
    """Somebody voted twice in a stage: report it to the chain (`runtime.pallets.offences`)."""

    evidence: VoteEquivocation


@dataclass(frozen=True, slots=True)
class FinalityFault:
    """A valid justification conflicts with the finalized chain: a third of the weight is Byzantine. Stop and call
    people; nothing that a program does can repair it."""

    justification: Justification
    finalized: bytes


Effect = (
    RecordVote
    | RecordGrounds
    | Broadcast
    | Relay
    | Penalize
    | Finalize
    | RequestCatchUp
    | SendCatchUp
    | NeedBlock
    | ReportEquivocation
    | FinalityFault
)
