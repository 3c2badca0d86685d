"""A tracer made of nothing but the chain's interpreter, for programs of a few hundred elements.

It *is* the definition of a step, so tests play it against itself with one wrong value planted. Every planted fault is
carried into all later values and steps, as in a real machine that went wrong once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from ml.dispute.tracer import Buffer, ElementRun, ElementRuns
from runtime.commitments import state_tree, tensor_root
from runtime.trees import Tree
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address
from runtime.vm.interpreter import load_group
from runtime.vm.job import Job
from runtime.vm.opcodes import Registers
from runtime.vm.types import Scalar, read_element, write_element


@dataclass(frozen=True)
class WrongResult:
    """Element ``element`` of ``value`` in step ``step`` (from 1) comes out with the bits of ``flip`` inverted.

    With ``group`` it goes wrong in the middle: register 0 is damaged after that group of operations and carried on.
    """

    step: int
    value: int
    element: int
    flip: int = 1
    group: int = 0


@dataclass(frozen=True)
class WrongOperand:
    """The element is computed correctly from an operand, the ``operand``-th it loads, that was misread."""

    step: int
    value: int
    element: int
    operand: int = 0
    flip: int = 1


@dataclass(frozen=True)
class WrongPack:
    """The state after ``step`` holds another element than the value it is packed from."""

    step: int
    tensor: int
    element: int
    flip: int = 1


Fault = WrongResult | WrongOperand | WrongPack


@dataclass(frozen=True)
class Inputs:
    """What a job reads besides its program: the start state by name, each sample's fields, the table of scalars."""

    state: Mapping[str, Buffer]
    samples: Sequence[Sequence[Buffer]]
    scalars: Buffer


class ReferenceTracer(ElementRuns):
    """Replays a segment element by element. ``fault`` makes it a cheat."""

    def __init__(self, checked: CheckedProgram, job: Job, inputs: Inputs, fault: Fault | None = None) -> None:
        super().__init__(checked, job)
        self.inputs = inputs
        self.fault = fault
        self._values: dict[int, list[bytes]] = {}
        self._states: dict[int, list[bytes]] = {0: [bytes(inputs.state[name]) for name, _, _ in checked.start_state]}
        self._sample_tree: Tree | None = None
        self._current: list[bytearray] = []
        for step in range(1, job.steps + 1):
            self._run_step(step)

    def state_roots(self) -> Sequence[bytes]:
        return [self.job.start, *(self._state_root(step) for step in range(1, self.job.steps + 1))]

    def state_values(self, step: int) -> Sequence[Buffer]:
        return self._states[step]

    def step_values(self, step: int) -> Sequence[Buffer]:
        return self._values[step]

    def sample_tree(self) -> Tree:
        if self._sample_tree is None:
            self._sample_tree = Tree([tensor_root(field) for sample in self.inputs.samples for field in sample])
        return self._sample_tree

    def sample_field(self, leaf: int) -> Buffer:
        sample, field = divmod(leaf, len(self.job.data.fields))
        return self.inputs.samples[sample][field]

    def scalar_table(self) -> Buffer:
        return self.inputs.scalars

    def load(self, step: int, address: Address) -> int:
        if address.space == "value":
            values = self._values.get(step, self._current)
            return read_element(values[address.tensor], self.checked.values[address.tensor].dtype, address.element)
        if address.space == "state":
            dtype = self.checked.start_state[address.tensor][2].dtype
            return read_element(self._states[step - 1][address.tensor], dtype, address.element)
        if address.space == "scalars":
            return read_element(self.inputs.scalars, "f32", address.element)
        dtype = self.job.data.fields[address.tensor % len(self.job.data.fields)].dtype
        return read_element(self.sample_field(address.tensor), dtype, address.element)

    def run_element(self, step: int, value: int, element: int) -> ElementRun:
        fault = self.fault
        if (
            isinstance(fault, WrongPack)
            or fault is None
            or (fault.step, fault.value, fault.element) != (step, value, element)
        ):
            return super().run_element(step, value, element)
        recipe, loads = self.recipe(step, value, element), count()

        def load(address: Address) -> int:
            misread = isinstance(fault, WrongOperand) and next(loads) == fault.operand
            return self.load(step, address) ^ (fault.flip if misread else 0)

        registers, operands = [recipe.constants], []
        for group in range(1, recipe.groups + 1):
            result = load_group(recipe, group, registers[-1], load)
            after = result.registers_after
            if isinstance(fault, WrongResult) and group == (fault.group or recipe.groups):
                kind, bits = after[0]
                after = Registers((Scalar(kind, bits ^ fault.flip), *after.cells[1:]))
            registers.append(after)
            operands.append(result.operands)
        return ElementRun(tuple(registers), tuple(operands))

    def _state_root(self, step: int) -> bytes:
        tensors = zip(self.checked.state, self._states[step], strict=True)
        return state_tree((name, kind.dtype, kind.shape, tensor_root(data)) for (name, _, kind), data in tensors).root

    def _run_step(self, step: int) -> None:
        """Compute every element of every value in program order, then pack the next state."""
        self._current = []
        for value, kind in enumerate(self.checked.values):
            data = bytearray()
            self._current.append(data)
            for element in range(kind.elements):
                data += write_element(self.registers(step, value, element)[-1][0].bits, kind.dtype)
        self._values[step] = [bytes(data) for data in self._current]
        state = [bytearray(self._values[step][value]) for _, value, _ in self.checked.state]
        if isinstance(self.fault, WrongPack) and self.fault.step == step:
            dtype = self.checked.state[self.fault.tensor][2].dtype
            bits = read_element(state[self.fault.tensor], dtype, self.fault.element) ^ self.fault.flip
            size = len(write_element(bits, dtype))
            state[self.fault.tensor][self.fault.element * size : (self.fault.element + 1) * size] = write_element(
                bits, dtype
            )
        self._states[step] = [bytes(data) for data in state]
