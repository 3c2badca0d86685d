"""Moves in disputes: read the game from the chain, let a player answer, send the move.

A move answers the other side's last one. Where the chain forks, the other side may have moved differently on the two
forks, and the right answer on one of them may lose on the other. So everything is read after one block, and the move
is signed to be valid only on top of that block; if a fork without it wins, the next turn plays again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ml.workers.session import Session
from runtime.block import Header, header_hash
from runtime.codec import encode
from runtime.dispute.moves import Move
from runtime.dispute.records import Game
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute


class Player(Protocol):
    """`ml.dispute.Defender` or `ml.dispute.Challenger`."""

    def next_move(self, game: Game) -> Move | None: ...


PlayerOf = Callable[[Dispute, Game], Player]
"""Builds the player of a dispute when its first move is due; it may replay a whole segment."""


def play_disputes(session: Session, task: bytes, player_of: PlayerOf) -> bool:
    """Move in the first open dispute about a task in which it is this account's turn. Whether a move was made."""
    head = session.chain.head()
    read = partial(session.chain.read, at=header_hash(head))
    line: disputes.Line | None = read(disputes.LINES, task)
    for number in disputes.walk(line, partial(read, disputes.LINKS)):
        dispute: Dispute | None = read(disputes.DISPUTES, number)
        game: Game | None = read(disputes.GAMES, number)
        if dispute is None or game is None or not disputes.is_turn_of(dispute, session.account):
            continue
        if _play(session, head, number, dispute, game, player_of):
            return True
    return False


def _play(session: Session, head: Header, number: int, dispute: Dispute, game: Game, player_of: PlayerOf) -> bool:
    move = player_of(dispute, game).next_move(game)
    if move is None:
        return False
    session.call("disputes", disputes.Play(number, dispute.moves, move), anchor=head)
    kind, level = type(move).__name__, str(game.cursor.level)
    session.journal.event("move", dispute=number, number=dispute.moves, kind=kind, tree=level, bytes=len(encode(move)))
    return True
