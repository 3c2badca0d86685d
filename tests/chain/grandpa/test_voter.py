"""The voter, message by message: what it signs, when, what it refuses to sign, and what it makes of odd messages."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from chain.grandpa import effects as fx
from chain.grandpa.memory import Memory
from chain.grandpa.messages import CatchUp, CatchUpRequest, Proposal, SignedProposal, proposal_message
from chain.grandpa.rounds import Rounds
from chain.grandpa.voter import GrandpaVoter
from runtime.codec import replace
from runtime.finality import Justification
from runtime.votes import SignedVote
from tests.chain.grandpa.simulation import forget_the_lock
from tests.chain.grandpa.world import GENESIS_HASH, Blocks, HashSigner, KnownTree, authorities, key, verify_hash, vote


@dataclass
class Seat:
    """One voter of four, the messages it published, and what it recorded."""

    index: int | None
    tree: KnownTree
    weights: tuple[int, ...] = (1, 1, 1, 1)
    now: float = 0.0
    effects: list[fx.Effect] = field(default_factory=list)
    memory: Memory | None = None

    def __post_init__(self) -> None:
        signer = None if self.index is None else HashSigner(key(self.index))
        base = self.tree.blocks.genesis
        self.voter = GrandpaVoter(
            self.tree, authorities(*self.weights), 0, signer, GENESIS_HASH, base, None, self.memory, 1.0, verify_hash
        )
        self.wait(0)

    def wait(self, seconds: float) -> list[fx.Effect]:
        """Let time pass, waking when the voter wants to."""
        until, effects = self.now + seconds, self.voter.on_time(self.now)
        while (wake := self.voter.wake_at(self.now)) <= until:
            self.now = wake
            effects += self.voter.on_time(self.now)
        self.now = until
        self.effects += effects
        return effects

    def hear(self, *messages: SignedVote | SignedProposal | Justification | CatchUp) -> list[fx.Effect]:
        """Receive messages from anybody."""
        effects: list[fx.Effect] = []
        for message in messages:
            if isinstance(message, SignedVote):
                effects += self.voter.on_vote(message, self.now)
            elif isinstance(message, SignedProposal):
                effects += self.voter.on_proposal(message, self.now)
            elif isinstance(message, Justification):
                effects += self.voter.on_justification(message, self.now)
            else:
                effects += self.voter.on_catch_up(message, self.now)
        self.effects += effects
        return effects

    def votes(self, stage: str, round_: int) -> set[bytes]:
        """The targets of this voter's own votes in one place."""
        own = [effect.signed for effect in self.effects if isinstance(effect, fx.RecordVote)]
        votes = [signed.vote for signed in own if isinstance(signed, SignedVote)]
        return {vote.target_hash for vote in votes if (vote.stage, vote.round) == (stage, round_)}

    def finalized(self) -> list[bytes]:
        return [effect.hash for effect in self.effects if isinstance(effect, fx.Finalize)]


