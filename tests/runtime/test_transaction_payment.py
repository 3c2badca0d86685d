"""Fees, and the multiplier that follows demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.codec import replace
from runtime.executive import apply_extrinsic, validate_extrinsic
from runtime.pallets import balances, system, transaction_payment
from runtime.pallets.transaction_payment import compute_fullness, compute_next_multiplier
from runtime.parameters import DEV, PARTS
from tests.support import probe
from tests.support.chain import TestChain, account

PRICES = DEV.fees


@pytest.fixture
def chain() -> Iterator[TestChain]:
    with probe.registered():
        yield TestChain()


def test_the_fee_is_base_plus_length_plus_weight_plus_tip(chain: TestChain) -> None:
    raw = chain.sign("//Bob", balances.Transfer(account("//Alice"), 1), tip=77)
    before = balances.free(chain.state, account("//Bob"))
    expected = validate_extrinsic(chain.state, chain.head, raw)
    (receipt,) = chain.author(raw)
    assert receipt.fee == PRICES.base + PRICES.per_byte * len(raw) + receipt.weight + 77
    assert (receipt.fee, receipt.weight, len(raw)) == (expected.fee, expected.weight, expected.length)
    assert balances.free(chain.state, account("//Bob")) == before - receipt.fee - 1
    assert chain.events(transaction_payment.FeePaid) == [transaction_payment.FeePaid(account("//Bob"), receipt.fee, 77)]


def test_a_failed_call_costs_its_whole_fee(chain: TestChain) -> None:
    validity = validate_extrinsic(chain.state, chain.head, chain.sign("//Bob", probe.Write((b"x",), "refuse")))
    receipt = chain.reject("//Bob", probe.Write((b"x",), "refuse"), "Refused")
    assert (receipt.fee, receipt.weight) == (validity.fee, validity.weight)


def test_a_fee_that_would_close_the_account_is_not_taken(chain: TestChain) -> None:
    ctx, bob = chain.start_block(), account("//Bob")
    spendable = balances.spendable(ctx.state, bob)
    with pytest.raises(transaction_payment.Unaffordable, match=f"{spendable + 1} units"):
        transaction_payment.charge(ctx, bob, spendable + 1, 0)
    assert (balances.spendable(ctx.state, bob), ctx.fees) == (spendable, 0)
    transaction_payment.charge(ctx, bob, spendable, 0)
    assert ctx.fees == spendable


def test_the_multiplier_prices_weight_but_not_length(chain: TestChain) -> None:
    state = chain.state
    plain = transaction_payment.compute_fee(state, 100, 1_000_000, 5)
    transaction_payment.MULTIPLIER.put(state, 3 * PARTS)
    assert transaction_payment.compute_fee(state, 100, 1_000_000, 5) == plain + 2_000_000


@given(st.integers(PRICES.minimum_multiplier, PRICES.maximum_multiplier), st.integers(0, PARTS))
def test_the_multiplier_follows_the_exact_formula_within_rounding(multiplier: int, fullness: int) -> None:
    moved = compute_next_multiplier(PRICES, multiplier, fullness)
    step = Fraction(PRICES.adjustment, PARTS) * Fraction(fullness - PRICES.target_fullness, PARTS)
    exact = multiplier * (1 + step + step * step / 2)
    lowest, highest = Fraction(PRICES.minimum_multiplier), Fraction(PRICES.maximum_multiplier)
    bounded = max(lowest, min(exact, highest))
    assert abs(moved - bounded) <= Fraction(3 * multiplier, PARTS) + 1
    if moved != multiplier:
        assert (moved > multiplier) == (fullness > PRICES.target_fullness)


def test_the_multiplier_approximates_an_exponential_over_a_day() -> None:
    multiplier = PARTS
    for _ in range(14_400):
        multiplier = compute_next_multiplier(PRICES, multiplier, PARTS)
    expected = math.exp(14_400 * 75e-6 * 0.75)
    assert abs(multiplier / PARTS - expected) < expected * 1e-3


def test_at_the_target_the_multiplier_rests_and_at_its_bounds_it_stays() -> None:
    assert compute_next_multiplier(PRICES, 5 * PARTS, PRICES.target_fullness) == 5 * PARTS
    assert compute_next_multiplier(PRICES, PRICES.minimum_multiplier, 0) == PRICES.minimum_multiplier
    assert compute_next_multiplier(PRICES, PRICES.maximum_multiplier, PARTS) == PRICES.maximum_multiplier


@given(st.integers(0, 2**40), st.integers(0, 2**30))
def test_fullness_is_that_of_the_scarcer_resource(weight: int, length: int) -> None:
    limits = DEV.block
    fullness = compute_fullness(limits, weight, length)
    assert 0 <= fullness <= PARTS
    assert fullness == max(compute_fullness(limits, weight, 0), compute_fullness(limits, 0, length))
    assert compute_fullness(limits, limits.weight_limit * 3 // 4, 0) >= PARTS - 10


def test_full_blocks_raise_the_price_and_empty_ones_lower_it(chain: TestChain) -> None:
    limit = system.parameters(chain.state).block.weight_limit
    for _ in range(3):
        ctx = chain.start_block()
        apply_extrinsic(ctx, chain.sign("//Alice", probe.Weigh(limit * 74 // 100)))
        chain.finish_block(ctx)
    raised = transaction_payment.MULTIPLIER.get(chain.state)
    assert raised > PARTS
    chain.skip(20)
    assert transaction_payment.MULTIPLIER.get(chain.state) < raised


def test_other_parameters_move_it_otherwise() -> None:
    faster = replace(PRICES, adjustment=PARTS // 10)
    assert compute_next_multiplier(faster, PARTS, PARTS) == PARTS + 75_000_000 + 2_812_500
    assert compute_next_multiplier(faster, PARTS, 0) == PARTS - 25_000_000 + 312_500
