"""Calls that would cost every node far more than their weight says."""

from __future__ import annotations

import pytest

from runtime.codec import encode
from runtime.errors import InvalidExtrinsic, ProgramError
from runtime.executive import apply_extrinsic
from runtime.pallets import proofs, system, tasks, workers
from runtime.pallets.tasks.programs import ProgramCache
from runtime.pallets.tasks.spec import _compare_layouts
from runtime.vm.types import TensorType
from runtime.weights import CALLS, compute_extrinsic_weight
from tests.dispute.test_pallet import ALICE, BOB, HONEST, Court
from tests.market.market import VERIFIERS, Market, init_program, secret_of, training_program


def test_a_verdict_of_more_segments_than_were_drawn_is_refused_before_it_is_looked_through() -> None:
    market = Market().to_opened()
    verifier = market.auditors("opened")[0]
    failed = tuple(range(100_000))
    receipt = market.reject(verifier, proofs.SubmitVerdict(market.task, secret_of(verifier), failed, ()), "BadVerdict")
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


def test_a_block_counts_the_check_of_every_program_that_its_disputes_are_about() -> None:
    """A node that has just started checks each program anew: blocks must not hold more of that than it has time for."""
    court = Court(HONEST)
    train, init = len(encode(training_program())), len(encode(init_program()))
    challenges = ((ALICE, 2), (BOB, 1), (VERIFIERS[5], 0))
    court.author(*[(who, court.commitment(who, segment)) for who, segment in challenges])
    ctx = court.start_block()

    def weigh_opening(number: int) -> int:
        (who, segment), before = challenges[number], ctx.weight
        receipt = apply_extrinsic(ctx, court.sign(who, court.revelation(segment, 3 - number)))
        assert receipt.ok, receipt.error
        return ctx.weight - before - receipt.weight

    assert weigh_opening(0) == tasks.check_weight(train) > 0
    assert weigh_opening(1) == 0, "it is the same program"
    assert weigh_opening(2) == tasks.check_weight(init)
    court.finish_block(ctx)
    ctx = court.start_block()
    before = ctx.weight
    turn = court.next_play()
    assert turn is not None
    receipt = apply_extrinsic(ctx, court.sign(*turn))
    assert ctx.weight - before - receipt.weight == tasks.check_weight(train), "a new block counts anew"


def test_a_move_about_a_large_program_leaves_no_room_for_others() -> None:
    court = Court(HONEST)
    court.open()
    turn = court.next_play()
    assert turn is not None
    raws = [court.sign(*turn), court.sign(BOB, court.commitment(BOB))]
    stated = [
        compute_extrinsic_weight(len(raw), CALLS[f"disputes.{call}"])
        for raw, call in zip(raws, ("play", "commit"), strict=True)
    ]
    ctx = court.start_block()
    ctx.weight = system.parameters(ctx.state).block.weight_limit - sum(stated)
    assert apply_extrinsic(ctx, raws[0]).ok
    with pytest.raises(InvalidExtrinsic, match="no room"):
        apply_extrinsic(ctx, raws[1])


def test_checked_programs_are_kept_by_their_bytes_not_by_their_number() -> None:
    programs = [encode(training_program(width)) for width in range(1, 200)]
    limit = 50 * len(programs[0])
    cache = ProgramCache(limit)
    for data in programs:
        assert cache.check(data) is cache.check(data)
        assert cache.size <= limit
    last = cache.check(programs[-1])
    cache.check(programs[0])
    assert cache.check(programs[-1]) is last
    tiny = ProgramCache(10)
    tiny.check(programs[0])
    assert tiny.size == 0, "what is too large for the cache is not kept"
