"""The fast tracer: a player's replay of one segment on the compiled kernels, down to the registers of any element.

Nothing is computed before a dispute asks for it: state roots first, then every value of one step, then one element's
registers by the chain's own interpreter. `FaultyRunner` is the same machine with one broken multiplication, for the
adversary that ``verification.md`` wants shipped: the wrong product travels through the element's registers, the step,
all later steps and the checkpoints, exactly as it would in hardware that failed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.artifacts import Tensors, compute_state_root, tensor_content
from ml.data import data_tree_of
from ml.dispute import ElementRuns
from ml.dispute.tracer import Buffer, ElementRun
from ml.executor import StepResult
from ml.replay import State, StepRunner
from runtime.trees import Tree
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address, Recipe
from runtime.vm.instructions import Load as LoadSource
from runtime.vm.interpreter import evaluate, load_group
from runtime.vm.job import Job
from runtime.vm.opcodes import Opcode, Registers
from runtime.vm.recipes import element_recipe
from runtime.vm.types import Scalar, read_element, write_element

SNAPSHOT_BYTES = 512 * 1024 * 1024
"""Memory for the states of a segment; a longer segment keeps every k-th and replays between them."""
Load = Callable[[Address], int]
SEARCHED_ELEMENTS = 4096
PRODUCTS = (Opcode.FMA_F32, Opcode.MUL_F32)


@dataclass(frozen=True)
class Fault:
    """One wrong result: after operation ``operation`` of an element's recipe, the bits of ``flip`` are inverted.

    ``step`` is global. ``bits`` is the element that comes out of it.
    """

    step: int
    value: int
    element: int
    operation: int
    flip: int
    bits: int


class ExecutorTracer(ElementRuns):
    """Replays a segment on the kernels. Mutable: it remembers what it was asked for."""

    def __init__(self, runner: StepRunner, job: Job, start: State) -> None:
        super().__init__(runner.checked, job)
        self.runner = runner
        size = max(1, sum(array.nbytes for array in start.values()))
        self._stride = max(1, -(-size * (job.steps + 1) // SNAPSHOT_BYTES))
        self._snapshots: dict[int, Tensors] = {0: dict(start)}
        self._roots: list[bytes] = []
        self._values: dict[int, list[bytes]] = {}
        self._states: dict[int, list[bytes]] = {}
        self._sample_tree: Tree | None = None

    def state_roots(self) -> Sequence[bytes]:
        if not self._roots:
            roots = [self.job.start]
            self.runner.load(self._snapshots[0])
            for step in range(1, self.job.steps + 1):
                self.runner.advance(self.job.first_step + step - 1)
                state = self.runner.state()
                roots.append(compute_state_root(state))
                if step % self._stride == 0:
                    self._snapshots[step] = state
            self._roots = roots
        return self._roots

    def state(self, step: int) -> Tensors:
        """The state after ``step`` steps of the segment, replayed from the nearest snapshot."""
        nearest = max(known for known in self._snapshots if known <= step)
        if nearest == step:
            return self._snapshots[step]
        self.runner.load(self._snapshots[nearest])
        for later in range(nearest, step):
            self.runner.advance(self.job.first_step + later)
        return self.runner.state()

    def state_values(self, step: int) -> Sequence[Buffer]:
        if step not in self._states:
            state = self.state(step)
            self._states = {step: [tensor_content(state[name]) for name in sorted(state)]}
        return self._states[step]

    def step_values(self, step: int) -> Sequence[Buffer]:
        if step not in self._values:
            result = self.runner.step(self.state(step - 1), self.job.first_step + step - 1)
            self._values = {step: kept_values(result)}
        return self._values[step]

    def sample_tree(self) -> Tree:
        if self._sample_tree is None:
            self._sample_tree = data_tree_of(self.runner.inputs.fields, self.job.data.fields)
        return self._sample_tree

    def sample_field(self, leaf: int) -> Buffer:
        sample, field = divmod(leaf, len(self.job.data.fields))
        return tensor_content(self.runner.inputs.fields[self.job.data.fields[field].name][sample])

    def scalar_table(self) -> Buffer:
        return tensor_content(self.runner.inputs.scalars)

    def load(self, step: int, address: Address) -> int:
        if address.space == "value":
            dtype = self.checked.values[address.tensor].dtype
            return read_element(self.step_values(step)[address.tensor], dtype, address.element)
        if address.space == "state":
            _, _, kind = self.checked.start_state[address.tensor]
            return read_element(self.state_values(step - 1)[address.tensor], kind.dtype, address.element)
        if address.space == "scalars":
            return read_element(self.scalar_table(), "f32", address.element)
        field = self.job.data.fields[address.tensor % len(self.job.data.fields)]
        return read_element(self.sample_field(address.tensor), field.dtype, address.element)

    def run_element(self, step: int, value: int, element: int) -> ElementRun:
        """An element's run; the broken one runs again as it broke."""
        run = super().run_element(step, value, element)
        fault = self.runner.fault if isinstance(self.runner, FaultyRunner) else None
        number = self.job.first_step + step - 1
        if fault is None or (number, value, element) != (fault.step, fault.value, fault.element):
            return run
        recipe = self.recipe(step, value, element)
        registers = faulty_trace(recipe, lambda address: self.load(step, address), fault.operation, fault.flip)
        return replace(run, registers=tuple(registers))


