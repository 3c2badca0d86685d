"""check_program: a valid program's facts, and a `ProgramError` naming node and rule for every malformation."""

from __future__ import annotations

import contextlib
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.codec import encode
from runtime.errors import ProgramError
from runtime.trees import hash_tagged
from runtime.vm.check import MAX_GAS, MAX_STEP_BYTES, check_job, check_program, decode_program
from runtime.vm.job import DataSource, Field
from runtime.vm.operators import OPERATORS
from runtime.vm.program import MAX_NODES, Input, Named, Node, Program
from runtime.vm.types import TensorType
from tests.vm.programs import ROOT, classifier, classifier_job, job_for

BASE = classifier()
CHECKED = check_program(BASE)
X = Input("state", "x", "f32", (4, 6))
OUT = (Named("out", 0),)


def changed(**changes: Any) -> Program:
    return msgspec.structs.replace(BASE, **changes)


def unary(op: str, *attributes: int, source: Input = X) -> Program:
    return Program(1, (source,), (Node(op, attributes, (0,)),), (), (Named("out", 1),))


def applied(op: str, attributes: tuple[int, ...], *types: tuple[str, tuple[int, ...]]) -> Program:
    inputs = tuple(Input("state", f"x{i}", dtype, shape) for i, (dtype, shape) in enumerate(types))
    return Program(1, inputs, (Node(op, attributes, tuple(range(len(types)))),), (), (Named("out", len(types)),))


def refuse(program: Program, message: str) -> None:
    with pytest.raises(ProgramError, match=re.escape(message)):
        check_program(program)


def test_a_checked_program_knows_its_root_values_and_producers() -> None:
    data = encode(BASE)
    assert CHECKED.root == hash_tagged(b"solvent:program", data)
    assert decode_program(data) == BASE == CHECKED.program
    assert len(CHECKED.values) == 27
    assert CHECKED.step_width == 28
    assert CHECKED.values[13] == TensorType("f32", (3, 4))
    assert [CHECKED.producer(value) for value in (0, 7, 8, 11, 12, 13, 14)] == [
        (-1, 0), (-1, 7), (0, 0), (3, 0), (3, 1), (3, 2), (4, 0),
    ]  # fmt: skip
    for value in range(27):
        assert CHECKED.value_of(*CHECKED.producer(value)) == value


def test_the_states_layout_is_sorted_by_name() -> None:
    assert [(name, value) for name, value, _ in CHECKED.state] == [
        ("bias", 23), ("bias.momentum", 22), ("weight", 25), ("weight.momentum", 24),
    ]  # fmt: skip
    assert [(name, tensor) for name, _, tensor in CHECKED.start_state] == [
        (name, tensor) for name, _, tensor in CHECKED.state
    ]


def test_a_program_may_start_from_nothing_or_leave_only_metrics() -> None:
    fill = Program(1, (), (Node("fill", (0, 2), ()),), (Named("w", 0),), ())
    assert check_program(fill).start_state == ()
    assert check_program(unary("row_sum")).state == ()


def test_a_program_of_the_full_node_count_passes_and_one_more_fails() -> None:
    source = Input("state", "x", "f32", ())
    for count, passes in ((MAX_NODES, True), (MAX_NODES + 1, False)):
        nodes = tuple(Node("neg", (), (i,)) for i in range(count))
        program = Program(1, (source,), nodes, (), (Named("out", count),))
        if passes:
            assert check_program(program).gas == count
        else:
            refuse(program, "16385 nodes, more than 16384")


