"""Moves in disputes: read the game from the chain, let a player answer, send the move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ml.workers.session import Session
from runtime.codec import encode
from runtime.dispute.moves import Move
from runtime.dispute.records import Game
from runtime.pallets import disputes


class Player(Protocol):
    """`ml.dispute.Defender` or `ml.dispute.Challenger`."""

    def next_move(self, game: Game) -> Move | None: ...


@dataclass(frozen=True)
class Match:
    """One dispute as read from the chain."""

    identity: bytes
    dispute: Any


def play_turn(session: Session, match: Match, player_of: Callable[[], Player]) -> bool:
    """Answer if it is this account's turn; whether a move was sent. ``player_of`` may replay a whole segment."""
    game = match.dispute.game
    if not disputes.is_turn_of(match.dispute, session.account):
        return False
    move = player_of().next_move(game)
    if move is None:
        return False
    session.call("disputes", disputes.Play(match.identity, match.dispute.moves, move))
    session.journal.event(
        "move", dispute=match.identity.hex(), number=match.dispute.moves, kind=type(move).__name__,
        level=str(game.cursor.level), bytes=len(encode(move)),
    )  # fmt: skip
    return True