class FaultyRunner(StepRunner):
    """A step runner that computes one multiplication wrongly, once. Mutable: it remembers what it broke.

    The element is found when the step is first run, in a way that depends only on the step's values, so that a
    restarted cheat tells the same lie again.
    """

    def __init__(self, honest: StepRunner, faulty_step: int, value: int | None = None, flip: int = 1 << 21) -> None:
        super().__init__(honest.checked, honest.job, honest.inputs, executor=honest.executor)
        self.faulty_step = faulty_step
        self.value = first_layer_gradient(honest.checked) if value is None else value
        self.flip = flip
        self.fault: Fault | None = None

    def advance(self, number: int) -> dict[str, np.ndarray]:
        if number != self.faulty_step:
            return super().advance(number)
        result = self.step(self.state(), number)
        self.load(result.state)
        return result.metrics

    def step(self, state: State, number: int) -> StepResult:
        if number != self.faulty_step:
            return super().step(state, number)
        if self.fault is None:
            honest = kept_values(super().step(state, number))
            self.fault = find_fault(self.checked, self.job, number, self.value, honest, self.flip)
        return self.run_step(state, number, self._break)

    def _break(self, value: int, array: np.ndarray) -> None:
        if self.fault is not None and value == self.fault.value:
            data = write_element(self.fault.bits, self.checked.values[value].dtype)
            array.reshape(-1)[self.fault.element] = np.frombuffer(data, array.dtype)[0]


def kept_values(result: StepResult) -> list[bytes]:
    """The bytes of every value of a step that was run with ``keep_values``."""
    assert result.values is not None
    return [tensor_content(array) for array in result.values]


def first_layer_gradient(checked: CheckedProgram) -> int:
    """The value number of the first layer's weight gradient: the last matmul of a backward pass."""
    nodes = [number for number, node in enumerate(checked.program.nodes) if node.op == "matmul"]
    if not nodes:
        raise ValueError("the program has no matmul to corrupt; name the value")
    return checked.value_of(nodes[-1], 0)


def find_fault(checked: CheckedProgram, job: Job, step: int, value: int, values: Sequence[Buffer], flip: int) -> Fault:
    """The first element, from a place that the step number scatters, in which a wrong product changes the result.

    A product that ends a group of operations is preferred: there the chain's verdict names that very operation.
    """

    def load(address: Address) -> int:
        if address.space != "value":
            raise ValueError(f"the value to corrupt reads {address} from outside the step; choose an operator's output")
        return read_element(values[address.tensor], checked.values[address.tensor].dtype, address.element)

    elements = checked.values[value].elements
    for last_only in (True, False):
        for attempt in range(min(elements, SEARCHED_ELEMENTS)):
            element = (step * 7919 + elements // 2 + attempt * 31) % elements
            recipe = element_recipe(checked, job, step, value, element)
            for operation in products(recipe, load, last_only):
                wrong = faulty_trace(recipe, load, operation, flip)[-1][0]
                if wrong != evaluate(recipe, load)[0]:
                    return Fault(step, value, element, operation, flip, wrong.bits)
    raise ValueError(f"no product of value {value} matters in step {step}")


def products(recipe: Recipe, load: Load, last_only: bool) -> list[int]:
    """Operations that multiply two loaded numbers other than zero, later groups first."""
    found = []
    for group in range(recipe.groups, 0, -1):
        numbers = recipe.group_range(group)
        for number in numbers[-1:] if last_only else numbers:
            instruction = recipe.instruction(number)
            factors = [load(source.address) for source in instruction.sources[:2] if isinstance(source, LoadSource)]
            nonzero = len(factors) == 2 and all(bits & 0x7FFFFFFF for bits in factors)
            if instruction.opcode in PRODUCTS and nonzero:
                found.append(number)
    return found


def faulty_trace(recipe: Recipe, load: Load, operation: int, flip: int) -> list[Registers]:
    """The trace of a recipe whose operation number ``operation`` leaves the bits of ``flip`` inverted."""
    trace = [recipe.constants]
    for group in range(1, recipe.groups + 1):
        numbers = recipe.group_range(group)
        if operation not in numbers:
            trace.append(load_group(recipe, group, trace[-1], load).registers_after)
            continue
        wrong = evaluate(_part(recipe, trace[-1], range(numbers.start, operation + 1)), load)
        wrong = _with_flip(wrong, recipe.instruction(operation).destination, flip)
        trace.append(evaluate(_part(recipe, wrong, range(operation + 1, numbers.stop)), load))
    return trace


def _part(recipe: Recipe, before: Registers, numbers: range) -> Recipe:
    """Some consecutive operations of a recipe as one of its own."""
    return replace(
        recipe, constants=before, length=len(numbers), instruction=lambda i: recipe.instruction(numbers.start + i)
    )


def _with_flip(registers: Registers, number: int, flip: int) -> Registers:
    cells = list(registers.cells)
    cells[number] = Scalar(cells[number].kind, cells[number].bits ^ flip)
    return Registers(tuple(cells))
