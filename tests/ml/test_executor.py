"""The executor: both placements agree with the interpreter, state stays in place, tampering works, misuse is named."""

from __future__ import annotations

import numpy as np
import pytest

from ml.executor import Executor, ExecutorError
from ml.selftest import ordinary_floats, wild_floats
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.program import Input, Named, Node, Program
from tests.ml.kernel_cases import interpret, job_of

SHAPE = (3, 5)


def program(nodes: list[Node], state: dict[str, int], metrics: dict[str, int], inputs: int = 2) -> CheckedProgram:
    """State inputs t0, t1, ... of one shape."""
    names = tuple(Input(kind="state", name=f"t{i}", dtype="f32", shape=SHAPE) for i in range(inputs))
    return check_program(
        Program(
            version=1,
            inputs=names,
            nodes=tuple(nodes),
            state=tuple(Named(name=name, value=state[name]) for name in sorted(state)),
            metrics=tuple(Named(name=name, value=metrics[name]) for name in sorted(metrics)),
        )
    )


def node(op: str, *inputs: int, attributes: tuple[int, ...] = ()) -> Node:
    return Node(op=op, attributes=attributes, inputs=inputs)


def tensors(count: int = 2, wild: bool = True) -> dict[str, np.ndarray]:
    make = wild_floats if wild else ordinary_floats
    return {f"t{i}": make(15, i + 1).reshape(SHAPE) for i in range(count)}


CASES = {
    "a chain that may reuse every buffer": (
        [node("exp", 0), node("neg", 2), node("add", 3, 1), node("mul", 4, 4)], {"t0": 5, "t1": 4}, {"m": 3},
    ),
    "an update in place while the old value is still read": (
        [node("add", 0, 1), node("sub", 0, 2)], {"t0": 2, "t1": 1}, {"m": 3},
    ),
    "states that swap places": ([node("neg", 0)], {"t0": 1, "t1": 0}, {"m": 2}),
    "one value in two places of the next state": ([node("add", 0, 1)], {"t0": 2, "t1": 2}, {}),
    "a reshape that shares its buffer": (
        [node("neg", 0), node("reshape", 2, attributes=(5, 3)), node("abs", 3), node("reshape", 4, attributes=SHAPE),
         node("add", 2, 5)], {"t0": 6, "t1": 5}, {"m": 3},
    ),
    "a reshape of raw state makes NaN canonical": (
        [node("reshape", 0, attributes=(15,)), node("reshape", 2, attributes=SHAPE)], {"t0": 3, "t1": 1}, {"m": 2},
    ),
    "a constant, used twice": (
        [node("fill", attributes=(0x40000000, *SHAPE)), node("mul", 0, 2), node("mul", 1, 2)],
        {"t0": 3, "t1": 4}, {"m": 2},
    ),
    "statistics that nobody reads": ([node("log_softmax", 0)], {"t0": 4, "t1": 1}, {"m": 4}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_both_placements_agree_with_the_interpreter_over_several_steps(name: str) -> None:
    nodes, outputs, metrics = CASES[name]
    checked = program(nodes, outputs, metrics)
    executor, job, state = Executor(checked), job_of(checked), tensors()
    executor.load(state)
    for step in range(3):
        expected = interpret(checked, [state[key] for key in sorted(state)])
        single = executor_of(checked).run_step(state, job, step, {}, (), keep_values=True)
        assert single.values is not None
        assert [value.tobytes() for value in single.values] == expected
        found = executor.advance(job, step, {}, ())
        assert {key: found[key].tobytes() for key in found} == {key: expected[value] for key, value in metrics.items()}
        state = executor.state()
        assert {key: state[key].tobytes() for key in state} == {key: expected[value] for key, value in outputs.items()}
        assert {key: single.state[key].tobytes() for key in state} == {key: state[key].tobytes() for key in state}


def executor_of(checked: CheckedProgram) -> Executor:
    return Executor(checked, threads=2)


def test_compact_buffers_take_less_memory_than_one_each() -> None:
    nodes = [node("neg", 0), *(node("exp", 2 + i) for i in range(20))]
    checked = program(nodes, {"t0": 22, "t1": 1}, {})
    executor = Executor(checked)
    executor.run_step(tensors(), job_of(checked), 0, {}, ())
    executor.run_step(tensors(), job_of(checked), 0, {}, (), keep_values=True)
    compact, opened = executor._compact, executor._open
    assert compact is not None
    assert opened is not None
    assert compact.placement.size < opened.placement.size // 3


def test_the_caller_keeps_its_arrays() -> None:
    checked = program([node("neg", 0)], {"t0": 2, "t1": 1}, {"m": 2})
    state = tensors()
    before = {name: array.copy() for name, array in state.items()}
    executor = Executor(checked)
    first = executor.run_step(state, job_of(checked), 0, {}, ())
    kept = first.state["t0"].copy()
    executor.run_step(first.state, job_of(checked), 1, {}, ())
    assert all(state[name].tobytes() == before[name].tobytes() for name in state)
    assert first.state["t0"].tobytes() == kept.tobytes()


def test_a_patch_sees_every_value_in_order_and_changes_what_follows() -> None:
    checked = program([node("neg", 0), node("add", 2, 1)], {"t0": 3, "t1": 1}, {})
    seen: list[int] = []

    def patch(value: int, array: np.ndarray) -> None:
        seen.append(value)
        if value == 2:
            array[0, 0] = 100.0

    state = tensors(wild=False)
    result = Executor(checked).run_step(state, job_of(checked), 0, {}, (), patch=patch)
    assert seen == [0, 1, 2, 3]
    assert result.state["t0"][0, 0] == np.float32(100) + state["t1"][0, 0]
    assert result.values is None


def test_inputs_of_another_type_are_refused_by_name() -> None:
    checked = program([node("neg", 0)], {"t0": 2, "t1": 1}, {})
    executor, job = Executor(checked), job_of(checked)
    with pytest.raises(ExecutorError, match="reads state t1, which is not given"):
        executor.run_step({"t0": tensors()["t0"]}, job, 0, {}, ())
    with pytest.raises(ExecutorError, match=r"state t0 is float64\[3, 5\], the program reads float32\[3, 5\]"):
        executor.run_step({**tensors(), "t0": np.zeros(SHAPE)}, job, 0, {}, ())


def test_two_threads_cannot_use_one_executor_at_once() -> None:
    checked = program([node("neg", 0)], {"t0": 2, "t1": 1}, {})
    executor = Executor(checked)

    def patch(value: int, array: np.ndarray) -> None:
        with pytest.raises(ExecutorError, match="already running"):
            executor.load(tensors())

    executor.run_step(tensors(), job_of(checked), 0, {}, (), patch=patch)
