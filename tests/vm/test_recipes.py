"""Recipes: what an element reads, how long it takes, and that gas is the gas of what is executed."""

from __future__ import annotations

import pytest

from runtime.errors import VmHalt
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.interpreter import evaluate
from runtime.vm.opcodes import OPCODES, Opcode
from runtime.vm.operators import OPERATORS
from runtime.vm.program import Input, Named, Node, Program
from runtime.vm.recipes import Address, Instruction, Load, LoadAt, Recipe, Register, element_recipe
from runtime.vm.shuffle import sample_index
from runtime.vm.types import Kind, Scalar
from tests.vm.programs import classifier, classifier_job, job_for

CLASSIFIER = check_program(classifier())
JOB = classifier_job(CLASSIFIER)


def recipes_of(checked: CheckedProgram) -> list[Recipe]:
    job = JOB if checked is CLASSIFIER else job_for(checked)
    return [
        element_recipe(checked, job, 2, value, element)
        for value, tensor in enumerate(checked.values)
        for element in sorted({0, tensor.elements // 2, tensor.elements - 1})
    ]


def sums(rows: int, columns: int) -> CheckedProgram:
    """Every operator whose recipes grow with a dimension."""
    source = Input("state", "x", "f32", (rows, columns))
    ops = ("row_sum", "col_sum", "block_sum", "log_softmax")
    nodes = [Node(op, (), (0,)) for op in ops] + [Node("matmul", (0, 1), (0, 0)), Node("matmul", (1, 0), (0, 0))]
    return check_program(Program(1, (source,), tuple(nodes), (), (Named("out", 1),)))


@pytest.mark.parametrize("checked", [CLASSIFIER, sums(1, 1), sums(3, 17), sums(2, 300), sums(257, 1), sums(520, 2)])
def test_a_recipes_gas_is_that_of_its_instructions(checked: CheckedProgram) -> None:
    for recipe in recipes_of(checked):
        line = [recipe.instruction(i) for i in range(recipe.length)]
        assert recipe.gas == sum(OPCODES[instruction.opcode].gas for instruction in line)
        assert recipe.groups == -(-len(line) // 64)
        assert recipe.trace_width == recipe.groups + 1


@pytest.mark.parametrize("checked", [CLASSIFIER, sums(3, 17), sums(40, 2)])
def test_a_nodes_gas_is_that_of_its_elements(checked: CheckedProgram) -> None:
    for node, gas in enumerate(checked.node_gas):
        application = checked.application(node)
        recipe = OPERATORS[checked.program.nodes[node].op].recipe
        elements = [
            recipe(application, output, element).gas
            for output, tensor in enumerate(application.outputs)
            for element in range(tensor.elements)
        ]
        assert gas == sum(elements)
    assert checked.gas == sum(checked.node_gas)


def test_a_flat_sum_is_charged_as_whole_blocks() -> None:
    source = Input("state", "x", "f32", (5000,))
    checked = check_program(Program(1, (source,), (Node("block_sum", (), (0,)),), (), (Named("out", 1),)))
    assert checked.gas == 2 * (4096 + 15)


def test_only_earlier_values_are_read() -> None:
    for value, tensor in enumerate(CLASSIFIER.values):
        for element in range(tensor.elements):
            recipe = element_recipe(CLASSIFIER, JOB, 0, value, element)
            for i in range(recipe.length):
                for source in recipe.instruction(i).sources:
                    if isinstance(source, Load | LoadAt) and source.address.space == "value":
                        assert source.address.tensor < value
                        assert source.dtype == CLASSIFIER.values[source.address.tensor].dtype


def test_matmul_begins_each_block_from_zero_and_adds_it_to_the_total() -> None:
    recipe = element_recipe(sums(2, 300), JOB, 0, sums(2, 300).value_of(4, 0), 1)
    assert recipe.length == 301
    a, b = Load(Address("value", 0, 255), "f32"), Load(Address("value", 0, 555), "f32")
    assert recipe.instruction(255) == Instruction(Opcode.FMA_F32, 0, (a, b, Register(0)))
    a, b = Load(Address("value", 0, 256), "f32"), Load(Address("value", 0, 556), "f32")
    assert recipe.instruction(256) == Instruction(Opcode.FMA_F32, 1, (a, b, Register(2)))
    assert recipe.instruction(300) == Instruction(Opcode.ADD_F32, 0, (Register(0), Register(1)))
    assert recipe.constants[0] == recipe.constants[2] == Scalar(Kind.F32, 0)


def test_a_huge_recipe_answers_for_its_last_instruction_at_once() -> None:
    source = Input("state", "x", "f32", (1, 1 << 30))
    checked = check_program(Program(1, (source,), (Node("matmul", (0, 1), (0, 0)),), (), (Named("out", 1),)))
    recipe = element_recipe(checked, job_for(checked), 0, 1, 0)
    assert recipe.length == (1 << 30) + (1 << 22) - 1
    assert recipe.instruction(recipe.length - 1).opcode == Opcode.ADD_F32
    assert recipe.instruction(recipe.length - 2).sources[0] == Load(Address("value", 0, (1 << 30) - 1), "f32")


def test_no_element_of_any_operator_is_longer_than_the_bound() -> None:
    nodes = (
        Node("softmax", (0x3F800000, 1), (0,)),
        Node("reshape", (1, 2, 10, 35), (0,)),
        Node("max_pool", (5, 12, 9, 9, 2, 3, 4, 4, 1, 1), (4,)),
        Node("max_pool_backward", (5, 12, 9, 9, 2, 3, 4, 4, 1, 1, 10, 35), (5, 6)),
    )
    checked = check_program(Program(1, (Input("state", "x", "f32", (20, 35)),), nodes, (), (Named("out", 7),)))
    for value in range(1, len(checked.values)):
        node, output = checked.producer(value)
        application, operator = checked.application(node), OPERATORS[checked.program.nodes[node].op]
        elements = range(checked.values[value].elements)
        longest = max(operator.recipe(application, output, element).groups for element in elements)
        assert longest <= operator.groups(application, output) <= longest + 1


def address_of(value: int, element: int, step: int = 2) -> Address:
    source = element_recipe(CLASSIFIER, JOB, step, value, element).instruction(0).sources[0]
    assert isinstance(source, Load)
    return source.address


def test_a_state_input_is_read_from_its_place_in_the_sorted_state() -> None:
    assert [address_of(value, 1) for value in range(4)] == [Address("state", index, 1) for index in range(4)]
    inputs = (Input("state", "b", "f32", (2,)), Input("state", "a", "f32", (2,)))
    checked = check_program(Program(1, inputs, (), (Named("a", 1), Named("b", 0)), ()))
    recipe = element_recipe(checked, job_for(checked), 0, 0, 1)
    assert recipe.instruction(0) == Instruction(Opcode.MOVE, 0, (Load(Address("state", 1, 1), "f32"),))


def test_a_batch_input_is_read_from_the_sample_that_the_order_puts_there() -> None:
    for row in range(3):
        sample = sample_index(JOB.data, 2 * 3 + row)
        assert address_of(4, row) == Address("data", sample * 3 + 1, 0)
        assert address_of(5, row * 5 + 4) == Address("data", sample * 3 + 2, 4)


def test_a_scalar_input_is_read_from_the_row_of_its_step() -> None:
    assert address_of(6, 0, step=3) == Address("scalars", 0, 3 * 2 + 1)


def test_the_key_is_a_constant() -> None:
    words = [evaluate(element_recipe(CLASSIFIER, JOB, 0, 7, element), lambda _: 0)[0] for element in (0, 1)]
    assert words == [Scalar(Kind.U32, 0x89ABCDEF), Scalar(Kind.U32, 0x01234567)]


@pytest.mark.parametrize(("value", "element"), [(-1, 0), (27, 0), (0, 4), (0, -1), (1 << 70, 0)])
def test_there_is_no_recipe_for_what_does_not_exist(value: int, element: int) -> None:
    with pytest.raises(VmHalt):
        element_recipe(CLASSIFIER, JOB, 0, value, element)


def test_a_job_that_lacks_an_input_halts() -> None:
    for value in (4, 6):
        with pytest.raises(VmHalt, match="the job"):
            element_recipe(CLASSIFIER, job_for(CLASSIFIER), 0, value, 0)
