"""Submission: what is refused, with which error, and what the price is made of."""

from __future__ import annotations

import pytest

from runtime.codec import encode, replace
from runtime.market_parameters import DEV_MARKET
from runtime.pallets import tasks
from runtime.trees import hash_tagged
from runtime.vm.check import check_program
from runtime.vm.gas import gas_units, step_time, task_gas
from runtime.vm.job import Field
from runtime.vm.program import Input, Named, Node, Program
from tests.market.market import (
    DATA,
    SPEC,
    SUBMITTER,
    TOKEN,
    Market,
    checked,
    init_program,
    submission,
    training_program,
)

TRAIN, INIT = training_program(), init_program()


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(solvers=1)


def root(program: Program) -> bytes:
    return hash_tagged(b"solvent:program", encode(program))


def packed(spec: tasks.TaskSpec, program: Program = TRAIN, init: Program = INIT) -> tasks.Submit:
    """A submission whose hashes fit, whatever the programs are."""
    named = replace(spec, program=root(program), init_program=root(init))
    return tasks.Submit(encode(named), encode(program), encode(init))


BAD_SPECS = {
    "another mode": {"mode": "tolerant"},
    "no steps": {"steps": 0},
    "no checkpoints": {"checkpoint_interval": 0},
    "an interval past the end": {"checkpoint_interval": 1001},
    "too many checkpoints": {"steps": 1026, "checkpoint_interval": 1, "scalar_rows": 1026},
    "no audits": {"audits": 0},
    "more audits than segments": {"audits": 5},
    "no verifier": {"verifiers": 0},
    "too many verifiers": {"verifiers": 9},
    "a price of nothing": {"price_limit": 0},
    "a price that cannot exist": {"price_limit": 2**62},
    "too little time": {"training_blocks": 2},
    "too much time": {"training_blocks": 10**6},
    "too few scalar rows": {"scalar_rows": 999},
    "a scalar twice": {"scalar_names": ("lr", "lr")},
    "a scalar without a name": {"scalar_names": ("lr", "")},
    "too many scalars": {"scalar_names": tuple(f"s{number}" for number in range(65))},
    "a scalar that the program misses": {"scalar_names": ("rate",)},
    "no samples": {"data": replace(DATA, sample_count=0)},
    "empty batches": {"data": replace(DATA, batch_size=0)},
    "another batch size": {"data": replace(DATA, batch_size=3)},
    "an unknown dtype": {"data": replace(DATA, fields=(Field("x", "f16", (4,)),))},
    "another dtype": {"data": replace(DATA, fields=(Field("x", "i32", (4,)),))},
    "another shape": {"data": replace(DATA, fields=(Field("x", "f32", (5,)),))},
    "an empty dimension": {"data": replace(DATA, fields=(Field("x", "f32", (0,)),))},
    "too many dimensions": {"data": replace(DATA, fields=(Field("x", "f32", (1,) * 9),))},
    "a field that is not there": {"data": replace(DATA, fields=())},
    "another program hash": {"program": bytes(32)},
    "another init program hash": {"init_program": bytes(32)},
}


