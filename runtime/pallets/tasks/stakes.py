"""How much a solver must have to lose: the stake that makes every cheat a bad bet, and the audits that keep it small.

P is what the task pays the solver, C what honest work costs it (at most P, and P is what is counted here), G what
somebody outside might pay it for a tampered model, S its stake. Each of v verifiers replays q of n segments and notices
a bad one with chance h. Cheating in k of the n segments saves k C / n and gains G, and with the chance D(k) loses P and
the stake. A caught cheat may win back half of its stake by a challenge of its own, so only half of it counts. No number
of segments may pay::

    D(k) (P + S / 2) > k C / n + G        for k = 1 .. n

More bad segments are found sooner, but each adds less to the chance than the one before: D is concave in k, the right
side is a straight line, so if no cheat pays in one segment and none in all of them, none pays in between. That gives S.
Asking for fewer audits is allowed; the solver then has to lock more.
"""

from __future__ import annotations

from runtime.market_parameters import PARTS, MarketParameters, parts_of


def detection_of_one(segments: int, audits: int, verifiers: int, catch: int) -> int:
    """The chance, in parts, that one bad segment of ``segments`` is noticed: 1 - (1 - h q / n)^v."""
    missed, left = PARTS, PARTS - catch * min(audits, segments) // segments
    for _ in range(verifiers):
        missed = -(-missed * left // PARTS)
    return PARTS - missed


def detection_of_all(segments: int, audits: int, verifiers: int, catch: int) -> int:
    """The chance, in parts, that at least one of segments that are all bad is noticed: 1 - (1 - h)^(q v)."""
    missed = PARTS
    for _ in range(min(audits, segments) * verifiers):
        missed = -(-missed * (PARTS - catch) // PARTS)
    return PARTS - missed


def required_stake(price: int, segments: int, audits: int, verifiers: int, market: MarketParameters) -> int:
    """The least stake, in units, with which no cheat pays in a task of ``segments`` training segments at ``price``."""
    gain = parts_of(price, market.outside_gain)
    figures = (segments, audits, verifiers, market.catch_chance)
    needed = 0
    for bad, detection in ((1, detection_of_one(*figures)), (segments, detection_of_all(*figures))):
        wanted = -(-bad * price // segments) + gain
        needed = max(needed, -(-wanted * PARTS // max(detection, 1)) - price)
    return 2 * needed


def solver_stake(price: int, fees: int, segments: int, audits: int, verifiers: int, market: MarketParameters) -> int:
    """What a solver's bond locks: `required_stake`, and never less than the market's share of all the ``fees``."""
    least = parts_of(fees, market.solver_lock)
    return max(least, required_stake(price, segments, audits, verifiers, market))


def enough_audits(segments: int, verifiers: int, market: MarketParameters) -> int:
    """The fewest audited segments for each verifier with which the usual stake is enough: what a submitter should ask
    for. All of them, or the market's bound, where no fewer are."""
    most, price = min(segments, market.maximum_audits), PARTS
    for audits in range(1, most):
        if required_stake(price, segments, audits, verifiers, market) <= parts_of(price, market.solver_lock):
            return audits
    return most
