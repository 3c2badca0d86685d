"""Moves in disputes: read the game from the chain, let a player answer, send the move."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ml.workers.session import Session
from runtime.codec import encode
from runtime.dispute.moves import Move
from runtime.dispute.records import Game
from runtime.pallets import disputes
from runtime.pallets.disputes import Dispute


class Player(Protocol):
    """`ml.dispute.Defender` or `ml.dispute.Challenger`."""

    def next_move(self, game: Game) -> Move | None: ...


PlayerOf = Callable[[int, Dispute], Player]
"""Builds the player of a dispute when its first move is due; it may replay a whole segment."""


def play_disputes(session: Session, task: bytes, player_of: PlayerOf) -> bool:
    """Move in every open dispute about a task in which it is this account's turn. Whether any move was made."""
    moved = False
    line: disputes.Line | None = session.chain.read(disputes.LINES, task)
    for number in disputes.walk(line, partial(session.chain.read, disputes.LINKS)):
        dispute: Dispute | None = session.chain.read(disputes.DISPUTES, number)
        if dispute is not None and disputes.is_turn_of(dispute, session.account):
            moved = _play(session, number, dispute, player_of) or moved
    return moved


def _play(session: Session, number: int, dispute: Dispute, player_of: PlayerOf) -> bool:
    game: Game | None = session.chain.read(disputes.GAMES, number)
    if game is None:
        return False
    move = player_of(number, dispute).next_move(game)
    if move is None:
        return False
    session.call("disputes", disputes.Play(number, dispute.moves, move))
    kind, level = type(move).__name__, str(game.cursor.level)
    session.journal.event("move", dispute=number, number=dispute.moves, kind=kind, level=level, bytes=len(encode(move)))
    return True
