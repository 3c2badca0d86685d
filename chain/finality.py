"""Finality in a node: one GRANDPA voter per authority set, its memory on the disk, and its messages as bytes.

The voter itself (`chain.grandpa.voter`) knows neither disk nor peers nor the next authority set. Here its records
become one `Commit` that precedes everything else, its messages become gossip, and when the block that ends a set is
final a voter for the next set takes over, with the key of the ring that is in it. Votes, and what they rested on, live
in the database until then (`chain.vote_memory`).
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.db import Batch
from chain.effects import Commit, Effect, Publish, Punish
from chain.grandpa.effects import (
    Broadcast,
    FinalityFault,
    Finalize,
    NeedBlock,
    Penalize,
    RecordGrounds,
    RecordVote,
    Relay,
    ReportEquivocation,
    RequestCatchUp,
    SendCatchUp,
)
from chain.grandpa.effects import Effect as VoterEffect
from chain.grandpa.messages import CatchUpRequest, Gossip, SignedProposal, decode_catch_ups, decode_gossip
from chain.grandpa.voter import GrandpaVoter
from chain.keyring import KeyInUse, Keyring
from chain.ledger import Ledger
from chain.messages import VOTES, Votes, encode_message
from chain.slots import SlotClock
from chain.tree import LedgerTree
from chain.vote_memory import VoteMemory, forget_before
from runtime.codec import encode
from runtime.errors import CodecError
from runtime.finality import Justification, decode_justification
from runtime.pallets import session
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.votes import SignedVote

BAD_VOTE_POINTS = 50
MAX_RELAYED = 4096
REPEAT_SLOTS = 2
"""A repetition is relayed while its slot is no further than this from now."""


@dataclass(frozen=True, slots=True)
class FinalizeBlock:
    """The voters made this block final."""

    hash: bytes
    justification: bytes


@dataclass(frozen=True, slots=True)
class Outdated:
    """Somebody speaks of a later set, unchecked: the justification that ended this node's set may have got lost."""


@dataclass(frozen=True, slots=True)
class FinalityBroken:
    """Two conflicting blocks have valid justifications: more than a third of the stake is Byzantine."""

    reason: str


FinalityEffect = (
    Effect | FinalizeBlock | Outdated | KeyInUse | FinalityBroken | NeedBlock | RequestCatchUp | ReportEquivocation
)
"""The last three are the voter's own, passed on."""


