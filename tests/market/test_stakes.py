"""The stake that makes every cheat a bad bet: the chain's integers against the inequality in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from pathlib import Path

import pytest

from runtime.codec import encode, replace
from runtime.market_parameters import DEV_MARKET, LIVE_MARKET, PARTS
from runtime.pallets import tasks
from tests.market.market import SPEC, init_program, training_program

CATCH = Fraction(DEV_MARKET.catch_chance, PARTS)
GAIN = Fraction(DEV_MARKET.outside_gain, PARTS)
PRICE = 10**12
PROGRAMS = encode(training_program()), encode(init_program())


def detection(segments: int, bad: int, audits: int, verifiers: int) -> Fraction:
    """The chance that somebody notices, by counting the draws without replacement."""
    missed = Fraction(0)
    for hit in range(min(bad, audits) + 1):
        ways = comb(bad, hit) * comb(segments - bad, audits - hit)
        missed += Fraction(ways, comb(segments, audits)) * (1 - CATCH) ** hit
    return 1 - missed**verifiers


def worst_gain(segments: int, audits: int, verifiers: int, stake: int) -> Fraction:
    """What the best cheat brings in expectation, half of the stake won back by challenging itself."""
    return max(
        Fraction(bad * PRICE, segments)
        + GAIN * PRICE
        - detection(segments, bad, audits, verifiers) * (PRICE + Fraction(stake, 2))
        for bad in range(1, segments + 1)
    )


@pytest.mark.parametrize("verifiers", [1, 2, 5])
@pytest.mark.parametrize(("segments", "audits"), [(1, 1), (3, 3), (10, 1), (10, 3), (100, 1), (100, 3), (200, 10)])
def test_with_the_required_stake_no_number_of_cheated_segments_pays_and_with_less_one_does(
    segments: int, audits: int, verifiers: int
) -> None:
    stake = tasks.required_stake(PRICE, segments, audits, verifiers, DEV_MARKET)
    assert worst_gain(segments, audits, verifiers, stake) <= 0
    if stake > 1_000:
        assert worst_gain(segments, audits, verifiers, stake * 99 // 100) > 0


def test_the_usual_stake_is_enough_for_three_audits_of_a_hundred_segments() -> None:
    assert tasks.required_stake(PRICE, 100, 3, 1, DEV_MARKET) < 2 * PRICE
    assert tasks.enough_audits(100, 1, DEV_MARKET) <= 3
    assert tasks.enough_audits(100, 3, DEV_MARKET) == 1
    assert tasks.enough_audits(1000, 1, DEV_MARKET) == 20
    for segments in (1, 7, 100, 1024):
        audits = tasks.enough_audits(segments, 1, LIVE_MARKET)
        assert tasks.required_stake(PRICE, segments, audits, 1, LIVE_MARKET) <= 2 * PRICE


def test_whoever_asks_for_fewer_audits_makes_the_solver_stake_more() -> None:
    many = {"steps": 1000, "checkpoint_interval": 10, "training_blocks": 600, "verifiers": 1}
    locks = []
    for audits in (1, 2, 3, 6):
        spec = replace(SPEC, audits=audits, **many)
        _, price = tasks.validate_submission(encode(spec), *PROGRAMS, DEV_MARKET)
        fees = price.solver_fee + price.verifier_fee
        stake = tasks.required_stake(price.solver_fee, 100, audits, 1, DEV_MARKET)
        assert price.solver_lock == max(2 * fees, stake)
        locks.append(price.solver_lock * 100 // fees)
    assert locks[0] > locks[1] > locks[2] == locks[3] == 200


def test_the_table_in_the_documents_is_what_the_chain_computes() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "incentives.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| 1", "| 3"))]
    assert len(rows) == 5
    for segments, *stakes, enough in rows:
        for audits, shown in zip((1, 2, 3, 5, 10, 20), stakes, strict=True):
            stake = max(2 * PRICE, tasks.required_stake(PRICE, int(segments), audits, 1, DEV_MARKET))
            assert f"{stake / PRICE:.1f}" == shown
        assert tasks.enough_audits(int(segments), 1, DEV_MARKET) == int(enough)
