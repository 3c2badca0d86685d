"""A whole network of voters in one loop: virtual time, a heap of events, everything drawn from one seed.

Until it *heals* the network delays, drops and duplicates messages, splits into parts, and honest nodes crash and come
back with what they had recorded. Byzantine voters, below a third of the weight, sign whatever they like and show it to
whom they like. All the while somebody grows a tree of blocks with forks. After healing, messages arrive within the
gossip time. The simulation itself checks, at each step, that

- all blocks that honest nodes finalize lie on one chain;
- no honest key ever signs two messages for one place, across restarts;
- nothing is published that was not recorded first;
- honest nodes do not send anything for which honest nodes would score them down.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from chain.grandpa import effects as fx
from chain.grandpa.memory import Grounds, Memory, Place, place_of
from chain.grandpa.messages import CatchUp, CatchUpRequest, Gossip, SignedProposal
from chain.grandpa.rounds import Rounds
from chain.grandpa.view import View
from chain.grandpa.voter import GrandpaVoter
from runtime.block import Authority
from runtime.finality import Justification
from runtime.voters import VoterSet
from runtime.votes import SignedVote
from tests.chain.grandpa.plan import Plan
from tests.chain.grandpa.world import GENESIS_HASH, Blocks, HashSigner, KnownTree, key, verify_hash, vote


@dataclass
class Disk:
    """What survives a crash of one node."""

    finalized: bytes
    bases: list[bytes]
    ends: list[Justification] = field(default_factory=list)
    grounds: Grounds | None = None
    signed: list[SignedVote | SignedProposal] = field(default_factory=list)


class Node:
    """An honest node, or the eyes of a Byzantine one (an observer)."""

    def __init__(self, world: Simulation, index: int) -> None:
        self.world, self.index = world, index
        self.honest = index not in world.plan.byzantine
        self.tree = KnownTree(world.blocks)
        self.disk = Disk(world.blocks.genesis, [world.blocks.genesis])
        self.spoken: dict[tuple[int, Place], object] = {}
        self.effects_until_crash: int | None = None
        self.wakes_at = float("inf")
        self.voter: GrandpaVoter | None = None
        self.start()

    def start(self) -> None:
        """Begin, begin again after a crash, or begin with the next authority set."""
        disk, set_id = self.disk, len(self.disk.bases) - 1
        self.voter = GrandpaVoter(
            self.tree,
            self.world.authorities(set_id),
            set_id,
            HashSigner(key(self.index)) if self.honest else None,
            GENESIS_HASH,
            disk.bases[-1],
            disk.finalized,
            Memory(disk.grounds, tuple(disk.signed)),
            1.0,
            verify_hash,
        )
        self.on_time()

    def on_time(self) -> None:
        if self.voter is not None:
            self.wakes_at = float("inf")
            self.carry_out(self.voter.on_time(self.world.now), None)

    def on_block(self, block: bytes) -> None:
        """A block has arrived; its ancestors come with it."""
        self.tree.known.update(self.world.blocks.chains[block])
        if self.voter is not None:
            number = len(self.world.blocks.chains[block]) - 1
            self.carry_out(self.voter.on_best_block(block, number, self.world.now), None)

    def on_message(self, sender: int, message: Gossip | CatchUpRequest | CatchUp) -> None:
        if self.voter is None:
            return
        now, voter, set_id = self.world.now, self.voter, len(self.disk.bases) - 1
        if isinstance(message, SignedVote):
            if message.vote.set_id < set_id and self.honest:
                self.world.send(self.index, sender, self.disk.ends[message.vote.set_id])
            effects = voter.on_vote(message, now)
        elif isinstance(message, SignedProposal):
            effects = voter.on_proposal(message, now)
        elif isinstance(message, Justification):
            effects = voter.on_justification(message, now)
        elif isinstance(message, CatchUpRequest):
            effects = voter.on_catch_up_request(message)
        else:
            effects = voter.on_catch_up(message, now)
        self.carry_out(effects, sender)

    def carry_out(self, effects: list[fx.Effect], sender: int | None) -> None:
        for effect in effects:
            if self.effects_until_crash is not None:
                if self.effects_until_crash == 0:
                    self.crash()
                    return
                self.effects_until_crash -= 1
            self.carry_out_one(effect, sender)
        assert self.voter is not None
        if self.voter.ended:
            self.disk.grounds, self.disk.signed = None, []
            self.disk.bases.append(self.disk.finalized)
            self.start()
            return
        wake = self.voter.wake_at(self.world.now)
        if wake < self.wakes_at:
            self.wakes_at = wake
            self.world.at(wake, self.on_time)

    def carry_out_one(self, effect: fx.Effect, sender: int | None) -> None:
        world, disk = self.world, self.disk
        match effect:
            case fx.RecordVote(signed):
                disk.signed.append(signed)
            case fx.RecordGrounds(grounds):
                disk.grounds = grounds
                disk.signed = [signed for signed in disk.signed if place_of(signed)[0] >= grounds.completed.round]
            case fx.Broadcast(message):
                self.check_spoken(message)
                world.broadcast(self.index, message)
            case fx.Relay(message):
                others = [index for index in range(len(world.nodes)) if index not in (self.index, sender)]
                if self.honest and others:
                    world.send(self.index, world.source.choice(others), message)
            case fx.Finalize(block, _, justification):
                disk.finalized = block
                if block == self.tree.first_change(disk.bases[-1], block):
                    disk.ends.append(justification)
                world.on_finalized(self, block)
            case fx.RequestCatchUp(request):
                world.send(self.index, world.source.choice(range(len(world.nodes))), request)
            case fx.SendCatchUp(catch_up):
                if self.honest and sender is not None:
                    world.send(self.index, sender, catch_up)
            case fx.NeedBlock(block, _):
                if block in world.blocks.chains:
                    world.deliver(self.index, lambda: self.on_block(block))
            case fx.Penalize(reason):
                assert sender is None or sender in world.plan.byzantine, reason
            case fx.ReportEquivocation(evidence):
                assert evidence.first.voter in {key(index) for index in world.plan.byzantine}
                world.equivocations += 1
            case fx.FinalityFault(justification, finalized):
                raise AssertionError(f"finality fault: {justification.target_number} against {finalized.hex()}")

    def check_spoken(self, message: Gossip) -> None:
        if isinstance(message, Justification):
            return
        assert message in self.disk.signed, "published before it was recorded"
        earlier = self.spoken.setdefault((len(self.disk.bases), place_of(message)), message)
        assert earlier == message, "signed twice for one place"
        if isinstance(message, SignedVote):
            self.world.note_vote(message)

    def crash(self) -> None:
        self.voter, self.effects_until_crash, self.wakes_at = None, None, float("inf")
        self.world.restarts += 1
        back = min(self.world.now + self.world.source.uniform(0.5, 10), self.world.plan.heals_at)
        self.world.at(max(back, self.world.now), self.start)


class Simulation:
    """Mutable. One seed's network. In a ``harsh`` one honest nodes crash three times more, and from healing on the
    Byzantine voters are silent: what only one node has heard of them, nobody can hear again."""

    def __init__(self, seed: int, harsh: bool = False) -> None:
        self.harsh = harsh
        self.source = random.Random(seed)
        self.plan = Plan.draw(self.source)
        self.now = 0.0
        self.blocks = Blocks(self.plan.change_period)
        self.finalized = self.blocks.genesis
        self.precommits: dict[tuple[int, int], View] = {}
        self.restarts = self.equivocations = self.rounds = self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes: list[Node] = []
        for index in range(len(self.plan.weights)):
            self.nodes.append(Node(self, index))
        self.at(0.5, self.grow)
        for index in self.plan.byzantine:
            self.at(self.source.uniform(0, 3), lambda index=index: self.misbehave(index))  # type: ignore[misc]
        for node in self.honest:
            if self.source.random() < 0.5:
                moment = self.source.uniform(1, self.plan.heals_at)
                self.at(moment, lambda node=node: self.plan_crash(node))  # type: ignore[misc]

        for node in self.honest if harsh else ():
            for _ in range(3):
                moment = self.source.uniform(1, self.plan.heals_at)
                self.at(moment, lambda node=node: self.plan_crash(node))  # type: ignore[misc]

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes if node.honest]

    def authorities(self, set_id: int) -> tuple[Authority, ...]:
        """The weights go round among the honest voters' keys; the Byzantine keep theirs, to stay below a third."""
        honest = [index for index in range(len(self.plan.weights)) if index not in self.plan.byzantine]
        weights = list(self.plan.weights)
        for position, index in enumerate(honest):
            weights[index] = self.plan.weights[honest[(position + set_id) % len(honest)]]
        return tuple(Authority(key(index), weight) for index, weight in enumerate(weights))

    def run(self) -> Simulation:
        # Whoever lacks votes asks anybody, and in a harsh network more than half may not answer: that takes patience.
        ends_at = self.plan.ends_at + (300 if self.harsh else 0)
        while self._heap and self._heap[0][0] <= ends_at:
            self.now, _, action = heapq.heappop(self._heap)
            self.events += 1
            action()
            if self.now > self.plan.grows_until and self.is_done():
                break
        return self

    def is_done(self) -> bool:
        """Whether every honest node has finalized one and the same head."""
        heads = {node.disk.finalized for node in self.honest}
        return all({node.tree.best_containing(node.disk.finalized)} == heads for node in self.honest)

    # --- time and transport

    def at(self, moment: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (moment, self._count, action))

    def deliver(self, receiver: int, action: Callable[[], None], sender: int | None = None) -> None:
        """Carry something to a node, or lose it; perhaps twice."""
        healed = self.now >= self.plan.heals_at
        for _ in range(2 if self.source.random() < self.plan.duplicate else 1):
            if not healed and (self.source.random() < self.plan.drop or self.is_split(sender, receiver)):
                continue
            self.at(self.now + self.source.uniform(0.01, 0.9 if healed else self.plan.slowest), action)

    def is_split(self, sender: int | None, receiver: int) -> bool:
        part = [part for moment, part in self.plan.partitions if moment <= self.now][-1]
        return sender is not None and (sender in part) != (receiver in part)

    def send(self, sender: int, receiver: int, message: Gossip | CatchUpRequest | CatchUp) -> None:
        node = self.nodes[receiver]
        self.deliver(receiver, lambda: node.on_message(sender, message), sender)

    def broadcast(self, sender: int, message: Gossip) -> None:
        for receiver in range(len(self.nodes)):
            if receiver != sender:
                self.send(sender, receiver, message)

    # --- the world

    def grow(self) -> None:
        """More of the tree: one block on the best head of some node, or a fork."""
        node = self.source.choice(self.nodes)
        best = node.tree.best_containing(node.disk.finalized)
        new = self.fork_away(node, best) if self.source.random() < self.plan.fork else [self.new_block(best)]
        for index, other in enumerate(self.nodes):
            if self.now >= self.plan.heals_at - 1:
                self.at(self.now + 1.5, lambda other=other: other.on_block(new[-1]))  # type: ignore[misc]
            self.deliver(index, lambda other=other: other.on_block(new[-1]), node.index)  # type: ignore[misc]
        if self.now < self.plan.grows_until:
            self.at(self.now + self.source.uniform(0.3, 1.5), self.grow)
        else:
            for other in self.nodes:
                self.at(self.now + 2, lambda other=other: self.hand_over_everything(other))  # type: ignore[misc]

    def new_block(self, parent: bytes) -> bytes:
        return self.blocks.extend(parent, self.source.getrandbits(60))

    def fork_away(self, node: Node, best: bytes) -> list[bytes]:
        """A branch from just below what was last voted for, longer than the best chain: locks must hold against it."""
        votes = [signed.vote for signed in node.disk.signed if isinstance(signed, SignedVote)]
        target = votes[-1].target_hash if votes else best
        parent = self.blocks.chains[target][-min(len(self.blocks.chains[target]), self.source.choice((1, 2, 2, 3)))]
        branch = [self.new_block(parent)]
        length = self.source.randint(1, 4)
        while len(branch) < length or (
            length > 1 and len(self.blocks.chains[branch[-1]]) <= len(self.blocks.chains[best])
        ):
            branch.append(self.new_block(branch[-1]))
        return branch

    def hand_over_everything(self, node: Node) -> None:
        """What block sync would do at last: every node has every block."""
        for block in list(self.blocks.headers):
            node.on_block(block)

    def plan_crash(self, node: Node) -> None:
        """The node will crash after a few more effects, in the middle of a list of them."""
        if node.voter is not None:
            node.effects_until_crash = self.source.randint(0, 4)

    def on_finalized(self, node: Node, block: bytes) -> None:
        if node.honest:
            assert self.blocks.are_on_one_chain(self.finalized, block), "two conflicting blocks are final"
            self.finalized = max(self.finalized, block, key=lambda hash_: len(self.blocks.chains[hash_]))

    def note_vote(self, signed: SignedVote) -> None:
        """Every precommit that was ever signed, for `check_all_precommits`."""
        if signed.vote.stage == "precommit":
            place = (signed.vote.set_id, signed.vote.round)
            if place not in self.precommits:
                self.precommits[place] = View(VoterSet(self.authorities(signed.vote.set_id)))
            self.precommits[place].add(signed, KnownTree.of_all(self.blocks))

    def check_all_precommits(self) -> None:
        """Whoever held all precommits ever signed could not justify a block in conflict with what is final either."""
        tree, final = KnownTree.of_all(self.blocks), self.finalized
        for view in self.precommits.values():
            ghost = view.ghost(tree, 0)
            if ghost is not None:
                assert self.blocks.are_on_one_chain(final, ghost), "conflicting precommits suffice for finality"
                final = max(final, ghost, key=lambda hash_: len(self.blocks.chains[hash_]))

    # --- the adversary

    def misbehave(self, index: int) -> None:
        """One act of a Byzantine voter, and an appointment for the next."""
        if self.harsh and self.now >= self.plan.heals_at:
            return
        if self.plan.flatters:
            self.flatter(index)
        else:
            self.babble(index)
        if self.now < self.plan.heals_at + 30:
            self.at(self.now + self.source.expovariate(1.5), lambda: self.misbehave(index))

    def babble(self, index: int) -> None:
        """Votes for any fork, several at once, each to some nodes only; or silence; or garbage."""
        eyes, source = self.nodes[index], self.source
        assert eyes.voter is not None
        set_id = len(eyes.disk.bases) - 1
        for _ in range(source.randint(0, 3)):
            round_ = max(eyes.voter.round + source.choice((-1, 0, 0, 0, 1)), 1)
            heads = [block for block in sorted(eyes.tree.known) if len(self.blocks.chains[block]) > 1]
            target = source.choice(heads) if heads else self.blocks.genesis
            receivers = [receiver for receiver in range(len(self.nodes)) if source.random() < 0.5]
            self.lie(index, source.choice(("prevote", "precommit", "precommit")), round_, target, set_id, receivers)
        if source.random() < 0.1:
            garbage = vote(index, "prevote", eyes.voter.round, source.randbytes(32), source.randrange(50), set_id)
            self.broadcast(index, garbage)
            self.broadcast(index, SignedVote(garbage.vote, key((index + 1) % len(self.nodes)), bytes(64)))

    def flatter(self, index: int) -> None:
        """Tell each honest node, in its own round, just what it would like to hear, and only there.

        This is how one finality more is made of few honest votes: all Byzantine voters side with every fork.
        """
        for receiver, node in enumerate(self.nodes):
            if node.honest and node.voter is not None and self.source.random() < 0.7:
                liked = node.tree.best_containing(node.disk.finalized)
                own = [one for one in node.disk.signed if isinstance(one, SignedVote)]
                if own and self.source.random() < 0.7:
                    liked = own[-1].vote.target_hash
                for stage in ("prevote", "precommit"):
                    self.lie(index, stage, node.voter.round, liked, len(node.disk.bases) - 1, [receiver])

    def lie(self, index: int, stage: str, round_: int, target: bytes, set_id: int, receivers: list[int]) -> None:
        number = len(self.blocks.chains[target]) - 1
        signed = vote(index, "prevote" if stage == "prevote" else "precommit", round_, target, number, set_id)
        self.note_vote(signed)
        for receiver in receivers:
            self.send(index, receiver, signed)


def forget_the_lock(rounds: Rounds) -> bytes | None:
    """The naive rule: remember nothing between rounds but what is final. For the test that shows it to be unsafe."""
    return rounds.finalized