@pytest.mark.parametrize("changes", BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_a_spec_that_breaks_a_rule_is_refused(market: Market, changes: dict[str, object]) -> None:
    market.reject(SUBMITTER, submission(replace(SPEC, **changes)), "InvalidSpec")


def test_bytes_that_are_no_spec_are_refused(market: Market) -> None:
    market.reject(SUBMITTER, replace(submission(), spec=b"\x90"), "InvalidSpec")
    market.reject(SUBMITTER, replace(submission(), spec=encode(SPEC) + b"\x00"), "InvalidSpec")
    market.reject(SUBMITTER, replace(submission(), spec=bytes(65 * 1024)), "InvalidSpec")


def test_bytes_that_are_no_program_are_refused(market: Market) -> None:
    market.reject(SUBMITTER, replace(submission(), program=b"\xc1"), "InvalidProgram")
    market.reject(SUBMITTER, replace(submission(), init_program=encode(SPEC)), "InvalidProgram")


def test_a_program_error_becomes_a_dispatch_error_with_its_message(market: Market) -> None:
    bad = replace(TRAIN, nodes=(*TRAIN.nodes, Node("teleport", (), (0,))))
    receipt = market.reject(SUBMITTER, packed(SPEC, program=bad), "InvalidProgram")
    assert receipt.error.pallet == "tasks"
    assert "teleport" in receipt.error.message


def test_the_init_program_must_leave_the_state_that_training_reads(market: Market) -> None:
    wide = init_program(5)
    renamed = replace(INIT, state=(Named("v", 1),))
    retyped = replace(INIT, nodes=(*INIT.nodes, Node("cast", (1,), (1,))), state=(Named("w", 2),))
    for init in (wide, renamed, retyped):
        receipt = market.reject(SUBMITTER, packed(SPEC, init=init), "InvalidSpec")
        assert "state" in receipt.error.message


def test_the_init_program_reads_the_key_alone(market: Market) -> None:
    greedy = Program(1, (Input("batch", "x", "f32", (2, 4)),), (Node("col_sum", (), (0,)),), (Named("w", 1),), ())
    market.reject(SUBMITTER, packed(SPEC, init=greedy), "InvalidSpec")


def test_a_program_without_state_trains_nothing(market: Market) -> None:
    stateless = Program(1, (Input("batch", "x", "f32", (2, 4)),), (Node("col_sum", (), (0,)),), (), (Named("m", 1),))
    market.reject(SUBMITTER, packed(SPEC, program=stateless), "InvalidSpec")


def test_programs_that_compute_nothing_cost_nothing_and_are_refused(market: Market) -> None:
    state = Input("state", "key", "u32", (2,))
    idle = Program(1, (state,), (), (Named("key", 0),), ())
    start = Program(1, (Input("key", "key", "u32", (2,)),), (), (Named("key", 0),), ())
    market.reject(SUBMITTER, packed(replace(SPEC, price_limit=1), program=idle, init=start), "InvalidSpec")


def test_a_task_needs_the_whole_escrow(market: Market) -> None:
    market.reject("//Solver7", submission(replace(SPEC, price_limit=10**11)), "InsufficientBalance")


def test_the_same_spec_is_one_task_whoever_submits_it() -> None:
    market = Market(solvers=1).to_pooled()
    market.reject(SUBMITTER, submission(), "DuplicateTask")
    market.reject("//Solver7", submission(), "DuplicateTask")
    market.submit(SUBMITTER, submission(replace(SPEC, salt=bytes([1]) * 32)))


DEV_SPEC = replace(SPEC, training_blocks=600)


def test_the_estimate_is_the_whole_truth_about_the_price() -> None:
    spec, price = tasks.validate_submission(encode(DEV_SPEC), encode(TRAIN), encode(INIT), DEV_MARKET)
    program, init = checked(TRAIN), checked(INIT)
    assert spec == DEV_SPEC
    assert price.gas == task_gas(program, 1000, init)
    assert (price.program_gas.gas, price.init_gas.gas) == (program.gas, init.gas)
    segments = [tasks.replayed_gas(spec, price, [k]) for k in range(5)]
    assert segments[1] == segments[2] == segments[3] > segments[4] > 0
    assert price.audit_gas == segments[0] + 2 * segments[1]
    assert price.solver_fee == price.gas * SPEC.price_limit
    fees = price.solver_fee + 2 * price.audit_gas * SPEC.price_limit
    assert price.treasury_fee == fees * 2 // 100
    assert price.listing_fee == DEV_MARKET.listing_fee > 0
    assert price.jackpot_fee == 2 * (price.verifier_fee * 5 // 2)
    assert price.escrow == fees + price.treasury_fee + price.jackpot_fee + price.listing_fee
    assert price.solver_lock == 2 * fees
    assert price.verifier_lock == 10 * price.verifier_fee


def test_windows_and_verdict_times_grow_with_the_time_of_a_replay() -> None:
    slow = replace(DEV_MARKET, gas_per_block=1)
    _, quick = tasks.validate_submission(encode(DEV_SPEC), encode(TRAIN), encode(INIT), DEV_MARKET)
    _, long = tasks.validate_submission(encode(DEV_SPEC), encode(TRAIN), encode(INIT), slow)
    assert quick.challenge_blocks == DEV_MARKET.challenge_blocks
    segment = gas_units(step_time(check_program(training_program())) * 300)
    initialisation = gas_units(step_time(check_program(init_program())))
    assert segment > tasks.replayed_gas(SPEC, long, [1])
    assert long.challenge_blocks == DEV_MARKET.challenge_blocks + segment
    assert long.verdict_blocks == DEV_MARKET.verdict_blocks + 2 * segment + initialisation


def test_segments_cover_the_steps_without_gap_or_overlap() -> None:
    checkpoints = tuple(bytes([number]) * 32 for number in range(5))
    jobs = [tasks.segment_job(SPEC, checkpoints, segment) for segment in range(tasks.segment_count(SPEC))]
    assert [(job.first_step, job.steps) for job in jobs] == [(0, 1), (0, 300), (300, 300), (600, 300), (900, 100)]
    assert [job.start for job in jobs[1:]] == list(checkpoints[:-1])
    assert jobs[0].program == SPEC.init_program
    assert {job.program for job in jobs[1:]} == {SPEC.program}
    with pytest.raises(tasks.SpecError):
        tasks.segment_job(SPEC, checkpoints, 5)


def test_a_program_stays_readable_for_disputes() -> None:
    market = Market(solvers=1).to_pooled()
    ctx = market.start_block()
    assert tasks.checked_program(ctx, SPEC.program).root == check_program(TRAIN).root
    with pytest.raises(tasks.UnknownTask):
        tasks.checked_program(ctx, bytes(32))
    assert market.record.escrow < TOKEN
