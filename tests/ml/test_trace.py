"""The fast tracer plays whole games: it tells the interpreter's truth, and its one broken product is found."""

from __future__ import annotations

import pytest

from ml.artifacts import Tensors, compute_state_root
from ml.dispute import Challenger, Defender
from ml.replay import StepRunner, replay, replay_claim
from ml.trace import ExecutorTracer, FaultyRunner, first_layer_gradient
from runtime.commitments import EMPTY_STATE_ROOT
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import Move, Party
from runtime.dispute.records import Reason, Verdict
from runtime.pallets.tasks import segment_job
from runtime.vm.interpreter import element_bits
from runtime.vm.job import Claim, Job
from tests.scenarios.tiny import INTERVAL, Tiny, tiny_task


def start_of(tiny: Tiny) -> Tensors:
    job = segment_job(tiny.spec, (EMPTY_STATE_ROOT,), 0)
    return replay(StepRunner(tiny.init_program, job, tiny.inputs), job, {})


def job_of(tiny: Tiny) -> tuple[Job, Tensors]:
    """The first training segment and its start state."""
    start = start_of(tiny)
    root = compute_state_root(start)
    return segment_job(tiny.spec, (root, root), 1), start


def play(
    tiny: Tiny, claim: Claim, defender: ExecutorTracer, challenger: ExecutorTracer
) -> tuple[Verdict | None, list[Move]]:
    """The verdict and all moves; no verdict where the challenger finds nothing left to dispute."""
    players = {Party.DEFENDER: Defender(defender).next_move, Party.CHALLENGER: Challenger(challenger).next_move}
    game, moves = open_game(claim), []
    while True:
        move = players[turn(game)](game)
        if move is None:
            assert turn(game) is Party.CHALLENGER
            return None, moves
        moves.append(move)
        after = apply_move(game, tiny.program, move, turn(game))
        if isinstance(after, Verdict):
            return after, moves
        game = after


@pytest.mark.parametrize("faulty_step", [0, 2, INTERVAL - 1])
def test_one_wrong_multiplication_is_found_and_the_cheat_loses(faulty_step: int) -> None:
    tiny = tiny_task()
    job, start = job_of(tiny)
    cheat = FaultyRunner(StepRunner(tiny.program, job, tiny.inputs), faulty_step)
    claim = Claim(job, compute_state_root(replay(cheat, job, start)))
    honest = StepRunner(tiny.program, job, tiny.inputs)
    assert not replay_claim(honest, claim, start)[0]

    verdict, moves = play(tiny, claim, ExecutorTracer(cheat, job, start), ExecutorTracer(honest, job, start))

    assert cheat.fault is not None
    assert verdict is not None
    assert verdict.winner is Party.CHALLENGER
    assert verdict.reason is Reason.WRONG_RESULT
    evidence = verdict.evidence
    assert (evidence.step, evidence.value, evidence.element) == (faulty_step, cheat.fault.value, cheat.fault.element)
    assert evidence.operation == cheat.fault.operation
    assert evidence.opcode == "FMA_F32"
    assert evidence.claimed != evidence.computed
    assert "TraceRoot" in [type(move).__name__ for move in moves]


def test_a_challenger_that_miscomputes_loses_to_an_honest_solver() -> None:
    tiny = tiny_task()
    job, start = job_of(tiny)
    honest = StepRunner(tiny.program, job, tiny.inputs)
    claim = Claim(job, compute_state_root(replay(honest, job, start)))
    liar = FaultyRunner(StepRunner(tiny.program, job, tiny.inputs), 1)

    verdict, _ = play(tiny, claim, ExecutorTracer(honest, job, start), ExecutorTracer(liar, job, start))

    assert verdict is None or verdict.winner is Party.DEFENDER


def test_a_restarted_cheat_tells_the_same_lie() -> None:
    tiny = tiny_task()
    job, start = job_of(tiny)
    runners = [FaultyRunner(StepRunner(tiny.program, job, tiny.inputs), 1) for _ in range(2)]
    first, second = (compute_state_root(replay(runner, job, start)) for runner in runners)
    assert first == second
    assert runners[0].fault == runners[1].fault


def test_two_threads_replay_the_same_bits_as_one() -> None:
    tiny = tiny_task()
    job, start = job_of(tiny)
    roots = [compute_state_root(replay(StepRunner(tiny.program, job, tiny.inputs, n), job, start)) for n in (1, 2)]
    assert roots[0] == roots[1]


def test_the_tracer_reads_the_same_elements_as_the_interpreter() -> None:
    tiny = tiny_task()
    job, start = job_of(tiny)
    tracer = ExecutorTracer(StepRunner(tiny.program, job, tiny.inputs), job, start)
    for value, kind in enumerate(tiny.program.values):
        registers = tracer.registers(2, value, kind.elements - 1)[-1]
        size = len(tracer.step_values(2)[value]) // kind.elements
        assert element_bits(registers, kind.dtype) == int.from_bytes(tracer.step_values(2)[value][-size:], "little")


def test_the_default_victim_is_the_first_layers_weight_gradient() -> None:
    tiny = tiny_task()
    value = first_layer_gradient(tiny.program)
    assert tiny.program.values[value].shape == tiny.program.values[tiny.program.state[2][1]].shape