STRUCTURE = {
    "version 2 is not 1": changed(version=2),
    "input 0 ('batch ', 'bias'): kind is not one of": changed(inputs=(Input("batch ", "bias", "f32", (4,)),)),
    "dtype 'f64' is not one of": changed(inputs=(Input("state", "x", "f64", (4,)),)),
    "name needs 1 to 128": changed(inputs=(Input("state", "", "f32", (4,)),)),
    "input 0 ('state', 'é'): a name needs": changed(inputs=(Input("state", "é", "f32", (4,)),)),
    "input 0 ('state', 'x'): dimension 0": changed(inputs=(Input("state", "x", "f32", (4, 0)),)),
    "dimension -1": changed(inputs=(Input("state", "x", "f32", (-1,)),)),
    "rank 9 is above 8": changed(inputs=(Input("state", "x", "f32", (1,) * 9),)),
    "rank 2000 is above 8": changed(inputs=(Input("state", "x", "f32", (1 << 60,) * 2000),)),
    "dimension 4294967297": changed(inputs=(Input("state", "x", "u8", ((1 << 32) + 1,)),)),
    "a step scalar is f32[], not f32[1]": changed(inputs=(Input("scalar", "lr", "f32", (1,)),)),
    "a Philox key is u32[2], not i32[2]": changed(inputs=(Input("key", "key", "i32", (2,)),)),
    "a batch needs a leading dimension": changed(inputs=(Input("batch", "x", "f32", ()),)),
    "two state inputs are named 'bias'": changed(inputs=(BASE.inputs[0], BASE.inputs[0])),
    "more than one key input": changed(inputs=(BASE.inputs[7], Input("key", "other", "u32", (2,)))),
    "2 different batch sizes": changed(inputs=(Input("batch", "a", "u8", (3,)), Input("batch", "b", "u8", (4,)))),
    "4097 inputs, more than 4096": changed(inputs=tuple(Input("state", f"x{i}", "f32", ()) for i in range(4097))),
    "state 'a': follows 'b'; names must ascend strictly": changed(state=(Named("b", 0), Named("a", 0))),
    "state 'a': follows 'a'": changed(state=(Named("a", 0), Named("a", 1))),
    "metrics 'a': follows 'a'": changed(metrics=(Named("a", 0), Named("a", 1))),
    "state 'bias': value 27 does not exist": changed(state=(Named("bias", 27),)),
    "metrics 'loss': value -1 does not exist": changed(metrics=(Named("loss", -1),)),
    "metrics 'a\\n'": changed(metrics=(Named("a\n", 0),)),
    "leaves neither state nor metrics": changed(state=(), metrics=()),
    "differ in names, dtypes or shapes": changed(state=BASE.state[1:]),
}  # fmt: skip


@pytest.mark.parametrize("message", STRUCTURE)
def test_a_malformed_structure_is_refused(message: str) -> None:
    refuse(STRUCTURE[message], message)


def test_a_state_that_changes_its_shape_is_refused() -> None:
    refuse(Program(1, (X,), (Node("transpose", (), (0,)),), (Named("x", 1),), ()), "next state differ")


NODES = {
    "node 0 ('conv9d'): unknown operator": unary("conv9d"),
    "node 0 ('neg'): input value 1 is not one of the 1 before it": Program(1, (X,), (Node("neg", (), (1,)),), (), OUT),
    "input value -1": Program(1, (X,), (Node("neg", (), (-1,)),), (), OUT),
    "input value 2": Program(1, (X,), (Node("neg", (), (2,)), Node("neg", (), (1,))), (), OUT),
    "node 0 ('neg'): takes 0 attributes, not 1": unary("neg", 1),
    "takes 1 inputs, not 2": applied("neg", (), ("f32", ()), ("f32", ())),
    "input 0 must be f32, not i32[3]": applied("exp", (), ("i32", (3,))),
    "input 1 must be f32": applied("add", (), ("f32", (3,)), ("u8", (3,))),
    "shapes (3,) and (4,) do not broadcast": applied("add", (), ("f32", (3,)), ("f32", (4,))),
    "flag 2 is neither 0 nor 1": applied("matmul", (2, 0), ("f32", (3, 3)), ("f32", (3, 3))),
    "inner dimensions 3 and 4 differ": applied("matmul", (0, 0), ("f32", (3, 3)), ("f32", (4, 3))),
    "inner dimensions 3 and 5 differ": applied("matmul", (1, 1), ("f32", (3, 2)), ("f32", (4, 5))),
    "needs a tensor of rank 2, not f32[3]": applied("matmul", (0, 0), ("f32", (3,)), ("f32", (3, 3))),
    "node 0 ('row_sum'): needs a tensor of rank 2": applied("row_sum", (), ("f32", (3,))),
    "node 0 ('col_sum'): needs a tensor of rank 2": applied("col_sum", (), ("f32", (3, 1, 1))),
    "node 0 ('log_softmax'): needs": applied("log_softmax", (), ("f32", ())),
    "grad f32[3, 4] and out f32[4, 3] differ": applied("log_softmax_backward", (), ("f32", (3, 4)), ("f32", (4, 3))),
    "grad f32[3] and x f32[4] differ": applied("relu_backward", (), ("f32", (3,)), ("f32", (4,))),
    "label i32[4] does not match": applied("nll", (), ("f32", (3, 4)), ("i32", (4,))),
    "input 1 must be i32": applied("nll", (), ("f32", (3, 4)), ("f32", (3,))),
    "class count 0 is out of range": applied("nll_backward", (0,), ("f32", ()), ("i32", (4,))),
    "class count 2147483648": applied("nll_backward", (1 << 31,), ("f32", ()), ("i32", (1,))),
    "param, grad and buffer differ": applied(
        "sgd", (0, 0, 0), ("f32", (3,)), ("f32", (3,)), ("f32", (1,)), ("f32", ())
    ),
    "attribute 4294967296 is not an f32 bit pattern": applied(
        "sgd", (1 << 32, 0, 0), ("f32", (3,)), ("f32", (3,)), ("f32", (3,)), ("f32", ())
    ),
    "no cast from f32 to u8": unary("cast", 2),
    "takes one dtype code": unary("cast", 4),
    "node 0 ('cast'): takes one dtype code, 0 to 3": unary("cast", -1),
    "takes no inputs": unary("fill", 0, 3),
    "attribute -1 is not an f32": Program(1, (), (Node("fill", (-1, 3), ()),), (), OUT),
    "node 0 ('fill'): dimension 0": Program(1, (), (Node("fill", (0, 3, 0), ()),), (), OUT),
    "node 0 ('fill'): rank 30000": Program(1, (), (Node("fill", (0,) + (1 << 62,) * 30000, ()),), (), OUT),
    "f32[4, 6] does not reshape to (5, 5)": unary("reshape", 5, 5),
    "f32[4, 6] does not broadcast to (6,)": unary("broadcast_to", 6),
    "do not broadcast": unary("broadcast_to", 2, 5, 6),
    "needs a Philox key u32[2]": applied("uniform", (0, 0, 3), ("u32", (3,))),
    "takes low and high": applied("uniform", (0,), ("u32", (2,))),
    "shapes (3,) and (2,) do not broadcast": applied("select", (), ("i32", (3,)), ("f32", (2,)), ("f32", (2,))),
    "node 0 ('select'): takes 3 inputs, not 0": Program(1, (), (Node("select", (), ()),), (), OUT),
    "node 0 ('reshape'): takes 1 input, not 0": Program(1, (), (Node("reshape", (1,), ()),), (), OUT),
}


