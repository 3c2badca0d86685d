"""One wrong value planted anywhere in a defender's replay: the game must find it and end against the defender."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml.dispute.reference import Fault, WrongOperand, WrongPack, WrongResult
from runtime.codec import decode, encode
from runtime.dispute.bounds import maximum_moves
from runtime.dispute.moves import MAX_MOVE_BYTES, Party
from runtime.dispute.records import Evidence, Game, Reason
from runtime.vm.operators import OPERATORS
from tests.dispute.toy import Played, Toy, initialisation, long_sums, menagerie, mlp, play_fault

MENAGERIE_VALUES = len(menagerie().checked.values)


def evidence_of(played: Played, reason: Reason) -> Evidence:
    assert played.winner is Party.CHALLENGER
    assert played.verdict is not None
    assert played.verdict.reason is reason
    return played.verdict.evidence


def flip_of(toy: Toy, value: int) -> int:
    """Bits whose inversion changes any element of the value noticeably."""
    return {"f32": 1 << 22, "u8": 1 << 1, "i32": 1, "u32": 1 << 9}[toy.checked.values[value].dtype]


def test_the_menagerie_holds_every_operator() -> None:
    assert {node.op for node in menagerie().checked.program.nodes} == set(OPERATORS)


@pytest.mark.parametrize("value", range(MENAGERIE_VALUES))
def test_a_wrong_result_of_any_operator_is_found_at_its_element(value: int) -> None:
    toy = menagerie()
    element = toy.checked.values[value].elements - 1
    played = play_fault(toy, WrongResult(1, value, element, flip_of(toy, value)))
    evidence = evidence_of(played, Reason.WRONG_RESULT)
    node, _ = toy.checked.producer(value)
    operator = "key key" if node < 0 else toy.checked.program.nodes[node].op
    assert (evidence.value, evidence.element, evidence.operator) == (value, element, operator)
    assert int(evidence.claimed, 16) ^ int(evidence.computed, 16) == flip_of(toy, value)
    assert evidence.opcode == evidence.log[-1].opcode


def harmful_misreading(toy: Toy, value: int) -> WrongOperand:
    """A misread operand of the first or second element of a value that changes the element."""
    for element in range(min(2, toy.checked.values[value].elements)):
        honest = toy.tracer().run_element(1, value, element)
        for operand in range(len(honest.operands[0])):
            for flip in (1 << 30, 1 << 31, 1):
                fault = WrongOperand(1, value, element, operand, flip)
                if toy.tracer(fault).state_roots()[-1] != toy.tracer().state_roots()[-1]:
                    return fault
    raise AssertionError(f"no misreading of value {value} changes it")


@pytest.mark.parametrize("value", [v for v in range(MENAGERIE_VALUES) if menagerie().tracer().operands(1, v, 0, 1)])
def test_a_misread_operand_of_any_operator_is_found(value: int) -> None:
    toy = menagerie()
    fault = harmful_misreading(toy, value)
    evidence = evidence_of(play_fault(toy, fault), Reason.WRONG_OPERAND)
    assert (evidence.value, evidence.element) == (value, fault.element)
    assert evidence.operand.startswith("value ")
    assert int(evidence.claimed, 16) ^ int(evidence.computed, 16) == fault.flip


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("operator", ["state w1", "state m2", "batch pixels", "batch label", "scalar rate"])
def test_a_wrong_input_ends_at_the_opened_source(step: int, operator: str) -> None:
    """The wrong start state, the wrong samples, the wrong learning rate: each is a misread operand of an input."""
    toy, name = mlp(), operator.split()[1]
    value = [source.name for source in toy.checked.program.inputs].index(name)
    element = toy.checked.values[value].elements - 1
    evidence = evidence_of(
        play_fault(toy, WrongOperand(step, value, element, 0, 1 if name in ("label", "pixels") else 1 << 30)),
        Reason.WRONG_OPERAND,
    )
    assert evidence.operator == operator
    assert evidence.step == toy.job.first_step + step - 1
    space = {"w1": "state w1", "m2": "state m2", "rate": "scalars rate"}.get(name, f"data {name} of sample")
    assert evidence.operand.startswith(space)


def test_a_wrong_key_ends_at_the_input() -> None:
    evidence = evidence_of(play_fault(initialisation(), WrongResult(1, 0, 1)), Reason.WRONG_RESULT)
    assert evidence.operator == "key key"


@pytest.mark.parametrize("element", [0, 1023, 1024, 1319])
def test_a_wrong_initial_weight_is_found_in_its_chunk(element: int) -> None:
    toy = initialisation()
    evidence = evidence_of(play_fault(toy, WrongResult(1, 1, element)), Reason.WRONG_RESULT)
    assert (evidence.operator, evidence.element) == ("uniform", element)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("tensor", [0, 1, 2, 3])
def test_a_state_that_was_not_packed_from_the_values_is_found(step: int, tensor: int) -> None:
    evidence = evidence_of(play_fault(mlp(), WrongPack(step, tensor, 2)), Reason.WRONG_PACK)
    assert (evidence.operator, evidence.element) == ("pack", tensor)
    assert evidence.claimed != evidence.computed


@pytest.mark.parametrize(("value", "groups"), [(1, 10), (2, 10), (6, 1)])
def test_a_run_that_goes_wrong_in_the_middle_is_found_at_its_group(value: int, groups: int) -> None:
    toy = long_sums()
    assert toy.tracer().recipe(1, value, 0).groups == groups
    for group in sorted({1, groups // 2 + 1, groups}):
        played = play_fault(toy, WrongResult(1, value, 0, 1 << 22, group))
        evidence = evidence_of(played, Reason.WRONG_RESULT)
        assert 64 * (group - 1) <= evidence.operation < 64 * group
        assert len(evidence.log) <= 64
        assert int(evidence.claimed, 16) ^ int(evidence.computed, 16) == 1 << 22


@pytest.mark.parametrize("operand", [0, 63, 64, 599])
def test_an_operand_misread_deep_in_a_sum_is_found(operand: int) -> None:
    toy = long_sums()
    evidence = evidence_of(play_fault(toy, WrongOperand(1, 1, 0, operand, 1 << 30)), Reason.WRONG_OPERAND)
    assert evidence.operand == f"value 0[{operand}]"


def faults(toy: Toy) -> st.SearchStrategy[Fault]:
    """Any fault at all, most of them small."""

    def of_value(value: int) -> st.SearchStrategy[Fault]:
        kind = toy.checked.values[value]
        step, element = st.integers(1, toy.job.steps), st.integers(0, kind.elements - 1)
        flip = st.integers(1, 255) if kind.dtype == "u8" else st.integers(1, 2**32 - 1)
        result: st.SearchStrategy[Fault] = st.builds(WrongResult, step, st.just(value), element, flip)
        if toy.tracer().operands(1, value, 0, 1):
            result |= st.builds(WrongOperand, step, st.just(value), element, st.integers(0, 3), st.integers(1, 255))
        return result

    pack = st.builds(WrongPack, st.integers(1, toy.job.steps), st.integers(0, len(toy.checked.state) - 1), st.just(1))
    return st.one_of(st.integers(0, len(toy.checked.values) - 1).flatmap(of_value), pack)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(fault=faults(mlp()))
def test_whatever_goes_wrong_the_challenger_wins_in_bounds(fault: Fault) -> None:
    toy = mlp()
    cheat = toy.tracer(fault)
    assume(cheat.state_roots()[-1] != toy.tracer().state_roots()[-1])
    played = play_fault(toy, fault)
    assert played.verdict is not None
    assert played.winner is Party.CHALLENGER
    assert len(played.moves) <= maximum_moves(toy.checked, toy.job)
    for game, move in played.moves:
        assert len(encode(move)) <= MAX_MOVE_BYTES // 2
        assert decode(encode(game), Game) == game
    assert decode(encode(played.verdict), type(played.verdict)) == played.verdict
    where = played.verdict.evidence
    assert where.step == toy.job.first_step + fault.step - 1
    if not isinstance(fault, WrongPack):
        assert (where.value, where.element) == (fault.value, fault.element)
