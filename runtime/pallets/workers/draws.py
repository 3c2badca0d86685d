"""Who gets a job: pure rules over standing asks, stakes and one random string.

Solvers: of the `ELIGIBLE` lowest asks under the limit one is drawn, weighted linearly by stake, and is paid the next
ask above those five (the limit where there is none). A worker's own ask therefore decides only whether it is among
the five, so asking the true cost is best, and cutting a stake into several identities gains no probability.
Verifiers: all whose ask is under the limit take part, weighted the same way, and are paid the limit; a draw among
the cheapest few would be cheap to capture.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import U63, AccountId, Record
from runtime.drawing import derive_number, draw_several, find_ticket
from runtime.trees import hash_tagged

ELIGIBLE = 5


class Ask(Record):
    """One standing offer: the price of a unit of gas, and the stake that weighs in a draw."""

    price: U63
    account: AccountId
    stake: U63


class Choice(Record):
    """The outcome of a draw: who works, at which price for a unit of gas."""

    account: AccountId
    price: U63


def rank_asks(asks: Sequence[Ask], limit: int, randomness: bytes) -> list[Ask]:
    """Asks at or under the limit, cheapest first. Ties fall by the random string, so no address is better."""
    able = [ask for ask in asks if ask.price <= limit and ask.stake > 0]
    return sorted(able, key=lambda ask: (ask.price, hash_tagged(b"solvent:tie", randomness + ask.account)))


def choose_solver(asks: Sequence[Ask], limit: int, randomness: bytes) -> Choice | None:
    """Draw the solver and its price, or None where nobody asks for as little as the limit."""
    ranked = rank_asks(asks, limit, randomness)
    if not ranked:
        return None
    eligible = ranked[:ELIGIBLE]
    price = ranked[ELIGIBLE].price if len(ranked) > ELIGIBLE else limit
    ticket = derive_number(randomness, b"solver", sum(ask.stake for ask in eligible))
    return Choice(account=eligible[find_ticket([ask.stake for ask in eligible], ticket)].account, price=price)


def choose_verifiers(asks: Sequence[Ask], limit: int, count: int, randomness: bytes) -> tuple[bytes, ...]:
    """Draw up to ``count`` different verifiers, one after the other without replacement."""
    ranked = rank_asks(asks, limit, randomness)
    return draw_several([(ask.account, ask.stake) for ask in ranked], count, randomness, b"verifier")