def only(kind: type, effects: list[fx.Effect]) -> list[fx.Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def votes_of(voters: tuple[int, ...], stage: str, round_: int, block: bytes, number: int) -> list[SignedVote]:
    return [vote(voter, "prevote" if stage == "prevote" else "precommit", round_, block, number) for voter in voters]


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


def test_a_lone_voter_finalizes_the_best_chain_by_itself(blocks: Blocks) -> None:
    head = blocks.grow(blocks.genesis, 3)[-1]
    seat = Seat(0, KnownTree.of_all(blocks), (1,))
    effects = seat.wait(2.5)
    assert seat.finalized() == [head]
    assert [effect.message for effect in effects if isinstance(effect, fx.Broadcast)][-1] == only(fx.Finalize, effects)[
        0
    ].justification  # type: ignore[attr-defined]
    seat.wait(100)
    assert seat.finalized() == [head]
    assert 30 < seat.voter.round < 60


def test_a_round_of_four_goes_by_the_rules(blocks: Blocks) -> None:
    head = blocks.grow(blocks.genesis, 2)[-1]
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.wait(1.9)
    assert seat.votes("prevote", 1) == set()
    seat.wait(0.2)
    assert seat.votes("prevote", 1) == {head}
    seat.hear(*votes_of((1,), "prevote", 1, head, 2))
    assert seat.votes("precommit", 1) == set()
    seat.hear(*votes_of((2,), "prevote", 1, head, 2))
    assert seat.votes("precommit", 1) == {head}
    seat.hear(*votes_of((1,), "precommit", 1, head, 2))
    assert seat.finalized() == []
    seat.hear(*votes_of((3,), "precommit", 1, head, 2))
    assert seat.finalized() == [head]
    assert seat.voter.round == 2
    (recorded,) = only(fx.RecordGrounds, seat.wait(2.1))
    assert isinstance(recorded, fx.RecordGrounds)
    assert len(recorded.grounds.completed.precommits) == 3


def test_every_vote_is_recorded_before_it_is_published(blocks: Blocks) -> None:
    blocks.grow(blocks.genesis, 2)
    seat = Seat(0, KnownTree.of_all(blocks), (1,))
    seat.wait(20)
    recorded: list[object] = []
    for effect in seat.effects:
        if isinstance(effect, fx.RecordVote):
            assert effect.signed not in recorded
            recorded.append(effect.signed)
        elif isinstance(effect, fx.Broadcast) and isinstance(effect.message, SignedVote):
            assert effect.message in recorded
    assert recorded


def test_an_observer_finalizes_and_signs_nothing(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    seat = Seat(None, KnownTree.of_all(blocks))
    seat.hear(*votes_of((0, 1, 2), "prevote", 1, head, 1), *votes_of((0, 1, 2), "precommit", 1, head, 1))
    seat.wait(20)
    assert seat.finalized() == [head]
    assert (
        not only(fx.Broadcast, seat.effects) + only(fx.RecordVote, seat.effects) + only(fx.RecordGrounds, seat.effects)
    )


def test_without_the_lock_the_example_of_the_adr_finalizes_two_forks(
    blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds, "lock", forget_the_lock)
    first, second = tell_the_example(blocks)
    assert not blocks.are_on_one_chain(first[0], second[0])


def test_the_lock_keeps_the_example_of_the_adr_on_one_fork(blocks: Blocks) -> None:
    first, second = tell_the_example(blocks)
    assert len(first) == 1
    assert second == []


def tell_the_example(blocks: Blocks) -> tuple[list[bytes], list[bytes]]:
    """Three honest voters and the Byzantine voter 3, who sides with X before voter 0 and with Y before the others.

    The precommit of voter 0 is lost on its way to the others, so that only voter 0 sees that X is final. Returns what
    voters 0 and 1 finalized.
    """
    x = blocks.extend(blocks.genesis, 1)
    alice, bob, charlie = (Seat(index, KnownTree(blocks, {blocks.genesis, x})) for index in range(3))
    for seat in (alice, bob, charlie):
        seat.wait(2.1)
        assert seat.votes("prevote", 1) == {x}
        seat.hear(*votes_of((0, 1, 2), "prevote", 1, x, 1))
        assert seat.votes("precommit", 1) == {x}
    alice.hear(*votes_of((1, 3), "precommit", 1, x, 1))
    assert alice.finalized() == [x]
    y = blocks.grow(blocks.genesis, 3, salt=2)
    lie = vote(3, "precommit", 1, y[0], 1)
    for seat in (bob, charlie):
        seat.tree.known.update(y)
        seat.hear(*votes_of((1, 2), "precommit", 1, x, 1), lie)
        assert seat.voter.round == 2
        assert seat.finalized() == []
        seat.wait(2.1)
    mine = bob.votes("prevote", 2) | charlie.votes("prevote", 2)
    assert len(mine) == 1
    for seat in (bob, charlie):
        seat.hear(*votes_of((1, 2), "prevote", 2, *numbered(blocks, mine)), vote(3, "prevote", 2, y[-1], 3))
        seat.wait(2.1)
    bob.hear(*[vote(2, "precommit", 2, *numbered(blocks, {target})) for target in charlie.votes("precommit", 2)])
    bob.hear(vote(3, "precommit", 2, y[-1], 3))
    return alice.finalized(), bob.finalized()


def numbered(blocks: Blocks, targets: set[bytes]) -> tuple[bytes, int]:
    (target,) = targets
    return target, blocks.headers[target].number


def test_a_restarted_voter_repeats_its_votes_and_signs_no_others(blocks: Blocks) -> None:
    old = blocks.extend(blocks.genesis, 1)
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.wait(2.1)
    (recorded,) = only(fx.RecordVote, seat.effects)
    assert isinstance(recorded, fx.RecordVote)
    tree = KnownTree(blocks, {blocks.genesis, old, *blocks.grow(blocks.genesis, 3, salt=2)})
    again = Seat(0, tree, memory=Memory(None, (recorded.signed,)))
    again.wait(3)
    assert fx.Broadcast(recorded.signed) in again.effects
    assert again.votes("prevote", 1) == set()
    again.hear(*votes_of((1, 2), "prevote", 1, old, 1))
    assert again.votes("precommit", 1) == {old}


def test_a_restart_between_rounds_keeps_the_lock(blocks: Blocks) -> None:
    x = blocks.extend(blocks.genesis, 1)
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.wait(2.1)
    seat.hear(*votes_of((1, 2), "prevote", 1, x, 1))
    seat.hear(vote(1, "precommit", 1, x, 1), vote(3, "precommit", 1, blocks.genesis, 0))
    assert seat.voter.round == 2
    assert seat.finalized() == []
    seat.wait(2.1)
    assert seat.votes("prevote", 2) == {x}
    tree = KnownTree(blocks, {blocks.genesis, x, *blocks.grow(blocks.genesis, 4, salt=2)})
    again = Seat(0, tree, memory=recall(seat))
    assert again.voter.round == 2
    again.hear(*votes_of((1, 2, 3), "prevote", 2, blocks.genesis, 0))
    again.wait(20)
    assert again.votes("precommit", 2) == set()


def recall(seat: Seat) -> Memory:
    """What is on the disk of a seat that crashes now."""
    grounds = [effect.grounds for effect in seat.effects if isinstance(effect, fx.RecordGrounds)]
    signed = [effect.signed for effect in seat.effects if isinstance(effect, fx.RecordVote)]
    return Memory(grounds[-1] if grounds else None, tuple(signed))


def test_prevotes_behind_a_precommit_survive_a_crash_and_reach_the_others(blocks: Blocks) -> None:
    low, high = blocks.grow(blocks.genesis, 2)
    seat, other = Seat(0, KnownTree.of_all(blocks)), Seat(1, KnownTree.of_all(blocks))
    for one in (seat, other):
        one.wait(2.1)
        one.hear(vote(1, "prevote", 1, high, 2), vote(2, "prevote", 1, low, 1), vote(0, "prevote", 1, high, 2))
    seat.hear(vote(3, "prevote", 1, high, 2))
    assert seat.votes("precommit", 1) == {high}
    other.wait(2)
    assert other.votes("precommit", 1) == {low}
    other.hear(*votes_of((0,), "precommit", 1, high, 2), *votes_of((2,), "precommit", 1, low, 1))
    assert other.voter.round == 1
    again = Seat(0, KnownTree.of_all(blocks), memory=recall(seat))
    request = next(effect.request for effect in other.wait(20) if isinstance(effect, fx.RequestCatchUp))
    assert other.voter.round == 1
    for effect in again.voter.on_catch_up_request(request):
        assert isinstance(effect, fx.SendCatchUp)
        other.hear(effect.catch_up)
    assert other.voter.round == 2
    assert other.finalized() == [low]


def test_old_votes_that_lowered_the_lock_survive_a_crash(blocks: Blocks) -> None:
    x = blocks.extend(blocks.genesis, 1)
    y = blocks.grow(blocks.genesis, 3, salt=2)
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.hear(*votes_of((1, 2, 3), "prevote", 1, x, 1), *votes_of((1,), "precommit", 1, x, 1))
    seat.hear(*votes_of((2, 3), "precommit", 1, blocks.genesis, 0))
    assert seat.voter.round == 2
    seat.hear(vote(0, "precommit", 1, blocks.genesis, 0))
    seat.wait(2.1)
    assert seat.votes("prevote", 2) == {y[-1]}
    again = Seat(0, KnownTree.of_all(blocks), memory=recall(seat))
    again.hear(*votes_of((1, 2), "prevote", 2, y[-1], 3))
    assert again.votes("precommit", 2) == {y[-1]}


def test_a_lock_outlives_the_fork_that_its_votes_were_for(blocks: Blocks) -> None:
    x, y = blocks.extend(blocks.genesis, 1), blocks.extend(blocks.genesis, 2)
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.hear(*votes_of((1, 2, 3), "prevote", 1, x, 1))
    seat.hear(vote(1, "precommit", 1, x, 1), vote(3, "precommit", 1, y, 1))
    seat.wait(2.1)
    assert seat.voter.round == 2
    seat.wait(2.1)
    again = Seat(0, KnownTree(blocks, {blocks.genesis, x}), memory=recall(seat))
    again.hear(*votes_of((1, 2), "prevote", 2, x, 1))
    assert again.votes("precommit", 2) == {x}


def test_a_restart_without_the_round_before_signs_nothing_until_it_has_caught_up(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    mine = vote(0, "prevote", 7, head, 1)
    seat = Seat(0, KnownTree.of_all(blocks), memory=Memory(None, (mine,)))
    assert seat.voter.round == 7
    seat.hear(*votes_of((1, 2), "prevote", 7, head, 1))
    seat.wait(20)
    assert not only(fx.RecordVote, seat.effects)
    votes = [tuple(votes_of((1, 2, 3), stage, 6, head, 1)) for stage in ("prevote", "precommit")]
    seat.hear(*votes[0], *votes[1])
    assert seat.votes("precommit", 7) == {head}


def test_a_vote_of_its_own_key_from_elsewhere_is_not_contradicted(blocks: Blocks) -> None:
    x, y = blocks.extend(blocks.genesis, 1), blocks.extend(blocks.genesis, 2)
    seat = Seat(0, KnownTree.of_all(blocks))
    for target in (x, y):
        other = seat.hear(vote(0, "prevote", 1, target, 1))
        assert isinstance(other[0], fx.RecordVote if target == x else fx.ReportEquivocation)
    seat.wait(3)
    assert seat.votes("prevote", 1) == {x}


def propose(voter: int, round_: int, block: bytes, number: int) -> SignedProposal:
    proposal = Proposal(0, round_, block, number)
    return SignedProposal(proposal, key(voter), HashSigner(key(voter)).sign(proposal_message(GENESIS_HASH, proposal)))


def undecided_first_round(blocks: Blocks, seat: Seat) -> tuple[bytes, bytes, bytes]:
    """Bring a seat into round 2 with the ghost X2 and the estimate X1; Y is the longest chain above X1."""
    x1, x2 = blocks.grow(blocks.genesis, 2, salt=1)
    y = blocks.grow(x1, 4, salt=2)[-1]
    seat.tree.known.update(blocks.headers)
    seat.hear(*votes_of((1, 2, 3), "prevote", 1, x2, 2), *votes_of((1, 2, 3), "precommit", 1, x1, 1))
    assert seat.voter.round == 2
    return x1, x2, y


def test_a_primarys_proposal_between_estimate_and_ghost_is_followed(blocks: Blocks) -> None:
    seat = Seat(0, KnownTree(blocks))
    _, x2, _ = undecided_first_round(blocks, seat)
    assert fx.Relay(propose(2, 2, x2, 2)) in seat.hear(propose(2, 2, x2, 2))
    seat.wait(2.1)
    assert seat.votes("prevote", 2) == {x2}


def test_a_proposal_elsewhere_is_not_followed(blocks: Blocks) -> None:
    seat = Seat(0, KnownTree(blocks))
    _, x2, y = undecided_first_round(blocks, seat)
    assert only(fx.Penalize, seat.hear(propose(1, 2, x2, 2)))
    assert only(fx.Penalize, seat.hear(replace(propose(2, 2, x2, 2), signature=bytes(64))))
    assert seat.hear(propose(2, 9, x2, 2)) == []
    seat.hear(propose(2, 2, blocks.extend(blocks.genesis, 7), 1))
    seat.wait(2.1)
    assert seat.votes("prevote", 2) == {y}


def test_the_primary_proposes_its_estimate_while_that_is_not_final(blocks: Blocks) -> None:
    seat = Seat(2, KnownTree(blocks))
    x1, x2 = blocks.grow(blocks.genesis, 2, salt=1)
    seat.tree.known.update(blocks.headers)
    seat.wait(2.1)
    seat.hear(*votes_of((1, 3), "prevote", 1, x2, 2), vote(1, "precommit", 1, x1, 1), vote(3, "precommit", 1, x2, 2))
    assert seat.voter.round == 2
    assert seat.voter.finalized == x1
    proposals = [effect.message for effect in seat.effects if isinstance(effect, fx.Broadcast)]
    assert propose(2, 2, x2, 2) in proposals


def test_votes_for_unknown_blocks_are_asked_for_and_counted_later(blocks: Blocks) -> None:
    head = blocks.grow(blocks.genesis, 2)[-1]
    seat = Seat(0, KnownTree(blocks))
    assert fx.NeedBlock(head, 2) in seat.hear(vote(1, "prevote", 1, head, 2))
    seat.hear(*votes_of((2, 3), "prevote", 1, head, 2), *votes_of((1, 2, 3), "precommit", 1, head, 2))
    assert fx.NeedBlock(head, 2) in seat.wait(9)
    assert seat.finalized() == []
    seat.tree.known.update(blocks.headers)
    seat.effects += seat.voter.on_best_block(head, 2, seat.now)
    assert seat.finalized() == [head]


def test_what_no_honest_peer_sends_is_scored(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    seat = Seat(0, KnownTree.of_all(blocks))
    good = vote(1, "prevote", 1, head, 1)
    for bad in (
        vote(9, "prevote", 1, head, 1),
        replace(good, signature=bytes(64)),
        replace(good, voter=key(2)),
    ):
        (effect,) = seat.hear(bad)
        assert isinstance(effect, fx.Penalize)
    assert seat.hear(vote(1, "prevote", 1, head, 2)) == [], "whoever lacks the block passes this on in good faith"
    assert seat.hear(vote(1, "prevote", 1, head, 1, set_id=3)) == []
    assert seat.hear(vote(1, "prevote", 0, head, 1)) == []
    assert seat.hear(good) == [fx.Relay(good)]
    assert seat.hear(good) == []


def test_an_equivocation_is_reported_once_and_both_votes_are_relayed(blocks: Blocks) -> None:
    x, y, z = (blocks.extend(blocks.genesis, salt) for salt in range(3))
    seat = Seat(0, KnownTree.of_all(blocks))
    one, two, three = (vote(1, "prevote", 1, target, 1) for target in (x, y, z))
    effects = seat.hear(one, two, three)
    (report,) = only(fx.ReportEquivocation, effects)
    assert isinstance(report, fx.ReportEquivocation)
    assert (report.evidence.first, report.evidence.second) == (one, two)
    assert [effect.message for effect in effects if isinstance(effect, fx.Relay)] == [one, two]


def test_a_voter_left_behind_asks_and_catches_up(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    seat, ahead = Seat(0, KnownTree.of_all(blocks)), Seat(None, KnownTree.of_all(blocks))
    votes = [one for stage in ("prevote", "precommit") for one in votes_of((1, 2, 3), stage, 8, head, 1)]
    catch_up = CatchUp(0, 8, tuple(votes[:3]), tuple(votes[3:]))
    ahead.hear(catch_up)
    assert ahead.voter.round == 9
    assert ahead.voter.on_catch_up_request(CatchUpRequest(0, 10)) == []
    assert ahead.voter.on_catch_up_request(CatchUpRequest(1, 1)) == []
    assert seat.hear(vote(1, "prevote", 9, head, 1)) == []
    assert fx.RequestCatchUp(CatchUpRequest(0, 1)) in seat.wait(12)
    answer, *rest = ahead.voter.on_catch_up_request(CatchUpRequest(0, 1))
    assert answer == fx.SendCatchUp(catch_up)
    assert rest in ([], [fx.SendCatchUp(CatchUp(0, 9, (), ()))])
    seat.hear(catch_up)
    assert seat.voter.round == 9
    assert seat.finalized() == [head]
    assert seat.hear(catch_up) == []


def test_a_catch_up_that_does_not_complete_its_round_leads_nowhere_and_blames_nobody(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    seat = Seat(0, KnownTree.of_all(blocks))
    prevotes = tuple(votes_of((1, 2, 3), "prevote", 8, head, 1))
    precommits = tuple(votes_of((1, 2, 3), "precommit", 8, head, 1))
    misstated = tuple(votes_of((1, 2, 3), "precommit", 8, head, 7))
    for useless in (
        CatchUp(0, 8, prevotes, precommits[:2]),
        CatchUp(0, 8, prevotes[:2], precommits),
        CatchUp(0, 8, prevotes, misstated),
        CatchUp(0, 8, (), ()),
        CatchUp(1, 8, prevotes, precommits),
    ):
        assert seat.hear(useless) == []
        assert seat.voter.round == 1


def test_a_catch_up_that_no_honest_peer_could_send_is_scored(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    seat = Seat(0, KnownTree.of_all(blocks))
    prevotes = tuple(votes_of((1, 2, 3), "prevote", 8, head, 1))
    precommits = tuple(votes_of((1, 2, 3), "precommit", 8, head, 1))
    for bad in (
        CatchUp(0, 8, precommits, prevotes),
        CatchUp(0, 8, prevotes, (*precommits[:2], replace(precommits[2], signature=bytes(64)))),
        CatchUp(0, 9, prevotes, precommits),
        CatchUp(0, 8, prevotes * 3, precommits),
    ):
        assert only(fx.Penalize, seat.hear(bad))
        assert seat.voter.round == 1


def test_a_catch_up_waits_for_its_blocks(blocks: Blocks) -> None:
    head = blocks.grow(blocks.genesis, 4)[-1]
    seat = Seat(0, KnownTree(blocks))
    votes = [tuple(votes_of((1, 2, 3), stage, 5, head, 4)) for stage in ("prevote", "precommit")]
    assert fx.NeedBlock(head, 4) in seat.hear(CatchUp(0, 5, *votes))
    assert seat.voter.round == 1
    seat.tree.known.update(blocks.headers)
    seat.wait(1)
    assert seat.voter.round == 6
    assert seat.finalized() == [head]


def justification(blocks: Blocks, block: bytes, round_: int = 3) -> Justification:
    number = blocks.headers[block].number
    return Justification(0, round_, block, number, tuple(votes_of((0, 1, 2), "precommit", round_, block, number)), ())


def test_a_justification_finalizes_at_once_or_when_its_block_is_here(blocks: Blocks) -> None:
    low, middle, high = blocks.grow(blocks.genesis, 3)
    seat = Seat(3, KnownTree(blocks, {blocks.genesis, low}))
    seat.hear(justification(blocks, low))
    assert seat.finalized() == [low]
    assert seat.hear(justification(blocks, low)) == []
    assert fx.NeedBlock(high, 3) in seat.hear(justification(blocks, high, 4))
    seat.tree.known |= {middle, high}
    seat.wait(1)
    assert seat.finalized() == [low, high]
    assert only(fx.Penalize, seat.hear(replace(justification(blocks, blocks.extend(high)), precommits=())))


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_conflicting_justification_is_a_fault_that_stops_the_voter(blocks: Blocks, forgotten: bool) -> None:
    x, y = blocks.extend(blocks.genesis, 1), blocks.extend(blocks.genesis, 2)
    seat = Seat(3, KnownTree.of_all(blocks))
    seat.hear(justification(blocks, x))
    if forgotten:
        seat.tree.known.remove(y)
    assert fx.FinalityFault(justification(blocks, y), x) in seat.hear(justification(blocks, y))
    assert seat.voter.finalized == x
    seat.effects.clear()
    seat.wait(20)
    assert not only(fx.RecordVote, seat.effects)


def test_nobody_votes_above_the_block_that_ends_the_set_and_then_the_set_ends() -> None:
    blocks = Blocks(change_period=2)
    chain = blocks.grow(blocks.genesis, 5)
    seat = Seat(0, KnownTree.of_all(blocks), (1,))
    seat.wait(2.1)
    assert seat.votes("prevote", 1) == {chain[1]}
    assert seat.finalized() == [chain[1]]
    assert seat.voter.ended
    assert only(fx.Broadcast, seat.effects)
    seat.effects.clear()
    seat.wait(50)
    seat.hear(vote(0, "prevote", 2, chain[4], 5))
    assert seat.effects == []
    assert seat.voter.wake_at(seat.now) == float("inf")


def test_rounds_and_memory_stay_bounded(blocks: Blocks) -> None:
    blocks.extend(blocks.genesis)
    seat = Seat(0, KnownTree.of_all(blocks), (1,))
    seat.wait(200)
    assert seat.voter.round > 50
    assert len(seat.voter._rounds.held()) <= 3
    assert len(seat.voter._rounds.ballot._signed) <= 6  # type: ignore[union-attr]


def test_own_votes_are_repeated_for_those_who_missed_them(blocks: Blocks) -> None:
    blocks.extend(blocks.genesis)
    seat = Seat(0, KnownTree.of_all(blocks))
    seat.wait(3)
    (mine,) = [effect.signed for effect in seat.effects if isinstance(effect, fx.RecordVote)]
    assert only(fx.Broadcast, seat.wait(9)).count(fx.Broadcast(mine)) == 3


def test_a_justification_heard_from_another_is_not_published_again(blocks: Blocks) -> None:
    head = blocks.extend(blocks.genesis)
    for spared in (False, True):
        seat = Seat(0, KnownTree.of_all(blocks))
        seat.hear(*votes_of((1, 2, 3), "prevote", 1, head, 1), *votes_of((1, 2, 3), "precommit", 1, head, 1))
        assert seat.finalized() == [head]
        if spared:
            seat.hear(justification(blocks, head, 1))
        published = [effect.message for effect in seat.wait(4) if isinstance(effect, fx.Broadcast)]
        assert any(isinstance(message, Justification) for message in published) is not spared
