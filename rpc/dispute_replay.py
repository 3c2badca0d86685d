"""A dispute played again from the blocks: the claim, and every move with the game before and after it.

The chain keeps no more of a game than its present position. The moves themselves are extrinsics, so their replay by
`runtime.dispute.game`, the very function that the chain ran, gives every position that ever was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chain.ledger import Ledger
from rpc import blocks
from rpc.blocks import Found
from rpc.dispute_claims import NotReplayable, read_call, read_claim
from rpc.index_rows import dispute_key, place_of
from rpc.indexes import Indexes
from rpc.task_views import checked_program
from runtime.block import extrinsic_hash
from runtime.dispute.game import apply_move, open_game
from runtime.dispute.moves import Move, Party
from runtime.dispute.records import Game, Verdict
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute
from runtime.state import State
from runtime.vm.check import CheckedProgram
from runtime.vm.job import Claim


@dataclass(frozen=True, slots=True)
class Played:
    """One move: where it is, and the game around it."""

    number: int
    mover: Party
    move: Move
    block: int
    time: int | None
    extrinsic: bytes
    before: Game
    after: Game | Verdict


@dataclass(frozen=True, slots=True)
class Replay:
    """A dispute from its claim to its latest move. ``ended`` is the place (block, event) of its end, if it has one."""

    claim: Claim
    checked: CheckedProgram
    moves: tuple[Played, ...]
    ended: tuple[int, int] | None

    @property
    def last_game(self) -> Game:
        """The latest position that was no verdict."""
        if not self.moves:
            return open_game(self.claim)
        after = self.moves[-1].after
        return self.moves[-1].before if isinstance(after, Verdict) else after


def replay(ledger: Ledger, indexes: Indexes, number: int, dispute: Dispute) -> Replay:
    """Play a dispute again. Raises `NotReplayable`."""
    last = next(iter(indexes.rows(b"d" + dispute_key(number))), None)
    if last is None:
        raise NotReplayable(f"dispute {number} is older than this node's index")
    return _replay(ledger, indexes, number, dispute, ledger.hash_at(place_of(last[0])[0]))


@lru_cache(maxsize=32)
def _replay(ledger: Ledger, indexes: Indexes, number: int, dispute: Dispute, latest: bytes | None) -> Replay:
    """As `replay`; ``latest`` is the block of its latest event, so that nothing stale is remembered over a reorg."""
    claim = read_claim(ledger, indexes, number, dispute)
    checked = checked_program(State(ledger.state_at(ledger.head)), claim.job.program)
    if checked is None:
        raise NotReplayable(f"the program of dispute {number} is gone")
    played: list[Played] = []
    ended: tuple[int, int] | None = None
    game: Game | Verdict = open_game(claim)
    for found, position, name in _events(ledger, indexes, number):
        if name in ("DisputeDecided", "DisputeCancelled"):
            ended = (found.number, position)
        if name != "MovePlayed" or isinstance(game, Verdict):
            continue
        play, raw = read_call(found, position, disputes.Play)
        event: Any = disputes.PALLET.decode_event(found.outcome.events[position])
        before, mover = game, Party(event.mover)
        game = apply_move(before, checked, play.move, mover)
        place = (found.number, found.time, extrinsic_hash(raw))
        played.append(Played(play.number, mover, play.move, *place, before, game))
    return Replay(claim, checked, tuple(played), ended)


def _events(ledger: Ledger, indexes: Indexes, number: int) -> Iterator[tuple[Found, int, str]]:
    for key, _ in indexes.rows(b"d" + dispute_key(number), newest_first=False):
        height, position = place_of(key)
        found = blocks.at_height(ledger, height)
        yield found, position, found.outcome.events[position].name