class Finality:
    """Mutable. Call `on_finalized` after each finalized block is committed: it starts the voter of a new set."""

    def __init__(
        self, ledger: Ledger, clock: SlotClock, keys: Keyring, gossip_seconds: float = 1.0, is_silent: bool = False
    ) -> None:
        """The key in ``keys`` that is in the set votes, unless ``is_silent``; without one this node only follows."""
        self._ledger, self._clock, self._keys, self._gossip = ledger, clock, keys, gossip_seconds
        self._is_silent = is_silent
        self._tree = LedgerTree(ledger)
        self._relayed: dict[bytes, int] = {}
        """Hashes of messages that were valid -> the slot of the last repetition that was relayed."""
        self.set_id = -1
        self._start()

    def _start(self) -> None:
        """A voter for the set that the finalized block left in charge, with what it signed before a restart."""
        state = State(self._ledger.state_at(self._ledger.finalized))
        current = session.current(state)
        first = session.SESSIONS.get(state, current.set_first)
        base = self._ledger.store.hash_at(first.started if first is not None else 0)
        assert base is not None
        self.set_id = current.set_id
        authorities = session.authorities_of(session.MEMBERS.get(state))
        signer = self._keys.in_office(authorities)
        self._memory = VoteMemory(self._ledger.store.database, self.set_id, signer.public if signer else bytes(32))
        self._voter_key = b"" if signer is None or self._memory.is_over else signer.public
        self.voter = GrandpaVoter(
            self._tree,
            authorities,
            current.set_id,
            signer if self._voter_key else None,
            self._ledger.genesis_hash,
            base,
            self._ledger.finalized,
            self._memory.recall(),
            self._gossip,
            self._ledger.verify,
        )
        self.voter.rounds.is_silent = self._is_silent

    # --- events

    def wake_at(self, now: float) -> float:
        """When to call `on_time` next."""
        return self.voter.wake_at(now)

    def on_time(self, now: float) -> list[FinalityEffect]:
        """Time has passed."""
        return self._translate(self.voter.on_time(now), now)

    def on_best_block(self, now: float) -> list[FinalityEffect]:
        """Blocks were imported."""
        return self._translate(self.voter.on_best_block(self._ledger.head, self._ledger.head_number, now), now)

    def on_finalized(self, now: float) -> list[FinalityEffect]:
        """A block became final and is on the disk."""
        return self.restart(now) if self.voter.ended else []

    def speak(self, now: float) -> list[FinalityEffect]:
        """Vote from now on, after a time of listening."""
        self._is_silent = self.voter.rounds.is_silent = False
        return self.on_time(now)

    def restart(self, now: float) -> list[FinalityEffect]:
        """A voter for the set that is in charge now; what was signed in earlier sets is forgotten."""
        self._start()
        stale = forget_before(self._ledger.store.database, self.set_id)
        cleanup: list[FinalityEffect] = [Commit(stale)] if stale else []
        return _merge([*cleanup, *self.on_time(now)])

    def on_gossip(self, message: Votes, now: float) -> tuple[bool | None, list[FinalityEffect]]:
        """A gossiped message: whether to relay it (None: it is faulty), and what follows."""
        try:
            content = decode_gossip(message.data)
        except CodecError:
            return None, []
        if _set_of(content) > self.set_id:
            return False, [Outdated()]
        if isinstance(content, SignedVote):
            effects = self.voter.on_vote(content, now)
        elif isinstance(content, SignedProposal):
            effects = self.voter.on_proposal(content, now)
        else:
            effects = self.voter.on_justification(content, now)
        if any(isinstance(effect, Penalize) for effect in effects):
            return None, self._translate(effects, now)
        is_new = any(isinstance(effect, Relay) for effect in effects)
        translated = self._translate(effects, now)
        if is_new and not isinstance(content, Justification) and content.voter == self._voter_key:
            # What this node signed itself is in the voter's view, and is no news.
            translated.append(KeyInUse(content.voter, f"a vote in set {self.set_id}"))
        return self._is_worth_relaying(message, is_new, now), translated

    def _is_worth_relaying(self, message: Votes, is_new: bool, now: float) -> bool:
        """What is new and valid goes on; so does its repetition, once per slot, for those who missed it."""
        hash_ = hash_tagged(b"solvent:relayed", message.data)
        before = self._relayed.get(hash_, -1)
        is_timely = abs(message.slot - self._clock.slot_at(now)) <= REPEAT_SLOTS
        if not (is_new or (before >= 0 and is_timely and message.slot > before)):
            return False
        self._relayed.pop(hash_, None)
        self._relayed[hash_] = message.slot
        if len(self._relayed) > MAX_RELAYED:
            del self._relayed[next(iter(self._relayed))]
        return True

    def on_justification(self, data: bytes, peer: str, now: float) -> list[FinalityEffect]:
        """A justification that a peer sent with a block, or when asked."""
        try:
            effects = self.voter.on_justification(decode_justification(data), now)
        except CodecError as error:
            return [Punish(peer, BAD_VOTE_POINTS, f"a malformed justification: {error}")]
        return self._translate(effects, now, peer)

    def on_catch_up_request(self, request: CatchUpRequest) -> bytes:
        """The answer to a peer that is behind; empty when there is nothing for it."""
        answers = [effect for effect in self.voter.on_catch_up_request(request) if isinstance(effect, SendCatchUp)]
        return encode(tuple(answer.catch_up for answer in answers)) if answers else b""

    def on_catch_up(self, data: bytes, peer: str, now: float) -> list[FinalityEffect]:
        """A peer's answer to a catch-up request."""
        try:
            catch_ups = decode_catch_ups(data)
        except CodecError as error:
            return [Punish(peer, BAD_VOTE_POINTS, f"a malformed catch-up: {error}")]
        effects = [effect for catch_up in catch_ups for effect in self.voter.on_catch_up(catch_up, now)]
        return self._translate(effects, now, peer)

    # --- effects

    def _translate(self, effects: list[VoterEffect], now: float, peer: str = "") -> list[FinalityEffect]:
        """The voter's effects as the node's; everything that is recorded comes first, in one batch."""
        batch: Batch = {}
        translated: list[FinalityEffect] = []
        for effect in effects:
            match effect:
                case RecordVote(signed):
                    batch |= self._memory.record(signed)
                case RecordGrounds(grounds):
                    batch |= self._memory.record_grounds(grounds)
                case Broadcast(message):
                    votes = Votes(encode(message), self._clock.slot_at(now))
                    translated.append(Publish(VOTES, encode_message(votes)))
                case Penalize(reason):
                    translated += [Punish(peer, BAD_VOTE_POINTS, reason)] if peer else []
                case Finalize(hash_, _, justification):
                    translated.append(FinalizeBlock(hash_, encode(justification)))
                case FinalityFault(justification, finalized):
                    translated.append(FinalityBroken(_explain_fault(justification, finalized)))
                case NeedBlock() | RequestCatchUp() | ReportEquivocation():
                    translated.append(effect)
                case Relay() | SendCatchUp():
                    pass  # `on_gossip` and `on_catch_up_request` have looked at them
        return _merge([Commit(batch), *translated]) if batch else translated


def _set_of(content: Gossip) -> int:
    match content:
        case SignedVote(vote):
            return vote.set_id
        case SignedProposal(proposal):
            return proposal.set_id
        case Justification(set_id):
            return set_id


def _merge(effects: list[FinalityEffect]) -> list[FinalityEffect]:
    """All commits as one, in front."""
    batch: Batch = {}
    for effect in effects:
        if isinstance(effect, Commit):
            batch.update(effect.batch)
    rest = [effect for effect in effects if not isinstance(effect, Commit)]
    commits: list[FinalityEffect] = [Commit(batch)] if batch else []
    return commits + rest


def _explain_fault(justification: Justification, finalized: bytes) -> str:
    return (
        f"block {justification.target_number} 0x{justification.target_hash.hex()} has a valid justification, and "
        f"conflicts with the finalized block 0x{finalized.hex()}: at least a third of the stake voted for both. Stop "
        f"this node and agree with the other operators on which chain to keep"
    )
