"""Safety against a scheduler that is itself the adversary: no time, no order, no fairness, only one step after another.

Each step delivers any one message that was ever sent, lets any one clock jump, grows any fork, restarts any node, or
lets the Byzantine voters tell one node what suits the attack. This reaches orders of events that a network with delays
hardly ever produces; nothing is promised about progress.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from chain.grandpa import effects as fx
from chain.grandpa.memory import Grounds, Memory, place_of
from chain.grandpa.messages import CatchUp, SignedProposal
from chain.grandpa.rounds import Rounds
from chain.grandpa.view import View
from chain.grandpa.voter import GrandpaVoter
from runtime.finality import Justification
from runtime.voters import VoterSet
from runtime.votes import SignedVote
from tests.chain.grandpa.simulation import forget_the_lock
from tests.chain.grandpa.world import GENESIS_HASH, Blocks, HashSigner, KnownTree, authorities, key, verify_hash, vote

STEPS = 400


class Player:
    """An honest voter with a clock of its own, and its disk."""

    def __init__(self, index: int, blocks: Blocks, count: int) -> None:
        self.index, self.count, self.now = index, count, 0.0
        self.tree = KnownTree(blocks)
        self.finalized = blocks.genesis
        self.grounds: Grounds | None = None
        self.signed: list[SignedVote | SignedProposal] = []
        self.start()

    def start(self) -> None:
        memory = Memory(self.grounds, tuple(self.signed))
        base, signer = self.tree.blocks.genesis, HashSigner(key(self.index))
        members = authorities(*[1] * self.count)
        self.voter = GrandpaVoter(
            self.tree, members, 0, signer, GENESIS_HASH, base, self.finalized, memory, 1.0, verify_hash
        )

    def learn(self, block: bytes) -> None:
        """Take in a block with its ancestors, unless it is on a branch that finality has left behind."""
        if self.tree.blocks.are_on_one_chain(self.finalized, block):
            self.tree.known.update(self.tree.blocks.chains[block])

    def finalize(self, block: bytes) -> None:
        """Forget all branches that conflict with the block, as a ledger does."""
        self.finalized, blocks = block, self.tree.blocks
        self.tree.known = {known for known in self.tree.known if blocks.are_on_one_chain(block, known)}

    def hear(self, message: object) -> list[fx.Effect]:
        if isinstance(message, SignedVote):
            return self.voter.on_vote(message, self.now)
        if isinstance(message, SignedProposal):
            return self.voter.on_proposal(message, self.now)
        if isinstance(message, Justification):
            return self.voter.on_justification(message, self.now)
        assert isinstance(message, CatchUp)
        return self.voter.on_catch_up(message, self.now)


class Schedule:
    """Mutable. ``byzantine`` voters have the highest indices."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        count, self.byzantine = self.source.choice(((4, 1), (4, 1), (7, 2)))
        self.blocks = Blocks()
        self.players = [Player(index, self.blocks, count) for index in range(count - self.byzantine)]
        self.liars = range(count - self.byzantine, count)
        self.everything = View(VoterSet(authorities(*[1] * count)))
        self.precommits: dict[int, View] = {}
        self.sent: list[object] = []
        self.highest = self.blocks.genesis
        self.steps = {self.deliver: 60, self.let_time_pass: 20, self.grow: 4, self.lie: 14, self.restart: 1}

    def run(self) -> None:
        steps, odds = list(self.steps), list(self.steps.values())
        for _ in range(STEPS):
            self.source.choices(steps, odds)[0](self.source.choice(self.players))
        tree, final = KnownTree.of_all(self.blocks), self.highest
        for view in self.precommits.values():
            ghost = view.ghost(tree, 0) or self.blocks.genesis
            assert self.blocks.are_on_one_chain(final, ghost), "conflicting precommits suffice for finality"
            final = max(final, ghost, key=lambda block: len(self.blocks.chains[block]))

    def deliver(self, player: Player) -> None:
        if self.sent:
            recent = self.sent[-25:] if self.source.random() < 0.8 else self.sent
            self.carry_out(player, player.hear(self.source.choice(recent)))

    def let_time_pass(self, player: Player) -> None:
        player.now += self.source.choice((1, 2, 5))
        self.carry_out(player, player.voter.on_time(player.now))

    def grow(self, player: Player) -> None:
        """A fork of one to three blocks just below or upon what somebody voted for; one or all players get it."""
        votes = [signed.vote.target_hash for signed in player.signed if isinstance(signed, SignedVote)]
        chain = self.blocks.chains[votes[-1] if votes else player.finalized]
        parent = chain[-min(len(chain), self.source.choice((1, 2, 2)))]
        branch = self.blocks.grow(parent, self.source.randint(1, 3), self.source.getrandbits(60))
        for receiver in self.players if self.source.random() < 0.5 else [player]:
            receiver.learn(branch[-1])

    def lie(self, player: Player) -> None:
        """Both votes of all Byzantine voters, for what the player voted for, or for any block it knows."""
        votes = [signed.vote.target_hash for signed in player.signed if isinstance(signed, SignedVote)]
        target = votes[-1] if votes and self.source.random() < 0.7 else self.source.choice(sorted(player.tree.known))
        for liar in self.liars:
            for stage in self.source.choice((("prevote",), ("precommit",), ("prevote", "precommit"))):
                self.tell(player, vote(liar, stage, player.voter.round, target, len(self.blocks.chains[target]) - 1))

    def tell(self, player: Player, signed: SignedVote) -> None:
        self.note(signed)
        self.carry_out(player, player.hear(signed))

    def restart(self, player: Player) -> None:
        player.start()

    def carry_out(self, player: Player, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.RecordVote(signed):
                    assert place_of(signed) not in map(place_of, player.signed)
                    player.signed.append(signed)
                case fx.RecordGrounds(grounds):
                    player.grounds = grounds
                    self.sent += [grounds.completed, grounds.current]
                case fx.Broadcast(message):
                    self.note(message)
                    if message not in self.sent:
                        self.sent.append(message)
                case fx.Finalize(block, _, _):
                    player.finalize(block)
                    assert self.blocks.are_on_one_chain(self.highest, block), "two conflicting blocks are final"
                    self.highest = max(self.highest, block, key=lambda hash_: len(self.blocks.chains[hash_]))
                case fx.NeedBlock(block, _):
                    if self.source.random() < 0.5:
                        player.learn(block)
                case fx.FinalityFault():
                    raise AssertionError("finality fault")
                case _:
                    assert isinstance(effect, fx.Relay | fx.RequestCatchUp | fx.ReportEquivocation), effect

    def note(self, message: object) -> None:
        if isinstance(message, SignedVote) and message.vote.stage == "precommit":
            view = self.precommits.setdefault(
                message.vote.round, View(VoterSet(authorities(*[1] * (len(self.players) + self.byzantine))))
            )
            view.add(message, KnownTree.of_all(self.blocks))


def run_all(seeds: range) -> int:
    """How high the seeds got, all heights of finality together."""
    height = 0
    for seed in seeds:
        schedule = Schedule(seed)
        schedule.run()
        height += len(schedule.blocks.chains[schedule.highest]) - 1
    return height


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_no_order_of_events_makes_conflicting_blocks_final(first: int) -> None:
    assert run_all(range(first, first + 50)) >= 80


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 30_000, 1000))
def test_tens_of_thousands_of_schedules_are_safe(first: int) -> None:
    run_all(range(first, first + 1000))


def half_as_patient(view: View, block: bytes, tree: KnownTree) -> bool:
    """Takes f against a block for enough to make it impossible, where 2f is needed."""
    return view.voted - view.weight_for(block, tree) + view.equivocating <= view._voters.faulty


def careless(view: View, block: bytes, tree: KnownTree) -> bool:
    """Takes any round with a ghost for completable."""
    return False


@pytest.mark.parametrize(
    ("owner", "rule", "weaker"),
    [(Rounds, "lock", forget_the_lock), (View, "is_possible", half_as_patient), (View, "is_child_possible", careless)],
)
def test_a_weakened_rule_is_found_out(
    owner: type, rule: str, weaker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that these tests could fail: without any one of the rules, the lock does not hold."""
    monkeypatch.setattr(owner, rule, weaker)
    with pytest.raises(AssertionError, match=r"conflicting|finality fault"):
        run_all(range(400))
