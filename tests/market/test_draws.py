"""The pure rules: who is drawn, at which price, and which segments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.codec import replace
from runtime.drawing import derive_number, find_ticket
from runtime.pallets.proofs.draw import draw_commitment, draw_segments
from runtime.pallets.workers.draws import (
    ELIGIBLE,
    Ask,
    choose_solver,
    choose_verifiers,
    rank_asks,
)

randomness = st.binary(min_size=32, max_size=32)
offers = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 10**18)), max_size=20).map(
    lambda rows: [Ask(price, bytes([index]) * 32, stake) for index, (price, stake) in enumerate(rows)]
)


@given(offers, st.integers(1, 20), randomness)
def test_the_solver_is_among_the_five_lowest_and_paid_the_sixth_ask_or_the_limit(
    asks: list[Ask], limit: int, random: bytes
) -> None:
    choice = choose_solver(asks, limit, random)
    able = sorted(ask.price for ask in asks if ask.price <= limit)
    if not able:
        assert choice is None
        return
    assert choice is not None
    assert choice.price == (able[ELIGIBLE] if len(able) > ELIGIBLE else limit)
    own = next(ask for ask in asks if ask.account == choice.account)
    assert own.price <= able[:ELIGIBLE][-1]
    assert own.price <= choice.price <= limit


@given(offers, st.integers(1, 20), randomness, st.integers(0, 19))
def test_the_own_ask_never_moves_the_own_price(asks: list[Ask], limit: int, random: bytes, lower: int) -> None:
    choice = choose_solver(asks, limit, random)
    if choice is None:
        return
    own = next(ask for ask in asks if ask.account == choice.account)
    bid = [ask for ask in asks if ask is not own] + [replace(own, price=min(lower + 1, own.price))]
    again = choose_solver(bid, limit, random)
    assert again is not None
    if again.account == choice.account:
        assert again.price == choice.price


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_every_unit_of_stake_is_one_ticket(stakes: list[int]) -> None:
    wins = [find_ticket(stakes, ticket) for ticket in range(sum(stakes))]
    assert [wins.count(index) for index in range(len(stakes))] == stakes


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.data())
def test_splitting_a_stake_wins_no_ticket(stakes: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, stakes[0]))
    halves = [cut, stakes[0] - cut, *stakes[1:]]
    tickets = range(sum(stakes))
    assert sum(find_ticket(halves, ticket) < 2 for ticket in tickets) == stakes[0]


def test_over_many_beacons_wins_follow_the_stake() -> None:
    asks = [Ask(1, bytes([index]) * 32, stake) for index, stake in enumerate((10, 30, 60))]
    wins = [choose_solver(asks, 5, number.to_bytes(32, "big")) for number in range(2000)]
    shares = [sum(win is not None and win.account == ask.account for win in wins) for ask in asks]
    assert all(abs(share - 2000 * ask.stake // 100) < 90 for share, ask in zip(shares, asks, strict=True))


@given(offers, randomness, randomness)
def test_ties_fall_by_the_beacon_and_not_by_the_address(asks: list[Ask], first: bytes, second: bytes) -> None:
    one, two = rank_asks(asks, 20, first), rank_asks(asks, 20, second)
    assert [ask.price for ask in one] == [ask.price for ask in two] == sorted(ask.price for ask in asks)
    assert sorted(ask.account for ask in one) == sorted(ask.account for ask in two)


@given(offers, st.integers(1, 20), st.integers(0, 8), randomness)
def test_verifiers_are_different_and_all_ask_at_most_the_limit(
    asks: list[Ask], limit: int, count: int, random: bytes
) -> None:
    able = {ask.account for ask in asks if ask.price <= limit}
    chosen = choose_verifiers(asks, limit, count, random)
    assert len(set(chosen)) == len(chosen) == min(count, len(able))
    assert set(chosen) <= able


@given(randomness, st.integers(1, 1025), st.integers(0, 64))
def test_drawn_segments_are_distinct_in_range_ascending_and_start_with_the_initialisation(
    random: bytes, count: int, audits: int
) -> None:
    drawn = draw_segments(random, count, audits)
    assert drawn[0] == 0
    assert list(drawn) == sorted(set(drawn))
    assert len(drawn) == 1 + min(audits, count - 1)
    assert drawn[-1] < count


def test_every_segment_is_drawn_equally_often() -> None:
    counts = [0] * 11
    for number in range(3000):
        for segment in draw_segments(number.to_bytes(32, "big"), 11, 3):
            counts[segment] += 1
    assert counts[0] == 3000
    assert all(abs(count - 900) < 120 for count in counts[1:])


@given(randomness, st.integers(1, 2**70))
def test_a_derived_number_is_in_range(random: bytes, below: int) -> None:
    assert 0 <= derive_number(random, b"x", below) < below


def test_a_commitment_is_bound_to_secret_account_and_task() -> None:
    base = (b"s" * 32, b"v" * 32, b"t" * 32)
    others = [tuple(b"x" * 32 if place == index else part for index, part in enumerate(base)) for place in range(3)]
    assert len({draw_commitment(*parts) for parts in [base, *others]}) == 4
