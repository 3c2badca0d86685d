"""Why a voter keeps more than its own votes: "What only one node knows" of docs/adr/0001-grandpa.md, on whole nodes.

Stakes are 3, 3, 3 and 2 (quorum 8). Three honest validators prevote a block, the same block, and its ancestor; the
fourth prevotes the block as well, but only the first one hears that, and precommits the block. The others precommit the
ancestor. Then the fourth is gone for good and the first one crashes. Only what the first one kept can end the round.
"""

from __future__ import annotations

import pytest

from chain.grandpa.memory import Memory
from chain.grandpa.messages import decode_gossip
from chain.messages import BLOCKS, CATCH_UP, VOTES, Votes, decode_message
from chain.vote_memory import VoteMemory
from node import simulation_faults
from node.simulation_machine import Machine
from node.simulation_plan import Fault, Plan
from node.simulator import Simulation
from p2p.memory import Delivery, Gossip, Request
from runtime.votes import SignedVote, Vote

STAKES = (150_000, 150_000, 150_000, 100_000)
Place = tuple[int, int]
"""Set and round."""


class Story:
    """Decides who hears what in a simulation, until the round of the story has been voted on. Mutable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(simulation_faults, "LYING_SHARE", 0.0)  # the fourth keeps all rules; it just goes away
        self.simulation = Simulation(Plan(1, STAKES, 30, liars={3: Fault.TWO_BLOCKS}))
        self.first, self.second, self.third, self.fourth = self.simulation.machines
        self._deliver = self.simulation._deliver
        self._is_third_behind = self._is_fourth_far = False
        self.simulation._deliver = self._filter  # type: ignore[method-assign]

    def _filter(self, delivery: Delivery) -> None:
        if not (self._is_lost_on_third(delivery) or self._is_secret(delivery)):
            self._deliver(delivery)

    def _is_lost_on_third(self, delivery: Delivery) -> bool:
        """The third gets no new blocks for a while."""
        packet = delivery.packet
        if not self._is_third_behind:
            return False
        if delivery.source == self.third.name:
            return isinstance(packet, Request)
        return delivery.target == self.third.name and isinstance(packet, Gossip) and packet.topic == BLOCKS

    def _is_secret(self, delivery: Delivery) -> bool:
        """Votes of the fourth reach the first only, and nobody asks for them meanwhile."""
        packet = delivery.packet
        if not self._is_fourth_far or delivery.target == self.first.name:
            return False
        if isinstance(packet, Request):
            return packet.protocol == CATCH_UP
        if not isinstance(packet, Gossip) or packet.topic != VOTES:
            return False
        message = decode_gossip(decode_message(Votes, packet.data).data)
        assert self.fourth.signer is not None
        return isinstance(message, SignedVote) and message.voter == self.fourth.signer.public

    def said(self, machine: Machine, stage: str, place: Place) -> int:
        """The height that a machine voted for, 0 when it has not yet."""
        vote = self.simulation.watch.said.get((machine.name, stage, *place))
        return vote.target_number if isinstance(vote, Vote) else 0

    def run_until_split(self) -> Place:
        """To the first round in which the third prevotes below the two others, and all have precommitted."""
        simulation = self.simulation
        simulation._run_until(simulation.now + 20)
        self._is_third_behind = self._is_fourth_far = True
        for _ in range(200):
            simulation._run_until(simulation.now + 0.1)
            assert self.first.chain is not None
            place = (self.first.chain.finality.set_id, self.first.chain.finality.voter.round)
            heights = [self.said(machine, "prevote", place) for machine in simulation.machines[:3]]
            if min(heights) > 0 and heights[0] == heights[1] > heights[2]:
                break
        else:
            raise AssertionError("the third has never been behind")
        self._is_third_behind = False
        for _ in range(100):
            simulation._run_until(simulation.now + 0.1)
            if all(self.said(machine, "precommit", place) for machine in simulation.machines[:3]):
                return place
        raise AssertionError("not everybody has precommitted")


def play(story: Story) -> tuple[int, int]:
    """Up to the crash, and a minute after it; what was final in between, and in the end."""
    place = story.run_until_split()
    low, high = (story.said(machine, "precommit", place) for machine in (story.second, story.first))
    assert low < high, "the first one has not heard of the fourth's prevote"
    story.first.crash()
    story.fourth.crash()
    story._is_fourth_far = False
    simulation = story.simulation
    simulation._run_until(simulation.now + 6)
    story.first.start()
    before = max(machine.finalized_number for machine in simulation.honest)
    simulation._run_until(simulation.now + 60)
    return before, min(machine.finalized_number for machine in simulation.honest)


def test_a_vote_that_only_one_node_knew_of_survives_its_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = play(Story(monkeypatch))
    assert after >= before + 10


def test_without_what_votes_rested_on_finality_would_stop_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    recall = VoteMemory.recall
    monkeypatch.setattr(VoteMemory, "recall", lambda self: Memory(None, recall(self).signed))
    before, after = play(Story(monkeypatch))
    assert after == before