@pytest.mark.parametrize("message", NODES)
def test_a_malformed_node_is_refused_by_name_and_rule(message: str) -> None:
    refuse(NODES[message], message)


ARITIES = [(), (0,), (1,), (2,), (0, 0), (2, 2, 2), (0, 1, 0), (0,) * 9]
ATTRIBUTES = [(), (0,), (1, 1), (-1, 5), (1 << 63,) * 3, (0,) * 12]


@pytest.mark.parametrize("op", OPERATORS)
def test_an_operator_refuses_what_it_cannot_take(op: str) -> None:
    sources = (Input("state", "a", "f32", ()), Input("state", "b", "u8", (2,)), Input("state", "c", "i32", (2, 3)))
    accepted = 0
    for inputs in ARITIES:
        for attributes in ATTRIBUTES:
            with contextlib.suppress(ProgramError):
                check_program(Program(1, sources, (Node(op, attributes, inputs),), (), OUT))
                accepted += 1
    assert accepted <= 4


def test_the_bytes_of_a_steps_values_are_bounded() -> None:
    huge = Input("state", "x", "u8", (1 << 31, 32))
    assert check_program(Program(1, (huge,), (), (), OUT)).values[0].bytes == MAX_STEP_BYTES
    refuse(Program(1, (huge, Input("state", "y", "u8", ())), (), (), OUT), "bytes, more than 68719476736")
    refuse(applied("add", (), ("f32", (1 << 31, 1)), ("f32", (1, 1 << 31))), "node 0 ('add'): f32[2147483648")
    refuse(applied("matmul", (0, 0), ("f32", (1 << 32, 1)), ("f32", (1, 1 << 32))), "node 0 ('matmul'): f32[42949")
    refuse(unary("broadcast_to", *(1 << 32,) * 6, 4, 6), "node 0 ('broadcast_to'): f32[4294967296")


def test_gas_counts_every_operation_of_the_largest_products() -> None:
    wide = applied("matmul", (0, 0), ("f32", (1, 1 << 32)), ("f32", (1 << 32, 1)))
    assert check_program(wide).gas == (1 << 32) + (1 << 24) - 1
    square = applied("matmul", (0, 0), ("f32", (1 << 15, 1 << 15)), ("f32", (1 << 15, 1 << 15)))
    assert check_program(square).gas == (1 << 30) * ((1 << 15) + (1 << 7) - 1)


def test_gas_beyond_its_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.vm.check.MAX_GAS", CHECKED.gas)
    check_program(BASE)
    monkeypatch.setattr("runtime.vm.check.MAX_GAS", CHECKED.gas - 1)
    refuse(BASE, "node 13 ('uniform'): brings the step to")


def test_bytes_that_are_not_a_program_are_refused() -> None:
    for data in (b"", b"\x00", encode(BASE)[:-1], encode(BASE) + b"\x00", encode(BASE.nodes[0]), bytes((1 << 20) + 1)):
        with pytest.raises(ProgramError, match="not a program"):
            decode_program(data)


def test_a_program_above_one_mebibyte_is_refused() -> None:
    refuse(changed(nodes=(Node("fill", (1 << 60,) * 120_000, ()),)), "allowed")


