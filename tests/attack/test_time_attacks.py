"""Tasks that cost little gas and much time, so that honest workers would be late and be punished for it."""

from __future__ import annotations

import pytest

from runtime.codec import encode, replace
from runtime.dispute.bounds import replay_gas, replay_time
from runtime.dispute.game import open_game
from runtime.dispute.moves import Phase
from runtime.market_parameters import DEV_MARKET
from runtime.pallets import tasks
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.program import Input, Named, Node, Program
from tests.dispute.toy import long_sums
from tests.market.market import SPEC

GIBIBYTE = 1 << 30
PATIENT = replace(DEV_MARKET, maximum_training_blocks=2**40)
"""A market that lets tasks train for as long as they like."""


def price(program: Program, init: Program, **changes: object) -> tasks.Estimate:
    """The estimate of a task of 100,000 steps, in a single segment, that reads neither data nor scalars."""
    roots = {"program": check_program(program).root, "init_program": check_program(init).root}
    long = {"steps": 100_000, "checkpoint_interval": 100_000, "scalar_rows": 100_000, "audits": 1}
    spec = replace(SPEC, **{**roots, **long, "training_blocks": 2**32, **changes})
    return tasks.validate_submission(encode(spec), encode(program), encode(init), PATIENT)[1]


def idle(elements: int) -> tuple[Program, Program]:
    """Training that carries a large state on and touches one number."""
    state = Input("state", "large", "f32", (elements,)), Input("state", "small", "f32", ())
    program = Program(1, state, (Node("neg", (), (1,)),), (Named("large", 0), Named("small", 2)), ())
    nodes = Node("fill", (0, elements), ()), Node("fill", (0,), ())
    return program, Program(1, (), nodes, (Named("large", 0), Named("small", 1)), ())


def test_a_state_that_training_hardly_touches_still_takes_time_to_hash() -> None:
    estimate = price(*idle(GIBIBYTE // 4))
    assert estimate.gas < 1_000_000, "there is nearly nothing to pay for"
    seconds_of_hashing = 100_000
    assert estimate.challenge_blocks > seconds_of_hashing
    assert estimate.verdict_blocks > seconds_of_hashing


def test_many_tiny_nodes_take_more_time_than_gas() -> None:
    nodes = tuple(Node("neg", (), (number,)) for number in range(10_000))
    program = Program(1, (Input("state", "small", "f32", ()),), nodes, (Named("small", 10_000),), ())
    init = Program(1, (), (Node("fill", (0,), ()),), (Named("small", 0),), ())
    estimate = price(program, init)
    assert estimate.challenge_blocks - DEV_MARKET.challenge_blocks > 500 * estimate.gas // DEV_MARKET.gas_per_block


def test_a_task_whose_audit_would_take_for_ever_is_refused() -> None:
    forever = {"steps": 2**31 - 1, "checkpoint_interval": 2**31 - 1, "scalar_rows": 2**31, "audits": 1}
    parameters = replace(DEV_MARKET, gas_per_block=1)
    program, init = idle(GIBIBYTE)
    roots = {"program": check_program(program).root, "init_program": check_program(init).root}
    spec = encode(replace(SPEC, **{**roots, **forever, "training_blocks": 600}))
    with pytest.raises(tasks.InvalidSpec, match="an audit would take"):
        tasks.validate_submission(spec, encode(program), encode(init), parameters)


def test_the_trace_of_a_long_sum_gives_both_sides_time_to_interpret_it() -> None:
    toy = long_sums()
    game = replace(open_game(toy.claim_of(toy.tracer())), phase=Phase.TRACE_ROOT, value=2)
    assert replay_gas(toy.checked, game) == 0
    assert replay_time(toy.checked, game) >= 600 * 1_000


def test_a_root_takes_at_least_as_long_as_its_gas() -> None:
    toy = long_sums()
    checked: CheckedProgram = toy.checked
    for phase in Phase:
        game = replace(open_game(toy.claim_of(toy.tracer())), phase=phase, value=2, step=1)
        assert replay_time(checked, game) >= replay_gas(checked, game)


def test_a_deadline_that_no_solver_could_keep_is_refused() -> None:
    """Solvers accept what they are drawn for; one that cannot be done in time costs each of them a penalty."""
    program, init = idle(1 << 20)
    with pytest.raises(tasks.InvalidSpec, match="so much work needs at least"):
        price(program, init, training_blocks=DEV_MARKET.minimum_training_blocks)
    least = price(program, init).training_blocks
    assert least > 1_000
    assert price(program, init, training_blocks=least).training_blocks == least
    with pytest.raises(tasks.InvalidSpec, match=f"{least - 1} training blocks"):
        price(program, init, training_blocks=least - 1)
    tenfold = price(program, init, steps=1_000_000, checkpoint_interval=1_000_000, scalar_rows=1_000_000)
    assert 9 * least < tenfold.training_blocks < 11 * least, "it follows the work"


def test_audits_and_training_may_take_as_long_as_the_same_slow_machine_needs() -> None:
    assert DEV_MARKET.training_gas_per_block <= DEV_MARKET.gas_per_block
