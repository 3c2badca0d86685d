"""Calls that would cost every node far more than their weight says."""

from __future__ import annotations

import pytest

from runtime.errors import ProgramError
from runtime.pallets import proofs, workers
from runtime.pallets.tasks.spec import _compare_layouts
from runtime.vm.types import TensorType
from tests.market.market import VERIFIERS, Market, secret_of


def test_a_verdict_of_more_segments_than_were_drawn_is_refused_before_it_is_looked_through() -> None:
    market = Market().to_opened()
    verifier = market.auditors("opened")[0]
    failed = tuple(range(100_000))
    receipt = market.reject(verifier, proofs.SubmitVerdict(market.task, secret_of(verifier), failed), "BadVerdict")
    assert "100000 failed segments" in receipt.error.message
    assert market.audit(verifier).status == "opened"


def test_the_message_of_a_failure_does_not_repeat_the_arguments_at_length() -> None:
    market = Market()
    receipt = market.reject(VERIFIERS[0], workers.Register("x" * 200_000, 1, 1, 1), "UnknownRole")
    assert len(receipt.error.message) < 1_100


class Compared(str):
    """A name that counts comparisons."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Compared.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_state_layouts_are_compared_in_a_time_proportional_to_their_length() -> None:
    def layout(count: int) -> list[tuple[str, TensorType]]:
        return [(Compared(f"s{number}"), TensorType("f32", (1,))) for number in range(count)]

    _compare_layouts("it leaves", layout(1_000), layout(1_000))
    assert Compared.comparisons < 20_000
    with pytest.raises(ProgramError, match="s1000"):
        _compare_layouts("it leaves", layout(1_001), layout(1_000))
