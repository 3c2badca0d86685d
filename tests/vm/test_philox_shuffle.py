"""The random number generator's published answers, and the sample order's promises."""

from __future__ import annotations

import pytest

from runtime.vm.job import DataSource, Field
from runtime.vm.philox import element_counter, key_words, philox4x32
from runtime.vm.shuffle import epoch_key, sample_at, sample_index

FULL = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL,) * 4, (FULL,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, int, int, int]
) -> None:
    assert philox4x32(counter, key) == words


def test_a_counter_names_element_node_and_step() -> None:
    assert element_counter((5 << 34) + 4 * 9 + 3, 7, 11) == (9, 5, 7, 11)
    assert key_words(0x0123456789ABCDEF) == (0x89ABCDEF, 0x01234567)


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 1000])
def test_an_epoch_visits_every_sample_once(count: int) -> None:
    key = epoch_key(bytes(32), 4)
    assert sorted(sample_at(position, count, key) for position in range(count)) == list(range(count))


def test_the_order_is_pinned() -> None:
    key = epoch_key(bytes(range(32)), 1)
    assert [sample_at(position, 60000, key) for position in range(6)] == [19111, 42647, 32719, 29639, 31357, 28196]


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = {
        tuple(sample_at(position, 50, epoch_key(bytes([seed]) * 32, epoch)) for position in range(50))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_position_of_the_job_falls_into_its_epoch() -> None:
    data = DataSource(bytes(32), 10, (Field("x", "f32", ()),), b"\x05" * 32, 4)
    second = [sample_index(data, 10 + position) for position in range(10)]
    assert second == [sample_at(position, 10, epoch_key(b"\x05" * 32, 1)) for position in range(10)]


def test_a_position_outside_the_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="position 10"):
        sample_at(10, 10, bytes(32))