MISTYPED = [
    changed(version="1"),
    changed(version=1 << 70),
    changed(version=object()),
    changed(nodes=5),
    changed(inputs=(BASE,)),
    changed(state=("bias",)),
    changed(metrics=(Named("\ud800", 0),)),
    BASE.nodes[0],
    None,
]


@pytest.mark.parametrize("program", MISTYPED)
def test_wrongly_typed_fields_are_refused(program: Any) -> None:
    with pytest.raises(ProgramError, match="not a program"):
        check_program(program)


def nested_lists(generator: random.Random, tree: Any) -> Any:
    """The same tree with one or two random edits."""
    for _ in range(generator.randrange(1, 3)):
        parent, key = None, None
        place = tree
        while isinstance(place, list) and place and (parent is None or generator.random() < 0.9):
            parent, key = place, generator.randrange(len(place))
            place = place[key]
        if parent is None:
            return tree
        edits = [
            generator.choice([0, 1, -1, 2, 3, 5, 27, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, -(1 << 63)]),
            generator.choice(["", "state", "key", "scalar", "batch", "f32", "u8", "i32", "Node", "x" * 200, "\x00"]),
            generator.choice(list(OPERATORS)), [], [place], [1 << 32] * 8, b"", True, None, 1.5,
        ]  # fmt: skip
        action = generator.randrange(5)
        if action <= 2:
            same = [edit for edit in edits if type(edit) is type(place)]
            parent[key] = generator.choice(same or edits) if action else generator.choice(edits)
        elif action == 3:
            del parent[key]
        else:
            parent.insert(key, parent[generator.randrange(len(parent))])
    return tree


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.integers(0, 2**64))
def test_a_mutated_program_is_valid_or_a_program_error(seed: int) -> None:
    tree = msgspec.msgpack.decode(encode(BASE))
    data = msgspec.msgpack.encode(nested_lists(random.Random(seed), tree))
    try:
        checked = check_program(decode_program(data))
    except ProgramError:
        return
    assert sum(tensor.bytes for tensor in checked.values) <= MAX_STEP_BYTES
    assert checked.gas <= MAX_GAS


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, len(encode(BASE)) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_mutated_bytes_are_valid_or_a_program_error(position: int, inserted: bytes, removed: int) -> None:
    data = encode(BASE)
    with contextlib.suppress(ProgramError):
        check_program(decode_program(data[:position] + inserted + data[position + removed :]))


def test_a_job_must_supply_what_its_program_reads() -> None:
    good = classifier_job(CHECKED)
    check_job(CHECKED, good)
    extra, label, pixels = good.data.fields

    def data(*fields: Field, samples: int = 7, batch: int = 3) -> dict[str, Any]:
        return {"data": DataSource(ROOT, samples, fields, ROOT, batch)}

    wrong: dict[str, dict[str, Any]] = {
        "another program": {"program": ROOT},
        "input 6 ('scalar', 'lr'): the job has no such step scalar": {"scalar_names": ("decay",)},
        "3 rows of scalars for 4 steps": {"scalar_rows": 3},
        "4 rows of scalars for 5 steps": {"first_step": 1},
        "does not fit a Philox counter": {"first_step": 1 << 32},
        "input 4 ('batch', 'label'): the samples have no such field": data(extra, pixels),
        "input 4 ('batch', 'label'): a batch of this field is i32[4]": data(label, pixels, batch=4),
        "input 5 ('batch', 'pixels'): a batch of this field is u8[3]": data(label, Field("pixels", "u8", ())),
        "input 5 ('batch', 'pixels'): a batch of this field is i32[3, 5]": data(label, Field("pixels", "i32", (5,))),
        "names of fields or scalars repeat": data(label, pixels, label),
        "scalars repeat": {"scalar_names": ("lr", "lr")},
        "the data source is empty": data(label, pixels, samples=0),
    }
    for message, change in wrong.items():
        with pytest.raises(ProgramError, match=re.escape(message)):
            check_job(CHECKED, classifier_job(CHECKED, **change))


def test_a_job_of_too_much_gas_is_refused() -> None:
    job = classifier_job(CHECKED, steps=(1 << 32) - 1, scalar_rows=1 << 32)
    check_job(CHECKED, job)
    huge = check_program(applied("matmul", (0, 0), ("f32", (1 << 15, 1 << 15)), ("f32", (1 << 15, 1 << 15))))
    with pytest.raises(ProgramError, match="scalar operations in 1048576 steps"):
        check_job(huge, job_for(huge, steps=1 << 20))


def test_a_program_without_inputs_needs_nothing_of_its_job() -> None:
    checked = check_program(Program(1, (), (Node("fill", (0, 2), ()),), (Named("w", 0),), ()))
    check_job(checked, job_for(checked))
