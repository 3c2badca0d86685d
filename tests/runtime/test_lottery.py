"""The slot lottery: thresholds against mpmath, and the shares that authors really get."""

from __future__ import annotations

import random

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import vrf
from runtime.crypto import derive_seed, public_key
from runtime.lottery import InvalidLottery, is_primary, secondary_author, slot_input, threshold

# (stake, total, numerator and denominator of c) -> threshold, computed once with mpmath at 1,200 bits.
VECTORS = [
    ((1, 1, 1, 4), "4000000000000000000000000000000000000000000000000000000000000000"),
    ((1, 4, 1, 4), "11c3e144a8653503bdf6eb15c444da659f30ecb55a92dfe965adefac412f5fe6"),
    ((1, 3, 1, 4), "176897a872ec08612a28f659e92e80747f25666029b983e3d632b7747a073df4"),
    ((1, 2, 3, 4), "8000000000000000000000000000000000000000000000000000000000000000"),
    ((1, 10**18, 1, 4), "54e8a4904a66ac952502416b29ef116689bfca6378b0b74c0"),
    ((10**9, 3 * 10**9 + 1, 1, 4), "176897a852fd7babea343c7bf5cff894c543576505496591fdd39b11b80f0be0"),
    ((1, 7, 999_999_999, 10**9), "f2bd94586c239fb7bf23a945c80ce606d3b816a8b5660e6184b348d792a739a5"),
    ((2**62, 2**63 - 1, 1, 2), "4afb0ccc06219b7c23fb8f9a75995c19ed7a89af573a21edbffdb647b1b89f6a"),
]


def exact_threshold(stake: int, total: int, numerator: int, denominator: int) -> int:
    with mpmath.workprec(1200):
        lost = (1 - mpmath.mpf(numerator) / denominator) ** (mpmath.mpf(stake) / total)
        return int(mpmath.floor((1 - lost) * mpmath.mpf(2) ** 256 + mpmath.mpf("0.5")))


@pytest.mark.parametrize(("arguments", "expected"), VECTORS)
def test_thresholds_match_their_vectors(arguments: tuple[int, int, int, int], expected: str) -> None:
    assert threshold(*arguments) == int(expected, 16) == exact_threshold(*arguments)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_thresholds_are_right_to_the_last_bit(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 2**63 - 1))
    stake = data.draw(st.integers(0, total))
    denominator = data.draw(st.integers(1, 2**40))
    numerator = data.draw(st.integers(0, denominator - 1))
    assert threshold(stake, total, numerator, denominator) == exact_threshold(stake, total, numerator, denominator)


@given(stake=st.integers(0, 10**18), more=st.integers(0, 10**18))
@settings(max_examples=200, deadline=None)
def test_more_stake_never_wins_less(stake: int, more: int) -> None:
    total = 2 * 10**18
    assert threshold(stake, total, 1, 4) <= threshold(stake + more, total, 1, 4)


def test_the_edges_never_and_always_win() -> None:
    assert threshold(0, 100, 1, 4) == 0
    assert threshold(50, 100, 0, 4) == 0
    assert threshold(1, 100, 4, 4) == 1 << 256
    assert not is_primary(bytes(64), 0)
    assert is_primary(b"\xff" * 64, 1 << 256)
    assert is_primary(bytes(31) + b"\x06" + b"\xff" * 32, 7)
    assert not is_primary(bytes(31) + b"\x07" + bytes(32), 7)


@pytest.mark.parametrize(
    "arguments", [(-1, 10, 1, 4), (11, 10, 1, 4), (0, 0, 1, 4), (1, 10, 5, 4), (1, 10, -1, 4), (1, 10, 0, 0)]
)
def test_what_is_no_lottery_is_refused(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidLottery):
        threshold(*arguments)


def test_splitting_a_stake_gains_nothing() -> None:
    """The chance that neither half wins is the chance that the whole loses, up to rounding."""
    unit = 1 << 256
    whole = unit - threshold(30, 100, 1, 4)
    halves = (unit - threshold(10, 100, 1, 4)) * (unit - threshold(20, 100, 1, 4)) >> 256
    assert abs(whole - halves) <= 2


def test_slots_without_any_primary_are_as_rare_as_c_says() -> None:
    stakes = (5, 20, 25, 50)
    source = random.Random(7)
    thresholds = [threshold(stake, 100, 1, 4) for stake in stakes]
    filled = sum(any(is_primary(source.randbytes(64), bar) for bar in thresholds) for _ in range(20_000))
    assert 4_750 <= filled <= 5_250


def test_the_lottery_of_real_outputs_follows_the_stake() -> None:
    seeds = [derive_seed(name) for name in ("//Alice", "//Bob")]
    bars = [threshold(9, 10, 1, 2), threshold(1, 10, 1, 2)]
    wins = [0, 0]
    for slot in range(150):
        alpha = slot_input(bytes(32), 3, slot)
        for index, seed in enumerate(seeds):
            proof = vrf.prove(seed, alpha)
            wins[index] += is_primary(vrf.output(proof), bars[index])
    assert 50 <= wins[0] <= 90
    assert wins[1] <= 25
    assert vrf.verify(public_key(seeds[0]), slot_input(bytes(32), 3, 149), vrf.prove(seeds[0], alpha)) is not None


def test_slot_inputs_differ_by_randomness_epoch_and_slot() -> None:
    assert len({slot_input(bytes(32), 1, 2), slot_input(bytes(32), 2, 1), slot_input(b"\1" * 32, 1, 2)}) == 3


def test_secondary_authors_take_turns_without_regard_to_stake() -> None:
    authorities = ["alice", "bob", "charlie"]
    turns = [secondary_author(b"\7" * 32, slot, authorities) for slot in range(3000)]
    assert all(900 <= turns.count(name) <= 1100 for name in authorities)
    assert turns == [secondary_author(b"\7" * 32, slot, authorities) for slot in range(3000)]
    with pytest.raises(InvalidLottery, match="no authorities"):
        secondary_author(bytes(32), 1, [])
